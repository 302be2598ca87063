package activities

import (
	"context"
	"time"

	"gravity/internal/alarms"
	"gravity/internal/delivery"
)

// Alarms reads CloudWatch alarms.
type Alarms struct {
	Client *alarms.Client
	// Pause is the time between two looks at alarms that are waited for. Default 15 s.
	Pause time.Duration
}

// AlarmsInput names the alarms.
type AlarmsInput struct {
	Names []string `json:"names"`
}

// AlarmStates are the alarms that there are, in the order of their names in the input, and the names that none has.
type AlarmStates struct {
	Alarms  []delivery.Alarm `json:"alarms,omitempty"`
	Missing []string         `json:"missing,omitempty"`
}

// AlarmStates reads the states of alarms as they are now.
func (a *Alarms) AlarmStates(ctx context.Context, input AlarmsInput) (AlarmStates, error) {
	found, missing, err := a.Client.States(ctx, input.Names)
	return AlarmStates{Alarms: found, Missing: missing}, toTemporal(err)
}
