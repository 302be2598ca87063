package workflows

import "go.temporal.io/sdk/workflow"

// The change IDs of workflow.GetVersion, which say what changed. One is removed when no run that began
// before it can be under way, or be replayed, any more.
const (
	// parallelTestsAndCaches: the jobs of a test's matrix run side by side, each in a workspace of
	// its own, and a cache that was not found is saved. Asked for only where a pipeline has either.
	parallelTestsAndCaches = "parallel-tests-and-caches"
)

// changed reports whether a run takes part in a change: those that began before it do not.
func changed(ctx workflow.Context, id string) bool {
	return workflow.GetVersion(ctx, id, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}
