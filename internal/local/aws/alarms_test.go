package aws_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
)

func (s *stand) cloudwatch() *cloudwatch.Client {
	return cloudwatch.NewFromConfig(s.server.Config(), func(o *cloudwatch.Options) { o.RetryMaxAttempts = 1 })
}

func metricAlarm(name string) *cloudwatch.PutMetricAlarmInput {
	return &cloudwatch.PutMetricAlarmInput{
		AlarmName: sdk.String(name), Namespace: sdk.String("AWS/ApplicationELB"), MetricName: sdk.String("HTTPCode_Target_5XX_Count"),
		Dimensions: []types.Dimension{{Name: sdk.String("LoadBalancer"), Value: sdk.String("app/site")}}, AlarmActions: []string{"arn:aws:sns:us-east-1:000000000000:ops"},
		Statistic: types.StatisticSum, Period: sdk.Int32(60), EvaluationPeriods: sdk.Int32(2), Threshold: sdk.Float64(-1.5),
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, ActionsEnabled: sdk.Bool(false),
	}
}

func setState(name string, state types.StateValue) *cloudwatch.SetAlarmStateInput {
	return &cloudwatch.SetAlarmStateInput{AlarmName: sdk.String(name), StateValue: state, StateReason: sdk.String("because")}
}

func TestAnAlarmIsWhatItWasDefinedToBeAndInTheStateIntoWhichItWasPut(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	s := start(t, func(o *aws.Options) { o.DataDir = directory })
	api := s.cloudwatch()
	_, err := api.PutMetricAlarm(t.Context(), metricAlarm("errors"))
	require.NoError(t, err)
	describe := func(api *cloudwatch.Client) types.MetricAlarm {
		out, err := api.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"errors"}})
		require.NoError(t, err)
		require.Len(t, out.MetricAlarms, 1)
		return out.MetricAlarms[0]
	}
	alarm := describe(api)
	assert.Equal(t, types.StateValueInsufficientData, alarm.StateValue)
	assert.Equal(t, "arn:aws:cloudwatch:us-east-1:000000000000:alarm:errors", *alarm.AlarmArn)
	assert.InDelta(t, -1.5, *alarm.Threshold, 0)
	assert.EqualValues(t, 60, *alarm.Period)
	assert.False(t, *alarm.ActionsEnabled)
	assert.Equal(t, "app/site", *alarm.Dimensions[0].Value)
	assert.WithinDuration(t, time.Now(), *alarm.StateUpdatedTimestamp, time.Minute)

	_, err = api.SetAlarmState(t.Context(), setState("errors", types.StateValueAlarm))
	require.NoError(t, err)
	redefined := metricAlarm("errors")
	redefined.Threshold = sdk.Float64(7)
	_, err = api.PutMetricAlarm(t.Context(), redefined)
	require.NoError(t, err)
	alarm = describe(api)
	assert.Equal(t, types.StateValueAlarm, alarm.StateValue, "an alarm that is defined anew stays in its state")
	assert.Equal(t, "because", *alarm.StateReason)
	assert.InDelta(t, 7, *alarm.Threshold, 0)

	require.NoError(t, s.server.Close())
	again := start(t, func(o *aws.Options) { o.DataDir = directory })
	assert.Equal(t, types.StateValueAlarm, describe(again.cloudwatch()).StateValue, "it outlasts a restart")
	_, err = again.cloudwatch().DeleteAlarms(t.Context(), &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"errors"}})
	require.NoError(t, err)
	out, err := again.cloudwatch().DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
	require.NoError(t, err)
	assert.Empty(t, out.MetricAlarms)
}

func TestAlarmsAreListedPageByPageAndByWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t)
	api := s.cloudwatch()
	for i := range 120 {
		_, err := api.PutMetricAlarm(t.Context(), metricAlarm(fmt.Sprintf("alarm-%03d", i)))
		require.NoError(t, err)
	}
	list := func(in *cloudwatch.DescribeAlarmsInput) (names []string, pages int) {
		paging := cloudwatch.NewDescribeAlarmsPaginator(api, in)
		for paging.HasMorePages() {
			page, err := paging.NextPage(t.Context())
			require.NoError(t, err)
			pages++
			for _, alarm := range page.MetricAlarms {
				names = append(names, *alarm.AlarmName)
			}
		}
		return names, pages
	}
	all, pages := list(&cloudwatch.DescribeAlarmsInput{})
	assert.Len(t, all, 120)
	assert.Equal(t, 3, pages, "50 a page, as on AWS")
	assert.IsIncreasing(t, all)
	some, pages := list(&cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: sdk.String("alarm-01"), MaxRecords: sdk.Int32(4)})
	assert.Len(t, some, 10)
	assert.Equal(t, 3, pages)
	_, err := api.SetAlarmState(t.Context(), setState("alarm-007", types.StateValueOk))
	require.NoError(t, err)
	quiet, _ := list(&cloudwatch.DescribeAlarmsInput{StateValue: types.StateValueOk})
	assert.Equal(t, []string{"alarm-007"}, quiet)
	named, _ := list(&cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"alarm-100", "gone", "alarm-001"}})
	assert.Equal(t, []string{"alarm-001", "alarm-100"}, named, "a name that no alarm has is no error")
	composite, _ := list(&cloudwatch.DescribeAlarmsInput{AlarmTypes: []types.AlarmType{types.AlarmTypeCompositeAlarm}})
	assert.Empty(t, composite)
}

func TestWhatCloudWatchRefusesItRefusesInAWSsWords(t *testing.T) {
	t.Parallel()
	s := start(t)
	unchecked := cloudwatch.NewFromConfig(s.server.Config(), func(o *cloudwatch.Options) {
		o.RetryMaxAttempts = 1
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			_, _ = stack.Initialize.Remove("OperationInputValidation")
			return nil
		})
	})
	ctx := t.Context()
	_, missing := unchecked.SetAlarmState(ctx, setState("gone", types.StateValueAlarm))
	var notFound *types.ResourceNotFound
	require.ErrorAs(t, missing, &notFound)
	_, deleted := unchecked.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"gone"}})
	require.ErrorAs(t, deleted, &notFound)
	_, state := unchecked.SetAlarmState(ctx, setState("gone", "LOUD"))
	assert.Contains(t, code(state), "ValidationError: 1 validation error detected: Value 'LOUD' at 'stateValue' failed to satisfy constraint: Member must satisfy enum value set: [OK, ALARM, INSUFFICIENT_DATA]")
	_, nothing := unchecked.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{})
	assert.Contains(t, code(nothing), "ValidationError: 3 validation errors detected: Value null at 'alarmName' failed to satisfy constraint: Member must not be null")
	_, token := unchecked.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{NextToken: sdk.String("made up")})
	var invalid *types.InvalidNextToken
	require.ErrorAs(t, token, &invalid)
	_, many := unchecked.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{MaxRecords: sdk.Int32(101)})
	assert.Contains(t, code(many), "ValidationError")
	_, unknown := unchecked.ListMetrics(ctx, &cloudwatch.ListMetricsInput{})
	assert.Contains(t, code(unknown), "InvalidAction: Could not find operation ListMetrics")

	stranger := s.server.Config()
	stranger.Credentials = credentials.NewStaticCredentialsProvider("LOCALSTANDIN", "wrong", "")
	_, unsigned := cloudwatch.NewFromConfig(stranger).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{})
	assert.Contains(t, code(unsigned), "SignatureDoesNotMatch")

	require.NoError(t, s.server.SetFaults(aws.Faults{ThrottleCalls: 1}))
	_, throttled := unchecked.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{})
	assert.Contains(t, code(throttled), "Throttling: Rate exceeded")
}

func TestAnAlarmIsRaisedFromOutsideTheAPI(t *testing.T) {
	t.Parallel()
	s := start(t)
	post := func(body string) int {
		response, err := http.Post(s.server.URL()+"/_stand-in/alarms", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	require.Equal(t, http.StatusAccepted, post(`{"name": "errors", "state": "ALARM", "reason": "too many"}`))
	out, err := s.cloudwatch().DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
	require.NoError(t, err)
	require.Len(t, out.MetricAlarms, 1)
	assert.Equal(t, types.StateValueAlarm, out.MetricAlarms[0].StateValue)
	assert.Equal(t, http.StatusBadRequest, post(`{"name": "errors", "state": "LOUD"}`))
	assert.Equal(t, 1, s.server.Calls()["monitoring DescribeAlarms"])
}

func TestAWSsOwnCommandLineSetsAlarms(t *testing.T) {
	t.Parallel()
	c := cli{program: commandLine(t), home: t.TempDir(), stand: start(t)}
	c.run("cloudwatch", "put-metric-alarm", "--alarm-name", "errors", "--namespace", "Site", "--metric-name", "Errors", "--statistic", "Sum",
		"--period", "60", "--evaluation-periods", "1", "--threshold", "1", "--comparison-operator", "GreaterThanThreshold")
	c.run("cloudwatch", "set-alarm-state", "--alarm-name", "errors", "--state-value", "ALARM", "--state-reason", "by hand")
	described := c.run("cloudwatch", "describe-alarms")["MetricAlarms"].([]any)
	require.Len(t, described, 1)
	assert.Equal(t, "ALARM", described[0].(map[string]any)["StateValue"])
	assert.Equal(t, "by hand", described[0].(map[string]any)["StateReason"])
	out, err := c.try("cloudwatch", "set-alarm-state", "--alarm-name", "gone", "--state-value", "OK", "--state-reason", "x")
	require.Error(t, err)
	assert.Contains(t, out, "(ResourceNotFound) when calling the SetAlarmState operation")
	c.run("cloudwatch", "delete-alarms", "--alarm-names", "errors")
}

// cli runs the AWS command line against the stand-in, the way that a person would.
type cli struct {
	*stand
	program string
	home    string
}

func (c cli) run(arguments ...string) map[string]any {
	c.Helper()
	out, err := c.try(arguments...)
	require.NoError(c, err, "aws %s\n%s", strings.Join(arguments, " "), out)
	if strings.TrimSpace(out) == "" {
		return nil
	}
	var answer map[string]any
	require.NoError(c, json.Unmarshal([]byte(out), &answer), out)
	return answer
}

func (c cli) try(arguments ...string) (string, error) {
	command := exec.CommandContext(c.Context(), c.program, append([]string{"--endpoint-url", c.server.URL(), "--output", "json"}, arguments...)...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "AWS_ACCESS_KEY_ID=LOCALSTANDIN",
		"AWS_SECRET_ACCESS_KEY=local-stand-in", "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER="}
	out, err := command.CombinedOutput()
	return string(out), err
}
