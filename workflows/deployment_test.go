package workflows

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

type deploymentSuite struct{ workflowSuite }

func TestDeployment(t *testing.T) { suite.Run(t, new(deploymentSuite)) }

func deploymentInput() DeploymentInput {
	good := version(goodLabel)
	return DeploymentInput{
		Request: delivery.Request{ID: "production/1", Pipeline: "site", Stage: stage(), Version: version(newLabel)},
		Good:    &good, LeftOn: goodLabel,
	}
}

// deploy runs a deployment and gives its result, whether it completed or failed.
func (s *workflowSuite) deploy(input DeploymentInput) delivery.Result {
	s.env.ExecuteWorkflow(Deployment, input)
	s.True(s.env.IsWorkflowCompleted())
	var result delivery.Result
	if err := s.env.GetWorkflowError(); err != nil {
		failed, ok := resultOf(err)
		s.Require().True(ok, "a failed deployment carries its result: %v", err)
		s.NotEqual(delivery.OutcomeDeployed, failed.Outcome)
		return failed
	}
	s.Require().NoError(s.env.GetWorkflowResult(&result))
	return result
}

// verdicts makes the health wait answer one verdict after the other, whatever the version.
func (s *deploymentSuite) verdicts(verdicts ...delivery.Verdict) {
	s.steps.health = func(_ context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		verdict := verdicts[0]
		verdicts = verdicts[1:]
		return delivery.Proof{Verdict: verdict, Reason: string(verdict), Observed: observation(in.Version, "Ok", afterUpdate), Evidence: []string{"ERROR it broke"}}, nil
	}
}

func (s *deploymentSuite) settlesOn(label, health string) {
	s.steps.settle = func(activities.SettleInput) (delivery.Observation, error) {
		return observation(label, health, afterUpdate), nil
	}
}

func (s *deploymentSuite) TestAGoodVersionIsUpdatedProvenAndChecked() {
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeDeployed, result.Outcome)
	s.Equal(newLabel, result.LeftOn)
	s.Equal(newLabel, result.Good.Label)
	s.Equal("production/1", result.RequestID)
	s.Equal([]string{"AwaitReady", "Precheck", "Update site-2", "AwaitHealth site-2", "Check site-2"}, s.steps.called())
}

func (s *deploymentSuite) TestAVersionThatIsThereAndHealthyIsProvenWithoutAnUpdate() {
	s.steps.ready = func(activities.AwaitReadyInput) (delivery.Observation, error) {
		return observation(newLabel, "Ok", beforeUpdate), nil
	}
	input := deploymentInput()
	input.LeftOn = newLabel
	s.Equal(delivery.OutcomeDeployed, s.deploy(input).Outcome)
	s.NotContains(s.steps.called(), "Update site-2")
}

func (s *deploymentSuite) TestAVersionThatIsThereAndIllIsDeployedAgain() {
	s.steps.ready = func(activities.AwaitReadyInput) (delivery.Observation, error) {
		return observation(newLabel, "Severe", beforeUpdate), nil
	}
	input := deploymentInput()
	input.LeftOn = newLabel
	s.Equal(delivery.OutcomeDeployed, s.deploy(input).Outcome)
	s.Contains(s.steps.called(), "Update site-2")
}

func (s *deploymentSuite) TestWhenThePlatformTakesTheUpdateBackTheOldVersionIsProven() {
	s.verdicts(delivery.VerdictNotUpdated, delivery.VerdictHealthy)
	s.settlesOn(goodLabel, "Ok")
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeTakenBack, result.Outcome)
	s.Equal(delivery.UpdateFailed, result.Cause)
	s.Equal(goodLabel, result.LeftOn)
	s.Contains(result.Evidence, "ERROR it broke")
	s.Equal([]string{"AwaitReady", "Precheck", "Update site-2", "AwaitHealth site-2", "Settle", "AwaitHealth site-1", "Check site-1"}, s.steps.called())
}

func (s *deploymentSuite) TestWhenTheOldVersionDoesNotProveHealthyByItselfItIsDeployedAgain() {
	s.verdicts(delivery.VerdictNotUpdated, delivery.VerdictUnhealthy, delivery.VerdictHealthy)
	s.settlesOn(goodLabel, "Degraded")
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Contains(s.steps.called(), "Update site-1")
}

func (s *deploymentSuite) TestAnUnhealthyVersionIsRolledBack() {
	s.verdicts(delivery.VerdictUnhealthy, delivery.VerdictHealthy)
	s.settlesOn(newLabel, "Severe")
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.Unhealthy, result.Cause)
	s.Equal(goodLabel, result.LeftOn)
	s.Equal(goodLabel, result.Good.Label)
}

func (s *deploymentSuite) TestAFailedCheckIsRolledBack() {
	s.steps.check = func(in activities.CheckInput) error {
		if in.Version.Label == newLabel {
			return temporal.NewNonRetryableApplicationError("503", string(delivery.CheckFailed), nil)
		}
		return nil
	}
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.CheckFailed, result.Cause)
	s.Contains(result.Reason, "503")
}

func (s *deploymentSuite) TestAnUpdateThatIsStillGoingAtTheDeadlineIsTakenBack() {
	s.verdicts(delivery.VerdictLate, delivery.VerdictHealthy)
	s.settlesOn(goodLabel, "Ok")
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeTakenBack, result.Outcome)
	s.Equal(delivery.DeadlineExceeded, result.Cause)
}

func (s *deploymentSuite) TestARollbackThatFailsNeedsAPerson() {
	s.verdicts(delivery.VerdictUnhealthy, delivery.VerdictUnhealthy)
	s.settlesOn(newLabel, "Severe")
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
	s.Equal(newLabel, result.LeftOn)
	s.Contains(result.Reason, "needs a person")
}

func (s *deploymentSuite) TestWithoutAVersionToReturnToAPersonIsNeeded() {
	s.verdicts(delivery.VerdictUnhealthy)
	input := deploymentInput()
	input.Good, input.LeftOn = nil, ""
	result := s.deploy(input)
	s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
	s.NotContains(s.steps.called(), "Update site-1")
}

func (s *deploymentSuite) TestNoRollbackToAVersionThatWasMoreIllThanTheNewOne() {
	s.steps.ready = func(activities.AwaitReadyInput) (delivery.Observation, error) {
		return observation(goodLabel, "Severe", beforeUpdate), nil
	}
	s.verdicts(delivery.VerdictUnhealthy)
	s.settlesOn(newLabel, "Warning")
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
	s.Equal(newLabel, result.LeftOn)
	s.NotContains(s.steps.called(), "Update site-1")
}

func (s *deploymentSuite) TestAVersionThatWasOnlyFoundThereIsNotHeldToTheStagesCheck() {
	s.verdicts(delivery.VerdictNotUpdated, delivery.VerdictHealthy)
	s.settlesOn(goodLabel, "Ok")
	s.steps.precheck = func(activities.PrecheckInput) (activities.Prechecked, error) {
		found := version(goodLabel)
		return activities.Prechecked{Good: &found}, nil
	}
	input := deploymentInput()
	input.Good, input.LeftOn = nil, ""
	s.Equal(delivery.OutcomeTakenBack, s.deploy(input).Outcome)
	s.NotContains(s.steps.called(), "Check site-1")
}

func (s *deploymentSuite) TestDriftStopsBeforeAnythingIsChanged() {
	input := deploymentInput()
	input.LeftOn = "site-0"
	result := s.deploy(input)
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.Drift, result.Cause)
	s.Equal([]string{"AwaitReady"}, s.steps.called())
}

func (s *deploymentSuite) TestDriftIsOverwrittenWhereTheStageSaysSo() {
	input := deploymentInput()
	input.LeftOn = "site-0"
	input.Request.Stage.Drift = delivery.DriftOverwrite
	s.Equal(delivery.OutcomeDeployed, s.deploy(input).Outcome)
}

func (s *deploymentSuite) TestAnEnvironmentThatStaysBusyIsLeftAlone() {
	s.steps.ready = func(activities.AwaitReadyInput) (delivery.Observation, error) {
		return delivery.Observation{}, temporal.NewNonRetryableApplicationError("still Updating", string(delivery.EnvironmentBusy), nil)
	}
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.EnvironmentBusy, result.Cause)
}

func (s *deploymentSuite) TestSomebodyElsesUpdateInTheLastMomentIsWaitedOut() {
	first := true
	s.steps.update = func(activities.UpdateInput) (activities.Update, error) {
		busy := first
		first = false
		return activities.Update{Busy: busy}, nil
	}
	s.Equal(delivery.OutcomeDeployed, s.deploy(deploymentInput()).Outcome)
	s.Equal([]string{"AwaitReady", "Precheck", "Update site-2", "AwaitReady", "Precheck", "Update site-2", "AwaitHealth site-2", "Check site-2"}, s.steps.called())
}

func (s *deploymentSuite) TestAnEnvironmentThatSaysReadyAndTakesNoUpdateIsGivenUpAfterTheStagesPatience() {
	s.steps.update = func(activities.UpdateInput) (activities.Update, error) { return activities.Update{Busy: true}, nil }
	began := s.env.Now()
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.EnvironmentBusy, result.Cause)
	s.InDelta(stage().Patience.Std(), s.env.Now().Sub(began), float64(time.Minute))
}

func (s *deploymentSuite) TestWhatSomebodyElseDidWhileOurUpdateWasRefusedIsNotRolledBack() {
	s.steps.update = func(activities.UpdateInput) (activities.Update, error) {
		return activities.Update{}, temporal.NewNonRetryableApplicationError("denied", string(delivery.InvalidInput), nil)
	}
	s.steps.settle = func(in activities.SettleInput) (delivery.Observation, error) {
		s.False(in.Abort, "an update that is not known to be ours is not aborted")
		return observation("by-hand", "Ok", afterUpdate), nil
	}
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.NotContains(s.steps.called(), "Update site-1")
}

func (s *deploymentSuite) TestAnUpdateWhoseAnswersWereAllLostIsRolledBackWhenItTookEffect() {
	s.steps.update = func(in activities.UpdateInput) (activities.Update, error) {
		if in.Version == newLabel {
			return activities.Update{}, temporal.NewNonRetryableApplicationError("lost", string(delivery.Unavailable), nil)
		}
		return activities.Update{}, nil
	}
	s.settlesOn(newLabel, "Ok")
	s.Equal(delivery.OutcomeRolledBack, s.deploy(deploymentInput()).Outcome)
}

func (s *deploymentSuite) TestAnUpdateThatThePlatformRefusesLeavesTheEnvironmentUntouched() {
	s.steps.update = func(activities.UpdateInput) (activities.Update, error) {
		return activities.Update{}, temporal.NewNonRetryableApplicationError("no", string(delivery.VersionNotFound), nil)
	}
	s.steps.settle = func(in activities.SettleInput) (delivery.Observation, error) { return in.Found, nil }
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.VersionNotFound, result.Cause)
}

func (s *deploymentSuite) TestTroubleThatPassesIsRetried() {
	attempts := 0
	s.steps.update = func(in activities.UpdateInput) (activities.Update, error) {
		if attempts++; attempts < 4 {
			return activities.Update{}, temporal.NewApplicationError("rate exceeded", string(delivery.Throttled))
		}
		return activities.Update{Before: in.Found.UpdatedAt}, nil
	}
	s.Equal(delivery.OutcomeDeployed, s.deploy(deploymentInput()).Outcome)
	s.Equal(4, attempts)
}

// abortsDuringHealth makes the wait for the new version's health end as an aborted activity does.
func (s *deploymentSuite) abortsDuringHealth(stop func()) {
	s.steps.health = func(ctx context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		if in.Version == newLabel {
			stop()
			<-ctx.Done()
			return delivery.Proof{}, ctx.Err()
		}
		return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observation(in.Version, "Ok", afterUpdate)}, nil
	}
	s.settlesOn(goodLabel, "Ok")
}

func (s *deploymentSuite) TestAnAbortTakesTheUpdateBackAndSaysWhoAskedForIt() {
	s.abortsDuringHealth(func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ana", Reason: "wrong day"}) })
	result := s.deploy(deploymentInput())
	s.Equal(delivery.Aborted, result.Cause)
	s.Equal(delivery.OutcomeTakenBack, result.Outcome)
	s.Contains(result.Reason, "aborted by ana: wrong day")
	s.Equal([]string{"AwaitReady", "Precheck", "Update site-2", "AwaitHealth site-2", "Settle", "AwaitHealth site-1", "Check site-1"}, s.steps.called())
}

func (s *deploymentSuite) TestTemporalsOwnCancellationIsAnAbort() {
	s.abortsDuringHealth(s.env.CancelWorkflow)
	result := s.deploy(deploymentInput())
	s.Equal(delivery.Aborted, result.Cause)
	s.Equal(delivery.OutcomeTakenBack, result.Outcome)
}

func (s *deploymentSuite) TestAnAbortFromTheWebUIIsObeyedWhateverItsInput() {
	for reason, payload := range map[string]any{
		"aborted by somebody": nil, "wrong day": "wrong day", "42": 42, `["wrong"]`: []string{"wrong"}, `{"by":7}`: map[string]int{"by": 7},
	} {
		s.SetupTest()
		s.abortsDuringHealth(func() { s.env.SignalWorkflow(AbortSignal, payload) })
		result := s.deploy(deploymentInput())
		s.Equal(delivery.Aborted, result.Cause)
		s.Contains(result.Reason, reason)
	}
}

func (s *deploymentSuite) TestAnAbortDuringTheRollbackChangesNothing() {
	s.verdicts(delivery.VerdictUnhealthy, delivery.VerdictHealthy)
	s.steps.settle = func(activities.SettleInput) (delivery.Observation, error) {
		s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"})
		return observation(newLabel, "Severe", afterUpdate), nil
	}
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.Unhealthy, result.Cause)
}

func (s *deploymentSuite) TestAnAbortBeforeTheUpdateLeavesTheEnvironmentUntouched() {
	s.steps.precheck = func(in activities.PrecheckInput) (activities.Prechecked, error) {
		s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"})
		return activities.Prechecked{Good: in.Good}, nil
	}
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.Aborted, result.Cause)
	s.NotContains(s.steps.called(), "AwaitHealth site-2")
}

func (s *deploymentSuite) TestTheStatusSaysWhichPhaseItIsIn() {
	s.steps.health = func(_ context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		encoded, err := s.env.QueryWorkflow(StatusQuery)
		s.Require().NoError(err)
		var status DeploymentStatus
		s.Require().NoError(encoded.Get(&status))
		s.Equal(PhaseHealth, status.Phase)
		s.Equal(goodLabel, status.Good)
		return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observation(in.Version, "Ok", afterUpdate)}, nil
	}
	s.deploy(deploymentInput())
}

func (s *deploymentSuite) TestAWaitThatNeverAnswersEndsAtItsDeadline() {
	s.steps.health = func(_ context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		if in.Version == newLabel {
			return delivery.Proof{}, errors.New("the connection broke")
		}
		return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observation(in.Version, "Ok", afterUpdate)}, nil
	}
	began := s.env.Now()
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Less(s.env.Now().Sub(began), 2*time.Hour)
}
