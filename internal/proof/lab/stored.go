package lab

import (
	"bytes"
	"context"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"
)

// Stored is every event that Temporal keeps in the client's namespace, of up to a page of workflows, and how many those
// are: what has to be searched for what must not be there.
func Stored(ctx context.Context, c client.Client) (content []byte, workflows int, err error) {
	list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{})
	if err != nil {
		return nil, 0, fmt.Errorf("list workflows: %w", err)
	}
	var stored bytes.Buffer
	for _, execution := range list.GetExecutions() {
		id, runID := execution.GetExecution().GetWorkflowId(), execution.GetExecution().GetRunId()
		for events := c.GetWorkflowHistory(ctx, id, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			event, err := events.Next()
			if err != nil {
				return nil, 0, fmt.Errorf("read the history of %s: %w", id, err)
			}
			encoded, err := proto.Marshal(event)
			if err != nil {
				return nil, 0, fmt.Errorf("encode an event of %s: %w", id, err)
			}
			stored.Write(encoded)
		}
	}
	return stored.Bytes(), len(list.GetExecutions()), nil
}
