package proof

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/clock"
	"gravity/internal/proof/lab"
)

// quickPace asks the stand-in as often as its own test pace deserves.
var quickPace = beanstalk.Pace{Fast: 20 * time.Millisecond, Slow: 200 * time.Millisecond, Events: 100 * time.Millisecond, Lag: 100 * time.Millisecond}

// quickly makes a stage's rules fit for it.
func quickly(s *delivery.Stage) {
	s.Deadline, s.Patience = delivery.Duration(3*time.Minute), delivery.Duration(3*time.Minute)
	s.Health.Steady, s.Health.Settle = delivery.Duration(50*time.Millisecond), delivery.Duration(10*time.Second)
}

// maxEvents is what a deployment that goes well may cost over all its workflows, however long it takes.
const maxEvents = 60

// One of the deployments takes seconds. The other one takes three hours of the platform's time, which
// passes there a thousand times as fast, and is looked at all the while.
func TestTheHistoryOfADeploymentDoesNotGrowWithItsLength(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	long := aws.RealPace()
	long.Step, long.MinimumTimeout = 30*time.Minute, 3*time.Hour
	var lengths [][2]int
	for _, c := range []struct {
		name    string
		options aws.Options
		least   time.Duration // that the deployment takes on the platform's clock
		looks   int           // that the worker takes at it, at least
	}{
		{"seconds", aws.Options{Pace: aws.TestPace()}, 0, 1},
		{"three hours", aws.Options{Pace: long, Clock: clock.Scaled(1000)}, 2*time.Hour + 50*time.Minute, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := lab.Start(t.Context(), lab.Options{Directory: t.TempDir(), AWS: c.options, Pace: quickPace})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, l.Close()) })
			first, err := l.Version("good-1")
			require.NoError(t, err)
			require.NoError(t, l.Create(environment, first.Label, delivery.Immutable, 20*time.Millisecond))
			second, err := l.Version("good-2")
			require.NoError(t, err)

			looks := l.Server.Calls()["DescribeEnvironments"]
			deployment, err := l.Deploy(t.Context(), lab.Stage(environment, delivery.Immutable, quickly), second)
			require.NoError(t, err)
			record, _, err := l.Await(t.Context(), environment, deployment)
			require.NoError(t, err)
			require.Equal(t, delivery.OutcomeDeployed, record.Result.Outcome, record.Result.Reason)
			looks = l.Server.Calls()["DescribeEnvironments"] - looks
			require.GreaterOrEqual(t, looks, c.looks)
			took := platformTime(t, l)
			require.GreaterOrEqual(t, took, c.least)

			own, byType, err := l.HistoryLength(t.Context(), deployment)
			require.NoError(t, err)
			queue, err := l.QueueLength(t.Context(), environment)
			require.NoError(t, err)
			t.Logf("%s on the platform's clock, %d looks: %d events of Deployment, %d of Environment, %v", took, looks, own, queue, byType)
			require.LessOrEqual(t, own+queue, maxEvents)
			lengths = append(lengths, [2]int{own, queue})
		})
	}
	require.Len(t, lengths, 2)
	require.Equal(t, lengths[0], lengths[1])
}

// platformTime is how long the last update took by the platform's own events.
func platformTime(t *testing.T, l *lab.Lab) time.Duration {
	events, err := l.Events(environment)
	require.NoError(t, err)
	var began time.Time
	for _, event := range events {
		switch event.Message {
		case "Environment update is starting.":
			began = event.At
		case "Environment update completed successfully.":
			return event.At.Sub(began)
		}
	}
	require.Fail(t, "no update was completed")
	return 0
}
