package activities

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"gravity/internal/delivery"
	"gravity/internal/notice"
)

// receiverFunc is a receiver of one function.
type receiverFunc func(notice.Message, notice.Memory) error

func (f receiverFunc) Tell(_ context.Context, m notice.Message, memory notice.Memory) error {
	return f(m, memory)
}

func TestWhatAReceiverSaysReachesWhoeverTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Told
	}{
		"told":     {nil, Told{Memory: Memory{"before": "1", "now": "2"}}},
		"later":    {&delivery.Error{Type: delivery.Throttled, Message: "wait", RetryAfter: 90 * time.Second}, Told{Memory: Memory{"before": "1", "now": "2"}, Problem: "wait", RetryAfter: delivery.Duration(90 * time.Second)}},
		"hopeless": {delivery.Errorf(delivery.InvalidInput, "no such channel"), Told{Memory: Memory{"before": "1", "now": "2"}, Problem: "no such channel", Hopeless: true}},
		"unknown":  {errors.New("odd"), Told{Memory: Memory{"before": "1", "now": "2"}, Problem: "odd"}},
	} {
		t.Run(name, func(t *testing.T) {
			steps := &Telling{
				RunURL: func(id string) string { return "https://temporal.example.com/" + id },
				Receivers: notice.Receivers{"slack": receiverFunc(func(m notice.Message, memory notice.Memory) error {
					require.Equal(t, "https://temporal.example.com/run/site/x", m.URL)
					require.Equal(t, "C024BE91L", m.Target)
					memory["now"] = "2"
					return c.err
				})},
			}
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			env.RegisterActivity(steps)
			encoded, err := env.ExecuteActivity(steps.Tell, TellInput{
				Receiver: delivery.Receiver{To: "slack", Target: "C024BE91L"}, Notice: delivery.Notice{RunID: "run/site/x"}, Memory: Memory{"before": "1"},
			})
			require.NoError(t, err, "that somebody could not be told is no failure of the step")
			var told Told
			require.NoError(t, encoded.Get(&told))
			require.Equal(t, c.want, told)
		})
	}
}

func TestAWorkerWithoutCredentialsForGitHubSaysSoAtOnce(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	steps := &GitHub{}
	env.RegisterActivity(steps)
	for _, call := range []func() error{
		func() error { _, err := env.ExecuteActivity(steps.IsMember, IsMemberInput{}); return err },
		func() error { _, err := env.ExecuteActivity(steps.ChecksGreen, ChecksGreenInput{}); return err },
		func() error { _, err := env.ExecuteActivity(steps.Heads, HeadsInput{}); return err },
		func() error { _, err := env.ExecuteActivity(steps.Reply, ReplyInput{}); return err },
	} {
		var failure *temporal.ApplicationError
		require.ErrorAs(t, call(), &failure)
		require.True(t, failure.NonRetryable())
		require.Contains(t, failure.Message(), "--github-token-file")
	}
}

func TestTheTimeToWaitReachesTemporal(t *testing.T) {
	err := toTemporal(&delivery.Error{Type: delivery.Throttled, Message: "wait", RetryAfter: 40 * time.Minute})
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	require.False(t, failure.NonRetryable())
	require.Equal(t, 40*time.Minute, failure.NextRetryDelay())
}
