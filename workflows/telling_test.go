package workflows

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/activity"

	"gravity/activities"
	"gravity/internal/delivery"
)

type tellingSuite struct {
	workflowSuite
	told     []string // receiver and the notice's number, in the order of telling
	memories []activities.Memory
	tell     func(activities.TellInput) (activities.Told, error)
	address  func() (activities.Address, error)
	running  bool
}

func TestTelling(t *testing.T) { suite.Run(t, new(tellingSuite)) }

func (s *tellingSuite) SetupTest() {
	s.workflowSuite.SetupTest()
	s.told, s.memories, s.running = nil, nil, true
	s.tell = func(in activities.TellInput) (activities.Told, error) {
		return activities.Told{Memory: activities.Memory{"seen": in.Notice.State}}, nil
	}
	s.address = func() (activities.Address, error) { return activities.Address{URL: "http://site.example"}, nil }
	add := func(name string, step any) {
		s.env.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
	}
	add("Tell", func(in activities.TellInput) (activities.Told, error) {
		told, err := s.tell(in)
		if err == nil && told.Problem == "" {
			s.told = append(s.told, in.Receiver.To+" "+in.Notice.State)
			s.memories = append(s.memories, in.Memory)
		}
		return told, err
	})
	add("FindAddress", func(activities.AddressInput) (activities.Address, error) { return s.address() })
	add("FindRun", func(activities.FindRunInput) (activities.FoundRun, error) {
		return activities.FoundRun{Found: true, Running: s.running}, nil
	})
}

func told(number int, state RunState) delivery.Notice {
	return delivery.Notice{
		RunID: "run/site/x", Execution: "e", Number: number, State: string(state), Ended: state.Ended(),
		Stages: []delivery.NoticeStage{{Stage: "production", Environment: "site-production", State: string(state)}},
	}
}

// run tells of a run whose notices come at the given times after its beginning.
func (s *tellingSuite) run(receivers []delivery.Receiver, after map[time.Duration]delivery.Notice) TellingResult {
	for delay, notice := range after {
		s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(NoticeSignal, notice) }, delay)
	}
	s.env.ExecuteWorkflow(Telling, TellingInput{Receivers: receivers, First: told(1, StateBuilding)})
	s.True(s.env.IsWorkflowCompleted())
	s.Require().NoError(s.env.GetWorkflowError())
	var result TellingResult
	s.Require().NoError(s.env.GetWorkflowResult(&result))
	return result
}

var (
	toGitHub  = delivery.Receiver{To: delivery.ToGitHub}
	toSlack   = delivery.Receiver{To: delivery.ToSlack, On: []string{delivery.MomentWaiting, delivery.MomentSucceeded, delivery.MomentFailed}}
	wholeRun  = map[time.Duration]delivery.Notice{time.Minute: told(2, StateDeploying), 2 * time.Minute: told(3, StateSucceeded)}
	threeDays = 72 * time.Hour
)

func (s *tellingSuite) TestEveryChangeIsToldInOrderUntilTheEnd() {
	s.Empty(s.run([]delivery.Receiver{toGitHub}, wholeRun).Untold)
	s.Equal([]string{"github building", "github deploying", "github succeeded"}, s.told)
	s.Equal([]activities.Memory{nil, {"seen": "building"}, {"seen": "deploying"}}, s.memories)
}

func (s *tellingSuite) TestReceiversOfMomentsAreToldOfEachOnce() {
	waiting := told(4, StateWaiting)
	waiting.Detail = "one of two has approved"
	s.run([]delivery.Receiver{toSlack}, map[time.Duration]delivery.Notice{
		time.Minute: told(2, StateDeploying), 2 * time.Minute: told(3, StateWaiting), 3 * time.Minute: waiting, 4 * time.Minute: told(5, StateFailed),
	})
	s.Equal([]string{"slack waiting", "slack failed"}, s.told)
}

func (s *tellingSuite) TestAReceiverThatIsAwayIsToldTheNewestWhenItIsBackAndTheOthersDoNotWait() {
	away := true
	s.env.RegisterDelayedCallback(func() { away = false }, time.Hour)
	s.tell = func(in activities.TellInput) (activities.Told, error) {
		if in.Receiver.To == delivery.ToGitHub && away {
			return activities.Told{Problem: "GitHub is down"}, nil
		}
		return activities.Told{}, nil
	}
	s.Empty(s.run([]delivery.Receiver{toGitHub, toSlack}, wholeRun).Untold)
	s.Equal([]string{"slack succeeded", "github succeeded"}, s.told, "nothing old is told, and nobody waited")
}

func (s *tellingSuite) TestWhoAsksToWaitIsNotAskedBefore() {
	var at []time.Time
	s.tell = func(activities.TellInput) (activities.Told, error) {
		if at = append(at, s.env.Now()); len(at) == 1 {
			return activities.Told{Memory: activities.Memory{"half": "done"}, Problem: "later", RetryAfter: delivery.Duration(40 * time.Minute)}, nil
		}
		return activities.Told{}, nil
	}
	s.run([]delivery.Receiver{toGitHub}, wholeRun)
	s.Len(at, 2)
	s.GreaterOrEqual(at[1].Sub(at[0]), 40*time.Minute)
	s.Equal([]activities.Memory{{"half": "done"}}, s.memories, "what was done is not done again")
}

func (s *tellingSuite) TestWhatCannotBeToldIsGivenUpAndSaid() {
	s.tell = func(activities.TellInput) (activities.Told, error) { return activities.Told{Problem: "down"}, nil }
	began := s.env.Now()
	s.Equal([]string{"github: down"}, s.run([]delivery.Receiver{toGitHub}, wholeRun).Untold)
	s.Less(s.env.Now().Sub(began), giveUpTelling+time.Hour, "in a bounded time")
}

func (s *tellingSuite) TestWhatIsHopelessIsNotTriedAgainForTheSameNotice() {
	attempts := 0
	s.tell = func(activities.TellInput) (activities.Told, error) {
		attempts++
		return activities.Told{Problem: "no such channel", Hopeless: true}, nil
	}
	s.run([]delivery.Receiver{toSlack}, map[time.Duration]delivery.Notice{time.Minute: told(2, StateFailed)})
	s.Equal(1, attempts)
}

func (s *tellingSuite) TestAStepThatBreaksIsNoEnd() {
	failures := 0
	s.tell = func(activities.TellInput) (activities.Told, error) {
		if failures++; failures < 6 {
			return activities.Told{}, errors.New("the worker is lost")
		}
		return activities.Told{}, nil
	}
	s.Empty(s.run([]delivery.Receiver{toGitHub}, wholeRun).Untold)
	s.Equal("github succeeded", s.told[len(s.told)-1])
}

func (s *tellingSuite) TestAnOldNoticeThatComesLateIsNotTold() {
	s.run([]delivery.Receiver{toGitHub}, map[time.Duration]delivery.Notice{
		time.Minute: told(3, StateDeploying), 2 * time.Minute: told(2, StateBuilding), 3 * time.Minute: told(4, StateSucceeded),
	})
	s.Equal([]string{"github building", "github deploying", "github succeeded"}, s.told)
}

func (s *tellingSuite) TestAnOldNoticeIsNotToldEitherToWhoWasAwayMeanwhile() {
	away := true
	s.env.RegisterDelayedCallback(func() { away = false }, time.Hour)
	s.tell = func(activities.TellInput) (activities.Told, error) {
		if away {
			return activities.Told{Problem: "down"}, nil
		}
		return activities.Told{}, nil
	}
	s.run([]delivery.Receiver{toGitHub}, map[time.Duration]delivery.Notice{
		time.Minute: told(3, StateDeploying), 2 * time.Minute: told(2, StateBuilding), 3 * time.Hour: told(4, StateSucceeded),
	})
	s.Equal([]string{"github deploying", "github succeeded"}, s.told)
}

func (s *tellingSuite) TestARunThatWasTerminatedIsNotWaitedForForever() {
	s.env.RegisterDelayedCallback(func() { s.running = false }, threeDays)
	began := s.env.Now()
	s.run([]delivery.Receiver{toGitHub}, map[time.Duration]delivery.Notice{time.Minute: told(2, StateWaiting)})
	s.Equal([]string{"github building", "github waiting"}, s.told)
	s.GreaterOrEqual(s.env.Now().Sub(began), threeDays, "one that only waits is waited with")
}

func (s *tellingSuite) TestTheEnvironmentsAddressIsAskedOnceAndDoneWithoutWhereItIsNotKnown() {
	asked := 0
	s.address = func() (activities.Address, error) {
		asked++
		return activities.Address{URL: "http://site.example"}, nil
	}
	var urls []string
	s.tell = func(in activities.TellInput) (activities.Told, error) {
		urls = append(urls, in.Notice.Stages[0].URL)
		return activities.Told{}, nil
	}
	s.run([]delivery.Receiver{toGitHub}, wholeRun)
	s.Equal(1, asked)
	s.Equal([]string{"http://site.example", "http://site.example", "http://site.example"}, urls)
}
