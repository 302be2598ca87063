package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// alarmsQuiet: nothing is burning where the version is about to go. An alarm without data counts as loud: nobody
// knows.
func alarmsQuiet(ctx workflow.Context, s *stop, until time.Time) (bool, error) {
	names := s.stage.Gate.Alarms
	if len(names) == 0 {
		return false, nil
	}
	began := workflow.Now(ctx)
	s.waits(ctx, "until these alarms are quiet: "+strings.Join(names, ", "))
	var alarms *activities.Alarms
	var loud activities.Loud
	err := workflow.ExecuteActivity(waitOptions(ctx, until.Sub(began), "wait until alarms are quiet"), alarms.AwaitQuiet, activities.AwaitQuietInput{
		AlarmsInput: activities.AlarmsInput{Names: names}, Until: until,
	}).Get(ctx, &loud)
	if err != nil {
		return false, err
	}
	if len(loud.Alarms) > 0 {
		first := loud.Alarms[0]
		return false, delivery.Errorf(delivery.Rejected, "%s: alarm %s was not quiet within %s: it is %s", s.stage.Name, first.Name, s.stage.Gate.Timeout, first.State)
	}
	return workflow.Now(ctx).Sub(began) > time.Minute, nil
}
