package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/worker/connection"
	"gravity/workflows"
)

// scheduleTimeout bounds what is asked of Temporal for the schedule.
const scheduleTimeout = 20 * time.Second

// scheduleCatchUp lets a CatchUp look for lost pushes every so often; with every zero, none does. The schedule
// that is there takes the new pipelines over.
func scheduleCatchUp(ctx context.Context, c client.Client, file config.File, every time.Duration, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, scheduleTimeout)
	defer cancel()
	schedules := c.ScheduleClient()
	if every == 0 {
		err := schedules.GetHandle(ctx, workflows.CatchUpID).Delete(ctx)
		if err == nil {
			log.Info("nobody looks for lost pushes any more", "schedule", workflows.CatchUpID)
		}
		return nil // there was none, or Temporal does not answer, and then runs cannot be started either
	}
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	action := &client.ScheduleWorkflowAction{
		ID: workflows.CatchUpID, Workflow: workflows.CatchUpWorkflow, TaskQueue: workflows.Queue,
		Args:                     []any{workflows.CatchUpInput{Pipelines: file.Pipelines}},
		WorkflowExecutionTimeout: 30 * time.Minute, StaticSummary: "look for pushes whose webhook never came",
	}
	_, err := schedules.Create(ctx, client.ScheduleOptions{
		ID: workflows.CatchUpID, Spec: spec, Action: action, Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute, TriggerImmediately: true,
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		err = schedules.GetHandle(ctx, workflows.CatchUpID).Update(ctx, client.ScheduleUpdateOptions{
			DoUpdate: func(input client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
				schedule := input.Description.Schedule
				schedule.Spec, schedule.Action = &spec, action
				return &client.ScheduleUpdate{Schedule: &schedule}, nil
			},
		})
	}
	const doing = "scheduling the search for lost pushes"
	if denied := connection.Denied(err, doing, ""); denied != nil {
		return denied
	}
	if err != nil {
		return delivery.Errorf(delivery.Unavailable, doing+": %w", err)
	}
	return nil
}
