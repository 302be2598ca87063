package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// firstStage is where the run begins. The stages that a retry leaves out are shown as skipped.
func (r *run) firstStage() (int, error) {
	retry := r.input.Retry
	if retry == nil || retry.From == "" {
		return 0, nil
	}
	first := slices.IndexFunc(r.stages, func(stage delivery.Stage) bool { return stage.Name == retry.From })
	if first < 0 {
		return 0, delivery.Errorf(delivery.InvalidInput, "branch %q does not reach a stage %q of pipeline %s",
			r.input.Revision.Branch(), retry.From, r.input.Pipeline.Name)
	}
	for i := range first {
		r.status.Stages[i].State = StateSkipped
	}
	return first, nil
}

// madeBefore finds the version that an earlier run made.
func (r *run) madeBefore(ctx workflow.Context) (delivery.Version, error) {
	retry := r.input.Retry
	r.record(ctx, "retry", retry.Answer)
	version := delivery.Version{Application: r.input.Pipeline.Application, Label: retry.Version, Revision: r.input.Revision}
	found, err := r.findVersion(ctx, version)
	if err != nil {
		return version, err
	}
	if found == nil {
		return version, delivery.Errorf(delivery.VersionNotFound,
			"version %s no longer exists; build it again with starter deploy %s --revision %s --again",
			retry.Version, r.input.Pipeline.Name, r.input.Revision.SHA)
	}
	r.status.Build, r.status.Version = StateSkipped, found.Label
	r.show(ctx)
	return *found, nil
}
