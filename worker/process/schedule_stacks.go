package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
	"gravity/workflows"
)

const (
	// stackDriftInterval is how often stacks are looked at for drift. A look is a few calls a stack.
	stackDriftInterval = 6 * time.Hour
	// freezeInterval is the period of the alarm in cloudformation/alarms.yaml.
	freezeInterval = 5 * time.Minute
	// maxSummary is below what Temporal takes for a summary, 400 bytes.
	maxSummary = 350
)

// WatchSchedule is a schedule that looks at some things by name. Which ones it is told when stacks are provisioned:
// a worker knows no gravity.yaml.
type WatchSchedule struct {
	// ID is the schedule's in Temporal.
	ID     string
	spec   client.ScheduleSpec
	action func(names []string) *client.ScheduleWorkflowAction
}

// StackDriftSchedule looks for drift in the stacks of one file, which its scope names.
func StackDriftSchedule(scope string) WatchSchedule {
	id := "stack-drift/" + scope
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: stackDriftInterval}}, Jitter: 10 * time.Minute}
	return WatchSchedule{ID: id, spec: spec, action: func(stacks []string) *client.ScheduleWorkflowAction {
		return &client.ScheduleWorkflowAction{
			ID: id, Workflow: workflows.StackDriftWorkflow, TaskQueue: workflows.Queue, Priority: workflows.BackgroundPriority(),
			Args: []any{workflows.StackDriftInput{Stacks: stacks}}, WorkflowRunTimeout: 2 * time.Hour,
			StaticSummary: delivery.Clip("look for drift in "+strings.Join(stacks, ", "), maxSummary),
		}
	}}
}

// FreezeSchedule tells the alarms of environments which of them are frozen.
func FreezeSchedule(scope string) WatchSchedule {
	id := "freezes/" + scope
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: freezeInterval}}}
	return WatchSchedule{ID: id, spec: spec, action: func(environments []string) *client.ScheduleWorkflowAction {
		return &client.ScheduleWorkflowAction{
			ID: id, Workflow: workflows.FreezeReportWorkflow, TaskQueue: workflows.Queue, Priority: workflows.BackgroundPriority(),
			Args: []any{workflows.FreezeReportInput{Environments: environments}}, WorkflowRunTimeout: freezeInterval,
			StaticSummary: delivery.Clip("tell of freezes of "+strings.Join(environments, ", "), maxSummary),
		}
	}}
}

// Watch adds names to what a schedule looks at, and makes the schedule if need be.
func Watch(ctx context.Context, c client.Client, w WatchSchedule, names []string) error {
	return w.change(ctx, c, func(watched map[string]bool) {
		for _, name := range names {
			watched[name] = true
		}
	})
}

// Unwatch takes names away. A schedule that looks at nothing is removed.
func Unwatch(ctx context.Context, c client.Client, w WatchSchedule, names []string) error {
	return w.change(ctx, c, func(watched map[string]bool) {
		for _, name := range names {
			delete(watched, name)
		}
	})
}

func (w WatchSchedule) change(ctx context.Context, c client.Client, change func(watched map[string]bool)) error {
	handle := c.ScheduleClient().GetHandle(ctx, w.ID)
	described, err := handle.Describe(ctx)
	var missing *serviceerror.NotFound
	exists := !errors.As(err, &missing)
	if err != nil && exists {
		return fmt.Errorf("looking at the schedule %s: %w", w.ID, err)
	}
	watched := map[string]bool{}
	for _, name := range Watched(described) {
		watched[name] = true
	}
	change(watched)
	names := slices.Sorted(maps.Keys(watched))
	note := strings.Join(names, " ")
	switch {
	case len(names) == 0 && exists:
		err = handle.Delete(ctx)
	case len(names) == 0:
		return nil
	case exists:
		err = handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(found client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			found.Description.Schedule.Action = w.action(names)
			found.Description.Schedule.State.Note = note
			return &client.ScheduleUpdate{Schedule: &found.Description.Schedule}, nil
		}})
	default:
		_, err = c.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: w.ID, Spec: w.spec, Action: w.action(names), Note: note})
		if errors.Is(err, temporal.ErrScheduleAlreadyRunning) { // somebody else's provisioning was quicker
			return w.change(ctx, c, change)
		}
	}
	if err != nil {
		return fmt.Errorf("changing the schedule %s: %w", w.ID, err)
	}
	return nil
}

// Watched are the names that a schedule looks at; its note has them.
func Watched(of *client.ScheduleDescription) []string {
	if of == nil || of.Schedule.State == nil {
		return nil
	}
	return strings.Fields(of.Schedule.State.Note)
}
