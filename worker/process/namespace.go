package process

import (
	"context"
	"fmt"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"gravity/workflows"
)

// Prepare makes sure that a namespace has Gravity's search attributes. Where that is not allowed, as on
// Temporal Cloud, the error is the command that an operator has to run.
func Prepare(ctx context.Context, temporal client.Client, namespace string) error {
	operator := temporal.OperatorService()
	present, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("reading the search attributes of namespace %s: %w", namespace, err)
	}
	missing := map[string]enums.IndexedValueType{}
	var names []string
	for _, name := range workflows.SearchAttributes() {
		if _, ok := present.GetCustomAttributes()[name]; !ok {
			missing[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, err = operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	if err != nil {
		return fmt.Errorf("namespace %s lacks search attributes; add them with\n  temporal operator search-attribute create --namespace %s %s --type Keyword\n%w",
			namespace, namespace, "--name "+strings.Join(names, " --name "), err)
	}
	return nil
}
