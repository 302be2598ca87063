package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// GitHubQueue carries the steps that ask GitHub and those that tell. A GitHub that is slow, or asks
// to wait, holds up nothing else.
const GitHubQueue = "gravity-github"

// checksOptions: one step that asks again and again until the gate's time is over.
func checksOptions(ctx workflow.Context, limit time.Duration, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              GitHubQueue,
		ScheduleToCloseTimeout: limit + 5*time.Minute,
		// GitHub may ask to wait, and is then left alone for a while.
		HeartbeatTimeout:    5 * time.Minute,
		WaitForCancellation: true,
		RetryPolicy:         networkRetry,
		Summary:             summary,
	})
}

// gitHubOptions: one or a few calls to GitHub. It keeps trying for an hour, which is how long GitHub's
// quota takes to begin anew.
func gitHubOptions(ctx workflow.Context, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              GitHubQueue,
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: 70 * time.Minute,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}
