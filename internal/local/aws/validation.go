package aws

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gravity/internal/local/aws/platform"
	"gravity/internal/local/aws/query"
)

// limit is what AWS's model of the API allows a parameter to be.
type limit struct {
	least, most int // characters of a string, or of each string of a list
	number      bool
	values      []string
}

// limits is the table of limited parameters. A name means the same in every operation that has it,
// but for AttributeNames and Status, whose values depend on the operation.
func limits() map[string]limit {
	name := limit{least: 1, most: 100}
	environment := limit{least: 4, most: 40}
	return map[string]limit{
		"ApplicationName":            name,
		"ApplicationNames":           name,
		"CNAMEPrefix":                {least: 4, most: 63},
		"Description":                {most: 200},
		"DestinationEnvironmentName": environment,
		"EnvironmentName":            environment,
		"EnvironmentNames":           environment,
		"GroupName":                  {least: 1, most: 19},
		"InfoType":                   {values: []string{"tail", "bundle", "analyze"}},
		"MaxItems":                   {least: 1, most: 100, number: true},
		"MaxRecords":                 {least: 1, most: 1000, number: true},
		"OperationsRole":             {least: 1, most: 256},
		"Severity":                   {values: []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}},
		"SourceEnvironmentName":      environment,
		"TagsToRemove":               {least: 1, most: 128},
		"TemplateName":               name,
		"VersionLabel":               name,
		"VersionLabels":              name,

		"DescribeEnvironmentHealth.AttributeNames": {values: []string{"Status", "Color", "Causes", "ApplicationMetrics",
			"InstancesHealth", "All", "HealthStatus", "RefreshedAt"}},
		"DescribeInstancesHealth.AttributeNames": {values: []string{"HealthStatus", "Color", "Causes", "ApplicationMetrics",
			"RefreshedAt", "LaunchedAt", "System", "Deployment", "AvailabilityZone", "InstanceType", "All"}},
		"DescribeEnvironmentManagedActions.Status": {values: []string{"Scheduled", "Pending", "Running", "Unknown"}},
		"DescribeInstancesHealth.NextToken":        {least: 1, most: 100},
	}
}

// check is AWS's answer to a request that its model rules out, or nil: what is required and not
// there, too long, or none of the values that there are. It names all problems at once.
func (s *Server) check(action string, op operation, parameters *query.Parameters) *platform.Fault {
	var problems []string
	for _, name := range op.required {
		if !parameters.Given(name) {
			problems = append(problems, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", wireName(name)))
		}
	}
	for _, name := range parameters.Names() {
		allowed, limited := s.limits[action+"."+name]
		if !limited {
			allowed, limited = s.limits[name]
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
	return &platform.Fault{
		Code: "ValidationError", Status: http.StatusBadRequest,
		Message: fmt.Sprintf("%d validation %s detected: %s", len(problems), errors, strings.Join(problems, "; ")),
	}
}

func (l limit) problem(value string) string {
	if len(l.values) > 0 {
		for _, allowed := range l.values {
			if value == allowed {
				return ""
			}
		}
		return "Member must satisfy enum value set: [" + strings.Join(l.values, ", ") + "]"
	}
	size, what := len([]rune(value)), "have length"
	if l.number {
		var err error
		if size, err = strconv.Atoi(value); err != nil {
			return "" // decoding finds the better words
		}
		what = "have value"
	}
	switch {
	case size < l.least:
		return fmt.Sprintf("Member must %s greater than or equal to %d", what, l.least)
	case l.most > 0 && size > l.most:
		return fmt.Sprintf("Member must %s less than or equal to %d", what, l.most)
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
