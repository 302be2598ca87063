package workflows

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

type blueGreenSuite struct {
	workflowSuite
	pair *pairOf
}

func TestBlueGreen(t *testing.T) { suite.Run(t, new(blueGreenSuite)) }

const blueName, greenName = "site-production", "site-production-green"

// pairOf is the two environments as the platform has them, on which the steps work.
type pairOf struct {
	sync.Mutex // an aborted step may still be under way when the next one begins
	old, new   delivery.Observation
}

// SetupTest begins with users on the stage's own environment.
func (s *blueGreenSuite) SetupTest() {
	s.workflowSuite.SetupTest()
	p := &pairOf{old: observation(goodLabel, "Ok", beforeUpdate)}
	s.pair = p
	s.steps.live = func(activities.AwaitLiveInput) (delivery.Observation, error) {
		p.Lock()
		defer p.Unlock()
		return p.old, nil
	}
	s.steps.beside = func(in activities.MakeBesideInput) (delivery.Observation, error) {
		p.Lock()
		defer p.Unlock()
		p.new = observation(in.Version, "Pending", afterUpdate)
		p.new.Name, p.new.ID, p.new.Address, p.new.Status = in.Name, "e-2", "beside.example", "Launching"
		return p.new, nil
	}
	s.steps.health = func(_ context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		p.Lock()
		defer p.Unlock()
		for _, o := range []*delivery.Observation{&p.old, &p.new} {
			if o.ID == in.EnvironmentID {
				o.Status, o.HealthStatus = "Ready", "Ok"
				return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: *o}, nil
			}
		}
		return delivery.Proof{Verdict: delivery.VerdictNotUpdated, Reason: "no such environment"}, nil
	}
	s.steps.swap = func(_ context.Context, in activities.SwapInput) (delivery.Observation, error) {
		p.Lock()
		defer p.Unlock()
		p.old.Address, p.new.Address = p.new.Address, p.old.Address
		if in.To.ID == p.old.ID {
			return p.old, nil
		}
		return p.new, nil
	}
	s.steps.pair = func(in activities.SettlePairInput) (activities.Pair, error) {
		p.Lock()
		defer p.Unlock()
		if in.Pair.New.ID == "" {
			return activities.Pair{Old: p.old}, nil
		}
		return activities.Pair{Old: p.old, New: p.new}, nil
	}
	s.steps.drain = func(activities.DrainInput) error { return nil }
	s.steps.retire = func(_ context.Context, in activities.RetireInput) (activities.Retired, error) {
		p.Lock()
		defer p.Unlock()
		for _, o := range []*delivery.Observation{&p.old, &p.new} {
			if o.Name == in.Name {
				s.NotEqual(in.Public, o.Address, "users' environment is not ended")
				o.Status = "Terminating"
				return activities.Retired{Ended: true}, nil
			}
		}
		return activities.Retired{}, nil
	}
}

func pairInput() DeploymentInput {
	input := deploymentInput()
	input.Request.Stage.Strategy = delivery.BlueGreen
	return input
}

// fails makes a health wait of one environment end with a verdict.
func (s *blueGreenSuite) fails(id string, verdict delivery.Verdict) {
	before := s.steps.health
	s.steps.health = func(ctx context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		if in.EnvironmentID == id {
			return delivery.Proof{Verdict: verdict, Reason: "it is " + string(verdict), Evidence: []string{"ERROR it broke"}}, nil
		}
		return before(ctx, in)
	}
}

// checkFailsAt makes the check fail at an address, from the given time on that it is asked there.
func (s *blueGreenSuite) checkFailsAt(address, label string, times int) {
	s.steps.check = func(in activities.CheckInput) error {
		if in.Address == address && in.Version.Label == label && times != 0 {
			times--
			return temporal.NewNonRetryableApplicationError("503", string(delivery.CheckFailed), nil)
		}
		return nil
	}
}

var untilSwap = []string{"AwaitLive", "Precheck", "MakeBeside " + greenName + " site-2", "AwaitHealth site-2", "Check site-2"}

func (s *blueGreenSuite) after(calls ...string) []string {
	return append(untilSwap[:len(untilSwap):len(untilSwap)], calls...)
}

func (s *blueGreenSuite) TestTheNewEnvironmentIsProvenThenSwappedThenCheckedAndTheOldOneEndedLast() {
	var checked, public []string
	s.steps.check = func(in activities.CheckInput) error {
		checked, public = append(checked, in.Address), append(public, in.Check.URL)
		return nil
	}
	input := pairInput()
	input.Request.Stage.Health.Check.URL = "https://shop.example"
	result := s.deploy(input)
	s.Equal(delivery.OutcomeDeployed, result.Outcome, result.Reason)
	s.Equal(newLabel, result.LeftOn)
	s.Equal(s.after("Swap "+blueName+" "+greenName, "Check site-2", "Retire "+blueName), s.steps.called())
	s.Equal([]string{"beside.example", "site.example"}, checked)
	s.Equal([]string{"", "https://shop.example"}, public, "before the swap the team's own domain leads elsewhere")
	s.Equal("site.example", s.pair.new.Address)
}

func (s *blueGreenSuite) TestFromTheGreenEnvironmentTheNextOneIsTheStagesOwn() {
	s.pair.old.Name = greenName
	s.Equal(delivery.OutcomeDeployed, s.deploy(pairInput()).Outcome)
	s.Contains(s.steps.called(), "MakeBeside "+blueName+" site-2")
	s.Contains(s.steps.called(), "Retire "+greenName)
}

func (s *blueGreenSuite) TestAVersionThatUsersHaveAlreadyIsProvenWithoutASwap() {
	s.pair.old.VersionLabel = newLabel
	input := pairInput()
	input.LeftOn = newLabel
	s.Equal(delivery.OutcomeDeployed, s.deploy(input).Outcome)
	s.Equal([]string{"AwaitLive", "Precheck", "AwaitHealth site-2", "Check site-2"}, s.steps.called())
}

func (s *blueGreenSuite) TestDriftOfTheLiveEnvironmentStopsBeforeAnythingIsMade() {
	s.pair.old.Name, s.pair.old.VersionLabel = greenName, "by-hand"
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.Drift, result.Cause)
	s.Contains(result.Reason, greenName)
	s.Equal([]string{"AwaitLive"}, s.steps.called())
}

func (s *blueGreenSuite) TestAnUnhealthyNewEnvironmentIsEndedAndUsersNeverHadIt() {
	for _, verdict := range []delivery.Verdict{delivery.VerdictUnhealthy, delivery.VerdictLate, delivery.VerdictNotUpdated} {
		s.SetupTest()
		s.fails("e-2", verdict)
		result := s.deploy(pairInput())
		s.Equal(delivery.OutcomeRolledBack, result.Outcome, result.Reason)
		s.Equal(goodLabel, result.LeftOn)
		s.Equal(goodLabel, result.Good.Label)
		s.Contains(result.Evidence, "ERROR it broke")
		s.Equal([]string{
			"AwaitLive", "Precheck", "MakeBeside " + greenName + " site-2", "AwaitHealth site-2",
			"SettlePair", "Retire " + greenName, "AwaitHealth site-1", "Check site-1",
		}, s.steps.called())
	}
}

func (s *blueGreenSuite) TestACheckThatFailsBesideEndsTheNewEnvironment() {
	s.checkFailsAt("beside.example", newLabel, -1)
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.CheckFailed, result.Cause)
	s.NotContains(s.steps.called(), "Swap "+blueName+" "+greenName)
}

func (s *blueGreenSuite) TestSomebodyElsesEnvironmentInTheWayStopsWithNothingChanged() {
	s.steps.beside = func(activities.MakeBesideInput) (delivery.Observation, error) {
		return delivery.Observation{}, temporal.NewNonRetryableApplicationError(greenName+" is in the way", string(delivery.Drift), nil)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.Drift, result.Cause)
}

func (s *blueGreenSuite) TestAnAnswerFromTheOldEnvironmentRightAfterTheSwapIsNoFailure() {
	s.checkFailsAt("site.example", newLabel, 1)
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeDeployed, result.Outcome, result.Reason)
	s.Equal(s.after("Swap "+blueName+" "+greenName, "Check site-2", "Drain "+blueName, "Check site-2", "Retire "+blueName), s.steps.called())
}

func (s *blueGreenSuite) TestACheckThatFailsAtTheUsersAddressSwapsBack() {
	s.checkFailsAt("site.example", newLabel, -1)
	var retired []activities.RetireInput
	before := s.steps.retire
	s.steps.retire = func(ctx context.Context, in activities.RetireInput) (activities.Retired, error) {
		retired = append(retired, in)
		return before(ctx, in)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome, result.Reason)
	s.Equal(delivery.CheckFailed, result.Cause)
	s.Equal(goodLabel, result.LeftOn)
	s.Equal(s.after(
		"Swap "+blueName+" "+greenName, "Check site-2", "Drain "+blueName, "Check site-2",
		"SettlePair", "Swap "+greenName+" "+blueName, "AwaitHealth site-1", "Check site-1", "Retire "+greenName), s.steps.called())
	s.Equal("site.example", s.pair.old.Address)
	s.Len(retired, 1)
	s.False(retired[0].Swapped.IsZero(), "name servers still lead to the new one for a while")
}

func (s *blueGreenSuite) TestNoWayBackToAnEnvironmentThatIsNotTheBetterOne() {
	cases := map[string]func(){
		"returning would not mend it": func() { s.pair.old.HealthStatus = "Severe" },
		"is not there on site-1":      func() { s.pair.old.Status = "Terminating" },
		"is not there on site-1 any":  func() { s.pair.old.VersionLabel = "by-hand" },
	}
	for says, change := range cases {
		s.SetupTest()
		s.checkFailsAt("site.example", newLabel, -1)
		settled := s.steps.pair
		s.steps.pair = func(in activities.SettlePairInput) (activities.Pair, error) {
			change()
			return settled(in)
		}
		result := s.deploy(pairInput())
		s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
		s.Equal(newLabel, result.LeftOn)
		s.Contains(result.Reason, says)
		s.NotContains(s.steps.called(), "Swap "+greenName+" "+blueName)
		s.NotContains(s.steps.called(), "Retire "+greenName, "what users have stays")
	}
}

func (s *blueGreenSuite) TestASwapBackThatDoesNotProveHealthyNeedsAPerson() {
	s.checkFailsAt("site.example", newLabel, -1)
	s.fails("e-1", delivery.VerdictUnhealthy)
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
	s.Equal(goodLabel, result.LeftOn, "users have the old one again")
	s.NotContains(s.steps.called(), "Retire "+greenName)
}

func (s *blueGreenSuite) TestOthersWorkOnTheNewEnvironmentIsNotTakenBack() {
	s.checkFailsAt("site.example", newLabel, -1)
	settled := s.steps.pair
	s.steps.pair = func(in activities.SettlePairInput) (activities.Pair, error) {
		s.pair.new.VersionLabel = "by-hand"
		return settled(in)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal("by-hand", result.LeftOn, "what users have now")
	s.Contains(result.Reason, "by-hand")
	s.NotContains(s.steps.called(), "Swap "+greenName+" "+blueName)
}

func (s *blueGreenSuite) TestWhenSomebodyEndsTheLiveEnvironmentTheOneBesideItStays() {
	s.steps.swap = func(context.Context, activities.SwapInput) (delivery.Observation, error) {
		s.pair.old.Status = "Terminating"
		return delivery.Observation{}, temporal.NewNonRetryableApplicationError("no address can be moved", string(delivery.UpdateFailed), nil)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
	s.Contains(result.Reason, greenName+" is all that is left of the pair, with "+newLabel)
	s.NotContains(s.steps.called(), "Retire "+greenName)
}

func (s *blueGreenSuite) TestUsersThatSomebodyMovedBackAreNoSuccess() {
	retire := s.steps.retire
	s.steps.retire = func(ctx context.Context, in activities.RetireInput) (activities.Retired, error) {
		if in.Name == greenName {
			return retire(ctx, in)
		}
		s.pair.old.Address, s.pair.new.Address = s.pair.new.Address, s.pair.old.Address
		return activities.Retired{}, temporal.NewNonRetryableApplicationError(blueName+" has its users", string(delivery.Drift), nil)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome, result.Reason)
	s.Equal(delivery.Drift, result.Cause)
	s.Equal(goodLabel, result.LeftOn)
	s.Contains(result.Reason, "to which somebody moved its users back")
	s.Equal(s.after(
		"Swap "+blueName+" "+greenName, "Check site-2", "Retire "+blueName,
		"SettlePair", "Retire "+greenName, "AwaitHealth site-1", "Check site-1"), s.steps.called())
}

func (s *blueGreenSuite) TestAnAddressThatSomebodyMovedElsewhereNeedsAPerson() {
	s.steps.swap = func(context.Context, activities.SwapInput) (delivery.Observation, error) {
		s.pair.old.Address = "elsewhere.example"
		return delivery.Observation{}, temporal.NewNonRetryableApplicationError("neither has it", string(delivery.Drift), nil)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
	s.NotContains(s.steps.called(), "Retire "+greenName)
}

func (s *blueGreenSuite) TestASwapThatFailsOrIsRefusedLeavesUsersWhereTheyAre() {
	s.steps.swap = func(context.Context, activities.SwapInput) (delivery.Observation, error) {
		return delivery.Observation{}, temporal.NewNonRetryableApplicationError("changed meanwhile", string(delivery.Drift), nil)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome, result.Reason)
	s.Equal(delivery.Drift, result.Cause)
	s.Equal(s.after("Swap "+blueName+" "+greenName, "SettlePair", "Retire "+greenName, "AwaitHealth site-1", "Check site-1"), s.steps.called())
}

func (s *blueGreenSuite) TestAnOldEnvironmentThatCannotBeEndedIsToldAndNoFailure() {
	s.steps.retire = func(context.Context, activities.RetireInput) (activities.Retired, error) {
		return activities.Retired{}, temporal.NewNonRetryableApplicationError("not allowed", string(delivery.AccessDenied), nil)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeDeployed, result.Outcome)
	s.Require().NotEmpty(result.Evidence)
	s.Contains(result.Evidence[0], blueName+" could not be ended")
}

func (s *blueGreenSuite) TestTheFirstDeploymentNeedsNoGoodVersion() {
	input := pairInput()
	input.Good, input.LeftOn = nil, ""
	s.pair.old.VersionLabel, s.pair.old.HealthStatus = "", "Severe"
	s.Equal(delivery.OutcomeDeployed, s.deploy(input).Outcome)
}

func (s *blueGreenSuite) TestAFirstDeploymentThatFailsBeforeTheSwapChangedNothingForUsers() {
	input := pairInput()
	input.Good, input.LeftOn = nil, ""
	s.pair.old.VersionLabel = ""
	s.fails("e-2", delivery.VerdictUnhealthy)
	result := s.deploy(input)
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Contains(s.steps.called(), "Retire "+greenName)
}

func (s *blueGreenSuite) TestAFirstDeploymentThatFailsAfterTheSwapNeedsAPerson() {
	input := pairInput()
	input.Good, input.LeftOn = nil, ""
	s.checkFailsAt("site.example", newLabel, -1)
	result := s.deploy(input)
	s.Equal(delivery.OutcomeNeedsAttention, result.Outcome)
	s.Contains(result.Reason, "there is no version to return to")
}

// abort is sent from within a step.
func (s *blueGreenSuite) abort() {
	s.env.SignalWorkflow(AbortSignal, Answer{By: "ana", Reason: "wrong day"})
}

func (s *blueGreenSuite) TestAnAbortAtAnyMomentEndsOnTheVersionOfBefore() {
	swapped := []string{"SettlePair", "Swap " + greenName + " " + blueName, "AwaitHealth site-1", "Check site-1", "Retire " + greenName}
	kept := []string{"SettlePair", "Retire " + greenName, "AwaitHealth site-1", "Check site-1"}
	cases := map[string]struct {
		when    func()
		outcome delivery.Outcome
		then    []string
	}{
		"looking": {func() {
			step := s.steps.live
			s.steps.live = func(in activities.AwaitLiveInput) (delivery.Observation, error) { s.abort(); return step(in) }
		}, delivery.OutcomeUntouched, []string{"AwaitLive"}},
		"making": {func() {
			step := s.steps.beside
			s.steps.beside = func(in activities.MakeBesideInput) (delivery.Observation, error) { s.abort(); return step(in) }
		}, delivery.OutcomeRolledBack, kept},
		"launching": {func() {
			step := s.steps.health
			s.steps.health = func(ctx context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
				if in.Version == newLabel {
					s.abort()
					<-ctx.Done()
					return delivery.Proof{}, ctx.Err()
				}
				return step(ctx, in)
			}
		}, delivery.OutcomeRolledBack, kept},
		"swapping, before it was sent": {func() {
			s.steps.swap = func(ctx context.Context, _ activities.SwapInput) (delivery.Observation, error) {
				s.abort()
				<-ctx.Done()
				return delivery.Observation{}, ctx.Err()
			}
		}, delivery.OutcomeRolledBack, kept},
		"swapping, after it was sent": {func() {
			step, first := s.steps.swap, true
			s.steps.swap = func(ctx context.Context, in activities.SwapInput) (delivery.Observation, error) {
				live, err := step(ctx, in)
				if first {
					first = false
					s.abort()
					<-ctx.Done()
					return delivery.Observation{}, ctx.Err()
				}
				return live, err
			}
		}, delivery.OutcomeRolledBack, swapped},
		"checking": {func() {
			s.steps.check = func(in activities.CheckInput) error {
				if in.Address == "site.example" && in.Version.Label == newLabel {
					s.abort()
				}
				return nil
			}
		}, delivery.OutcomeRolledBack, swapped},
		"waiting for the last users of the old one": {func() {
			step, first := s.steps.retire, true
			s.steps.retire = func(ctx context.Context, in activities.RetireInput) (activities.Retired, error) {
				if first {
					first = false
					s.abort()
					<-ctx.Done()
					return activities.Retired{}, ctx.Err()
				}
				return step(ctx, in)
			}
		}, delivery.OutcomeRolledBack, swapped},
	}
	for name, c := range cases {
		s.SetupTest()
		c.when()
		result := s.deploy(pairInput())
		s.Equal(delivery.Aborted, result.Cause, name)
		s.Equal(c.outcome, result.Outcome, "%s: %s", name, result.Reason)
		s.NotEqual(newLabel, result.LeftOn, name)
		s.Contains(result.Reason, "aborted by ana: wrong day", name)
		s.Equal("site.example", s.pair.old.Address, name)
		called := s.steps.called()
		s.Equal(c.then, called[len(called)-len(c.then):], name)
		s.TearDownTest()
	}
}

func (s *blueGreenSuite) TestAnAbortThatComesWhenTheOldEnvironmentIsGoneIsTooLate() {
	s.steps.retire = func(ctx context.Context, _ activities.RetireInput) (activities.Retired, error) {
		s.pair.old.Status = "Terminating"
		s.abort()
		<-ctx.Done()
		return activities.Retired{}, ctx.Err()
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeDeployed, result.Outcome, result.Reason)
	s.Equal(newLabel, result.LeftOn)
}

func (s *blueGreenSuite) TestAnAbortDuringTheSwapBackChangesNothing() {
	s.checkFailsAt("site.example", newLabel, -1)
	settled := s.steps.pair
	s.steps.pair = func(in activities.SettlePairInput) (activities.Pair, error) {
		s.abort()
		return settled(in)
	}
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Equal(delivery.CheckFailed, result.Cause)
}

func (s *blueGreenSuite) TestStepsThatNeverAnswerEndAtTheirLimits() {
	s.steps.swap = func(context.Context, activities.SwapInput) (delivery.Observation, error) {
		return delivery.Observation{}, temporal.NewApplicationError("no answer", string(delivery.Unavailable))
	}
	began := s.env.Now()
	result := s.deploy(pairInput())
	s.Equal(delivery.OutcomeRolledBack, result.Outcome)
	s.Less(s.env.Now().Sub(began), 2*time.Hour)
}

func (s *deploymentSuite) TestAStrategyThatThisWorkerDoesNotKnowChangesNothing() {
	input := deploymentInput()
	input.Request.Stage.Strategy = "hope"
	result := s.deploy(input)
	s.Equal(delivery.OutcomeUntouched, result.Outcome)
	s.Equal(delivery.InvalidInput, result.Cause)
	s.Empty(s.steps.called())
}
