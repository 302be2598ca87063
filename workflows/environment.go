package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// EnvironmentInput starts an environment's workflow, and is what it hands to itself when it
// continues as new. Only Application and Environment are given from outside.
type EnvironmentInput struct {
	Application string `json:"application"`
	Environment string `json:"environment"`
	// LeftOn is the label after the last deployment; empty when there was none.
	LeftOn string            `json:"leftOn,omitempty"`
	Good   *delivery.Version `json:"good,omitempty"`
	Frozen *Freeze           `json:"frozen,omitempty"`
	// Waiting is the queue, first first.
	Waiting []QueuedRequest `json:"waiting,omitempty"`
	// Recent are the last deployments, Answered the last results of any kind.
	Recent   []DeploymentRecord `json:"recent,omitempty"`
	Answered []delivery.Result  `json:"answered,omitempty"`
	// Deployments counts them all, to number them.
	Deployments int `json:"deployments,omitempty"`
	// Superseded are the last requests that newer ones replaced.
	Superseded []SupersededRequest `json:"superseded,omitempty"`
	// Proven are the versions that were proven healthy here, newest last.
	Proven []delivery.Version `json:"proven,omitempty"`
	// Configuration is the digest of the environment's configuration after the last deployment.
	Configuration string `json:"configuration,omitempty"`
	// CNAME is the prefix of the users' address where the last deployment was blue-green: it tells which of the pair is live.
	CNAME string   `json:"cname,omitempty"`
	Drift *Drifted `json:"drift,omitempty"`
}

const (
	// keptRecords is how many ended deployments an environment remembers; Temporal's visibility has them all.
	keptRecords = 20
	// keptAnswers is how many results it can repeat to a run that asks again.
	keptAnswers = 100
	// keptProven is how many versions it can be brought back to; each is some 500 bytes of its state.
	keptProven = 100
	// keptSuperseded is how many replaced requests it still knows of.
	keptSuperseded = 20
	// deploymentsPerHistory is after how many deployments it continues as new, at the latest.
	deploymentsPerHistory = 50
)

// Environment is the queue of one Beanstalk environment: it takes requests, runs one Deployment
// at a time, and remembers the version to return to. It lives as long as the environment does.
//
// It accepts DeployUpdate, WithdrawUpdate, FreezeUpdate, ThawUpdate, DriftUpdate and
// ForgetConfigurationUpdate, and answers StatusQuery.
func Environment(ctx workflow.Context, input EnvironmentInput) error {
	e := &environment{EnvironmentInput: input}
	if err := e.setup(ctx); err != nil {
		return err
	}
	return e.serve(ctx)
}

// environment is the state of one Environment workflow.
type environment struct {
	EnvironmentInput
	running *QueuedRequest
	child   workflow.ChildWorkflowFuture
	// outbox holds results that their runs have not been told yet.
	outbox []queuedResult
	served int
	// What show last sent.
	shown, shownVersion string
}

// queuedResult is a result on its way to the run that asked.
type queuedResult struct {
	runID  string
	result delivery.Result
}

func (e *environment) setup(ctx workflow.Context) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, StatusQuery, func() (EnvironmentStatus, error) { return e.status(), nil },
		workflow.QueryHandlerOptions{Description: "what runs, what waits, and the last good version"}); err != nil {
		return err
	}
	if err := e.setupUpdates(ctx); err != nil {
		return err
	}
	workflow.Go(ctx, e.tell)
	e.show(ctx)
	return nil
}

// serve runs deployments one after another, and continues as new in a quiet moment.
func (e *environment) serve(ctx workflow.Context) error {
	for {
		err := workflow.Await(ctx, func() bool { return e.mayStart() || e.mustContinue(ctx) })
		if err != nil {
			return err
		}
		if e.mustContinue(ctx) {
			return e.continueAsNew(ctx)
		}
		e.deploy(ctx)
	}
}

func (e *environment) mayStart() bool {
	return len(e.Waiting) > 0 && e.Frozen == nil
}

// deploy runs the first request of the queue, and remembers what became of it.
func (e *environment) deploy(ctx workflow.Context) {
	request := e.Waiting[0]
	e.Waiting = slices.Delete(e.Waiting, 0, 1)
	if !request.StartBy.IsZero() && workflow.Now(ctx).After(request.StartBy) {
		e.reply(request.RunID, e.windowClosed(request))
		return
	}
	e.Deployments++
	e.served++
	request.Deployment = delivery.DeploymentID(e.Application, e.Environment, e.Deployments)
	e.running = &request
	e.CNAME = ""
	if request.Stage.Strategy == delivery.BlueGreen {
		e.CNAME = request.Stage.CNAME
	}
	e.show(ctx)

	result := e.run(ctx, request)
	e.count(ctx, request, result)

	if result.Outcome != delivery.OutcomeUntouched {
		e.LeftOn, e.Good, e.Configuration, e.Drift = result.LeftOn, result.Good, result.Configuration, nil
	}
	if result.Outcome == delivery.OutcomeDeployed {
		e.remember(request.Version)
	}
	if result.Outcome == delivery.OutcomeNeedsAttention {
		e.Frozen = &Freeze{By: "Gravity", Reason: result.Reason, At: workflow.Now(ctx)}
	}
	e.Recent = lastOf(append(e.Recent, DeploymentRecord{
		Deployment: request.Deployment, Version: request.Version, RunID: request.RunID, Result: result, At: workflow.Now(ctx),
		By: request.By, Reason: request.Reason,
	}), keptRecords)
	e.running, e.child = nil, nil
	e.reply(request.RunID, result)
	e.show(ctx)
}

// run starts the Deployment and waits for its end. The child is abandoned, not ended, when somebody
// terminates this workflow: an update that has begun must be seen through.
func (e *environment) run(ctx workflow.Context, request QueuedRequest) delivery.Result {
	// This workflow serves many, each of whom may trace what was asked for.
	ctx = WithTrace(ctx, request.Trace)
	e.child = workflow.ExecuteChildWorkflow(deploymentOptions(ctx, request), DeploymentWorkflow, DeploymentInput{
		Request: request.Request, Good: e.Good, LeftOn: e.LeftOn, Configuration: e.Configuration, Terse: true,
	})
	e.endBake(ctx)
	var result delivery.Result
	err := e.child.Get(ctx, &result)
	if err == nil {
		return result
	}
	if failed, ok := resultOf(err); ok {
		return failed
	}
	// Terminated, or broken: nobody knows what the environment is on. It is not touched again
	// before a person has looked.
	return delivery.Result{
		RequestID: request.ID,
		Outcome:   delivery.OutcomeNeedsAttention,
		Cause:     typeOf(err),
		Reason:    fmt.Sprintf("%s ended without a result: %s", request.Deployment, sentence(err)),
		LeftOn:    e.LeftOn,
		Good:      e.Good,
	}
}

// deploymentsMetric counts deployments that ended, by pipeline, environment, outcome and cause.
const deploymentsMetric = "gravity_deployments"

// count counts a deployment, once: the SDK's counters leave replays out.
func (e *environment) count(ctx workflow.Context, request QueuedRequest, result delivery.Result) {
	workflow.GetMetricsHandler(ctx).WithTags(map[string]string{
		"pipeline": request.Pipeline, "environment": e.Environment, "outcome": string(result.Outcome), "cause": string(result.Cause),
	}).Counter(deploymentsMetric).Inc(1)
}

// remember keeps what can be rolled back to.
func (e *environment) remember(proven delivery.Version) {
	e.Proven = slices.DeleteFunc(e.Proven, func(earlier delivery.Version) bool { return earlier.Label == proven.Label })
	e.Proven = lastOf(append(e.Proven, proven), keptProven)
}

// targets lists what was proven good here and still exists, newest first: versions can be removed behind
// Gravity's back.
func (e *environment) targets(ctx workflow.Context) ([]delivery.Version, error) {
	good := slices.Clone(e.Proven)
	for _, record := range e.Recent { // what was deployed before proven versions were remembered
		known := slices.ContainsFunc(good, func(version delivery.Version) bool { return version.Label == record.Version.Label })
		if record.Result.Outcome == delivery.OutcomeDeployed && !known {
			good = append(good, record.Version)
		}
	}
	slices.Reverse(good)
	var versions *activities.Versions
	var existing activities.Existing
	err := workflow.ExecuteActivity(answerOptions(ctx, "which of these versions exist"), versions.FindExisting, activities.FindExistingInput{
		Application: e.Application, Versions: good,
	}).Get(ctx, &existing)
	if err != nil {
		return nil, toTemporal(delivery.Errorf(delivery.Unavailable, "which versions still exist could not be found out (%s); try again", sentence(err)), nil)
	}
	return existing.Versions, nil
}

func (e *environment) windowClosed(request QueuedRequest) delivery.Result {
	return delivery.Result{
		RequestID: request.ID,
		Outcome:   delivery.OutcomeUntouched,
		Cause:     delivery.WindowClosed,
		Reason:    fmt.Sprintf("the window closed while it waited for its turn on %s", e.Environment),
		LeftOn:    e.LeftOn,
		Good:      e.Good,
	}
}

// tell sends results to the runs that wait for them. A run that is gone needs none.
func (e *environment) tell(ctx workflow.Context) {
	for {
		if err := workflow.Await(ctx, func() bool { return len(e.outbox) > 0 }); err != nil {
			return
		}
		next := e.outbox[0]
		err := workflow.SignalExternalWorkflow(ctx, next.runID, "", FinishedSignal, next.result).Get(ctx, nil)
		if err != nil {
			workflow.GetLogger(ctx).Info("the run that asked is gone", "run", next.runID, "error", err)
		}
		e.outbox = slices.Delete(e.outbox, 0, 1)
	}
}

// reply remembers a result, and has it told. What is remembered goes without its evidence, which
// Recent keeps: all that an environment knows must fit into one Temporal payload of 2 MB.
func (e *environment) reply(runID string, result delivery.Result) {
	kept := result
	kept.Evidence, kept.Configuration = nil, ""
	e.Answered = lastOf(append(e.Answered, kept), keptAnswers)
	if runID != "" {
		e.outbox = append(e.outbox, queuedResult{runID: runID, result: result})
	}
}

// mustContinue reports whether it is time to leave a grown history behind. Between two deployments
// only: a child's end is never missed.
func (e *environment) mustContinue(ctx workflow.Context) bool {
	return e.served >= deploymentsPerHistory || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
}

// continueAsNew goes on with a fresh history, with everything accepted on board.
func (e *environment) continueAsNew(ctx workflow.Context) error {
	err := workflow.Await(ctx, func() bool { return len(e.outbox) == 0 && workflow.AllHandlersFinished(ctx) })
	if err != nil {
		return err
	}
	return workflow.NewContinueAsNewError(ctx, EnvironmentWorkflow, e.EnvironmentInput)
}

func (e *environment) status() EnvironmentStatus {
	return EnvironmentStatus{
		Application: e.Application, Environment: e.Environment, LeftOn: e.LeftOn, Good: e.Good,
		Running: e.running, Waiting: e.Waiting, Frozen: e.Frozen, Recent: e.Recent,
		Superseded: e.Superseded, Proven: e.Proven, Configuration: e.Configuration, CNAME: e.CNAME, Drift: e.Drift,
	}
}

// Where an environment stands, in its search attribute.
const (
	EnvironmentIdle      = "idle"
	EnvironmentDeploying = "deploying"
	EnvironmentFrozen    = "frozen"
)

// show puts the environment's status where Temporal's web UI shows it.
func (e *environment) show(ctx workflow.Context) {
	details := fmt.Sprintf("on `%s`, %d waiting", plain(e.LeftOn), len(e.Waiting))
	state := EnvironmentIdle
	if e.running != nil {
		details += fmt.Sprintf("; deploying `%s` (%s)", plain(e.running.Version.Label), e.running.Deployment)
		state = EnvironmentDeploying
	}
	if e.Frozen != nil {
		details += fmt.Sprintf("\n\n**frozen** by %s: %s", plain(e.Frozen.By), plain(e.Frozen.Reason))
		state = EnvironmentFrozen
	}
	if e.Drift != nil {
		details += "\n\n**drift**: " + plain(e.Drift.What)
	}
	workflow.SetCurrentDetails(ctx, details)
	if e.shown == state && e.shownVersion == e.LeftOn && changed(ctx, changeAttributesWhenChanged) {
		return
	}
	e.shown, e.shownVersion = state, e.LeftOn
	updates := []temporal.SearchAttributeUpdate{EnvironmentAttribute.ValueSet(e.Environment), StateAttribute.ValueSet(state)}
	if e.LeftOn != "" {
		updates = append(updates, VersionAttribute.ValueSet(e.LeftOn))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("could not set search attributes", "error", err)
	}
}

// lastOf keeps the newest entries of a list.
func lastOf[T any](list []T, limit int) []T {
	return slices.Clone(list[max(0, len(list)-limit):])
}
