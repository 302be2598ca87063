package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// AwaitChecksInput names a commit, the checks that have to be green on it, and how long to wait for them.
type AwaitChecksInput struct {
	ChecksGreenInput
	Until time.Time `json:"until"`
}

// checksPause is the time between two looks: GitHub's quota is 5,000 requests an hour, for everything.
const checksPause = 20 * time.Second

// AwaitChecks waits until the checks are green, until one has failed, or until the time is over. What it
// last saw is its answer, and in its heartbeats.
func (g *GitHub) AwaitChecks(ctx context.Context, input AwaitChecksInput) (Checks, error) {
	return handOver(ctx, func(ctx context.Context) (Checks, error) { return g.awaitChecks(ctx, input) })
}

func (g *GitHub) awaitChecks(ctx context.Context, input AwaitChecksInput) (Checks, error) {
	pause := time.NewTicker(g.pause())
	defer pause.Stop()
	for {
		checks, err := g.ChecksGreen(ctx, input.ChecksGreenInput)
		if err != nil || checks.Green || len(checks.Failed) > 0 || time.Now().After(input.Until) {
			return checks, err
		}
		activity.RecordHeartbeat(ctx, checks)
		select {
		case <-ctx.Done():
			return checks, ctx.Err()
		case <-pause.C:
		}
	}
}

func (g *GitHub) pause() time.Duration {
	if g.Pause > 0 {
		return g.Pause
	}
	return checksPause
}
