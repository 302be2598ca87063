package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
)

// Drift looks, on a schedule, at all environments that Gravity deploys to, and tells each one's workflow
// what somebody changed there by hand. What becomes of it is for the next deployment to decide, by the
// stage's rule; until then `starter status` shows it. It completes when every environment was looked at; those that
// could not be are in its result.
func Drift(ctx workflow.Context) (activities.DriftReport, error) {
	var drift *activities.Drift
	var report activities.DriftReport
	err := workflow.ExecuteActivity(lookOptions(ctx), drift.Look, activities.LookInput{
		Workflow: EnvironmentWorkflow, Query: StatusQuery, Update: DriftUpdate,
	}).Get(ctx, &report)
	return report, err
}

// noteDrift remembers what was found, unless a deployment began meanwhile: that looks for itself.
func (e *environment) noteDrift(ctx workflow.Context, found Drifted) (EnvironmentStatus, error) {
	if e.running != nil {
		return e.status(), nil
	}
	switch {
	case found.What == "":
		e.Drift = nil
	case e.Drift == nil || e.Drift.What != found.What:
		e.Drift = &Drifted{What: clip(found.What), Since: workflow.Now(ctx)}
	}
	e.show(ctx)
	return e.status(), nil
}
