package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// FreezeReportWorkflow is the name under which FreezeReport is registered.
const FreezeReportWorkflow = "FreezeReport"

// FreezeReportInput names the environments whose alarms want to know.
type FreezeReportInput struct {
	Environments []string `json:"environments"`
}

// FreezeReport tells CloudWatch once which environments are frozen, for the alarm <environment>-frozen; a schedule
// starts it. It takes no messages. An environment without a queue is told as not frozen: nothing keeps a deployment
// from starting there.
func FreezeReport(ctx workflow.Context, input FreezeReportInput) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		// The next report comes soon, and an old one is worth nothing.
		ScheduleToCloseTimeout: freezeReportLimit,
		RetryPolicy:            networkRetry,
		Summary:                "ask which environments are frozen",
	})
	var found activities.Frozen
	err := workflow.ExecuteActivity(workflow.WithTaskQueue(ctx, Queue), (*activities.Freezes).FindFrozen, activities.FindFrozenInput{
		Workflow: EnvironmentWorkflow, Environment: EnvironmentAttribute.GetName(), State: StateAttribute.GetName(), Frozen: "frozen", Of: input.Environments,
	}).Get(ctx, &found)
	if err != nil {
		return toTemporal(err, nil)
	}
	options := workflow.GetActivityOptions(ctx)
	options.TaskQueue, options.Summary = PlatformQueue, "tell CloudWatch"
	options.RetryPolicy = &temporal.RetryPolicy{NonRetryableErrorTypes: nonRetryable(delivery.InvalidInput)}
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), (*activities.Metrics).ReportFrozen, found).Get(ctx, nil)
	if err != nil {
		return toTemporal(err, nil)
	}
	return nil
}

// freezeReportLimit is within the five minutes between two reports.
const freezeReportLimit = 4 * time.Minute
