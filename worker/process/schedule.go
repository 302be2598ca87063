package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"gravity/workflows"
)

// DriftSchedule is the ID of the schedule on which all environments are looked at.
const DriftSchedule = "gravity-drift"

// driftInterval is how long a change by hand may stay unseen between deployments. The look costs AWS one
// call for 200 environments.
const driftInterval = 15 * time.Minute

// Schedule makes sure that a namespace has Gravity's schedules. One that is there is left as it is: an operator may have
// paused it, or given it another pace.
func Schedule(ctx context.Context, c client.Client) error {
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:      DriftSchedule,
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: driftInterval}}},
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		// What was missed while Temporal was away is made good by the next look.
		CatchupWindow: time.Minute,
		Action: &client.ScheduleWorkflowAction{
			ID: "drift", Workflow: workflows.DriftWorkflow, TaskQueue: workflows.Queue, Priority: workflows.BackgroundPriority(),
			StaticSummary: "looks at all environments for what was changed by hand",
		},
	})
	if err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return fmt.Errorf("making the schedule %s: %w", DriftSchedule, err)
	}
	return nil
}
