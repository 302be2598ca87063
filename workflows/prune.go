package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// prune makes room for a version before it is registered, since a full application takes none. That it
// could not be done fails no release: there may be room, and if there is none, registering says so.
func (r *run) prune(ctx workflow.Context, version delivery.Version) error {
	if r.input.Pipeline.Keep == 0 { // a run that began before versions were removed
		return nil
	}
	var versions *activities.Versions
	var pruned activities.Pruned
	err := workflow.ExecuteActivity(pruneOptions(ctx), versions.Prune, activities.PruneInput{
		Application: version.Application, Pipeline: r.input.Pipeline.Name, Keep: r.input.Pipeline.Keep, Needed: version.Label,
		EnvironmentWorkflow: EnvironmentWorkflow, PipelineWorkflow: PipelineWorkflow, Query: StatusQuery,
		VersionAttribute: VersionAttribute.GetName(),
	}).Get(ctx, &pruned)
	if err != nil {
		workflow.GetLogger(ctx).Warn("old versions could not be removed", "error", err)
	}
	return ctx.Err()
}
