package workflows

import "go.temporal.io/sdk/workflow"

// Change IDs of workflow.GetVersion, one for each change of the commands of a workflow that may be under
// way. The name says what changed; the version from which it holds stands where it is asked for. An ID
// is never used again, and is removed only when no run of the older code can exist any more.
const (
	// changeTimersEndWithTheirWait: the timer of a wait is cancelled when what was waited for came first.
	changeTimersEndWithTheirWait = "timers-end-with-their-wait"
	// changeAttributesWhenChanged: an environment sends its search attributes only when one of them
	// changed, and not with every request that it accepts.
	changeAttributesWhenChanged = "environment-attributes-when-changed"
	// changeParallelTestsAndCaches: the jobs of a test's matrix run side by side, each in a workspace of
	// its own, and a cache that was not found is saved. Asked for only where a pipeline has either.
	changeParallelTestsAndCaches = "parallel-tests-and-caches"
	// changeTelling: a run whose pipeline has receivers starts a Telling workflow and keeps it informed.
	changeTelling = "telling"
	// changeLastOfPairIsKept: what was made beside an environment that somebody ends is not ended as well. Asked
	// for only then.
	changeLastOfPairIsKept = "last-of-pair-is-kept"
	// changeSwapByHandIsNoSuccess: that users were brought back by hand shows when the old environment is to be
	// ended, and the deployment is then taken back. Asked for only then.
	changeSwapByHandIsNoSuccess = "swap-by-hand-is-no-success"
)

// changed reports whether a run takes part in a change: those that began before it do not.
func changed(ctx workflow.Context, id string) bool {
	return workflow.GetVersion(ctx, id, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}
