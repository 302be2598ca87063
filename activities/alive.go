package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// keepAlive heartbeats until the returned function is called, with the last line of output if there is any.
func keepAlive(ctx context.Context, beat time.Duration, output *lastLine) (stop func()) {
	return every(ctx, beat, func(ctx context.Context) {
		if output == nil {
			activity.RecordHeartbeat(ctx)
		} else {
			activity.RecordHeartbeat(ctx, output.String())
		}
	})
}
