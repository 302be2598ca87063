package activities

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
)

var ask = AskInput{
	Workflow: "Environment", TaskQueue: "gravity", WorkflowID: "environment/shop/shop-production",
	Start: map[string]any{"environment": "shop-production"}, Update: "request", UpdateID: "request-1", Argument: map[string]any{"version": "v2"},
}

// asked is a client that expects one question.
func asked(t *testing.T, handle client.WorkflowUpdateHandle, err error) *mocks.Client {
	temporal := mocks.NewClient(t)
	temporal.On("NewWithStartWorkflowOperation", mock.Anything, "Environment", ask.Start).Return(nil).Once()
	temporal.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Return(handle, err).Once()
	return temporal
}

func TestAskingAnEnvironmentAnswersWithWhatItSaid(t *testing.T) {
	handle := mocks.NewWorkflowUpdateHandle(t)
	handle.On("Get", mock.Anything, mock.Anything).Run(func(arguments mock.Arguments) {
		*arguments.Get(1).(*json.RawMessage) = json.RawMessage(`{"ahead":2}`)
	}).Return(nil)
	temporal := mocks.NewClient(t)
	temporal.On("NewWithStartWorkflowOperation", mock.Anything, "Environment", mock.Anything).Run(func(arguments mock.Arguments) {
		options := arguments.Get(0).(client.StartWorkflowOptions)
		assert.Equal(t, ask.WorkflowID, options.ID)
		assert.Equal(t, "gravity", options.TaskQueue)
		assert.Equal(t, enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy, "the one that runs is asked")
	}).Return(nil)
	temporal.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Run(func(arguments mock.Arguments) {
		options := arguments.Get(1).(client.UpdateWithStartWorkflowOptions).UpdateOptions
		assert.Equal(t, "request", options.UpdateName)
		assert.Equal(t, "request-1", options.UpdateID, "so that asking twice is asking once")
		assert.Equal(t, client.WorkflowUpdateStageCompleted, options.WaitForStage)
		assert.Len(t, options.Args, 1)
	}).Return(handle, nil)

	environments := &Environments{Temporal: temporal}
	answer, err := newSteps(t, environments).ExecuteActivity(environments.Ask, ask)
	require.NoError(t, err)
	var said struct{ Ahead int }
	require.NoError(t, answer.Get(&said))
	assert.Equal(t, 2, said.Ahead)
}

func TestARefusalByAnEnvironmentIsToldFromTroubleWithTemporal(t *testing.T) {
	refused := func(kind delivery.ErrorType) error {
		return temporal.NewNonRetryableApplicationError("shop-production is frozen", string(kind), nil)
	}
	cases := []struct {
		name    string
		err     error
		want    delivery.ErrorType
		retried bool
	}{
		{"a frozen environment refuses for good", refused(delivery.EnvironmentFrozen), delivery.EnvironmentFrozen, false},
		{"a request that cannot be refuses for good", refused(delivery.InvalidInput), delivery.InvalidInput, false},
		{"a refusal of a kind that nobody knows stays one", temporal.NewApplicationError("no", "Whim"), "Whim", false},
		{"a request that Temporal calls invalid is not repeated", serviceerror.NewInvalidArgument("update name is not set"), delivery.InvalidInput, false},
		{"a Temporal that is not there is asked again", serviceerror.NewUnavailable("connection refused"), delivery.Unavailable, true},
		{"workers that do not answer in time are asked again", context.DeadlineExceeded, delivery.Unavailable, true},
		{"a full Temporal is asked again", serviceerror.NewResourceExhausted(enums.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "slow down"), delivery.Unavailable, true},
		{"an environment that ends in this moment is asked again", serviceerror.NewNotFound("workflow execution already completed"), delivery.Unavailable, true},
		{"what nobody knows is asked again", errors.New("strange"), delivery.Unavailable, true},
	}
	for _, test := range cases {
		check := func(t *testing.T, environments *Environments) {
			_, err := newSteps(t, environments).ExecuteActivity(environments.Ask, ask)
			var failure *temporal.ApplicationError
			require.ErrorAs(t, err, &failure)
			assert.Equal(t, string(test.want), failure.Type())
			assert.Equal(t, test.retried, !failure.NonRetryable())
			assert.Contains(t, failure.Message(), "asking environment/shop/shop-production")
		}
		t.Run(test.name+", when it is asked", func(t *testing.T) {
			check(t, &Environments{Temporal: asked(t, nil, test.err)})
		})
		t.Run(test.name+", when it answers", func(t *testing.T) {
			handle := mocks.NewWorkflowUpdateHandle(t)
			handle.On("Get", mock.Anything, mock.Anything).Return(test.err)
			check(t, &Environments{Temporal: asked(t, handle, nil)})
		})
	}
}

func TestAnEnvironmentIsToldSomethingIfThereIsOne(t *testing.T) {
	told := TellEnvironmentInput{WorkflowID: ask.WorkflowID, Update: "forget-configuration", UpdateID: "once", Argument: map[string]any{"stack": "shop"}}
	gone, status := serviceerror.NewNotFound("workflow not found"), func(status enums.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
		return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: status}}
	}
	for name, each := range map[string]struct {
		err       error
		described *workflowservice.DescribeWorkflowExecutionResponse
		lookErr   error
		there     bool
		fails     delivery.ErrorType
	}{
		"it took it":                    {there: true},
		"there never was one":           {err: gone, lookErr: gone},
		"it was ended":                  {err: gone, described: status(enums.WORKFLOW_EXECUTION_STATUS_TERMINATED)},
		"it continues as new":           {err: gone, described: status(enums.WORKFLOW_EXECUTION_STATUS_RUNNING), fails: delivery.Unavailable},
		"nobody knows whether there is": {err: gone, lookErr: serviceerror.NewUnavailable("connection refused"), fails: delivery.Unavailable},
		"Temporal is not to be reached": {err: serviceerror.NewUnavailable("connection refused"), fails: delivery.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c := mocks.NewClient(t)
			handle := mocks.NewWorkflowUpdateHandle(t)
			c.On("UpdateWorkflow", mock.Anything, mock.Anything).Run(func(arguments mock.Arguments) {
				options := arguments.Get(1).(client.UpdateWorkflowOptions)
				assert.Equal(t, "once", options.UpdateID, "so that telling twice is telling once")
				assert.Equal(t, client.WorkflowUpdateStageCompleted, options.WaitForStage)
			}).Return(handle, each.err)
			if each.err == nil {
				handle.On("Get", mock.Anything, mock.Anything).Return(nil)
			}
			if errors.Is(each.err, gone) {
				c.On("DescribeWorkflowExecution", mock.Anything, told.WorkflowID, "").Return(each.described, each.lookErr)
			}
			environments := &Environments{Temporal: c}
			answer, err := newSteps(t, environments).ExecuteActivity(environments.TellEnvironment, told)
			if each.fails != "" {
				var failure *temporal.ApplicationError
				require.ErrorAs(t, err, &failure)
				assert.Equal(t, string(each.fails), failure.Type())
				assert.False(t, failure.NonRetryable())
				return
			}
			require.NoError(t, err)
			var there bool
			require.NoError(t, answer.Get(&there))
			assert.Equal(t, each.there, there)
		})
	}
}
