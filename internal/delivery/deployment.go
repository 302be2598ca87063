package delivery

import "time"

// Request asks an environment's queue for a deployment.
type Request struct {
	// ID names the request; asking twice with the same ID is asking once.
	ID string `json:"id"`
	// RunID is the workflow to which the result is sent; empty when nobody waits for it.
	RunID string `json:"runId,omitempty"`
	// Pipeline is the pipeline on whose behalf it is asked; a newer request replaces only those of its own.
	Pipeline string `json:"pipeline"`
	// Stage carries the environment's name and the rules of the deployment.
	Stage Stage `json:"stage"`
	// Version is what to deploy.
	Version Version `json:"version"`
	// Rollback marks a request by a person to bring back an earlier version.
	Rollback bool `json:"rollback,omitempty"`
	// JumpQueue marks a hotfix, which goes before everything that waits but a rollback.
	JumpQueue bool `json:"jumpQueue,omitempty"`
	// StartBy is when the stage's window closes: later than that, it does not start. Zero: no window.
	StartBy time.Time `json:"startBy,omitzero"`
	// By and Reason say who asked for a rollback or a hotfix, and why.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Outcome is how a deployment ended.
type Outcome string

const (
	// OutcomeDeployed means: the environment is proven healthy on the wanted version.
	OutcomeDeployed Outcome = "deployed"
	// OutcomeUntouched means: it ended before any change was sent; the environment is as it was.
	OutcomeUntouched Outcome = "untouched"
	// OutcomeTakenBack means: the platform returned to the last good version by itself, and it is proven healthy there.
	OutcomeTakenBack Outcome = "taken back by the platform"
	// OutcomeRolledBack means: Gravity went back to the last good version, and the environment is proven healthy there.
	OutcomeRolledBack Outcome = "rolled back"
	// OutcomeSuperseded means: a newer request took its place in the queue.
	OutcomeSuperseded Outcome = "superseded"
	// OutcomeNeedsAttention means: no version could be proven healthy; the environment is frozen as found.
	OutcomeNeedsAttention Outcome = "needs attention"
)

// Result is the end of a deployment.
type Result struct {
	RequestID string  `json:"requestId"`
	Outcome   Outcome `json:"outcome"`
	// Cause is the kind of failure; empty for OutcomeDeployed.
	Cause ErrorType `json:"cause,omitempty"`
	// Reason is one sentence for people.
	Reason string `json:"reason,omitempty"`
	// Evidence is what led to the verdict: platform events, causes of ill health; newest last, bounded.
	Evidence []string `json:"evidence,omitempty"`
	// LeftOn is the label of the version that the environment is on now.
	LeftOn string `json:"leftOn,omitempty"`
	// Good is the version to return to from now on: the environment's last good version, if any.
	Good *Version `json:"good,omitempty"`
	// Configuration is the digest of the environment's settings as the deployment left them; empty when unknown.
	Configuration string `json:"configuration,omitempty"`
}

// Observation is what the platform said about an environment at one moment. Nothing in it is proof
// by itself: Ready comes back after a failed update too, and the label changes early or late.
type Observation struct {
	Application string `json:"application"`
	Name        string `json:"name"`
	// ID is Beanstalk's own, e-…; a recreated environment has another one.
	ID     string `json:"id,omitempty"`
	Status string `json:"status"`
	// Health is the colour, HealthStatus the enhanced health behind it.
	Health       string `json:"health,omitempty"`
	HealthStatus string `json:"healthStatus,omitempty"`
	// Causes are the platform's reasons for HealthStatus.
	Causes       []string `json:"causes,omitempty"`
	VersionLabel string   `json:"versionLabel,omitempty"`
	// Address is the environment's public host, with a port where it is not 80.
	Address string `json:"address,omitempty"`
	// UpdatedAt is when the platform last accepted a change: it tells whether an update was
	// started since somebody looked, on the platform's clock alone.
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	// Abortable is true while an update can be taken back.
	Abortable bool `json:"abortable,omitempty"`
	// Instances run the application now; nil when they were not asked for.
	Instances []Instance `json:"instances,omitempty"`
}

// Ready reports whether the environment takes a new update.
func (o Observation) Ready() bool { return o.Status == "Ready" }

// Instance is one server of an environment, as its health agent reports.
type Instance struct {
	ID           string   `json:"id"`
	HealthStatus string   `json:"healthStatus"`
	VersionLabel string   `json:"versionLabel,omitempty"`
	Deployment   string   `json:"deployment,omitempty"` // In Progress, Deployed or Failed
	Causes       []string `json:"causes,omitempty"`
}

// Event is one line of an environment's own log at the platform.
type Event struct {
	At        time.Time `json:"at"`
	Severity  string    `json:"severity"`
	Message   string    `json:"message"`
	RequestID string    `json:"requestId,omitempty"`
	Version   string    `json:"version,omitempty"`
}

// Verdict is what a wait for health ended with.
type Verdict string

const (
	// VerdictHealthy means: Ready on the wanted version, all instances run it, health acceptable and steady.
	VerdictHealthy Verdict = "healthy"
	// VerdictNotUpdated means: the update is over, and the environment is on another version.
	VerdictNotUpdated Verdict = "not updated"
	// VerdictUnhealthy means: on the wanted version, but not steadily healthy in the time to settle.
	VerdictUnhealthy Verdict = "unhealthy"
	// VerdictLate means: the update was still going on at the deadline.
	VerdictLate Verdict = "late"
	// VerdictWorse means: while both served, the new version answered clearly worse than the old one.
	VerdictWorse Verdict = "worse"
)

// Proof is what a wait for health saw.
type Proof struct {
	Verdict Verdict `json:"verdict"`
	// Reason is one sentence for people.
	Reason string `json:"reason,omitempty"`
	// Cause is the kind of failure, where the verdict alone does not say it.
	Cause    ErrorType   `json:"cause,omitempty"`
	Observed Observation `json:"observed"`
	// Configuration is the digest of the environment's settings when it was proven healthy.
	Configuration string `json:"configuration,omitempty"`
	// Evidence is bounded: the warnings and errors among the events, and the causes of ill health.
	Evidence []string `json:"evidence,omitempty"`
}

// Severity orders Beanstalk's enhanced health from well to ill, so that two can be compared. What
// is unknown counts as ill: no data is no proof of health.
func Severity(healthStatus string) int {
	switch healthStatus {
	case "Ok":
		return 0
	case "Info":
		return 1
	case "Warning":
		return 2
	case "Degraded":
		return 3
	case "Severe":
		return 4
	default:
		return 5
	}
}
