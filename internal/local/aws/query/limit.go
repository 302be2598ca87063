package query

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gravity/internal/local/aws/service"
)

// Limit is what AWS's model of an API allows a parameter to be.
type Limit struct {
	Least, Most int // characters of a string, or of each string of a list
	Number      bool
	Values      []string
}

// check is AWS's answer to a request that its model rules out, or nil: what is required and not
// there, too long, or none of the values that there are. It names all problems at once.
func (a *API) check(action string, op Operation, parameters *Parameters) *service.Fault {
	var problems []string
	for _, name := range op.required {
		if !parameters.Given(name) {
			problems = append(problems, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", wireName(name)))
		}
	}
	for _, name := range parameters.Names() {
		allowed, limited := a.Limits[action+"."+name]
		if !limited {
			allowed, limited = a.Limits[name]
		}
		if !limited {
			continue
		}
		for _, value := range parameters.Values(name) {
			if wrong := allowed.problem(value); wrong != "" {
				problems = append(problems, fmt.Sprintf("Value '%.200s' at '%s' failed to satisfy constraint: %s", value, wireName(name), wrong))
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	errors := "errors"
	if len(problems) == 1 {
		errors = "error"
	}
	return &service.Fault{
		Code: "ValidationError", Status: http.StatusBadRequest,
		Message: fmt.Sprintf("%d validation %s detected: %s", len(problems), errors, strings.Join(problems, "; ")),
	}
}

func (l Limit) problem(value string) string {
	if len(l.Values) > 0 {
		for _, allowed := range l.Values {
			if value == allowed {
				return ""
			}
		}
		return "Member must satisfy enum value set: [" + strings.Join(l.Values, ", ") + "]"
	}
	size, what := len([]rune(value)), "have length"
	if l.Number {
		var err error
		if size, err = strconv.Atoi(value); err != nil {
			return "" // decoding finds the better words
		}
		what = "have value"
	}
	switch {
	case size < l.Least:
		return fmt.Sprintf("Member must %s greater than or equal to %d", what, l.Least)
	case l.Most > 0 && size > l.Most:
		return fmt.Sprintf("Member must %s less than or equal to %d", what, l.Most)
	}
	return ""
}

// wireName is a parameter's name as AWS's messages have it: ApplicationName is applicationName,
// and the first member of a structure is resourceLifecycleConfig.serviceRole.
func wireName(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = strings.ToLower(part[:1]) + part[1:]
	}
	return strings.Join(parts, ".")
}
