package runs

import (
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gravity/internal/delivery"
	"gravity/workflows"
)

const sha = "abababababababababababababababababababab"

func pipeline() delivery.Pipeline {
	return delivery.Pipeline{Name: "site", Stages: []delivery.Stage{
		{Name: "staging", Branches: []string{"main"}, Requests: []string{"feature/*"}}, {Name: "production", Branches: []string{"main"}},
	}}
}

// execution is a run as Temporal lists it.
func execution(t *testing.T, ended bool, memo ...string) *workflow.WorkflowExecutionInfo {
	t.Helper()
	info := &workflow.WorkflowExecutionInfo{Memo: &common.Memo{Fields: map[string]*common.Payload{}}}
	for i := 0; i < len(memo); i += 2 {
		payload, err := converter.GetDefaultDataConverter().ToPayload(memo[i+1])
		require.NoError(t, err)
		info.Memo.Fields[memo[i]] = payload
	}
	if ended {
		info.CloseTime = timestamppb.Now()
	}
	return info
}

func TestWhatPeopleAskForRunsARevisionOnceMoreButOnceForEachAsking(t *testing.T) {
	exists := serviceerror.NewWorkflowExecutionAlreadyStarted("exists", "", "")
	for name, c := range map[string]struct {
		latest  *workflow.WorkflowExecutionInfo
		earlier []*workflow.WorkflowExecutionInfo
		race    error
		again   bool
	}{
		"a run that ended":               {execution(t, true, MemoRef, "refs/heads/main"), nil, nil, true},
		"one that goes on":               {execution(t, false, MemoRef, "refs/heads/main"), nil, nil, false},
		"one that this asking began":     {execution(t, true, MemoRequest, "comment/1"), nil, nil, false},
		"an earlier one that it began":   {execution(t, true, MemoRequest, "comment/2"), []*workflow.WorkflowExecutionInfo{execution(t, true, MemoRequest, "comment/1")}, nil, false},
		"one that another asking began":  {execution(t, true, MemoRequest, "comment/2"), []*workflow.WorkflowExecutionInfo{execution(t, true, MemoRequest, "comment/3")}, nil, true},
		"the same asking, twice at once": {execution(t, true), nil, exists, false},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := &mocks.Client{}
			temporal.Test(t)
			policy := func(wanted enums.WorkflowIdReusePolicy) any {
				return mock.MatchedBy(func(o client.StartWorkflowOptions) bool {
					return o.WorkflowIDReusePolicy == wanted && o.Memo[MemoRequest] == "comment/1" && o.Memo[MemoUntil] == "staging"
				})
			}
			temporal.On("ExecuteWorkflow", mock.Anything, policy(enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE), mock.Anything, mock.Anything).
				Return(nil, exists).Once()
			temporal.On("DescribeWorkflowExecution", mock.Anything, "run/site/"+sha, "").
				Return(&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: c.latest}, nil)
			temporal.On("ListWorkflow", mock.Anything, mock.Anything).
				Return(&workflowservice.ListWorkflowExecutionsResponse{Executions: c.earlier}, nil).Maybe() // lists lag behind
			if c.again || c.race != nil {
				temporal.On("ExecuteWorkflow", mock.Anything, policy(enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE), mock.Anything, mock.Anything).
					Return(nil, c.race).Once()
			}
			started, err := Start(t.Context(), temporal, Request{
				Pipeline: pipeline(), Revision: delivery.Revision{SHA: sha, Ref: "refs/heads/feature/x"}, Until: "staging", Name: "comment/1",
			})
			require.NoError(t, err)
			require.Equal(t, Started{RunID: "run/site/" + sha, Existing: !c.again}, started)
			temporal.AssertExpectations(t)
		})
	}
}

func TestACheckThatIsAskedForAgainRunsWhatThereWas(t *testing.T) {
	temporal := &mocks.Client{}
	temporal.Test(t)
	before := execution(t, true, MemoRef, "refs/heads/feature/x", MemoUntil, "staging", MemoMessage, "mend it", MemoAuthor, "Ana")
	temporal.On("DescribeWorkflowExecution", mock.Anything, "run/site/"+sha, "").
		Return(&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: before}, nil)
	temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil)
	temporal.On("ExecuteWorkflow", mock.Anything, mock.Anything, workflows.PipelineWorkflow, workflows.PipelineInput{
		Pipeline: pipeline(), Until: "staging",
		Revision: delivery.Revision{SHA: sha, Ref: "refs/heads/feature/x", Message: "mend it", Author: "Ana"},
	}).Return(nil, nil).Once()
	started, err := Start(t.Context(), temporal, Request{Pipeline: pipeline(), Revision: delivery.Revision{SHA: sha}, Name: "check-run/7"})
	require.NoError(t, err)
	require.Equal(t, Started{RunID: "run/site/" + sha}, started)
	temporal.AssertExpectations(t)
}

func TestWhatTemporalForgotIsNotRunOnceMore(t *testing.T) {
	temporal := &mocks.Client{}
	temporal.Test(t)
	temporal.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(nil, serviceerror.NewNotFound("gone"))
	_, err := Start(t.Context(), temporal, Request{Pipeline: pipeline(), Revision: delivery.Revision{SHA: sha}, Name: "check-run/7"})
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}

func TestARunThatEndedEarlyForARequestIsNoHindranceToAPush(t *testing.T) {
	require.True(t, reachesFurther(pipeline(), "refs/heads/main", "", "refs/heads/feature/x", "staging"))
	require.True(t, reachesFurther(pipeline(), "refs/heads/main", "", "refs/heads/main", "staging"))
	require.False(t, reachesFurther(pipeline(), "refs/heads/main", "staging", "refs/heads/main", ""))
	require.False(t, reachesFurther(pipeline(), "refs/heads/feature/x", "staging", "refs/heads/main", ""))
}

func TestAnEventIsHandledOnce(t *testing.T) {
	temporal := &mocks.Client{}
	temporal.Test(t)
	event := delivery.GitHubEvent{ID: "comment/1", Kind: delivery.EventCommand, Command: &delivery.Comment{Login: "ana", Verb: "approve"}}
	once := mock.MatchedBy(func(o client.StartWorkflowOptions) bool {
		return o.ID == "github/comment/1" && o.WorkflowIDReusePolicy == enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	})
	for _, err := range []error{nil, serviceerror.NewWorkflowExecutionAlreadyStarted("exists", "", "")} {
		temporal.On("ExecuteWorkflow", mock.Anything, once, workflows.GitHubEventWorkflow, event).Return(nil, err).Once()
		started, failure := Hand(t.Context(), temporal, event)
		require.NoError(t, failure)
		require.Equal(t, Started{RunID: "github/comment/1", Existing: err != nil}, started)
	}
}
