package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// awaitWithin waits until a condition holds, at most for a time; inTime is false when that passed first. It
// ends its timer with the wait. The SDK's own Await leaves it running, so that Temporal would still show a
// run as waiting for an approval long after it was given, and wake it up at the timeout for nothing.
func awaitWithin(ctx workflow.Context, limit time.Duration, summary string, condition func() bool) (inTime bool, err error) {
	if changed(ctx, changeTimersEndWithTheirWait) {
		waiting, end := workflow.WithCancel(ctx)
		defer end()
		ctx = waiting
	}
	return workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: limit, TimerOptions: workflow.TimerOptions{Summary: summary},
	}, condition)
}
