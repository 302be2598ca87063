package activities

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"gravity/cloudformation"
	"gravity/internal/delivery"
	"gravity/internal/stacks/template"
)

type metricsAPI func(*cloudwatch.PutMetricDataInput) error

func (m metricsAPI) PutMetricData(_ context.Context, in *cloudwatch.PutMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error) {
	return &cloudwatch.PutMetricDataOutput{}, m(in)
}

func TestAFreezeIsToldInTheMetricThatItsAlarmLooksAt(t *testing.T) {
	text, err := cloudformation.Template("alarms")
	require.NoError(t, err)
	parsed, err := template.Parse(text)
	require.NoError(t, err)
	alarm := parsed.Resources["Frozen"].Properties

	told := map[string]float64{}
	metrics := &Metrics{API: metricsAPI(func(in *cloudwatch.PutMetricDataInput) error {
		require.Equal(t, alarm["Namespace"], *in.Namespace)
		for _, datum := range in.MetricData {
			require.Equal(t, alarm["MetricName"], *datum.MetricName)
			require.Len(t, datum.Dimensions, 1)
			require.Equal(t, alarm["Dimensions"].([]any)[0].(map[string]any)["Name"], *datum.Dimensions[0].Name)
			told[*datum.Dimensions[0].Value] = *datum.Value
		}
		return nil
	})}
	require.NoError(t, metrics.ReportFrozen(t.Context(), Frozen{Environments: map[string]bool{"site-staging": false, "site-production": true}}))
	require.Equal(t, map[string]float64{"site-staging": 0, "site-production": 1}, told)
}

func TestTroubleWithTheMetricHasItsType(t *testing.T) {
	for refused, kind := range map[error]delivery.ErrorType{
		&smithy.GenericAPIError{Code: "Throttling"}:            delivery.Throttled,
		&smithy.GenericAPIError{Code: "AccessDenied"}:          delivery.AccessDenied,
		&smithy.GenericAPIError{Code: "InvalidParameterValue"}: delivery.InvalidInput,
		&smithy.GenericAPIError{Code: "InternalServiceFault"}:  delivery.Unavailable,
		errors.New("connection refused"):                       delivery.Unavailable,
	} {
		metrics := &Metrics{API: metricsAPI(func(*cloudwatch.PutMetricDataInput) error { return refused })}
		var told *temporal.ApplicationError
		require.ErrorAs(t, metrics.ReportFrozen(t.Context(), Frozen{Environments: map[string]bool{"site-staging": true}}), &told)
		require.Equal(t, string(kind), told.Type(), refused)
	}
}

func TestFrozenEnvironmentsAreFoundOnEveryPageAndOthersAreNotToldOf(t *testing.T) {
	named := func(name string) *workflowpb.WorkflowExecutionInfo {
		payload, err := converter.GetDefaultDataConverter().ToPayload(name)
		require.NoError(t, err)
		return &workflowpb.WorkflowExecutionInfo{SearchAttributes: &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"E": payload}}}
	}
	temporal := &mocks.Client{}
	temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{
		Executions: []*workflowpb.WorkflowExecutionInfo{named("elsewhere"), {}}, NextPageToken: []byte("2")}, nil).Once()
	temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{
		Executions: []*workflowpb.WorkflowExecutionInfo{named("site-production")}}, nil).Once()
	found, err := (&Freezes{Temporal: temporal}).FindFrozen(t.Context(), FindFrozenInput{Workflow: "Environment", Environment: "E", State: "S", Frozen: "frozen",
		Of: []string{"site-production", "site-staging"}})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"site-production": true, "site-staging": false}, found.Environments)
	temporal.AssertExpectations(t)
}
