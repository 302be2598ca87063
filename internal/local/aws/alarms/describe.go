package alarms

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"gravity/internal/local/aws/service"
)

// What AWS's model of the API allows.
const (
	maxNames       = 100
	maxRecords     = 100
	defaultRecords = 50
	maxNameLength  = 255
)

// DescribeAlarms lists alarms by name, page by page. Without AlarmTypes, AWS lists metric alarms, which are
// the only ones here.
func (a *Alarms) DescribeAlarms(in *cloudwatch.DescribeAlarmsInput) (*cloudwatch.DescribeAlarmsOutput, error) {
	limit := int(aws.ToInt32(in.MaxRecords))
	switch {
	case in.MaxRecords == nil:
		limit = defaultRecords
	case limit < 1 || limit > maxRecords:
		return nil, invalid("Value '%d' at 'maxRecords' failed to satisfy constraint: Member must have value between 1 and %d", limit, maxRecords)
	}
	if len(in.AlarmNames) > maxNames {
		return nil, tooMany("alarmNames")
	}
	if in.AlarmNames != nil && in.AlarmNamePrefix != nil {
		return nil, &service.Fault{Code: "InvalidParameterCombination", Status: http.StatusBadRequest,
			Message: "AlarmNames and AlarmNamePrefix cannot be specified together."}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &cloudwatch.DescribeAlarmsOutput{MetricAlarms: []types.MetricAlarm{}, CompositeAlarms: []types.CompositeAlarm{}}
	if in.AlarmTypes != nil && !slices.Contains(in.AlarmTypes, types.AlarmTypeMetricAlarm) {
		return out, nil
	}
	after := aws.ToString(in.NextToken) // the name after which the page begins
	if after != "" {
		if _, found := a.find(after); !found {
			return nil, &service.Fault{Code: "InvalidNextToken", Message: "The next token specified is invalid.", Status: http.StatusBadRequest}
		}
	}
	for _, alarm := range a.all {
		if *alarm.AlarmName <= after || !wanted(alarm, in) {
			continue
		}
		if len(out.MetricAlarms) == limit {
			out.NextToken = out.MetricAlarms[limit-1].AlarmName
			break
		}
		out.MetricAlarms = append(out.MetricAlarms, alarm)
	}
	return out, nil
}

func wanted(alarm types.MetricAlarm, in *cloudwatch.DescribeAlarmsInput) bool {
	action := func(name string) bool { return strings.HasPrefix(name, aws.ToString(in.ActionPrefix)) }
	return (in.AlarmNames == nil || slices.Contains(in.AlarmNames, *alarm.AlarmName)) &&
		strings.HasPrefix(*alarm.AlarmName, aws.ToString(in.AlarmNamePrefix)) &&
		(in.StateValue == "" || alarm.StateValue == in.StateValue) &&
		(in.ActionPrefix == nil || slices.ContainsFunc(slices.Concat(alarm.AlarmActions, alarm.OKActions, alarm.InsufficientDataActions), action))
}

func checkMetricAlarm(in *cloudwatch.PutMetricAlarmInput) error {
	var problems []string
	if in.AlarmName == nil {
		problems = append(problems, missing("alarmName"))
	}
	if in.ComparisonOperator == "" {
		problems = append(problems, missing("comparisonOperator"))
	}
	if in.EvaluationPeriods == nil {
		problems = append(problems, missing("evaluationPeriods"))
	}
	if length := len(aws.ToString(in.AlarmName)); in.AlarmName != nil && (length < 1 || length > maxNameLength) {
		problems = append(problems, fmt.Sprintf("Value '%.300s' at 'alarmName' failed to satisfy constraint: Member must have length between 1 and %d", *in.AlarmName, maxNameLength))
	}
	if in.ComparisonOperator != "" && !slices.Contains(in.ComparisonOperator.Values(), in.ComparisonOperator) {
		problems = append(problems, notOf("comparisonOperator", string(in.ComparisonOperator), in.ComparisonOperator.Values()))
	}
	if len(problems) > 0 {
		return invalidAll(problems)
	}
	if in.Metrics == nil && (in.MetricName == nil || in.Namespace == nil) {
		return invalid("Exactly one of MetricName with Namespace, or Metrics, must be specified")
	}
	return nil
}

func checkState(in *cloudwatch.SetAlarmStateInput) error {
	var problems []string
	if in.AlarmName == nil {
		problems = append(problems, missing("alarmName"))
	}
	if in.StateReason == nil {
		problems = append(problems, missing("stateReason"))
	}
	switch {
	case in.StateValue == "":
		problems = append(problems, missing("stateValue"))
	case !slices.Contains(in.StateValue.Values(), in.StateValue):
		problems = append(problems, notOf("stateValue", string(in.StateValue), in.StateValue.Values()))
	}
	if len(problems) > 0 {
		return invalidAll(problems)
	}
	return nil
}

func missing(name string) string {
	return fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", name)
}

func notOf[T ~string](name, value string, values []T) string {
	allowed := make([]string, len(values))
	for i, each := range values {
		allowed[i] = string(each)
	}
	return fmt.Sprintf("Value '%.200s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]", value, name, strings.Join(allowed, ", "))
}

func tooMany(name string) error {
	return invalid("Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", name, maxNames)
}

func invalidAll(problems []string) error {
	errors := "errors"
	if len(problems) == 1 {
		errors = "error"
	}
	return invalid("%d validation %s detected: %s", len(problems), errors, strings.Join(problems, "; "))
}

func invalid(format string, args ...any) error {
	return &service.Fault{Code: "ValidationError", Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

func notFound(name string) error {
	return &service.Fault{Code: "ResourceNotFound", Message: fmt.Sprintf("Alarm [%.255s] does not exist.", name), Status: http.StatusNotFound}
}
