package workflows

import (
	"context"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

// baked is the input of a deployment whose stage bakes for an hour.
func baked() DeploymentInput {
	input := deploymentInput()
	input.Request.Stage.Bake = delivery.Duration(time.Hour)
	return input
}

// bakeFails makes the bake end so.
func (s *deploymentSuite) bakeFails(verdict delivery.Verdict, cause delivery.ErrorType, observed delivery.Observation) {
	s.steps.bake = func(context.Context, activities.BakeInput) (delivery.Proof, error) {
		return delivery.Proof{Verdict: verdict, Cause: cause, Reason: "it did not stay well", Observed: observed, Evidence: []string{"Severe: it broke"}}, nil
	}
}

func (s *deploymentSuite) TestAStageWithoutABakeHasNone() {
	s.Equal(delivery.OutcomeDeployed, s.deploy(deploymentInput()).Outcome)
	s.NotContains(s.steps.called(), "Bake site-2")
}

func (s *deploymentSuite) TestAVersionIsWatchedUntilAnEndThatIsSetOnce() {
	began := s.env.Now()
	s.steps.bake = func(_ context.Context, in activities.BakeInput) (delivery.Proof, error) {
		s.WithinDuration(began.Add(time.Hour), in.Until, time.Minute)
		s.Equal("site.example", in.Address)
		s.Equal("e-1", in.EnvironmentID)
		s.Equal(baked().Request.Stage.Health, in.Health)
		encoded, err := s.env.QueryWorkflow(StatusQuery)
		s.Require().NoError(err)
		var status DeploymentStatus
		s.Require().NoError(encoded.Get(&status))
		s.Equal(PhaseBake, status.Phase)
		return delivery.Proof{Verdict: delivery.VerdictHealthy}, nil
	}
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeDeployed, result.Outcome)
	s.Equal("healthy on site-2", result.Reason)
	s.Equal([]string{"AwaitReady", "Precheck", "Update site-2", "AwaitHealth site-2", "Check site-2", "Bake site-2"}, s.steps.called())
}

func (s *deploymentSuite) TestAFailedBakeIsRolledBackWithoutLookingAgain() {
	s.bakeFails(delivery.VerdictUnhealthy, "", observation(newLabel, "Severe", afterUpdate))
	s.steps.update = func(in activities.UpdateInput) (activities.Update, error) {
		if in.Version == goodLabel {
			s.Equal(newLabel, in.Found.VersionLabel, "what the bake saw is what the rollback begins with")
		}
		return activities.Update{RequestID: "r", Before: in.Found.UpdatedAt}, nil
	}
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.Unhealthy, result.Cause)
	s.Equal(goodLabel, result.LeftOn)
	s.Equal([]string{"Severe: it broke"}, result.Evidence)
	s.NotContains(s.steps.called(), "Settle")
	s.Contains(s.steps.called(), "Update site-1")
}

func (s *deploymentSuite) TestTheCauseOfAFailedBakeIsKept() {
	s.bakeFails(delivery.VerdictUnhealthy, delivery.AlarmRaised, observation(newLabel, "Ok", afterUpdate))
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.AlarmRaised, result.Cause)
}

func (s *deploymentSuite) TestTheWayBackIsNotHeldToAlarmsThatTheFailedVersionRaised() {
	s.bakeFails(delivery.VerdictUnhealthy, delivery.AlarmRaised, observation(newLabel, "Ok", afterUpdate))
	healthy := s.steps.health
	s.steps.health = func(ctx context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		if in.Version == newLabel {
			s.Equal([]string{"errors"}, in.Health.Alarms)
			s.NotNil(in.Health.Compare)
		} else {
			s.Empty(in.Health.Alarms)
			s.Nil(in.Health.Compare)
		}
		return healthy(ctx, in)
	}
	input := baked()
	input.Request.Stage.Health.Alarms = []string{"errors"}
	input.Request.Stage.Health.Compare = &delivery.Comparison{}
	s.Equal(delivery.OutcomeRolledBack, s.deploy(input).Outcome)
}

func (s *deploymentSuite) TestABakeThatFailsDuringSomebodyElsesUpdateWaitsForItAndDoesNotAbortIt() {
	updating := observation(newLabel, "Info", afterUpdate)
	updating.Status = "Updating"
	s.bakeFails(delivery.VerdictUnhealthy, delivery.AlarmRaised, updating)
	s.steps.settle = func(in activities.SettleInput) (delivery.Observation, error) {
		s.False(in.Abort)
		return observation("by-hand", "Ok", afterUpdate.Add(time.Minute)), nil
	}
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeUntouched, result.Outcome, "others' work is not rolled back")
	s.Equal("by-hand", result.LeftOn)
}

func (s *deploymentSuite) TestWhatSomebodyDeployedDuringTheBakeIsLeft() {
	s.bakeFails(delivery.VerdictNotUpdated, delivery.Drift, observation("by-hand", "Ok", afterUpdate))
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.Drift, result.Cause)
	s.NotContains(s.steps.called(), "Update site-1")
}

// whileBaking lets a bake go on until it is cancelled, and does something in its middle.
func (s *deploymentSuite) whileBaking(something func()) {
	s.steps.bake = func(ctx context.Context, _ activities.BakeInput) (delivery.Proof, error) {
		something()
		for ctx.Err() == nil {
			activity.RecordHeartbeat(ctx)
			time.Sleep(time.Millisecond)
		}
		return delivery.Proof{}, ctx.Err()
	}
}

func (s *deploymentSuite) TestANewerRequestEndsTheBakeEarlyInSuccess() {
	s.whileBaking(func() {
		s.env.SignalWorkflow(EndBakeSignal, Answer{By: "Environment", Reason: "site-3 wants the environment"})
	})
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeDeployed, result.Outcome)
	s.Equal("healthy on site-2; bake ended early: site-3 wants the environment", result.Reason)
}

func (s *deploymentSuite) TestANewerRequestThatCameBeforeTheBakeLeavesNone() {
	check := s.steps.check
	s.steps.check = func(in activities.CheckInput) error {
		s.env.SignalWorkflow(EndBakeSignal, Answer{Reason: "site-3 wants the environment"})
		return check(in)
	}
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeDeployed, result.Outcome)
	s.Contains(result.Reason, "bake ended early: site-3")
	s.NotContains(s.steps.called(), "Bake site-2")
}

func (s *deploymentSuite) TestANewerRequestSaysNothingToAStageWithoutABake() {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(EndBakeSignal, Answer{Reason: "site-3"}) }, 0)
	s.Equal("healthy on site-2", s.deploy(deploymentInput()).Reason)
}

func (s *deploymentSuite) TestAnAbortDuringTheBakeTakesBack() {
	s.whileBaking(func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ana", Reason: "odd numbers"}) })
	s.settlesOn(newLabel, "Ok")
	result := s.deploy(baked())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.Aborted, result.Cause)
	s.Contains(result.Reason, "aborted by ana: odd numbers")
}

func (s *deploymentSuite) TestAnAbortGoesBeforeTheEarlyEndOfTheBake() {
	s.whileBaking(func() {
		s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"})
		s.env.SignalWorkflow(EndBakeSignal, Answer{Reason: "site-3"})
	})
	s.settlesOn(newLabel, "Ok")
	s.Equal(delivery.Aborted, s.deploy(baked()).Cause)
}

func (s *deploymentSuite) TestAVersionThatWasThereBeforeItsBakeFailedIsLeftThere() {
	s.steps.ready = func(activities.AwaitReadyInput) (delivery.Observation, error) {
		return observation(newLabel, "Ok", beforeUpdate), nil
	}
	s.bakeFails(delivery.VerdictUnhealthy, "", observation(newLabel, "Severe", beforeUpdate))
	input := baked()
	input.LeftOn = newLabel
	result := s.deploy(input)
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.Unhealthy, result.Cause)
}

func (s *deploymentSuite) TestAProbeIsRunAfterTheCheckAndItsFailureIsRolledBack() {
	s.steps.probe = func(in activities.ProbeInput) error {
		s.Equal("site.example", in.Address)
		if in.Version.Label == newLabel {
			return temporal.NewNonRetryableApplicationError("the probe failed with exit code 3", string(delivery.CheckFailed), nil)
		}
		return nil
	}
	input := deploymentInput()
	input.Request.Stage.Health.Probe = &delivery.Probe{Run: "./smoke", Timeout: delivery.Duration(time.Minute)}
	s.settlesOn(newLabel, "Ok")
	result := s.deploy(input)
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.CheckFailed, result.Cause)
	s.Equal([]string{
		"AwaitReady", "Precheck", "Update site-2", "AwaitHealth site-2", "Check site-2", "Probe site-2",
		"Settle", "Update site-1", "AwaitHealth site-1", "Check site-1", "Probe site-1",
	}, s.steps.called())
}

func (s *deploymentSuite) TestAVersionThatDoesWorseDuringTheUpdateIsAborted() {
	s.verdicts(delivery.VerdictWorse, delivery.VerdictHealthy)
	s.steps.settle = func(in activities.SettleInput) (delivery.Observation, error) {
		s.True(in.Abort)
		return observation(goodLabel, "Ok", afterUpdate), nil
	}
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeTakenBack, result.Outcome)
	s.Equal(delivery.Unhealthy, result.Cause)
}

func (s *deploymentSuite) TestTheConfigurationIsHeldAgainstTheLastOneAndTheNewOneIsHandedOn() {
	s.steps.precheck = func(in activities.PrecheckInput) (activities.Prechecked, error) {
		s.Equal("before", in.Configuration)
		s.Equal(delivery.DriftStop, in.Drift)
		s.Equal(goodLabel, in.LeftOn)
		s.Equal([]string{"errors"}, in.Alarms)
		return activities.Prechecked{Good: in.Good}, nil
	}
	s.steps.health = func(_ context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observation(in.Version, "Ok", afterUpdate), Configuration: "on " + in.Version}, nil
	}
	input := deploymentInput()
	input.Configuration = "before"
	input.Request.Stage.Health.Alarms = []string{"errors"}
	s.Equal("on site-2", s.deploy(input).Configuration)
}

func (s *deploymentSuite) TestTheConfigurationAfterARollbackIsThatOfTheProofOfTheWayBack() {
	s.steps.health = func(_ context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observation(in.Version, "Ok", afterUpdate), Configuration: "on " + in.Version}, nil
	}
	s.bakeFails(delivery.VerdictUnhealthy, "", observation(newLabel, "Severe", afterUpdate))
	s.Equal("on site-1", s.deploy(baked()).Configuration)
}

func (s *deploymentSuite) TestAChangedConfigurationStopsBeforeAnythingIsChanged() {
	s.steps.precheck = func(activities.PrecheckInput) (activities.Prechecked, error) {
		return activities.Prechecked{}, temporal.NewNonRetryableApplicationError("somebody changed the configuration", string(delivery.Drift), nil)
	}
	result := s.deploy(deploymentInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.Drift, result.Cause)
	s.Empty(result.Configuration)
}

func (s *deploymentSuite) TestATerseDeploymentTellsOnlyTheStatesThatNotEveryDeploymentHas() {
	for terse, want := range map[bool][]string{
		false: {"precheck", "update", "health", "verify", "bake", "rollback", "health", "verify", "rolled back"},
		true:  {"bake", "rollback", "rolled back"},
	} {
		s.SetupTest()
		var told []string
		s.env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(arguments mock.Arguments) {
			state, _ := arguments.Get(0).(temporal.SearchAttributes).GetKeyword(StateAttribute)
			told = append(told, state)
		}).Return(nil)
		s.bakeFails(delivery.VerdictUnhealthy, "", observation(newLabel, "Severe", afterUpdate))
		input := baked()
		input.Terse = terse
		s.Equal(delivery.OutcomeRolledBack, s.deploy(input).Outcome)
		s.Equal(want, told)
	}
}
