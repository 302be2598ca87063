package workflows

import (
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// Task queues, by kind of work: what a queue's workers need differs.
const (
	// Queue carries workflows and the steps that talk to Temporal itself.
	Queue = "gravity"
	// PlatformQueue carries the steps that call AWS; its rate can be limited for the whole fleet.
	PlatformQueue = "gravity-platform"
	// BuildQueue carries the first step of a build, which answers with the queue of the worker that took it.
	BuildQueue = "gravity-build"
)

const (
	// maxBuildHosts is how often a build starts again because its worker was lost.
	maxBuildHosts = 3
	// hostSilence is how long a build host may leave a step unstarted before it counts as lost. Its
	// queue has slots to spare, so a living worker takes a step in milliseconds.
	hostSilence = time.Minute
	// heartbeat is how long a step may be silent before another worker takes it over. Steps report
	// every few seconds; three missed reports are no network hiccup.
	heartbeat = 20 * time.Second
	// askAgain is how often a run asks an environment anew for a result that did not come, in case
	// an operator terminated the environment's workflow.
	askAgain = time.Hour
	// busyPause is how long a deployment stands back when somebody else's update came first.
	busyPause = 15 * time.Second
	// rollbackPatience is how long a rollback waits for the platform to become Ready, beyond the
	// stage's deadline: Beanstalk's own reversal can take as long as its update.
	rollbackPatience = time.Hour
	// swapPatience is how long the platform may take to swap two addresses, which it does in a minute or two.
	swapPatience = 30 * time.Minute
)

// networkRetry is for calls that are cheap to repeat: quick at first, since most faults pass in
// a second, and slow later, since throttling gets worse by asking.
var networkRetry = &temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    30 * time.Second,
	// The activities mark these non-retryable themselves; this is the second guard.
	NonRetryableErrorTypes: nonRetryable(
		delivery.InvalidInput, delivery.RevisionNotFound, delivery.BundleRejected, delivery.WorkspaceLost,
		delivery.VersionConflict, delivery.VersionNotFound, delivery.EnvironmentNotFound,
	),
}

// once is for commands of the project: a test that runs again by itself hides a flaky test, and
// the workspace is no longer clean.
var once = &temporal.RetryPolicy{MaximumAttempts: 1}

func nonRetryable(types ...delivery.ErrorType) []string {
	names := make([]string, len(types))
	for i, kind := range types {
		names[i] = string(kind)
	}
	return names
}

// checkoutOptions: a first clone of a large repository takes minutes; a fetch takes seconds. A build may have to
// wait until a worker has room for it, which is nobody's fault: so it is the attempts that are counted,
// about an hour's.
func checkoutOptions(ctx workflow.Context) workflow.Context {
	retry := *networkRetry
	retry.MaximumAttempts = 120
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              BuildQueue,
		StartToCloseTimeout:    15 * time.Minute,
		ScheduleToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:       heartbeat,
		RetryPolicy:            &retry,
		Summary:                "check out the revision",
	})
}

// commandOptions: the runner ends the command at its own timeout, so Temporal's comes later.
// WaitForCancellation: the workspace is removed only when nothing runs in it any more.
func commandOptions(ctx workflow.Context, host string, timeout time.Duration, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              host,
		ScheduleToStartTimeout: hostSilence,
		StartToCloseTimeout:    timeout + time.Minute,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		RetryPolicy:            once,
		Summary:                summary,
	})
}

// transferOptions: 500 MB, the platform's limit, over a slow line.
func transferOptions(ctx workflow.Context, host, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              host,
		ScheduleToStartTimeout: hostSilence,
		StartToCloseTimeout:    15 * time.Minute,
		ScheduleToCloseTimeout: time.Hour,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}

// cleanupOptions: a workspace that can't be removed now is swept when the worker starts.
func cleanupOptions(ctx workflow.Context, host string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              host,
		ScheduleToStartTimeout: hostSilence,
		StartToCloseTimeout:    time.Minute,
		RetryPolicy:            once,
		Summary:                "remove the workspace",
	})
}

// callOptions: one or a few calls to AWS. It keeps trying for an hour: credentials get renewed
// and outages end while a run waits at no cost.
func callOptions(ctx workflow.Context, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: time.Hour,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}

// updateOptions: like callOptions, and an abort waits for its end: an update that is being sent while nobody
// waits for it any more would be nobody's.
func updateOptions(ctx workflow.Context, summary string) workflow.Context {
	options := workflow.GetActivityOptions(callOptions(ctx, summary))
	options.WaitForCancellation = true
	return workflow.WithActivityOptions(ctx, options)
}

// waitOptions: one activity that watches until something is decided, or limit passes. The activity
// itself answers at the limit, so Temporal's own timeout is only for one that can't.
func waitOptions(ctx workflow.Context, limit time.Duration, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		ScheduleToCloseTimeout: limit + 5*time.Minute,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}

// bakeOptions: like waitOptions, but when nobody could watch for a while, that says nothing against the version;
// so it may be a day late. An abort or a newer request does not wait for the end of the watching, which
// changes nothing.
func bakeOptions(ctx workflow.Context, bake time.Duration, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		ScheduleToCloseTimeout: bake + 24*time.Hour,
		HeartbeatTimeout:       heartbeat,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}

// probeOptions: the runner ends the command at its own timeout, so Temporal's comes later. Its failure is final, so
// only trouble with the worker is retried.
func probeOptions(ctx workflow.Context, probe delivery.Probe) workflow.Context {
	longest := probe.Timeout.Std() + time.Minute
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		StartToCloseTimeout:    longest,
		ScheduleToCloseTimeout: 3 * longest,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		RetryPolicy:            networkRetry,
		Summary:                "run the probe",
	})
}

// checkOptions: long enough for every request of a check to take as long as it may. Its failure is
// final, so only trouble with the worker is retried.
func checkOptions(ctx workflow.Context, check delivery.Check) workflow.Context {
	longest := time.Duration(activities.MostRequests(check)) * (check.Timeout.Std() + time.Second)
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		StartToCloseTimeout:    longest + time.Minute,
		ScheduleToCloseTimeout: 3 * (longest + time.Minute),
		HeartbeatTimeout:       heartbeat + check.Timeout.Std(),
		WaitForCancellation:    true,
		RetryPolicy:            networkRetry,
		Summary:                "check " + check.Path,
	})
}

// answerOptions: somebody waits at a terminal for whether the answer was taken, and not for long.
func answerOptions(ctx workflow.Context, summary string) workflow.Context {
	return stepOptions(withUrgency(ctx, urgent), workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		StartToCloseTimeout:    8 * time.Second,
		ScheduleToCloseTimeout: 12 * time.Second,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}

// lookOptions: a look at every environment there is. The next one comes by schedule, so that one which
// takes long, or fails, is given up.
func lookOptions(ctx workflow.Context) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		StartToCloseTimeout:    10 * time.Minute,
		ScheduleToCloseTimeout: 30 * time.Minute,
		HeartbeatTimeout:       time.Minute,
		RetryPolicy:            networkRetry,
		Summary:                "look at all environments",
	})
}

// pruneOptions: like callOptions, but a release does not wait long for it.
func pruneOptions(ctx workflow.Context) workflow.Context {
	options := workflow.GetActivityOptions(callOptions(ctx, "remove old versions"))
	options.ScheduleToCloseTimeout = 2 * time.Minute
	return workflow.WithActivityOptions(ctx, options)
}

// requestOptions: a call to Temporal itself; it must not be lost, however long Temporal's workers
// are away, since the version is made and the run has nothing else to do.
func requestOptions(ctx workflow.Context, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           Queue,
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         networkRetry,
		Summary:             summary,
	})
}

// deploymentOptions: the child outlives an environment's workflow that somebody terminates, since
// an update that has begun must be seen through.
func deploymentOptions(ctx workflow.Context, request QueuedRequest) workflow.Context {
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            request.Deployment,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:         request.Version.Label + " on " + request.Stage.Environment,
		Priority:              deploymentPriority(request.Request),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			PipelineAttribute.ValueSet(request.Pipeline),
			EnvironmentAttribute.ValueSet(request.Stage.Environment),
			RevisionAttribute.ValueSet(request.Version.Revision.SHA),
			VersionAttribute.ValueSet(request.Version.Label),
			StateAttribute.ValueSet(string(PhasePrecheck)),
		),
	})
}
