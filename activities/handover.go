package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

const (
	// handedOver is the type of the error with which a wait leaves a worker that stops. It is no fault of anything.
	handedOver = "HandedOver"
	// handOverDelay is how long Temporal holds a wait back that was handed over. By then the worker that stops has
	// ended its own polls, and cannot be given it again.
	handOverDelay = time.Second
)

var errWorkerStops = errors.New("the worker stops")

// handOver watches something until that is decided, or until the worker stops: then another worker begins the same
// wait at once, instead of after the grace of the one that stops and the heartbeats that it no longer sends. For
// steps that only look; one that changes something gets the whole grace.
func handOver[T any](ctx context.Context, watch func(context.Context) (T, error)) (T, error) {
	watched, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			stop(errWorkerStops)
		case <-watched.Done():
		}
	}()
	result, err := watch(watched)
	var decided *temporal.ApplicationError
	if err == nil || !errors.Is(context.Cause(watched), errWorkerStops) || errors.As(err, &decided) && decided.NonRetryable() {
		return result, err
	}
	return result, temporal.NewApplicationErrorWithOptions("the worker stops; another one goes on with it", handedOver, temporal.ApplicationErrorOptions{
		NextRetryDelay: handOverDelay, Category: temporal.ApplicationErrorCategoryBenign,
	})
}
