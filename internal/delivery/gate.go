package delivery

import "time"

// Gate is what must be true before a stage's deployment is requested. All that it names must hold at
// the same time; a run that waits here holds nobody up.
type Gate struct {
	// Approval asks people. Absent: nobody is asked.
	Approval *Approval `json:"approval,omitempty" yaml:"approval,omitempty"`
	// Windows says when deployments may start. Absent: always.
	Windows *Windows `json:"windows,omitempty" yaml:"windows,omitempty"`
	// Alarms names CloudWatch alarms that must be quiet (in state OK).
	Alarms []string `json:"alarms,omitempty" yaml:"alarms,omitempty"`
	// Checks names GitHub checks and statuses that must be green on the revision.
	Checks []string `json:"checks,omitempty" yaml:"checks,omitempty"`
	// Rest is the shortest time between the end of the previous stage and this deployment.
	Rest Duration `json:"rest,omitempty" yaml:"rest,omitempty"`
	// Timeout ends the run as rejected when the rest of the gate, without the approval, does not open.
	// Default 168h, a week: windows can be that far apart.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// Approval is the rule of people's answers.
type Approval struct {
	// Count is how many different people must approve; one rejection suffices to end the run. Default 1.
	Count int `json:"count,omitempty" yaml:"count,omitempty"`
	// Users may answer, by their login. Empty, and no teams: everybody may who reaches Temporal.
	Users []string `json:"users,omitempty" yaml:"users,omitempty"`
	// Teams whose members may answer, as organization/team. Membership is looked up when somebody answers.
	Teams []string `json:"teams,omitempty" yaml:"teams,omitempty"`
	// FourEyes keeps the author of the revision from approving it.
	FourEyes bool `json:"fourEyes,omitempty" yaml:"four-eyes,omitempty"`
	// Timeout is when Otherwise becomes the answer. Default 72h.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
	// Otherwise is what then. Default: reject.
	Otherwise Otherwise `json:"otherwise,omitempty" yaml:"otherwise,omitempty"`
}

// Restricted reports whether not everybody may answer, so that an answer needs a name that is proven.
func (a Approval) Restricted() bool {
	return len(a.Users) > 0 || len(a.Teams) > 0 || a.FourEyes || a.Count > 1
}

// Otherwise is what nobody's answer means.
type Otherwise string

const (
	// OtherwiseReject ends the run: a forgotten one never deploys an old version weeks later.
	OtherwiseReject Otherwise = "reject"
	// OtherwiseApprove goes on: silence is consent.
	OtherwiseApprove Otherwise = "approve"
)

// Windows is when deployments may start, in the time zone of the people who would have to get up.
type Windows struct {
	// TimeZone is a name of the IANA database, such as Europe/Berlin. Default UTC.
	TimeZone string `json:"timeZone,omitempty" yaml:"time-zone,omitempty"`
	// Open lists the windows; one of them has to be open.
	Open []Window `json:"open" yaml:"open"`
	// Holidays are days on which none is open, as 2026-12-24.
	Holidays []string `json:"holidays,omitempty" yaml:"holidays,omitempty"`
}

// Window is a span of a day, on some days of the week.
type Window struct {
	// Days are Mon, Tue, Wed, Thu, Fri, Sat, Sun. Default: Monday to Friday.
	Days []string `json:"days,omitempty" yaml:"days,omitempty"`
	// From and To are times of the day, as 09:00; To 24:00 is midnight. To itself is outside.
	From string `json:"from" yaml:"from"`
	To   string `json:"to" yaml:"to"`
}

// Weekdays are the names that Window.Days takes, Sunday first as in the standard library.
func Weekdays() []string { return []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"} }

func (a *Approval) withDefaults() *Approval {
	if a == nil {
		return nil
	}
	approval := *a
	orElse(&approval.Count, 1)
	orElse(&approval.Timeout, DefaultApprovalTimeout)
	orElse(&approval.Otherwise, OtherwiseReject)
	return &approval
}

func (g Gate) withDefaults() Gate {
	g.Approval = g.Approval.withDefaults()
	if g.Windows != nil {
		windows := *g.Windows
		orElse(&windows.TimeZone, time.UTC.String())
		windows.Open = append([]Window(nil), windows.Open...)
		for i := range windows.Open {
			if len(windows.Open[i].Days) == 0 {
				windows.Open[i].Days = Weekdays()[1:6]
			}
		}
		g.Windows = &windows
	}
	orElse(&g.Timeout, DefaultGateTimeout)
	return g
}
