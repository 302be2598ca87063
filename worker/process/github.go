package process

import (
	"context"

	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/internal/beanstalk"
	"gravity/worker/connection"
	"gravity/worker/runs"
	"gravity/workflows"
)

// The steps that ask GitHub, and those that tell. They have a queue of their own, so that a GitHub that is slow or out of
// patience holds up nothing but itself.
func (o Options) gitHubWorker(platform *beanstalk.Client) worker.Worker {
	options := o.worker()
	options.MaxConcurrentActivityExecutionSize = 50
	options.ActivityTaskPollerBehavior = pollers(1, 2, 10)
	options.DisableWorkflowWorker = true
	w := worker.New(o.Temporal, workflows.GitHubQueue, options)
	w.RegisterActivity(&activities.GitHub{Client: o.GitHub})
	w.RegisterActivity(o.telling(platform))
	return w
}

// begin starts a run for a workflow.
func (o Options) begin(ctx context.Context, input activities.StartRunInput) (activities.StartedRun, error) {
	started, err := runs.Start(ctx, connection.Decoding{Client: o.Temporal, Data: o.DataConverter}, runs.Request{
		Pipeline: input.Pipeline, Revision: input.Revision, Until: input.Until, Name: input.Name,
	})
	return activities.StartedRun(started), err
}
