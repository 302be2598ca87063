package workflows

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

// provisionSuite gives every test steps on stacks that all succeed.
type provisionSuite struct {
	workflowSuite
	propose func(activities.ProposeInput) (delivery.StackPlan, error)
	execute func(delivery.StackPlan) (delivery.StackResult, error)
	remove  func(activities.DeleteInput) (delivery.StackResult, error)
	drift   func(activities.DriftInput) (delivery.StackDrift, error)
}

func TestProvision(t *testing.T) { suite.Run(t, new(provisionSuite)) }

func (s *provisionSuite) SetupTest() {
	s.workflowSuite.SetupTest()
	s.propose = func(in activities.ProposeInput) (delivery.StackPlan, error) {
		return delivery.StackPlan{Stack: in.Stack.Name, StackID: "id", ChangeSet: in.Name, Changes: []delivery.StackChange{{Text: "change Environment", Resource: "Environment"}}}, nil
	}
	s.execute = func(in delivery.StackPlan) (delivery.StackResult, error) {
		return delivery.StackResult{Stack: in.Stack, Status: "UPDATE_COMPLETE", Took: delivery.Duration(time.Minute)}, nil
	}
	s.remove = func(in activities.DeleteInput) (delivery.StackResult, error) {
		return delivery.StackResult{Stack: in.Stack, Status: "DELETE_COMPLETE"}, nil
	}
	s.drift = func(in activities.DriftInput) (delivery.StackDrift, error) {
		return delivery.StackDrift{Stack: in.Stack, Status: "IN_SYNC"}, nil
	}
	s.register("ProposeChange", func(_ context.Context, in activities.ProposeInput) (delivery.StackPlan, error) {
		s.steps.note("propose " + in.Stack.Name)
		return s.propose(in)
	})
	s.register("ExecuteChange", func(_ context.Context, in delivery.StackPlan) (delivery.StackResult, error) {
		s.steps.note("execute " + in.Stack)
		return s.execute(in)
	})
	s.register("DiscardChange", func(_ context.Context, plan delivery.StackPlan) error {
		s.steps.note("discard " + plan.Stack)
		return nil
	})
	s.register("DeleteStack", func(_ context.Context, in activities.DeleteInput) (delivery.StackResult, error) {
		s.steps.note("delete " + in.Stack)
		return s.remove(in)
	})
	s.register("DetectDrift", func(_ context.Context, in activities.DriftInput) (delivery.StackDrift, error) {
		s.steps.note("look at " + in.Stack)
		return s.drift(in)
	})
}

func (s *provisionSuite) register(name string, step any) {
	s.env.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
}

func twoStacks() ProvisionInput {
	return ProvisionInput{Stacks: []delivery.Stack{{Name: "pipeline", Body: "…"}, {Name: "staging", Body: "…"}}}
}

func withApproval(input ProvisionInput) ProvisionInput {
	input.Stacks[1].Approval = &delivery.Approval{Timeout: delivery.Duration(time.Hour)}
	return input
}

// run runs a provisioning and gives its last status, and its error.
func (s *provisionSuite) run(input ProvisionInput) (ProvisionStatus, *temporal.ApplicationError) {
	s.env.ExecuteWorkflow(Provision, input)
	s.True(s.env.IsWorkflowCompleted())
	encoded, err := s.env.QueryWorkflow(StatusQuery)
	s.Require().NoError(err)
	var status ProvisionStatus
	s.Require().NoError(encoded.Get(&status))
	s.False(status.EndedAt.IsZero())
	var failure *temporal.ApplicationError
	if err := s.env.GetWorkflowError(); err != nil {
		s.Require().ErrorAs(err, &failure)
	}
	return status, failure
}

func (s *provisionSuite) after(delay time.Duration, do func()) {
	s.env.RegisterDelayedCallback(do, delay)
}

func (s *provisionSuite) TestStacksAreChangedOneAfterAnother() {
	status, failure := s.run(twoStacks())
	s.Nil(failure)
	s.Equal(ProvisionSucceeded, status.State)
	s.Equal([]string{"propose pipeline", "execute pipeline", "propose staging", "execute staging"}, s.steps.called())
	s.Equal("took 1m0s", status.Stacks[1].Detail)
}

func (s *provisionSuite) TestAPlanIsToldAndNothingIsCarriedOut() {
	input := withApproval(twoStacks())
	input.Plan = true
	s.propose = func(in activities.ProposeInput) (delivery.StackPlan, error) {
		s.True(in.Plan)
		if in.Stack.Name == "staging" {
			return delivery.StackPlan{Stack: "staging", Unknown: "stack pipeline is not there yet"}, nil
		}
		return delivery.StackPlan{Stack: in.Stack.Name, Create: true, Changes: []delivery.StackChange{{Text: "add Bucket"}}}, nil
	}
	status, failure := s.run(input)
	s.Nil(failure)
	s.Equal(ProvisionPlanned, status.State)
	s.Equal([]string{"propose pipeline", "discard pipeline", "propose staging", "discard staging"}, s.steps.called())
	s.Equal("a new stack of 1 resources", status.Stacks[0].Detail)
	s.Equal("cannot be told yet: stack pipeline is not there yet", status.Stacks[1].Detail)
}

func (s *provisionSuite) TestAStackOfWhichNothingDiffersAsksNobody() {
	s.propose = func(in activities.ProposeInput) (delivery.StackPlan, error) {
		return delivery.StackPlan{Stack: in.Stack.Name}, nil
	}
	status, failure := s.run(withApproval(twoStacks()))
	s.Nil(failure)
	s.Equal(ProvisionUnchanged, status.Stacks[1].State)
}

func (s *provisionSuite) TestAChangeWaitsForItsApproval() {
	var before []string
	s.after(time.Minute, func() {
		before = s.steps.called()
		s.env.UpdateWorkflow(ApproveUpdate, "wrong", s.callback(false), Answer{By: "ana", Stage: "pipeline"})
		s.env.UpdateWorkflow(ApproveUpdate, "right", s.callback(true), Answer{By: "ana", Reason: "read it"})
	})
	status, failure := s.run(withApproval(twoStacks()))
	s.Nil(failure)
	s.NotContains(before, "execute staging")
	s.Contains(s.steps.called(), "execute staging")
	s.Equal("ana", status.Answers[0].By)
	s.Equal("staging", status.Answers[0].Stage)
}

// callback expects an update to be accepted, or refused.
func (s *provisionSuite) callback(accepted bool) *updateExpectation {
	return &updateExpectation{suite: s, accepted: accepted}
}

type updateExpectation struct {
	suite    *provisionSuite
	accepted bool
}

func (u *updateExpectation) Accept() { u.suite.True(u.accepted, "the update was accepted") }
func (u *updateExpectation) Reject(err error) {
	u.suite.False(u.accepted, "the update was refused: %v", err)
}
func (u *updateExpectation) Complete(any, error) {}

func (s *provisionSuite) TestTheEnvironmentsThatAStackChangesAreToldBeforeAndAfterIt() {
	input := twoStacks()
	input.Environments = []delivery.EnvironmentName{{Application: "site", Environment: "site-staging"}, {Application: "site", Environment: "site-production"}}
	s.propose = func(in activities.ProposeInput) (delivery.StackPlan, error) {
		plan := delivery.StackPlan{Stack: in.Stack.Name, ChangeSet: in.Name, Changes: []delivery.StackChange{{Text: "change Environment"}}}
		if in.Stack.Name == "staging" {
			plan.Environments = []string{"site-staging", "another-team's"}
		}
		return plan, nil
	}
	told := map[string]bool{}
	s.register("TellEnvironment", func(_ context.Context, in activities.TellEnvironmentInput) (bool, error) {
		s.steps.note(in.Update + " " + in.WorkflowID)
		s.False(told[in.UpdateID], "each is told for itself")
		told[in.UpdateID] = true
		return true, nil
	})
	_, failure := s.run(input)
	s.Nil(failure)
	s.Equal([]string{"propose pipeline", "execute pipeline", "propose staging",
		"forget-configuration environment/site/site-staging", "execute staging", "forget-configuration environment/site/site-staging"}, s.steps.called())
}

func (s *provisionSuite) TestAnApprovalKeepsToTheRuleOfItsStack() {
	input := withApproval(twoStacks())
	input.Stacks[1].Approval.Users, input.Stacks[1].Approval.Teams, input.Stacks[1].Approval.Count = []string{"ana"}, []string{"shop/operators"}, 2
	s.steps.member = func(in activities.IsMemberInput) (activities.Membership, error) {
		s.Equal("shop/operators", in.Team)
		return activities.Membership{Member: in.Login == "ben"}, nil
	}
	var early []string
	s.after(time.Minute, func() {
		s.env.UpdateWorkflow(ApproveUpdate, "nobody", s.callback(false), Answer{})
		s.env.UpdateWorkflow(ApproveUpdate, "stranger", s.callback(true), Answer{By: "eve"}) // refused once the team was asked
		s.env.UpdateWorkflow(ApproveUpdate, "first", s.callback(true), Answer{By: "ana"})
		s.env.UpdateWorkflow(ApproveUpdate, "again", s.callback(false), Answer{By: "Ana"})
	})
	s.after(2*time.Minute, func() {
		early = s.steps.called()
		s.env.UpdateWorkflow(ApproveUpdate, "second", s.callback(true), Answer{By: "ben"})
	})
	status, failure := s.run(input)
	s.Nil(failure)
	s.NotContains(early, "execute staging", "one of two approvals")
	s.Len(status.Answers, 2, "who is in no team is not on record as one who approved")
	s.Equal("ben", status.Answers[1].By)
}

func (s *provisionSuite) TestSilenceIsConsentWhereTheStackSaysSo() {
	input := withApproval(twoStacks())
	input.Stacks[1].Approval.Otherwise = delivery.OtherwiseApprove
	status, failure := s.run(input)
	s.Nil(failure)
	s.Contains(s.steps.called(), "execute staging")
	s.Contains(status.Answers[0].Reason, "nobody answered within 1h")
}

func (s *provisionSuite) TestARejectedChangeIsDiscarded() {
	s.after(time.Minute, func() { s.env.SignalWorkflow(RejectSignal, Answer{By: "ben", Reason: "not on a Friday"}) })
	status, failure := s.run(withApproval(twoStacks()))
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Equal(ProvisionRejected, status.State)
	s.Equal("stack staging: rejected by ben: not on a Friday", status.Detail)
	s.Equal([]string{"propose pipeline", "execute pipeline", "propose staging", "discard staging"}, s.steps.called())
}

func (s *provisionSuite) TestNobodysAnswerIsARejection() {
	status, failure := s.run(withApproval(twoStacks()))
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Contains(status.Detail, "nobody approved within 1h")
}

func (s *provisionSuite) TestAnAbortAtTheGateEndsAtOnceAndDiscards() {
	s.after(time.Minute, func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ben"}) })
	status, failure := s.run(withApproval(twoStacks()))
	s.Equal(string(delivery.Aborted), failure.Type())
	s.Equal(ProvisionAborted, status.Stacks[1].State)
	s.Contains(s.steps.called(), "discard staging")
}

func (s *provisionSuite) TestAnAbortWhileAStackChangesSeesThatStackThrough() {
	s.execute = func(in delivery.StackPlan) (delivery.StackResult, error) {
		s.env.SignalWorkflow(AbortSignal, Answer{By: "ben"})
		return delivery.StackResult{Stack: in.Stack, Status: "UPDATE_COMPLETE"}, nil
	}
	status, failure := s.run(twoStacks())
	s.Equal(string(delivery.Aborted), failure.Type())
	s.Equal(ProvisionSucceeded, status.Stacks[0].State)
	s.Equal(ProvisionPending, status.Stacks[1].State)
	s.Equal([]string{"propose pipeline", "execute pipeline"}, s.steps.called())
}

func (s *provisionSuite) TestAStackThatFailsEndsTheProvisioningWithItsMessage() {
	s.execute = func(delivery.StackPlan) (delivery.StackResult, error) {
		return delivery.StackResult{}, temporal.NewNonRetryableApplicationError("stack pipeline: Bucket failed: taken; choose another name", string(delivery.StackFailed), nil)
	}
	status, failure := s.run(twoStacks())
	s.Equal(string(delivery.StackFailed), failure.Type())
	s.Equal("stack pipeline: Bucket failed: taken; choose another name", status.Detail)
	s.Equal(ProvisionFailed, status.Stacks[0].State)
	s.Equal(ProvisionPending, status.Stacks[1].State)
	s.Len(s.steps.called(), 2)
}

func (s *provisionSuite) TestAStackWhoseNeedsAreNotThereFails() {
	s.propose = func(in activities.ProposeInput) (delivery.StackPlan, error) {
		return delivery.StackPlan{Stack: in.Stack.Name, Unknown: "parameter Bucket: stack other is not there yet"}, nil
	}
	status, failure := s.run(twoStacks())
	s.Equal(string(delivery.StackFailed), failure.Type())
	s.Contains(status.Detail, "stack other is not there yet; name that stack in the file's stacks")
}

func (s *provisionSuite) TestStacksAreDestroyedInTheOtherOrder() {
	s.remove = func(in activities.DeleteInput) (delivery.StackResult, error) {
		result := delivery.StackResult{Stack: in.Stack}
		if in.Stack == "pipeline" {
			result.Kept = []string{"Key (AWS::KMS::Key) 1234"}
		}
		return result, nil
	}
	input := twoStacks()
	input.Destroy = true
	status, failure := s.run(input)
	s.Nil(failure)
	s.Equal([]string{"delete staging", "delete pipeline"}, s.steps.called())
	s.Equal("deleted; kept, as its template says: Key (AWS::KMS::Key) 1234", status.Stacks[0].Detail)
	s.Equal("every stack is gone", status.Detail)
}

func (s *provisionSuite) TestAReplacementAndALossStandOutWhereTheWebUIShowsThem() {
	plan := delivery.StackPlan{Stack: "staging", Changes: []delivery.StackChange{{Text: "REPLACE Environment", Replaces: true}, {Text: "REMOVE Bucket", Loss: "everything in it"}}}
	s.Equal("2 resources change, 1 are REPLACED, 1 LOSE DATA", outline(plan))
	status := ProvisionStatus{State: ProvisionWaiting, Detail: "staging: " + outline(plan), Stacks: []StackStatus{{Stack: "staging", State: ProvisionWaiting, Plan: &plan}}}
	s.Contains(status.table(), "- staging: REPLACE Environment\n- staging: REMOVE Bucket")
}

func (s *provisionSuite) TestWhichEnvironmentsAreFrozenIsAskedAndTold() {
	s.register("FindFrozen", func(_ context.Context, in activities.FindFrozenInput) (activities.Frozen, error) {
		s.Equal(activities.FindFrozenInput{Workflow: "Environment", Environment: "GravityEnvironment", State: "GravityState", Frozen: "frozen", Of: []string{"site-staging"}}, in)
		return activities.Frozen{Environments: map[string]bool{"site-staging": true}}, nil
	})
	told := map[string]bool{}
	s.register("ReportFrozen", func(_ context.Context, found activities.Frozen) error {
		told = found.Environments
		return nil
	})
	s.env.ExecuteWorkflow(FreezeReport, FreezeReportInput{Environments: []string{"site-staging"}})
	s.Require().NoError(s.env.GetWorkflowError())
	s.Equal(map[string]bool{"site-staging": true}, told)
}

func (s *provisionSuite) TestDriftIsToldStackByStackAndOneThatCannotBeAskedHidesNoOther() {
	s.drift = func(in activities.DriftInput) (delivery.StackDrift, error) {
		switch in.Stack {
		case "pipeline":
			return delivery.StackDrift{}, temporal.NewNonRetryableApplicationError("not allowed", string(delivery.InvalidInput), nil)
		default:
			return delivery.StackDrift{Stack: in.Stack, Status: "DRIFTED", Differences: []string{"MaxSize is 9 instead of 4"}}, nil
		}
	}
	s.env.ExecuteWorkflow(StackDrift, StackDriftInput{Stacks: []string{"pipeline", "staging"}})
	s.Require().NoError(s.env.GetWorkflowError())
	var report StackDriftReport
	s.Require().NoError(s.env.GetWorkflowResult(&report))
	s.Equal([]string{"staging"}, report.Drifted())
	s.Equal("not allowed", report.Stacks[0].Problem)
	s.True(strings.Contains(report.table(), "MaxSize is 9 instead of 4"))
}
