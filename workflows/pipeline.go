// Package workflows says what happens and in which order. It does no I/O and reads no clock: every
// step that touches the world is an activity, called by its method's name. A reader begins with
// Pipeline, which calls on Environment, which runs one Deployment at a time.
package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// PipelineInput starts a run. The pipeline travels with it, so that a change of gravity.yaml never
// reaches a run under way.
type PipelineInput struct {
	Pipeline delivery.Pipeline `json:"pipeline"`
	Revision delivery.Revision `json:"revision"`
	// Retry is set when an earlier run of the revision is tried again: nothing is built.
	Retry *Retry `json:"retry,omitempty"`
	// Hotfix is set when the run's deployments go before those that wait; it says who wants that, and why.
	Hotfix *Answer `json:"hotfix,omitempty"`
	// Until is the stage after which the run ends; empty: it passes all that its ref reaches.
	Until string `json:"until,omitempty"`
}

// Retry takes the version that an earlier run made through the stages again.
type Retry struct {
	// Version is its label.
	Version string `json:"version"`
	// From is the first stage; those before it are skipped. Empty: the first one.
	From string `json:"from,omitempty"`
	// Answer says who tries again, and why.
	Answer Answer `json:"answer"`
}

// Pipeline is a run: it builds a version of the revision once, then takes it through the stages
// that the revision's branch reaches, each behind its gate.
//
// It accepts ApproveUpdate, RejectUpdate, ApproveSignal, RejectSignal and AbortSignal, and answers
// StatusQuery. It completes when every stage is on the new version, or when a newer run superseded
// it; otherwise it fails with a delivery.ErrorType as the error's type and its RunStatus as details.
func Pipeline(ctx workflow.Context, input PipelineInput) (RunStatus, error) {
	ctx, cancel := workflow.WithCancel(ctx)
	r := newRun(ctx, input)
	if err := r.setup(ctx, cancel); err != nil {
		return r.status, err
	}
	return r.end(ctx, r.passage(ctx))
}

// run is the state of one Pipeline workflow.
type run struct {
	input PipelineInput
	// stages are those that the branch reaches; status.Stages has one for each, in the same order.
	stages   []delivery.Stage
	status   RunStatus
	approval *approval // while the run waits for one, until until
	until    time.Time
	aborted  *Answer
	finished map[string]delivery.Result // by request ID; read by key alone
	jobs     []jobOutcome               // of the test, in the order of its matrix
	commands int                        // that were begun
	// What show last sent.
	shown        RunState
	shownVersion string
	telling      *teller // nil where nobody is told
}

func newRun(ctx workflow.Context, input PipelineInput) *run {
	r := &run{
		input:    input,
		stages:   input.Pipeline.Reached(input.Revision.Ref, input.Until),
		finished: map[string]delivery.Result{},
		status: RunStatus{
			RunID:       workflow.GetInfo(ctx).WorkflowExecution.ID,
			Pipeline:    input.Pipeline.Name,
			Application: input.Pipeline.Application,
			Revision:    input.Revision,
			State:       StateBuilding,
			Build:       StateBuilding,
			StartedAt:   workflow.Now(ctx),
		},
	}
	for _, stage := range r.stages {
		r.status.Stages = append(r.status.Stages, StageStatus{Stage: stage.Name, Environment: stage.Environment, State: StatePending})
	}
	return r
}

// setup registers every handler before anything blocks, so that no message finds nobody at home.
func (r *run) setup(ctx workflow.Context, cancel workflow.CancelFunc) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, StatusQuery, func() (RunStatus, error) { return r.status, nil },
		workflow.QueryHandlerOptions{Description: "where the run stands, stage by stage"}); err != nil {
		return err
	}
	if err := listen(ctx, r, &r.status, "the version at the gate where the run waits"); err != nil {
		return err
	}
	r.onAbort(ctx, cancel)
	r.onFinished(ctx)
	r.startTelling(ctx)
	workflow.GetLogger(ctx).Info("run", "state", string(r.status.State))
	r.show(ctx)
	return nil
}

// passage is the whole run in three sentences.
func (r *run) passage(ctx workflow.Context) error {
	if len(r.stages) == 0 {
		return delivery.Errorf(delivery.InvalidInput, "no stage of pipeline %s names branch %q; add it to a stage's branches",
			r.input.Pipeline.Name, r.input.Revision.RefName())
	}
	first, err := r.firstStage()
	if err != nil {
		return err
	}
	version, err := r.version(ctx)
	if err != nil {
		return err
	}
	for i := first; i < len(r.stages); i++ {
		if err := r.pass(ctx, i, version); err != nil {
			return err
		}
	}
	return nil
}

// version is what the run takes through its stages.
func (r *run) version(ctx workflow.Context) (delivery.Version, error) {
	if r.input.Retry != nil {
		return r.madeBefore(ctx)
	}
	return r.build(ctx)
}

// pass takes the version through one stage: the gate first, so that a run that waits a day for an
// approval holds nobody up; then the environment's queue.
func (r *run) pass(ctx workflow.Context, number int, version delivery.Version) error {
	stage, status := r.stages[number], &r.status.Stages[number]
	ctx = withUrgency(ctx, deployingUrgency(r.input.Hotfix != nil))
	result, err := r.throughQueue(ctx, number, version)
	if err != nil {
		return err
	}
	status.LeftOn, status.Evidence = result.LeftOn, result.Evidence
	if result.Outcome != delivery.OutcomeDeployed {
		return &delivery.Error{Type: failureOf(result), Message: stage.Name + ": " + result.Reason}
	}
	r.enter(ctx, status, StateSucceeded, result.Reason)
	return nil
}

// throughQueue passes the gate and then the queue, again where the gate's window closed meanwhile.
func (r *run) throughQueue(ctx workflow.Context, number int, version delivery.Version) (delivery.Result, error) {
	stage, status := r.stages[number], &r.status.Stages[number]
	for round := 1; ; round++ {
		startBy, err := r.passGate(ctx, number)
		if err != nil {
			return delivery.Result{}, err
		}
		r.enter(ctx, status, StateDeploying, "in the queue of "+stage.Environment)
		result, err := r.deploy(ctx, status, r.request(ctx, stage, version, startBy, round))
		if err != nil || result.Cause != delivery.WindowClosed {
			return result, err
		}
	}
}

// failureOf is the kind of failure of the run whose deployment ended so. A run that was aborted
// or superseded says that; the rollback it caused is the stage's detail.
func failureOf(result delivery.Result) delivery.ErrorType {
	switch {
	case result.Outcome == delivery.OutcomeNeedsAttention:
		return delivery.NeedsAttention
	case result.Cause == delivery.Aborted, result.Outcome == delivery.OutcomeUntouched:
		return result.Cause
	case result.Outcome == delivery.OutcomeSuperseded:
		return delivery.Superseded
	default:
		return delivery.RolledBack
	}
}

// onAbort listens for AbortSignal for as long as the run lives. Aborting cancels the step that is
// under way; a deployment that has begun is taken back before the run ends.
func (r *run) onAbort(ctx workflow.Context, cancel workflow.CancelFunc) {
	whenAborted(ctx, func(ctx workflow.Context, answer Answer) {
		r.aborted = &answer
		r.record(ctx, "abort", answer)
		r.show(ctx)
		cancel()
	})
}

// record keeps who said what.
func (r *run) record(ctx workflow.Context, verb string, answer Answer) {
	r.status.Answers = append(r.status.Answers, RecordedAnswer{Answer: answer, Verb: verb, At: workflow.Now(ctx)})
}

// end turns the way a run ended into its last status and its result.
func (r *run) end(ctx workflow.Context, failure error) (RunStatus, error) {
	// Nothing that follows may be stopped by the abort that brought us here.
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	state, failure := r.verdict(failure)
	r.status.State, r.status.EndedAt = state, workflow.Now(ctx)
	r.status.Detail = "every stage is on " + r.status.Version
	if failure != nil {
		r.status.Detail = failure.Error()
	}
	r.closeOpen(ctx, state)
	r.count(ctx, failure)
	workflow.GetLogger(ctx).Info("run", "state", string(state), "cause", string(typeOf(failure)), "version", r.status.Version)
	r.show(ctx)
	r.awaitTold(ctx)
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return r.status, err
	}
	if failure == nil || state == StateSuperseded {
		return r.status, nil
	}
	return r.status, toTemporal(failure, r.status)
}

// runsMetric counts runs that ended, by pipeline, state, cause, and how far they came.
const runsMetric = "gravity_runs"

// count counts the run, once: the SDK's counters leave replays out.
func (r *run) count(ctx workflow.Context, failure error) {
	workflow.GetMetricsHandler(ctx).WithTags(map[string]string{
		"pipeline": r.status.Pipeline, "state": string(r.status.State), "build": string(r.status.Build), "cause": string(typeOf(failure)),
	}).Counter(runsMetric).Inc(1)
}

// closeOpen marks whatever was under way when the run ended.
func (r *run) closeOpen(ctx workflow.Context, state RunState) {
	if r.status.Build == StateBuilding {
		r.status.Build = state
		return
	}
	for i := range r.status.Stages {
		stage := &r.status.Stages[i]
		if stage.State == StateWaiting || stage.State == StateDeploying {
			stage.State, stage.Detail, stage.Since = state, r.status.Detail, workflow.Now(ctx)
		}
	}
}
