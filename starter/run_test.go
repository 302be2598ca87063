package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
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

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/internal/webhook"
	"gravity/worker/runs"
	"gravity/workflows"
)

func TestEveryWayOfStartingARunIsTheSame(t *testing.T) {
	pipeline := stagePipeline("site", "site", delivery.Stage{Name: "staging", Environment: "web"})
	revision := delivery.Revision{SHA: shaA, Ref: "refs/heads/main", Author: "Ana <ana@example.com>", Message: "![x](http://evil) " + strings.Repeat("<", 190)}
	temporal := mocked(t)
	temporal.On("ExecuteWorkflow", mock.Anything, mock.MatchedBy(func(o client.StartWorkflowOptions) bool {
		attribute, _ := o.TypedSearchAttributes.GetKeyword(workflows.StateAttribute)
		return o.ID == "run/site/"+shaA && o.TaskQueue == workflows.Queue && o.WorkflowExecutionErrorWhenAlreadyStarted &&
			o.WorkflowIDReusePolicy == enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE &&
			o.WorkflowIDConflictPolicy == enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL &&
			len(o.StaticSummary) < 400 && strings.HasPrefix(o.StaticSummary, `site: aaaaaaaaaaaa !\[x\](http://evil) &lt;`) &&
			strings.Contains(o.StaticDetails, "author: Ana &lt;ana@example.com>") && attribute == "building"
	}), workflows.PipelineWorkflow, workflows.PipelineInput{Pipeline: pipeline, Revision: revision}).Return(nil, nil)

	started, err := startRun(t.Context(), temporal, pipeline, revision, false)
	require.NoError(t, err)
	assert.Equal(t, webhook.Started{RunID: "run/site/" + shaA}, started)
}

func TestWhatStartingMeetsIsToldApart(t *testing.T) {
	exists := serviceerror.NewWorkflowExecutionAlreadyStarted("exists", "", "")
	for name, c := range map[string]struct {
		again    bool
		err      error
		existing bool
		kind     delivery.ErrorType
	}{
		"a run that was there is found":             {false, exists, true, ""},
		"a run that goes on is not run again":       {true, exists, false, delivery.InvalidInput},
		"a server that is away is waited for":       {false, serviceerror.NewUnavailable("away"), false, delivery.Unavailable},
		"trouble of no known kind is waited for":    {false, errors.New("odd"), false, delivery.Unavailable},
		"a namespace that is not there stays so":    {false, serviceerror.NewNamespaceNotFound("moon"), false, delivery.InvalidInput},
		"a namespace without attributes is told so": {false, serviceerror.NewInvalidArgument("no attribute"), false, delivery.InvalidInput},
		"what is not allowed is told so":            {false, serviceerror.NewPermissionDenied("no", ""), false, delivery.AccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := mocked(t)
			temporal.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(nil, c.err)
			if c.existing {
				temporal.On("DescribeWorkflowExecution", mock.Anything, "run/site/"+shaA, "").Return(&workflowservice.DescribeWorkflowExecutionResponse{}, nil)
			}
			started, err := startRun(t.Context(), temporal, delivery.Pipeline{Name: "site"}, delivery.Revision{SHA: shaA}, c.again)
			assert.Equal(t, c.kind, delivery.TypeOf(err))
			assert.Equal(t, c.existing, started.Existing)
		})
	}
}

func TestARevisionThatReachesFurtherByAnotherBranchIsRunOnceMore(t *testing.T) {
	pipeline := stagePipeline("site", "site",
		delivery.Stage{Name: "staging", Environment: "web-staging", Branches: []string{"main", "release/*"}},
		delivery.Stage{Name: "production", Environment: "web", Branches: []string{"main"}})
	for name, c := range map[string]struct {
		before, now string
		goesOn      bool
		again       bool
		kind        delivery.ErrorType
	}{
		"the same branch":                        {"refs/heads/main", "refs/heads/main", false, false, ""},
		"a branch with fewer stages":             {"refs/heads/main", "refs/heads/release/7", false, false, ""},
		"a branch with the same stages":          {"refs/heads/release/7", "refs/heads/release/8", true, false, ""},
		"a branch with more stages":              {"refs/heads/release/7", "refs/heads/main", false, true, ""},
		"a branch with more, while the one runs": {"refs/heads/release/7", "refs/heads/main", true, false, delivery.InvalidInput},
		"a run of which no branch is known":      {"", "refs/heads/main", false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ref, err := converter.GetDefaultDataConverter().ToPayload(c.before)
			require.NoError(t, err)
			info := &workflow.WorkflowExecutionInfo{
				Execution: &common.WorkflowExecution{WorkflowId: "run/site/" + shaA},
				Memo:      &common.Memo{Fields: map[string]*common.Payload{runs.MemoRef: ref}},
			}
			if !c.goesOn {
				info.CloseTime = timestamppb.Now()
			}
			temporal := mocked(t)
			with := func(policy enums.WorkflowIdReusePolicy) any {
				return mock.MatchedBy(func(o client.StartWorkflowOptions) bool { return o.WorkflowIDReusePolicy == policy })
			}
			temporal.On("ExecuteWorkflow", mock.Anything, with(enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE), mock.Anything, mock.Anything).
				Return(nil, serviceerror.NewWorkflowExecutionAlreadyStarted("exists", "", "")).Once()
			temporal.On("DescribeWorkflowExecution", mock.Anything, "run/site/"+shaA, "").
				Return(&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil)
			if c.again {
				temporal.On("ExecuteWorkflow", mock.Anything, with(enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE), mock.Anything, mock.Anything).
					Return(nil, nil).Once()
			}
			started, err := startRun(t.Context(), temporal, pipeline, delivery.Revision{SHA: shaA, Ref: c.now}, false)
			assert.Equal(t, c.kind, delivery.TypeOf(err))
			assert.Equal(t, !c.again, started.Existing)
			if err != nil {
				assert.ErrorContains(t, err, "starter deploy site --branch main --revision "+shaA)
			}
		})
	}
}

const pushed = `{"ref":"refs/heads/main","before":"` + shaB + `","after":"` + shaA + `","created":false,"deleted":false,
	"repository":{"full_name":"example/site","clone_url":"https://github.com/example/site.git"},
	"head_commit":{"id":"` + shaA + `","message":"A change","timestamp":"2026-11-20T10:15:00Z","author":{"name":"Ana"}}}`

func post(handler http.Handler, signature string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, webhookPath, strings.NewReader(pushed))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", "push")
	request.Header.Set("X-GitHub-Delivery", "d-1")
	request.Header.Set("X-Hub-Signature-256", signature)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestASignedPushStartsARunAndSaysWhereItIsSeen(t *testing.T) {
	file := config.File{Pipelines: []delivery.Pipeline{stagePipeline("site", "site", delivery.Stage{Name: "staging", Environment: "web"})}}
	temporal := mocked(t)
	receiver := newReceiver(receiverOptions{temporal: temporal, file: file, secrets: [][]byte{[]byte("old"), []byte("new")}, runURL: func(runID string) string {
		return workflowURL("https://temporal.example.com/", "default", runID)
	}})

	assert.Equal(t, http.StatusUnauthorized, post(receiver, webhook.Sign([]byte("wrong"), []byte(pushed))).Code)

	temporal.On("ExecuteWorkflow", mock.Anything, mock.Anything, workflows.PipelineWorkflow, mock.Anything).Return(nil, nil).Once()
	response := post(receiver, webhook.Sign([]byte("new"), []byte(pushed)))
	require.Equal(t, http.StatusAccepted, response.Code, response.Body)
	var answer webhook.Answer
	require.NoError(t, json.Unmarshal(response.Body.Bytes(), &answer))
	assert.Equal(t, webhook.StatusStarted, answer.Status)
	assert.Equal(t, "https://temporal.example.com/namespaces/default/workflows/run%2Fsite%2F"+shaA, answer.Runs[0].URL)

	temporal.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(nil, serviceerror.NewUnavailable("away")).Once()
	assert.Equal(t, http.StatusServiceUnavailable, post(receiver, webhook.Sign([]byte("old"), []byte(pushed))).Code)
}

func TestTheReceiverIsReadyWhileTemporalAnswersAndUntilItStops(t *testing.T) {
	temporal := mocked(t)
	stopping := &atomic.Bool{}
	receiver := newReceiver(receiverOptions{temporal: temporal, stopping: stopping})
	ask := func(path string) int {
		recorder := httptest.NewRecorder()
		receiver.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		return recorder.Code
	}
	for code, err := range map[int]error{http.StatusOK: nil, http.StatusServiceUnavailable: serviceerror.NewUnavailable("away")} {
		temporal.On("CheckHealth", mock.Anything, mock.Anything).Return(nil, err).Once()
		assert.Equal(t, code, ask(readyPath))
	}
	stopping.Store(true)
	assert.Equal(t, http.StatusServiceUnavailable, ask(readyPath))
	assert.Equal(t, http.StatusOK, ask(healthPath), "a process that stops in order is not killed for it")
}

// mocked is a Temporal client that expects what it is told to, all of it.
func mocked(t *testing.T) *mocks.Client {
	c := &mocks.Client{}
	c.Test(t)
	t.Cleanup(func() { c.AssertExpectations(t) })
	return c
}
