package workflows

import (
	"errors"
	"time"

	"gravity/activities"
	"gravity/internal/delivery"
)

// askingFor is a pipeline whose second stage has an approval with a rule.
func askingFor(rule delivery.Approval) PipelineInput {
	input := pipelineInput()
	rule.Timeout = delivery.Duration(time.Hour)
	input.Pipeline.Stages[1].Gate.Approval = &rule
	return input
}

// after sends an answer a minute after the one before it, so that the run waits at its gate by then.
func (s *pipelineSuite) after(minutes int, verb string, answer Answer) *updateOutcome {
	outcome := &updateOutcome{}
	s.env.RegisterDelayedCallback(func() {
		s.env.UpdateWorkflow(verb, verb+answer.By+time.Duration(minutes).String(), outcome, answer)
	}, time.Duration(minutes)*time.Minute)
	return outcome
}

func (s *pipelineSuite) TestAGateWaitsForAsManyDifferentPeopleAsItAsksFor() {
	first := s.after(1, ApproveUpdate, Answer{By: "ana"})
	again := s.after(2, ApproveUpdate, Answer{By: "Ana"})
	nobody := s.after(3, ApproveUpdate, Answer{})
	second := s.after(4, ApproveUpdate, Answer{By: "ben"})
	status, failure := s.run(askingFor(delivery.Approval{Count: 2}))
	s.Nil(failure)
	s.NoError(first.rejected)
	s.ErrorContains(again.rejected, "has approved already")
	s.ErrorContains(nobody.rejected, "wants to know who answers")
	s.NoError(second.rejected)
	s.Len(status.Answers, 2)
}

func (s *pipelineSuite) TestOneRejectionOutweighsApprovals() {
	s.after(1, ApproveUpdate, Answer{By: "ana"})
	s.after(2, RejectUpdate, Answer{By: "ben", Reason: "the prices are wrong"})
	status, failure := s.run(askingFor(delivery.Approval{Count: 2}))
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Contains(status.Detail, "rejected by ben: the prices are wrong")
}

func (s *pipelineSuite) TestTheAuthorApprovesNothingWhereFourEyesAreAskedFor() {
	author := s.after(1, ApproveUpdate, Answer{By: "ana"})
	pusher := s.after(2, ApproveUpdate, Answer{By: "ben"})
	other := s.after(3, ApproveUpdate, Answer{By: "cleo"})
	input := askingFor(delivery.Approval{FourEyes: true})
	input.Revision.People = []string{"ben@example.com"}
	_, failure := s.run(input)
	s.Nil(failure)
	s.ErrorContains(author.rejected, "asks for somebody else's eyes")
	s.ErrorContains(pusher.rejected, "asks for somebody else's eyes")
	s.NoError(other.rejected)
}

func (s *pipelineSuite) TestOnlyThoseWhoMayAnswerDo() {
	wrong := s.after(1, ApproveUpdate, Answer{By: "eve"})
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(ApproveSignal, "yes") }, 90*time.Second)
	right := s.after(2, ApproveUpdate, Answer{By: "ana"})
	status, failure := s.run(askingFor(delivery.Approval{Users: []string{"Ana"}}))
	s.Nil(failure)
	s.ErrorContains(wrong.rejected, "eve may not answer")
	s.NoError(right.rejected)
	s.Len(status.Answers, 1, "a signal without a name counts for nothing")
}

func (s *pipelineSuite) TestMembershipOfATeamIsLookedUpWhenSomebodyAnswers() {
	members := map[string]bool{}
	s.steps.member = func(in activities.IsMemberInput) (activities.Membership, error) {
		return activities.Membership{Member: members[in.Login]}, nil
	}
	early := s.after(1, ApproveUpdate, Answer{By: "ana"})
	s.env.RegisterDelayedCallback(func() { members["ana"] = true }, 2*time.Minute)
	later := s.after(3, ApproveUpdate, Answer{By: "ana"})
	status, failure := s.run(askingFor(delivery.Approval{Teams: []string{"example/operators"}}))
	s.Nil(failure)
	s.ErrorContains(early.failed, "in none of the teams")
	s.NoError(later.failed)
	s.Len(status.Answers, 1)
	s.Contains(s.steps.called(), "IsMember ana example/operators")
}

func (s *pipelineSuite) TestAnAnswerIsRefusedWhileMembershipCannotBeFoundOut() {
	s.steps.member = func(activities.IsMemberInput) (activities.Membership, error) {
		return activities.Membership{}, errors.New("GitHub is down")
	}
	outcome := s.after(1, ApproveUpdate, Answer{By: "ana"})
	_, failure := s.run(askingFor(delivery.Approval{Teams: []string{"example/operators"}}))
	s.Equal(string(delivery.Rejected), failure.Type(), "nobody could approve in time")
	s.ErrorContains(outcome.failed, "try again")
}

func (s *pipelineSuite) TestAnAnswerForAnotherRevisionIsRefused() {
	wrong := s.after(1, ApproveUpdate, Answer{By: "ana", Revision: "cdcd"})
	right := s.after(2, ApproveUpdate, Answer{By: "ana", Revision: "ABAB"})
	_, failure := s.run(askingFor(delivery.Approval{}))
	s.Nil(failure)
	s.ErrorContains(wrong.rejected, "not of cdcd")
	s.NoError(right.rejected)
}

func (s *pipelineSuite) TestNobodysAnswerCanMeanConsent() {
	status, failure := s.run(askingFor(delivery.Approval{Otherwise: delivery.OtherwiseApprove}))
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	s.Require().Len(status.Answers, 1)
	s.Contains(status.Answers[0].Reason, "nobody answered within 1h")
}

// wednesday is a working day of the test's clock, at ten in the evening.
var wednesday = time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)

func (s *pipelineSuite) TestADeploymentWaitsForItsWindow() {
	s.env.SetStartTime(wednesday)
	input := pipelineInput()
	input.Pipeline.Stages[1].Gate.Windows = &delivery.Windows{
		TimeZone: "UTC", Holidays: []string{"2026-11-26"},
		Open: []delivery.Window{{Days: []string{"Thu", "Fri"}, From: "09:00", To: "16:00"}},
	}
	var asked []time.Time
	answer := s.steps.ask
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		asked = append(asked, s.env.Now().UTC())
		return answer(in)
	}
	status, failure := s.run(input)
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	s.Require().Len(asked, 2)
	s.WithinDuration(time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC), asked[1], time.Minute)
}

func (s *pipelineSuite) TestADeploymentWhoseWindowClosedInTheQueueGoesBackToTheGate() {
	s.env.SetStartTime(wednesday.Add(50 * time.Minute))
	input := pipelineInput()
	input.Pipeline.Stages[0].Gate.Windows = &delivery.Windows{
		TimeZone: "UTC", Open: []delivery.Window{{Days: []string{"Wed", "Thu"}, From: "21:00", To: "23:00"}},
	}
	var starts []string
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		argument := in.Argument.(map[string]any)
		result := delivery.Result{RequestID: argument["id"].(string), Outcome: delivery.OutcomeDeployed}
		if in.Start.(map[string]any)["environment"] == "site-staging" {
			starts = append(starts, argument["startBy"].(string))
			if len(starts) == 1 {
				result.Outcome, result.Cause = delivery.OutcomeUntouched, delivery.WindowClosed
				s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(FinishedSignal, result) }, 30*time.Minute)
				return Receipt{}, nil
			}
		}
		s.env.SignalWorkflow(FinishedSignal, result)
		return Receipt{}, nil
	}
	status, failure := s.run(input)
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	s.Equal([]string{"2026-11-25T23:00:00Z", "2026-11-26T23:00:00Z"}, starts)
}

func (s *pipelineSuite) TestAGateThatOpensTooLateEndsTheRun() {
	s.env.SetStartTime(wednesday)
	input := pipelineInput()
	input.Pipeline.Stages[0].Gate.Timeout = delivery.Duration(24 * time.Hour)
	input.Pipeline.Stages[0].Gate.Windows = &delivery.Windows{TimeZone: "UTC", Open: []delivery.Window{{Days: []string{"Mon"}, From: "09:00", To: "16:00"}}}
	status, failure := s.run(input)
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Equal(StateRejected, status.Stages[0].State)
}

func (s *pipelineSuite) TestAVersionRestsOnTheStageBefore() {
	input := pipelineInput()
	input.Pipeline.Stages[1].Gate.Rest = delivery.Duration(2 * time.Hour)
	began := s.env.Now()
	_, failure := s.run(input)
	s.Nil(failure)
	s.GreaterOrEqual(s.env.Now().Sub(began), 2*time.Hour)
}

func (s *pipelineSuite) TestAnAbortEndsTheWaitForAWindow() {
	s.env.SetStartTime(wednesday)
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"}) }, time.Minute)
	input := pipelineInput()
	input.Pipeline.Stages[0].Gate.Windows = &delivery.Windows{TimeZone: "UTC", Open: []delivery.Window{{Days: []string{"Fri"}, From: "09:00", To: "16:00"}}}
	status, _ := s.run(input)
	s.Equal(StateAborted, status.State)
	s.NotContains(s.steps.called(), "Ask deploy")
}

func (s *pipelineSuite) TestARetryTakesTheSameVersionOnAndBuildsNothing() {
	s.steps.find = func(version delivery.Version) (activities.FoundVersion, error) {
		version.Bucket = "bundles"
		return activities.FoundVersion{Version: &version}, nil
	}
	input := pipelineInput()
	input.Retry = &Retry{Version: newLabel, From: "production", Answer: Answer{By: "ana", Reason: "the database is back"}}
	status, failure := s.run(input)
	s.Nil(failure)
	s.Equal([]string{"FindVersion", "Ask deploy"}, s.steps.called())
	s.Equal([]RunState{StateSkipped, StateSucceeded}, []RunState{status.Stages[0].State, status.Stages[1].State})
	s.Equal(newLabel, status.Version)
	s.Equal("the database is back", status.Answers[0].Reason)
}

func (s *pipelineSuite) TestARetryOfAVersionThatIsGoneSaysHowToMakeItAgain() {
	input := pipelineInput()
	input.Retry = &Retry{Version: newLabel}
	_, failure := s.run(input)
	s.Equal(string(delivery.VersionNotFound), failure.Type())
	s.Contains(failure.Message(), "starter deploy site --revision")
}

func (s *pipelineSuite) TestAReleaseDoesNotFailForVersionsThatCouldNotBeRemoved() {
	s.steps.prune = func(activities.PruneInput) (activities.Pruned, error) {
		return activities.Pruned{}, errors.New("access denied")
	}
	status, failure := s.run(pipelineInput())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
}

func (s *pipelineSuite) TestAHotfixTellsTheQueueSo() {
	input := pipelineInput()
	input.Hotfix = &Answer{By: "ana", Reason: "checkout is down"}
	asked := map[string]any{}
	answer := s.steps.ask
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		asked = in.Argument.(map[string]any)
		return answer(in)
	}
	s.run(input)
	s.Equal(true, asked["jumpQueue"])
	s.Equal("checkout is down", asked["reason"])
}

func (s *pipelineSuite) TestAGateAsksForChecksAndAlarmsAgainWhenItHadToWait() {
	input := pipelineInput()
	input.Pipeline.Stages[1].Gate.Alarms = []string{"5xx"}
	input.Pipeline.Stages[1].Gate.Checks = []string{"ci/test"}
	input.Pipeline.Stages[1].Gate.Rest = delivery.Duration(time.Hour)
	_, failure := s.run(input)
	s.Nil(failure)
	called := s.steps.called()
	s.Equal([]string{"Ask deploy", "AwaitChecks", "AwaitQuiet", "AwaitChecks", "AwaitQuiet", "Ask deploy"}, called[len(called)-6:],
		"what was so an hour ago need not be so now")
}

func (s *pipelineSuite) TestAFailedCheckEndsTheRunAtItsGate() {
	s.steps.checks = func(in activities.AwaitChecksInput) (activities.Checks, error) {
		s.Equal("https://github.com/example/site", in.Repository)
		return activities.Checks{Failed: []string{"ci/test"}}, nil
	}
	input := pipelineInput()
	input.Pipeline.Stages[1].Gate.Checks = []string{"ci/test"}
	status, failure := s.run(input)
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Contains(status.Detail, "the revision's checks failed: ci/test")
}

func (s *pipelineSuite) TestAnAlarmThatStaysLoudEndsTheRunAtItsGate() {
	s.steps.quiet = func(activities.AwaitQuietInput) (activities.Loud, error) {
		return activities.Loud{Alarms: []delivery.Alarm{{Name: "5xx", State: "ALARM"}}}, nil
	}
	input := pipelineInput()
	input.Pipeline.Stages[0].Gate.Alarms = []string{"5xx"}
	status, failure := s.run(input)
	s.Equal(string(delivery.Rejected), failure.Type())
	s.Contains(status.Detail, "alarm 5xx was not quiet")
	s.NotContains(s.steps.called(), "Ask deploy")
}
