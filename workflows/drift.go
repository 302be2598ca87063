package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
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

func mayReconfigure(change Reconfiguration) error {
	if change.Stack == "" || change.ChangeSet == "" {
		return delivery.Errorf(delivery.InvalidInput, "name the stack and the change set that give the environment another configuration")
	}
	return nil
}

// forgetConfiguration forgets which settings were left here: a stack changes them, so that those which are found
// next are intended. The version that was left is remembered; stacks have no say in it.
func (e *environment) forgetConfiguration(ctx workflow.Context, change Reconfiguration) (EnvironmentStatus, error) {
	workflow.GetLogger(ctx).Info("a stack changes the configuration", "environment", e.Environment, "stack", change.Stack, "changeSet", change.ChangeSet)
	e.Configuration, e.Drift = "", nil
	e.show(ctx)
	return e.status(), nil
}
