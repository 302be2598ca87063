package delivery

import "time"

// Receiver is who is told what becomes of a pipeline's runs.
type Receiver struct {
	// To is what kind of receiver it is.
	To string `json:"to" yaml:"to"`
	// Target is where it is: a Slack channel's ID, an address, a topic's ARN. GitHub needs none: it is
	// told at the commit.
	Target string `json:"target,omitempty" yaml:"target,omitempty"`
	// On lists the moments that it is told of. GitHub is told of every change. Default: waiting, succeeded, failed.
	On []string `json:"on,omitempty" yaml:"on,omitempty"`
}

// Kinds of receivers.
const (
	ToGitHub  = "github"
	ToSlack   = "slack"
	ToWebhook = "webhook"
	ToSNS     = "sns"
)

// Moments of a run that a receiver can be told of.
const (
	MomentStarted   = "started"
	MomentWaiting   = "waiting"   // for somebody's approval
	MomentSucceeded = "succeeded" // every stage is on the new version
	MomentFailed    = "failed"    // any other end
)

func (r Receiver) withDefaults() Receiver {
	if len(r.On) == 0 && r.To != ToGitHub {
		r.On = []string{MomentWaiting, MomentSucceeded, MomentFailed}
	}
	return r
}

// Notice is a run as it is told to receivers.
type Notice struct {
	RunID string `json:"run"`
	// Execution tells passages of the same revision apart; Number counts a passage's notices.
	Execution string `json:"execution"`
	Number    int    `json:"number"`

	Pipeline    string   `json:"pipeline"`
	Application string   `json:"application"`
	Repository  string   `json:"repository"`
	Path        string   `json:"path,omitempty"`
	Revision    Revision `json:"revision"`
	Version     string   `json:"version,omitempty"`
	// State, Build and the states of stages are those of the run's own status.
	State  string        `json:"state"`
	Ended  bool          `json:"ended"`
	Detail string        `json:"detail,omitempty"`
	Build  string        `json:"build"`
	Stages []NoticeStage `json:"stages"`
	// Output is the end of what a command that failed had printed.
	Output string `json:"output,omitempty"`
	// FailedTests are those that the test's reports name, and FlakyTests those that passed only when they were tried again.
	FailedTests []NoticeTest `json:"failedTests,omitempty"`
	FlakyTests  []NoticeTest `json:"flakyTests,omitempty"`
	StartedAt   time.Time    `json:"startedAt"`
	At          time.Time    `json:"at"`
}

// NoticeTest is a test that failed.
type NoticeTest struct {
	Name    string `json:"name"`
	Message string `json:"message,omitempty"`
}

// NoticeStage is one stage of a Notice.
type NoticeStage struct {
	Stage       string   `json:"stage"`
	Environment string   `json:"environment"`
	State       string   `json:"state"`
	Detail      string   `json:"detail,omitempty"`
	LeftOn      string   `json:"leftOn,omitempty"`
	Evidence    []string `json:"evidence,omitempty"`
	// URL is where users find the environment; empty until it is known.
	URL string `json:"url,omitempty"`
}

// States that a Notice has, as runs and their stages call them.
const (
	NoticePending   = "pending"
	NoticeBuilding  = "building"
	NoticeWaiting   = "waiting"
	NoticeDeploying = "deploying"
	NoticeSucceeded = "succeeded"
	NoticeFailed    = "failed"
	NoticeAttention = "needs attention"
)

// Newer reports whether a notice says more than another one of the same revision.
func (n Notice) Newer(than Notice) bool {
	if n.Execution == than.Execution {
		return n.Number > than.Number
	}
	return n.StartedAt.After(than.StartedAt)
}

// Moment is what the notice is to those who are told of moments alone.
func (n Notice) Moment() string {
	switch {
	case n.State == NoticeSucceeded:
		return MomentSucceeded
	case n.Ended:
		return MomentFailed
	case n.State == NoticeWaiting:
		return MomentWaiting
	default:
		return MomentStarted
	}
}

// TellingID is the workflow ID of what tells of a run.
func TellingID(runID string) string { return "telling/" + runID }
