package workflows

import (
	"encoding/json"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// Signals. Each takes an Answer and can be sent from anywhere: our command line, Temporal's own, or
// its web UI. A signal is never refused. One that fits nothing is ignored, except an abort: that is obeyed
// whatever its input.
const (
	// ApproveSignal lets a run pass the gate at which it waits. Whoever may signal in the namespace may send it.
	ApproveSignal = "approve"
	// RejectSignal ends a run at the gate at which it waits.
	RejectSignal = "reject"
	// AbortSignal ends a run, or a deployment, at any moment; the environment is left on its last good version.
	AbortSignal = "abort"
	// EndBakeSignal ends a deployment's bake before its time, in success. Only environments send it, when a newer
	// request comes; it may come before the bake begins.
	EndBakeSignal = "end-bake"
)

// Updates. Unlike signals they are answered: a wrong one is refused at once, with the reason.
const (
	// ApproveUpdate and RejectUpdate are ApproveSignal and RejectSignal with an answer.
	ApproveUpdate = "approve"
	RejectUpdate  = "reject"
	// DeployUpdate puts a delivery.Request into an environment's queue; answered with a Receipt.
	// Only runs and `starter rollback` send it.
	DeployUpdate = "deploy"
	// WithdrawUpdate takes a request out of the queue again, or aborts its deployment; answered with
	// a Receipt. Only runs send it.
	WithdrawUpdate = "withdraw"
	// FreezeUpdate keeps deployments from starting on an environment until ThawUpdate.
	FreezeUpdate = "freeze"
	ThawUpdate   = "thaw"
	// TargetsUpdate asks an environment what it can be rolled back to; answered with the versions that were
	// proven healthy there and still exist, newest first. Only `starter rollback` sends it.
	TargetsUpdate = "rollback-targets"
	// DriftUpdate tells an environment's workflow what was found there between deployments. Only the
	// Drift workflow sends it.
	DriftUpdate = "drift"
	// ForgetConfigurationUpdate tells an environment's workflow that its configuration changes by a stack,
	// and not by hand; answered with the EnvironmentStatus. Only the Provision workflow sends it.
	ForgetConfigurationUpdate = "forget-configuration"
)

// FinishedSignal tells a run the delivery.Result of the deployment that it asked for. Only
// environments send it.
const FinishedSignal = "deployment-finished"

// The names under which the workflows are registered: those of their functions, stated because
// histories and the `workflow list` queries of users depend on them.
const (
	PipelineWorkflow    = "Pipeline"
	EnvironmentWorkflow = "Environment"
	DeploymentWorkflow  = "Deployment"
	DriftWorkflow       = "Drift"
)

// StatusQuery asks a Pipeline for its RunStatus, an Environment for its EnvironmentStatus and a
// Deployment for its DeploymentStatus. It works on closed workflows too.
const StatusQuery = "status"

// Answer is what a person says at a gate, or when aborting, freezing or thawing.
type Answer struct {
	// By is who says so. The command line fills in the user's name; Temporal's history has the
	// identity of the client beside it.
	By string `json:"by,omitempty"`
	// Reason is kept on record.
	Reason string `json:"reason,omitempty"`
	// Stage narrows an approval or rejection to one stage. Empty: the stage that waits.
	Stage string `json:"stage,omitempty"`
	// Revision, as many digits as the sender likes, keeps an answer from reaching the run of another one.
	Revision string `json:"revision,omitempty"`
}

// maxAnswerLength bounds what a person can put on record with one answer, in bytes a field.
const maxAnswerLength = 1000

// UnmarshalJSON accepts a bare string as well, as the reason: that is what people type into the
// signal form of Temporal's web UI.
func (a *Answer) UnmarshalJSON(data []byte) error {
	var reason string
	if json.Unmarshal(data, &reason) == nil {
		*a = Answer{Reason: clip(reason)}
		return nil
	}
	type plain Answer
	if err := json.Unmarshal(data, (*plain)(a)); err != nil {
		return fmt.Errorf(`an answer is a sentence, or an object such as {"by": "ana", "reason": "looks good"}: %w`, err)
	}
	a.By, a.Reason, a.Stage, a.Revision = clip(a.By), clip(a.Reason), clip(a.Stage), clip(a.Revision)
	return nil
}

// abortAnswer is an Answer that is never too odd to be obeyed: whoever sends an abort means it, whatever stands
// in the form of Temporal's web UI beside it.
type abortAnswer struct{ Answer }

// UnmarshalJSON takes what is no answer as the reason.
func (a *abortAnswer) UnmarshalJSON(data []byte) error {
	if a.Answer.UnmarshalJSON(data) != nil {
		a.Answer = Answer{Reason: clip(string(data))}
	}
	return nil
}

// signals is the channel of a signal, described for those who send it from the web UI's list.
func signals(ctx workflow.Context, name string) workflow.ReceiveChannel {
	description := ""
	switch name {
	case ApproveSignal:
		description = `let the run pass the gate at which it waits; the input may be the reason, in quotes: "looks good"`
	case RejectSignal:
		description = `end the run at the gate at which it waits; the input may be the reason, in quotes: "not on a Friday"`
	case AbortSignal:
		description = `end it now; the environment is left on its last good version. The input may be the reason, in quotes`
	case FinishedSignal:
		description = "sent by environments alone, with the result of the deployment"
	}
	return workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: description})
}

// whenAborted calls obey with the first AbortSignal, whenever it comes: Temporal's own cancellation
// does not end the listening.
func whenAborted(ctx workflow.Context, obey func(workflow.Context, Answer)) {
	listening, _ := workflow.NewDisconnectedContext(ctx)
	workflow.Go(listening, func(ctx workflow.Context) {
		var answer abortAnswer
		signals(ctx, AbortSignal).Receive(ctx, &answer)
		obey(ctx, answer.Answer)
	})
}

func clip(text string) string { return delivery.Clip(text, maxAnswerLength) }

// who names the person in sentences.
func (a Answer) who() string {
	if a.By == "" {
		return "somebody"
	}
	return a.By
}

// because appends the reason to a sentence, if one was given.
func (a Answer) because(sentence string) string {
	if a.Reason == "" {
		return sentence
	}
	return sentence + ": " + a.Reason
}

// aborted is the sentence for what an abort ended.
func (a Answer) aborted() string { return a.because("aborted by " + a.who()) }

// Withdrawal names the request that a run no longer wants.
type Withdrawal struct {
	RequestID string `json:"requestId"`
	Answer    Answer `json:"answer"`
}

// Receipt answers a request for a deployment.
type Receipt struct {
	// Ahead is how many deployments will be done first.
	Ahead int `json:"ahead"`
	// Result is set when this request was answered before.
	Result *delivery.Result `json:"result,omitempty"`
	// Frozen says why nothing starts now.
	Frozen string `json:"frozen,omitempty"`
}

// RunState is where a run, or one of its stages, stands.
type RunState string

// The states of runs and stages.
const (
	StatePending        RunState = "pending" // a stage whose turn has not come
	StateBuilding       RunState = "building"
	StateWaiting        RunState = "waiting" // at a gate
	StateDeploying      RunState = "deploying"
	StateSucceeded      RunState = "succeeded"
	StateSkipped        RunState = "skipped" // a stage before the one from which a run was tried again
	StateFailed         RunState = "failed"
	StateRejected       RunState = "rejected"
	StateAborted        RunState = "aborted"
	StateSuperseded     RunState = "superseded"
	StateNeedsAttention RunState = "needs attention"
)

// Ended reports whether nothing more will happen.
func (s RunState) Ended() bool {
	switch s {
	case StateSucceeded, StateSkipped, StateFailed, StateRejected, StateAborted, StateSuperseded, StateNeedsAttention:
		return true
	case StatePending, StateBuilding, StateWaiting, StateDeploying:
		return false
	}
	return false
}

// RunStatus is what a run says of itself.
type RunStatus struct {
	RunID    string `json:"run"`
	Pipeline string `json:"pipeline"`
	// Application is the Beanstalk application; with a stage it names the queue to look at.
	Application string            `json:"application"`
	Revision    delivery.Revision `json:"revision"`
	Version     string            `json:"version,omitempty"`
	State       RunState          `json:"state"`
	// Detail is one sentence: what is being done, or why it ended.
	Detail string `json:"detail,omitempty"`
	// Build is the state of checkout, test and bundle.
	Build RunState `json:"build"`
	// Output is the end of what the command that failed had printed.
	Output string `json:"output,omitempty"`
	// Tests is what became of the tests, and Logs is where all that the commands printed is.
	Tests     *TestStatus             `json:"tests,omitempty"`
	Logs      []activities.CommandLog `json:"logs,omitempty"`
	Stages    []StageStatus           `json:"stages"`
	StartedAt time.Time               `json:"startedAt"`
	EndedAt   time.Time               `json:"endedAt,omitzero"`
	// Answers is the record of who approved, rejected and aborted.
	Answers []RecordedAnswer `json:"answers,omitempty"`
}

// StageStatus is one line of a run's table.
type StageStatus struct {
	Stage       string    `json:"stage"`
	Environment string    `json:"environment"`
	State       RunState  `json:"state"`
	Detail      string    `json:"detail,omitempty"`
	LeftOn      string    `json:"leftOn,omitempty"`
	Evidence    []string  `json:"evidence,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	// Approved is when people opened the stage's gate.
	Approved time.Time `json:"approved,omitzero"`
}

// RecordedAnswer is an Answer with what it was an answer to.
type RecordedAnswer struct {
	Answer
	Verb string    `json:"verb"`
	At   time.Time `json:"at"`
}

// UnmarshalJSON reads all of it; the one of the embedded Answer would leave the rest out.
func (r *RecordedAnswer) UnmarshalJSON(data []byte) error {
	var rest struct {
		Verb string    `json:"verb"`
		At   time.Time `json:"at"`
	}
	if err := json.Unmarshal(data, &rest); err != nil {
		return err
	}
	r.Verb, r.At = rest.Verb, rest.At
	return r.Answer.UnmarshalJSON(data)
}

// EnvironmentStatus is what an environment's queue says of itself.
type EnvironmentStatus struct {
	Application string            `json:"application"`
	Environment string            `json:"environment"`
	LeftOn      string            `json:"leftOn,omitempty"`
	Good        *delivery.Version `json:"good,omitempty"`
	Running     *QueuedRequest    `json:"running,omitempty"`
	Waiting     []QueuedRequest   `json:"waiting,omitempty"`
	Frozen      *Freeze           `json:"frozen,omitempty"`
	// Recent holds the last deployments, newest last.
	Recent []DeploymentRecord `json:"recent,omitempty"`
	// Superseded holds the last requests that newer ones replaced, newest last.
	Superseded []SupersededRequest `json:"superseded,omitempty"`
	// Proven holds the versions that were proven healthy there, newest last: what can be rolled back to.
	Proven []delivery.Version `json:"proven,omitempty"`
	// Configuration is the digest of the settings that the last deployment left.
	Configuration string `json:"configuration,omitempty"`
	// CNAME is the prefix of the address that moves between a pair of environments, where they are deployed to in blue-green.
	CNAME string `json:"cname,omitempty"`
	// Drift is what somebody changed by hand since the last deployment, as far as it was noticed.
	Drift *Drifted `json:"drift,omitempty"`
}

// SupersededRequest is a request that a newer one replaced in the queue.
type SupersededRequest struct {
	Version string    `json:"version"`
	RunID   string    `json:"run,omitempty"`
	By      string    `json:"by"` // the version of the newer one
	ByRunID string    `json:"byRun,omitempty"`
	At      time.Time `json:"at"`
}

// Reconfiguration says which change of which stack gives an environment another configuration.
type Reconfiguration struct {
	Stack     string `json:"stack"`
	ChangeSet string `json:"changeSet"`
}

// Drifted says in words what an environment has that Gravity did not give it.
type Drifted struct {
	What  string    `json:"what"`
	Since time.Time `json:"since"`
}

// QueuedRequest is a request with the time at which it was accepted.
type QueuedRequest struct {
	delivery.Request
	At time.Time `json:"at"`
	// Deployment is the workflow ID of the deployment, once it runs.
	Deployment string `json:"deployment,omitempty"`
	// Trace is the span that asked for it; see WithTrace.
	Trace string `json:"trace,omitempty"`
}

// Freeze says who froze an environment and why.
type Freeze struct {
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// DeploymentRecord is a deployment that ended.
type DeploymentRecord struct {
	Deployment string           `json:"deployment"`
	Version    delivery.Version `json:"version"`
	RunID      string           `json:"run,omitempty"`
	Result     delivery.Result  `json:"result"`
	At         time.Time        `json:"at"`
	// By and Reason say who asked for a rollback by hand, and why.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// DeploymentStatus is what a deployment says of itself.
type DeploymentStatus struct {
	Deployment  string           `json:"deployment"`
	Environment string           `json:"environment"`
	Version     string           `json:"version"`
	Good        string           `json:"good,omitempty"`
	Phase       Phase            `json:"phase"`
	Since       time.Time        `json:"since"`
	Result      *delivery.Result `json:"result,omitempty"`
}
