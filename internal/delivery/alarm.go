package delivery

import "time"

// Alarm is a CloudWatch alarm at one moment.
type Alarm struct {
	Name string `json:"name"`
	// State is OK, ALARM or INSUFFICIENT_DATA.
	State string `json:"state"`
	// Reason is CloudWatch's own for the state, bounded.
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// Raised reports whether the alarm is raised. One that has no data is not: nobody knows.
func (a Alarm) Raised() bool { return a.State == "ALARM" }

// Quiet reports whether the alarm is known to be well.
func (a Alarm) Quiet() bool { return a.State == "OK" }
