package process

import (
	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/workflows"
)

// The steps that ask GitHub. They have a queue of their own, so that a GitHub that is slow or out of
// patience holds up nothing but itself.
func (o Options) gitHubWorker() worker.Worker {
	options := o.worker()
	options.MaxConcurrentActivityExecutionSize = 50
	options.DisableWorkflowWorker = true
	w := worker.New(o.Temporal, workflows.GitHubQueue, options)
	w.RegisterActivity(&activities.GitHub{Client: o.GitHub})
	return w
}
