package workflows

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

type environmentSuite struct {
	workflowSuite
	deployed []string
	told     []delivery.Result
	// outcome decides how each deployment ends.
	outcome func(DeploymentInput) (delivery.Result, error)
}

func TestEnvironment(t *testing.T) { suite.Run(t, new(environmentSuite)) }

// takes is how long a deployment lasts in these tests.
const takes = 10 * time.Minute

func (s *environmentSuite) SetupTest() {
	s.workflowSuite.SetupTest()
	s.deployed, s.told = nil, nil
	s.outcome = func(in DeploymentInput) (delivery.Result, error) {
		version := in.Request.Version
		return delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeDeployed, LeftOn: version.Label, Good: &version}, nil
	}
	s.env = s.newEnvironment()
	s.env.RegisterWorkflow(Environment)
	s.env.RegisterWorkflowWithOptions(func(ctx workflow.Context, in DeploymentInput) (delivery.Result, error) {
		s.deployed = append(s.deployed, in.Request.Version.Label)
		aborted, _ := workflow.GetSignalChannel(ctx, AbortSignal).ReceiveWithTimeout(ctx, takes, nil)
		if aborted {
			result := delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeTakenBack, Cause: delivery.Aborted, LeftOn: in.LeftOn, Good: in.Good}
			return result, toTemporal(&delivery.Error{Type: delivery.Aborted, Message: "aborted"}, result)
		}
		return s.outcome(in)
	}, workflow.RegisterOptions{Name: DeploymentWorkflow})
	s.env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, FinishedSignal, mock.Anything).Return(
		func(_, _, _, _ string, result interface{}) error {
			s.told = append(s.told, result.(delivery.Result))
			return nil
		}).Maybe()
}

func request(label, id string) delivery.Request {
	return delivery.Request{ID: id, RunID: "run/site/" + label, Pipeline: "site", Stage: stage(), Version: version(label)}
}

// at sends an update at a moment of the test's clock.
func (s *environmentSuite) at(moment time.Duration, update string, argument any) *answer {
	outcome := &answer{}
	s.env.RegisterDelayedCallback(func() {
		s.env.UpdateWorkflow(update, fmt.Sprintf("%s at %s %v", update, moment, argument), outcome, argument)
	}, moment)
	return outcome
}

type answer struct {
	receipt  Receipt
	rejected error
}

func (a *answer) Accept()          {}
func (a *answer) Reject(err error) { a.rejected = err }
func (a *answer) Complete(result interface{}, _ error) {
	if receipt, ok := result.(Receipt); ok {
		a.receipt = receipt
	}
}

// serve runs the environment until the end of the day, and gives its status then.
func (s *environmentSuite) serve(input EnvironmentInput) EnvironmentStatus {
	var status EnvironmentStatus
	s.env.RegisterDelayedCallback(func() {
		encoded, err := s.env.QueryWorkflow(StatusQuery)
		s.Require().NoError(err)
		s.Require().NoError(encoded.Get(&status))
		s.env.CancelWorkflow()
	}, 24*time.Hour)
	input.Application, input.Environment = "site", "site-production"
	s.env.ExecuteWorkflow(Environment, input)
	return status
}

func (s *environmentSuite) outcomes() map[string]delivery.Outcome {
	outcomes := map[string]delivery.Outcome{}
	for _, result := range s.told {
		outcomes[result.RequestID] = result.Outcome
	}
	return outcomes
}

func (s *environmentSuite) TestADeploymentIsRunRememberedAndTold() {
	s.at(0, DeployUpdate, request("v1", "1"))
	status := s.serve(EnvironmentInput{})
	s.Equal([]string{"v1"}, s.deployed)
	s.Equal("v1", status.LeftOn)
	s.Equal("v1", status.Good.Label)
	s.Len(status.Recent, 1)
	s.Equal("deployment/site/site-production/1", status.Recent[0].Deployment)
	s.Equal(map[string]delivery.Outcome{"1": delivery.OutcomeDeployed}, s.outcomes())
}

func (s *environmentSuite) TestOnlyTheLatestOfThoseThatWaitIsDeployed() {
	s.at(0, DeployUpdate, request("v1", "1"))
	second := s.at(time.Minute, DeployUpdate, request("v2", "2"))
	s.at(2*time.Minute, DeployUpdate, request("v3", "3"))
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1", "v3"}, s.deployed)
	s.Equal(1, second.receipt.Ahead)
	s.Equal(delivery.OutcomeSuperseded, s.outcomes()["2"])
	s.Contains(s.told[0].Reason, "v3", "the superseded run hears by what")
}

func (s *environmentSuite) TestAnOlderCommitThatArrivesLateDoesNotReplaceANewerOne() {
	at := func(label, id string, committed time.Duration) delivery.Request {
		request := request(label, id)
		request.Version.Revision.CommittedAt = beforeUpdate.Add(committed)
		return request
	}
	s.at(0, DeployUpdate, at("v1", "1", 0))
	s.at(time.Minute, DeployUpdate, at("v3", "3", 2*time.Hour))
	late := s.at(2*time.Minute, DeployUpdate, at("v2", "2", time.Hour))
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1", "v3"}, s.deployed)
	s.Require().NotNil(late.receipt.Result)
	s.Equal(delivery.OutcomeSuperseded, late.receipt.Result.Outcome)
	s.Contains(late.receipt.Result.Reason, "v3")
}

func (s *environmentSuite) TestThePolicyAllServesEveryRequestInOrder() {
	for i := range 4 {
		request := request(fmt.Sprintf("v%d", i), fmt.Sprint(i))
		request.Stage.Queue = delivery.QueueAll
		s.at(time.Duration(i)*time.Minute, DeployUpdate, request)
	}
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v0", "v1", "v2", "v3"}, s.deployed)
}

func (s *environmentSuite) TestAnotherPipelinesRequestIsNotSuperseded() {
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Minute, DeployUpdate, request("v2", "2"))
	other := request("v3", "3")
	other.Pipeline = "other"
	s.at(2*time.Minute, DeployUpdate, other)
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1", "v2", "v3"}, s.deployed)
}

func (s *environmentSuite) TestARollbackGoesBeforeThoseThatWaitAndIsNotSuperseded() {
	s.at(0, DeployUpdate, request("v2", "1"))
	s.at(time.Minute, DeployUpdate, request("v3", "2"))
	rollback := request("v1", "back")
	rollback.Rollback, rollback.RunID = true, ""
	rollback.By, rollback.Reason = "ana", "orders are lost"
	s.at(2*time.Minute, DeployUpdate, rollback)
	s.at(3*time.Minute, DeployUpdate, request("v4", "3"))
	status := s.serve(EnvironmentInput{})
	s.Equal([]string{"v2", "v1", "v4"}, s.deployed)
	s.Equal("ana", status.Recent[1].By)
	s.Equal("orders are lost", status.Recent[1].Reason)
}

func (s *environmentSuite) TestTheSameRequestTwiceIsOneDeployment() {
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Minute, DeployUpdate, request("v1", "1"))
	late := s.at(time.Hour, DeployUpdate, request("v1", "1"))
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1"}, s.deployed)
	s.Require().NotNil(late.receipt.Result)
	s.Equal(delivery.OutcomeDeployed, late.receipt.Result.Outcome)
}

func (s *environmentSuite) TestAWithdrawnRequestNeverRuns() {
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Minute, DeployUpdate, request("v2", "2"))
	withdrawn := s.at(2*time.Minute, WithdrawUpdate, Withdrawal{RequestID: "2"})
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1"}, s.deployed)
	s.Equal(delivery.OutcomeUntouched, withdrawn.receipt.Result.Outcome)
}

func (s *environmentSuite) TestARequestThatArrivesAfterItsWithdrawalIsNotQueued() {
	s.at(0, WithdrawUpdate, Withdrawal{RequestID: "1"})
	late := s.at(time.Minute, DeployUpdate, request("v1", "1"))
	s.serve(EnvironmentInput{})
	s.Empty(s.deployed)
	s.Equal(delivery.Aborted, late.receipt.Result.Cause)
}

func (s *environmentSuite) TestWithdrawingTheRunningRequestAbortsItsDeployment() {
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Hour, DeployUpdate, request("v2", "2"))
	s.at(time.Hour+time.Minute, WithdrawUpdate, Withdrawal{RequestID: "2", Answer: Answer{By: "ana"}})
	status := s.serve(EnvironmentInput{})
	s.Equal("v1", status.LeftOn)
	s.Equal("v1", status.Good.Label)
	s.Equal(delivery.OutcomeTakenBack, s.outcomes()["2"])
}

func (s *environmentSuite) TestADeploymentThatNeedsAttentionFreezesTheEnvironment() {
	s.outcome = func(in DeploymentInput) (delivery.Result, error) {
		result := delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeNeedsAttention, Reason: "nothing is healthy", LeftOn: "v1"}
		return result, toTemporal(&delivery.Error{Type: delivery.NeedsAttention, Message: "x"}, result)
	}
	s.at(0, DeployUpdate, request("v1", "1"))
	waiting := s.at(time.Hour, DeployUpdate, request("v2", "2"))
	status := s.serve(EnvironmentInput{})
	s.Equal([]string{"v1"}, s.deployed)
	s.Equal("nothing is healthy", status.Frozen.Reason)
	s.Equal("nothing is healthy", waiting.receipt.Frozen)
	s.Len(status.Waiting, 1)
}

func (s *environmentSuite) TestADeploymentThatEndsWithoutAResultFreezesTheEnvironment() {
	s.outcome = func(DeploymentInput) (delivery.Result, error) {
		return delivery.Result{}, temporal.NewNonRetryableApplicationError("terminated", "", nil)
	}
	s.at(0, DeployUpdate, request("v1", "1"))
	status := s.serve(EnvironmentInput{})
	s.Require().NotNil(status.Frozen)
	s.Contains(status.Frozen.Reason, "ended without a result")
	s.Equal(delivery.OutcomeNeedsAttention, s.outcomes()["1"])
}

func (s *environmentSuite) TestAFrozenEnvironmentDeploysWhenItIsThawed() {
	s.at(0, FreezeUpdate, Answer{By: "ana", Reason: "sales week"})
	s.at(time.Minute, DeployUpdate, request("v1", "1"))
	again := s.at(2*time.Minute, FreezeUpdate, Answer{By: "eve", Reason: "too"})
	s.at(time.Hour, ThawUpdate, Answer{By: "ana"})
	thawed := s.at(2*time.Hour, ThawUpdate, Answer{By: "ana"})
	status := s.serve(EnvironmentInput{})
	s.Equal([]string{"v1"}, s.deployed)
	s.Nil(status.Frozen)
	s.ErrorContains(again.rejected, "frozen already")
	s.ErrorContains(thawed.rejected, "is not frozen")
}

func (s *environmentSuite) TestAConfigurationThatAStackChangesIsForgottenAndTheVersionIsNot() {
	var known []string
	s.outcome = func(in DeploymentInput) (delivery.Result, error) {
		known = append(known, in.LeftOn+" as "+in.Configuration)
		good := in.Request.Version
		return delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeDeployed, LeftOn: good.Label, Good: &good, Configuration: "another"}, nil
	}
	anonymous := s.at(0, ForgetConfigurationUpdate, Reconfiguration{})
	s.at(time.Minute, ForgetConfigurationUpdate, Reconfiguration{Stack: "site-production", ChangeSet: "gravity-1"})
	s.at(time.Hour, DeployUpdate, request("v2", "1"))
	status := s.serve(EnvironmentInput{LeftOn: "v1", Configuration: "as it was", Drift: &Drifted{What: "the configuration was changed"}})
	s.ErrorContains(anonymous.rejected, "name the stack")
	s.Equal([]string{"v1 as "}, known)
	s.Nil(status.Drift)
	s.Equal("another", status.Configuration, "which is what the next one is held against")
}

func (s *environmentSuite) TestAnUntouchedEnvironmentKeepsItsMemory() {
	good := version("v1")
	s.outcome = func(in DeploymentInput) (delivery.Result, error) {
		result := delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeUntouched, Cause: delivery.Drift, LeftOn: "by-hand"}
		return result, toTemporal(&delivery.Error{Type: delivery.Drift, Message: "x"}, result)
	}
	s.at(0, DeployUpdate, request("v2", "1"))
	status := s.serve(EnvironmentInput{LeftOn: "v1", Good: &good})
	s.Equal("v1", status.LeftOn, "the drift is still one for the next deployment")
	s.Equal("v1", status.Good.Label)
}

func (s *environmentSuite) TestAllThatAnEnvironmentRemembersFitsIntoOnePayload() {
	long := strings.Repeat("x", 400)
	good := version(strings.Repeat("v", 100))
	result := delivery.Result{RequestID: "1", Outcome: delivery.OutcomeRolledBack, Reason: long, LeftOn: good.Label, Good: &good}
	for range maxEvidence {
		result.Evidence = append(result.Evidence, long)
	}
	e := &environment{}
	for i := range 2 * keptAnswers {
		result.RequestID = fmt.Sprint(i)
		e.reply("", result)
		e.Recent = lastOf(append(e.Recent, DeploymentRecord{Version: good, Result: result}), keptRecords)
	}
	for range maxWaiting {
		e.Waiting = append(e.Waiting, QueuedRequest{Request: request(good.Label, strings.Repeat("i", 60))})
	}
	payload, err := converter.GetDefaultDataConverter().ToPayload(e.EnvironmentInput)
	s.Require().NoError(err)
	s.Less(len(payload.Data), 1_500_000)
	s.Len(e.answered(result.RequestID).Evidence, maxEvidence)
}

func (s *environmentSuite) TestItContinuesAsNewWithAllThatItAccepted() {
	const many = deploymentsPerHistory + 5
	for i := range many {
		request := request(fmt.Sprintf("v%d", i), fmt.Sprint(i))
		request.Stage.Queue = delivery.QueueAll
		s.at(time.Duration(i)*time.Millisecond, DeployUpdate, request)
	}
	s.serve(EnvironmentInput{})
	var next *workflow.ContinueAsNewError
	s.Require().ErrorAs(s.env.GetWorkflowError(), &next)
	var state EnvironmentInput
	s.Require().NoError(converter.GetDefaultDataConverter().FromPayloads(next.Input, &state))
	s.Len(state.Waiting, many-deploymentsPerHistory)
	s.Equal(deploymentsPerHistory, state.Deployments)
	s.Len(state.Recent, keptRecords)
	s.Len(s.deployed, deploymentsPerHistory)
	s.Len(s.told, deploymentsPerHistory, "every run was told before")
}
