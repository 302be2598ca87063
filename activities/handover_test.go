package activities

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"gravity/internal/delivery"
)

// When a worker stops, what was decided in that moment holds; everything else is another worker's to find out.
func TestAWaitIsHandedOverUnlessItWasDecided(t *testing.T) {
	for name, c := range map[string]struct {
		result string
		err    error
		handed bool
	}{
		"undecided":                         {err: context.Canceled, handed: true},
		"a call that was cut off":           {err: toTemporal(delivery.Errorf(delivery.Unavailable, "describing: %w", context.Canceled)), handed: true},
		"decided well":                      {result: "healthy"},
		"decided for good, and not so well": {err: toTemporal(delivery.Errorf(delivery.EnvironmentNotFound, "it is gone"))},
	} {
		t.Run(name, func(t *testing.T) {
			steps := newSteps(t)
			stop := make(chan struct{})
			steps.SetWorkerStopChannel(stop)
			steps.RegisterActivityWithOptions(func(ctx context.Context) (string, error) {
				return handOver(ctx, func(ctx context.Context) (string, error) {
					close(stop)
					<-ctx.Done()
					return c.result, c.err
				})
			}, activity.RegisterOptions{Name: "Wait"})
			answer, err := steps.ExecuteActivity("Wait")
			if c.err == nil {
				require.NoError(t, err)
				var result string
				require.NoError(t, answer.Get(&result))
				require.Equal(t, c.result, result)
				return
			}
			var failure *temporal.ApplicationError
			require.ErrorAs(t, err, &failure)
			require.Equal(t, c.handed, failure.Type() == handedOver, err)
			require.Equal(t, !c.handed, failure.NonRetryable(), err)
			if c.handed {
				require.Equal(t, handOverDelay, failure.NextRetryDelay())
				require.Equal(t, temporal.ApplicationErrorCategoryBenign, failure.Category())
			}
		})
	}
}

// An abort is no stop of the worker.
func TestAWaitThatIsCancelledIsNotHandedOver(t *testing.T) {
	steps := newSteps(t)
	stop := make(chan struct{})
	steps.SetWorkerStopChannel(stop)
	ctx, cancel := context.WithCancel(t.Context())
	steps.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	steps.RegisterActivityWithOptions(func(ctx context.Context) error {
		_, err := handOver(ctx, func(ctx context.Context) (string, error) {
			cancel()
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(time.Minute):
				return "", errors.New("the wait was not cancelled")
			}
		})
		return err
	}, activity.RegisterOptions{Name: "Wait"})
	_, err := steps.ExecuteActivity("Wait")
	require.ErrorContains(t, err, "canceled")
}
