package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// checksGreen: what else GitHub knows of the revision is green. A check that failed ends the run, since no
// waiting mends it; whoever has it run again tries the run again, too.
func checksGreen(ctx workflow.Context, s *stop, until time.Time) (bool, error) {
	names := s.stage.Gate.Checks
	if len(names) == 0 {
		return false, nil
	}
	began := workflow.Now(ctx)
	s.waits(ctx, "until these checks are green: "+strings.Join(names, ", "))
	var gitHub *activities.GitHub
	var checks activities.Checks
	err := workflow.ExecuteActivity(checksOptions(ctx, until.Sub(began), "wait for checks"), gitHub.AwaitChecks, activities.AwaitChecksInput{
		ChecksGreenInput: activities.ChecksGreenInput{
			Repository: s.run.input.Pipeline.Repository, SHA: s.run.status.Revision.SHA, Names: names,
		},
		Until: until,
	}).Get(ctx, &checks)
	switch {
	case err != nil:
		return false, err
	case checks.Green:
		return workflow.Now(ctx).Sub(began) > time.Minute, nil
	case len(checks.Failed) > 0:
		return false, delivery.Errorf(delivery.Rejected, "%s: the revision's checks failed: %s; when they are green, use starter retry",
			s.stage.Name, strings.Join(checks.Failed, ", "))
	default:
		return false, delivery.Errorf(delivery.Rejected, "%s: the revision's checks were not green within %s: %s",
			s.stage.Name, s.stage.Gate.Timeout, strings.Join(checks.Pending, ", "))
	}
}
