package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// GitHubQueue carries the steps that ask GitHub and those that tell. A GitHub that is slow, or asks
// to wait, holds up nothing else.
const GitHubQueue = "gravity-github"

// gitHubOptions: one or a few calls to GitHub. It keeps trying for an hour, which is how long GitHub's
// quota takes to begin anew.
func gitHubOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              GitHubQueue,
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: 70 * time.Minute,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}
