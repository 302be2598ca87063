package workflows

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/suite"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

type pipelineSuite struct{ workflowSuite }

func TestPipeline(t *testing.T) { suite.Run(t, new(pipelineSuite)) }

func pipelineInput() PipelineInput {
	pipeline := delivery.Pipeline{
		Name: "site", Repository: "https://github.com/example/site", Application: "site",
		Build: &delivery.Command{Run: "make"}, Test: &delivery.Test{Run: "make test"},
		Stages: []delivery.Stage{
			{Name: "staging", Environment: "site-staging"},
			{Name: "production", Environment: "site-production"},
		},
	}
	return PipelineInput{
		Pipeline: pipeline.WithDefaults(),
		Revision: delivery.Revision{SHA: strings.Repeat("ab", 20), Ref: "refs/heads/main", Author: "Ana", Message: "mend it"},
	}
}

func gated(input PipelineInput) PipelineInput {
	input.Pipeline.Stages[1].Gate.Approval = &delivery.Approval{Timeout: delivery.Duration(time.Hour)}
	return input
}

// answers makes environments answer requests with results, by signal as they do.
func (s *pipelineSuite) answers(results map[string]delivery.Result) {
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		environment := in.Start.(map[string]any)["environment"].(string)
		result, known := results[environment]
		if !known {
			result = delivery.Result{Outcome: delivery.OutcomeDeployed, LeftOn: newLabel}
		}
		result.RequestID = in.Argument.(map[string]any)["id"].(string)
		s.env.SignalWorkflow(FinishedSignal, result)
		return Receipt{}, nil
	}
}

func (s *pipelineSuite) SetupTest() {
	s.workflowSuite.SetupTest()
	s.answers(nil)
}

// run runs a pipeline and gives its last status, whether it completed or failed, and its error.
func (s *pipelineSuite) run(input PipelineInput) (RunStatus, *temporal.ApplicationError) {
	s.env.ExecuteWorkflow(Pipeline, input)
	s.True(s.env.IsWorkflowCompleted())
	encoded, err := s.env.QueryWorkflow(StatusQuery)
	s.Require().NoError(err)
	var status RunStatus
	s.Require().NoError(encoded.Get(&status))
	s.True(status.State.Ended())
	var failure *temporal.ApplicationError
	if err := s.env.GetWorkflowError(); err != nil {
		s.Require().ErrorAs(err, &failure)
	}
	return status, failure
}

func (s *pipelineSuite) TestARevisionIsBuiltOnceAndGoesThroughItsStagesInOrder() {
	status, failure := s.run(pipelineInput())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	s.Equal("site-20260101T120000Z-abababababab", status.Version)
	s.Equal([]RunState{StateSucceeded, StateSucceeded}, []RunState{status.Stages[0].State, status.Stages[1].State})
	s.Equal([]string{
		"Checkout", "FindVersion", "Run make", "Run make test", "Bundle", "Upload", "Prune", "RegisterVersion", "Remove",
		"Ask deploy", "Ask deploy",
	}, s.steps.called())
}

func (s *pipelineSuite) TestAVersionThatExistsIsNotBuiltAgain() {
	s.steps.find = func(version delivery.Version) (activities.FoundVersion, error) {
		return activities.FoundVersion{Version: &version}, nil
	}
	status, _ := s.run(pipelineInput())
	s.Equal(StateSucceeded, status.State)
	s.NotContains(s.steps.called(), "Run make test")
}

func (s *pipelineSuite) TestAFailingTestUploadsNothingAndDeploysNothing() {
	s.steps.run = func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Command.Run == "make test" {
			return activities.CommandResult{Reason: "failed with exit code 1", Tail: "--- FAIL: TestPage"}, nil
		}
		return activities.CommandResult{Passed: true}, nil
	}
	status, failure := s.run(pipelineInput())
	s.Equal(string(delivery.TestsFailed), failure.Type())
	s.Equal(StateFailed, status.State)
	s.Equal(StateFailed, status.Build)
	s.Equal(StatePending, status.Stages[0].State)
	s.Contains(status.Output, "TestPage")
	s.Equal([]string{"Checkout", "FindVersion", "Run make", "Run make test", "Remove"}, s.steps.called())
}

func (s *pipelineSuite) TestARevisionThatIsNotThereFailsTheRunWithThatSentence() {
	s.steps.checkout = func(activities.CheckoutInput) (activities.Workspace, error) {
		return activities.Workspace{}, temporal.NewNonRetryableApplicationError("revision abab is not there", string(delivery.RevisionNotFound), nil)
	}
	status, failure := s.run(pipelineInput())
	s.Equal("revision abab is not there", failure.Message())
	s.Equal("revision abab is not there", status.Detail)
	s.Equal([]string{"Checkout"}, s.steps.called())
}

func (s *pipelineSuite) TestABranchThatNoStageNamesIsRefusedBeforeTheBuild() {
	input := pipelineInput()
	input.Revision.Ref = "refs/heads/feature"
	_, failure := s.run(input)
	s.Equal(string(delivery.InvalidInput), failure.Type())
	s.Empty(s.steps.called())
}

func (s *pipelineSuite) TestALostBuildHostMeansAFreshStartOnAnother() {
	hosts := 0
	s.steps.checkout = func(in activities.CheckoutInput) (activities.Workspace, error) {
		hosts++
		return activities.Workspace{TaskQueue: "host", Revision: in.Revision}, nil
	}
	s.steps.run = func(context.Context, activities.RunInput) (activities.CommandResult, error) {
		if hosts < 3 {
			return activities.CommandResult{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
		}
		return activities.CommandResult{Passed: true}, nil
	}
	status, _ := s.run(pipelineInput())
	s.Equal(StateSucceeded, status.State)
	s.Equal(3, hosts)
}

func (s *pipelineSuite) TestABuildThatLosesItsHostAgainAndAgainFails() {
	s.steps.run = func(context.Context, activities.RunInput) (activities.CommandResult, error) {
		return activities.CommandResult{}, temporal.NewNonRetryableApplicationError("gone", string(delivery.WorkspaceLost), nil)
	}
	_, failure := s.run(pipelineInput())
	s.Equal(string(delivery.WorkspaceLost), failure.Type())
	s.Contains(failure.Message(), "3 times")
}

func (s *pipelineSuite) TestAFailedStageStopsThePromotion() {
	s.answers(map[string]delivery.Result{"site-staging": {
		Outcome: delivery.OutcomeTakenBack, Cause: delivery.UpdateFailed, Reason: "the platform did not keep the update",
		LeftOn: goodLabel, Evidence: []string{"ERROR it broke"},
	}})
	status, failure := s.run(pipelineInput())
	s.Equal(string(delivery.RolledBack), failure.Type())
	s.Equal(StateFailed, status.State)
	s.Equal(goodLabel, status.Stages[0].LeftOn)
	s.Equal([]string{"ERROR it broke"}, status.Stages[0].Evidence)
	s.Equal(StatePending, status.Stages[1].State)

	var details RunStatus
	s.Require().NoError(failure.Details(&details))
	s.Equal(status.Detail, details.Detail)
}

func (s *pipelineSuite) TestOutcomesOfADeploymentBecomeStatesOfTheRun() {
	for _, each := range []struct {
		result delivery.Result
		state  RunState
		kind   delivery.ErrorType
	}{
		{delivery.Result{Outcome: delivery.OutcomeNeedsAttention, Cause: delivery.Unhealthy}, StateNeedsAttention, delivery.NeedsAttention},
		{delivery.Result{Outcome: delivery.OutcomeUntouched, Cause: delivery.Drift}, StateFailed, delivery.Drift},
		{delivery.Result{Outcome: delivery.OutcomeRolledBack, Cause: delivery.CheckFailed}, StateFailed, delivery.RolledBack},
		{delivery.Result{Outcome: delivery.OutcomeTakenBack, Cause: delivery.Aborted}, StateAborted, delivery.Aborted},
	} {
		s.SetupTest()
		s.answers(map[string]delivery.Result{"site-staging": each.result})
		status, failure := s.run(pipelineInput())
		s.Equal(each.state, status.State, each.result.Outcome)
		s.Equal(string(each.kind), failure.Type())
		s.Equal(each.state, status.Stages[0].State)
	}
}

func (s *pipelineSuite) TestASupersededRunIsNoFailure() {
	s.answers(map[string]delivery.Result{"site-staging": {Outcome: delivery.OutcomeSuperseded, Cause: delivery.Superseded, Reason: "superseded by site-3"}})
	status, failure := s.run(pipelineInput())
	s.Nil(failure)
	s.Equal(StateSuperseded, status.State)
	s.Contains(status.Detail, "superseded by site-3")
}

func (s *pipelineSuite) TestAResultThatNeverCameIsAskedForAgain() {
	asked := 0
	s.steps.ask = func(activities.AskInput) (Receipt, error) {
		if asked++; asked < 3 {
			return Receipt{Ahead: 1}, nil
		}
		return Receipt{Result: &delivery.Result{Outcome: delivery.OutcomeDeployed}}, nil
	}
	status, _ := s.run(pipelineInput())
	s.Equal(StateSucceeded, status.State)
	s.Equal(4, asked)
}

func (s *pipelineSuite) TestAnApprovalBySignalOpensTheGate() {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(ApproveSignal, Answer{By: "ana", Reason: "looks good"}) }, time.Minute)
	status, failure := s.run(gated(pipelineInput()))
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	s.Require().Len(status.Answers, 1)
	s.Equal("ana", status.Answers[0].By)
	s.Equal("production", status.Answers[0].Stage)
}

func (s *pipelineSuite) TestASignalBeforeTheGateIsIgnored() {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(ApproveSignal, nil) }, 0)
	status, _ := s.run(gated(pipelineInput()))
	s.Equal(StateRejected, status.State, "nobody approved while the run waited")
}

func (s *pipelineSuite) TestARejectionEndsTheRunWithItsReason() {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(RejectSignal, Answer{By: "ana", Reason: "not on a Friday"}) }, time.Minute)
	status, failure := s.run(gated(pipelineInput()))
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Equal(StateRejected, status.State)
	s.Contains(status.Detail, "rejected by ana: not on a Friday")
	s.Equal(StateSucceeded, status.Stages[0].State)
	s.Equal(StateRejected, status.Stages[1].State)
}

func (s *pipelineSuite) TestNobodysAnswerIsARejection() {
	began := s.env.Now()
	status, failure := s.run(gated(pipelineInput()))
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Equal(StateRejected, status.State)
	s.GreaterOrEqual(s.env.Now().Sub(began), time.Hour)
}

// update sends an update and tells how it was answered.
func (s *pipelineSuite) update(name string, answer Answer) *updateOutcome {
	outcome := &updateOutcome{}
	s.env.UpdateWorkflow(name, name+answer.Stage+answer.By, outcome, answer)
	return outcome
}

type updateOutcome struct{ rejected, failed error }

func (u *updateOutcome) Accept()                         {}
func (u *updateOutcome) Reject(err error)                { u.rejected = err }
func (u *updateOutcome) Complete(_ interface{}, e error) { u.failed = e }

func (s *pipelineSuite) TestAWrongApprovalIsRefusedAtOnceWithTheReason() {
	var early, wrong, right, late *updateOutcome
	s.env.RegisterDelayedCallback(func() { early = s.update(ApproveUpdate, Answer{By: "eve"}) }, 0)
	s.env.RegisterDelayedCallback(func() {
		wrong = s.update(ApproveUpdate, Answer{By: "eve", Stage: "staging"})
		right = s.update(ApproveUpdate, Answer{By: "ana", Stage: "production"})
		late = s.update(RejectUpdate, Answer{By: "eve"})
	}, time.Minute)
	status, failure := s.run(gated(pipelineInput()))
	s.Nil(failure)
	s.ErrorContains(early.rejected, "waits for no approval now")
	s.ErrorContains(wrong.rejected, "waits at the gate of production, not of staging")
	s.NoError(right.rejected)
	s.Error(late.rejected)
	s.Len(status.Answers, 1)
}

func (s *pipelineSuite) TestAnAbortAtTheGateLeavesTheEnvironmentUntouched() {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ana", Reason: "wrong day"}) }, time.Minute)
	status, failure := s.run(gated(pipelineInput()))
	s.Equal(string(delivery.Aborted), failure.Type())
	s.Equal(StateAborted, status.State)
	s.Contains(status.Detail, "aborted by ana: wrong day")
	s.Equal(StateAborted, status.Stages[1].State)
}

func (s *pipelineSuite) TestAnAbortIsObeyedWhateverItsInputAndAnApprovalIsNot() {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(ApproveSignal, 42) }, time.Minute)
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(AbortSignal, 42) }, 2*time.Minute)
	status, _ := s.run(gated(pipelineInput()))
	s.Equal(StateAborted, status.State)
	s.Require().Len(status.Answers, 1)
	s.Equal("42", status.Answers[0].Reason)
}

func (s *pipelineSuite) TestAnAbortDuringTheTestEndsTheCommandAndUploadsNothing() {
	s.steps.run = func(ctx context.Context, _ activities.RunInput) (activities.CommandResult, error) {
		s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"})
		<-ctx.Done()
		return activities.CommandResult{}, ctx.Err()
	}
	status, _ := s.run(pipelineInput())
	s.Equal(StateAborted, status.State)
	s.Equal(StateAborted, status.Build)
	s.Equal([]string{"Checkout", "FindVersion", "Run make", "Remove"}, s.steps.called())
}

func (s *pipelineSuite) TestAnAbortedRunWithdrawsItsRequestAndWaitsForWhatBecomesOfIt() {
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		if in.Update == DeployUpdate {
			s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"}) }, time.Minute)
			return Receipt{}, nil
		}
		id := in.Argument.(map[string]any)["requestId"].(string)
		s.env.RegisterDelayedCallback(func() {
			s.env.SignalWorkflow(FinishedSignal, delivery.Result{
				RequestID: id, Outcome: delivery.OutcomeTakenBack, Cause: delivery.Aborted, Reason: "aborted by ana", LeftOn: goodLabel,
			})
		}, time.Minute)
		return Receipt{}, nil
	}
	status, failure := s.run(pipelineInput())
	s.Equal(string(delivery.Aborted), failure.Type())
	s.Equal(StateAborted, status.State)
	s.Equal(goodLabel, status.Stages[0].LeftOn)
	s.Equal([]string{"Ask deploy", "Ask withdraw"}, s.steps.called()[9:])
}

func (s *pipelineSuite) TestAnAbortThatComesTooLateDoesNotUndoASuccess() {
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		if in.Update == DeployUpdate && strings.Contains(in.WorkflowID, "production") {
			s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"}) }, time.Minute)
			return Receipt{}, nil
		}
		return Receipt{Result: &delivery.Result{Outcome: delivery.OutcomeDeployed}}, nil
	}
	status, failure := s.run(pipelineInput())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
}
