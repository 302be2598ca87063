package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/delivery"
)

// AwaitQuietInput names alarms, and how long to wait for them.
type AwaitQuietInput struct {
	AlarmsInput
	Until time.Time `json:"until"`
}

// Loud lists the alarms that are not known to be well; none: all are.
type Loud struct {
	Alarms []delivery.Alarm `json:"alarms,omitempty"`
}

// quietPause is the time between two looks at alarms that somebody waits for. CloudWatch itself evaluates
// most of them once a minute.
const quietPause = 15 * time.Second

// AwaitQuiet waits until all alarms are in state OK, or until the time is over; those that are not then are
// its answer. An alarm that does not exist is an InvalidInput: it would never be quiet.
func (a *Alarms) AwaitQuiet(ctx context.Context, input AwaitQuietInput) (Loud, error) {
	return handOver(ctx, func(ctx context.Context) (Loud, error) { return a.awaitQuiet(ctx, input) })
}

func (a *Alarms) awaitQuiet(ctx context.Context, input AwaitQuietInput) (Loud, error) {
	pause := time.NewTicker(a.pause())
	defer pause.Stop()
	for {
		found, missing, err := a.Client.States(ctx, input.Names)
		if err != nil {
			return Loud{}, toTemporal(err)
		}
		if len(missing) > 0 {
			return Loud{}, toTemporal(delivery.Errorf(delivery.InvalidInput, "there is no alarm %q in this account and region; create it, or correct gravity.yaml", missing[0]))
		}
		var loud Loud
		for _, alarm := range found {
			if !alarm.Quiet() {
				loud.Alarms = append(loud.Alarms, alarm)
			}
		}
		if len(loud.Alarms) == 0 || time.Now().After(input.Until) {
			return loud, nil
		}
		activity.RecordHeartbeat(ctx, loud)
		select {
		case <-ctx.Done():
			return loud, ctx.Err()
		case <-pause.C:
		}
	}
}

func (a *Alarms) pause() time.Duration {
	if a.Pause > 0 {
		return a.Pause
	}
	return quietPause
}
