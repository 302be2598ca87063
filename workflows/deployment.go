package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// DeploymentInput starts a deployment. Only Environment does that.
type DeploymentInput struct {
	Request delivery.Request `json:"request"`
	// Good is the version to return to; nil when this environment was never deployed to by Gravity.
	Good *delivery.Version `json:"good,omitempty"`
	// LeftOn is the label that the last deployment left there; empty when unknown.
	LeftOn string `json:"leftOn,omitempty"`
	// Configuration is the digest of the environment's settings that the last deployment left; empty when unknown.
	Configuration string `json:"configuration,omitempty"`
	// Terse keeps the phases that every deployment has out of the search attributes, which are an event of
	// history each; the current details have them all. A deployment that began without it goes on without it.
	Terse bool `json:"terse,omitempty"`
}

// Phase is where a deployment stands.
type Phase string

// The phases of a deployment, in order.
const (
	PhasePrecheck Phase = "precheck"
	PhaseUpdate   Phase = "update"
	PhaseHealth   Phase = "health"
	PhaseVerify   Phase = "verify"
	PhaseBake     Phase = "bake"
	PhaseSwap     Phase = "swap"
	PhaseRetire   Phase = "retire"
	PhaseRollback Phase = "rollback"
	PhaseEnded    Phase = "ended"
)

// Deployment puts one version on one environment, and proves it or takes it back. Whatever
// happens, the environment ends on a version that was proven healthy there, or the result says
// that a person is needed.
//
// It accepts AbortSignal and EndBakeSignal, and answers StatusQuery. It completes when the version is proven
// healthy, and stayed so for its bake; otherwise it fails with the delivery.ErrorType of the cause as the error's type and the delivery.Result as details.
func Deployment(ctx workflow.Context, input DeploymentInput) (delivery.Result, error) {
	ctx, cancel := workflow.WithCancel(ctx)
	d := &deployment{input: input, good: input.Good}
	if err := d.setup(ctx, cancel); err != nil {
		return delivery.Result{}, err
	}
	s, failure := d.strategy()
	if failure == nil {
		failure = s.attempt(ctx)
	}
	if failure == nil {
		failure = d.bake(ctx)
	}
	if failure == nil {
		failure = s.finish(ctx)
	}
	if failure == nil {
		return d.end(ctx, d.deployed())
	}
	return d.end(ctx, d.takenBack(withUrgency(ctx, urgent), s, failure))
}

// deployment is the state of one Deployment workflow.
type deployment struct {
	input   DeploymentInput
	status  DeploymentStatus
	aborted *Answer
	// found is what the environment was before anything was sent; good is where to return to.
	found delivery.Observation
	good  *delivery.Version
	// proven is the environment that was last proven healthy, as it was then, and configuration the digest
	// of its settings.
	proven        delivery.Observation
	configuration string
	baking        baking
	evidence      []string
}

func (d *deployment) setup(ctx workflow.Context, cancel workflow.CancelFunc) error {
	d.status = DeploymentStatus{
		Deployment:  workflow.GetInfo(ctx).WorkflowExecution.ID,
		Environment: d.environment(),
		Version:     d.wanted().Label,
	}
	if err := workflow.SetQueryHandlerWithOptions(ctx, StatusQuery, func() (DeploymentStatus, error) { return d.status, nil },
		workflow.QueryHandlerOptions{Description: "which phase the deployment is in"}); err != nil {
		return err
	}
	whenAborted(ctx, func(_ workflow.Context, answer Answer) {
		d.aborted = &answer
		cancel() // stops the step under way; a rollback under way is seen through
	})
	d.whenBakeEnds(ctx)
	return nil
}

// mayBegin decides before anything is changed whether the deployment may go on from what was found, and where to return to.
func (d *deployment) mayBegin(ctx workflow.Context) error {
	drifted := d.input.LeftOn != "" && d.found.VersionLabel != d.input.LeftOn
	if drifted && d.stage().Drift == delivery.DriftStop {
		return delivery.Errorf(delivery.Drift,
			"%s is on version %q, but Gravity left it on %q: somebody deployed by hand; roll back, or set the stage's drift to overwrite",
			d.found.Name, d.found.VersionLabel, d.input.LeftOn)
	}
	var beanstalk *activities.Beanstalk
	var checked activities.Prechecked
	err := workflow.ExecuteActivity(callOptions(ctx, "check what to deploy and where to return to"), beanstalk.Precheck, activities.PrecheckInput{
		Found: d.found, Wanted: d.wanted(), Good: d.input.Good, Strategy: d.stage().Strategy, Accept: d.stage().Health.Accept,
		Drift: d.stage().Drift, LeftOn: d.input.LeftOn, Configuration: d.input.Configuration, Alarms: d.stage().Health.Alarms,
	}).Get(ctx, &checked)
	if err != nil {
		return err
	}
	d.good = checked.Good
	if d.good != nil {
		d.status.Good = d.good.Label
	}
	return nil
}

// there reports whether the wanted version was found on the environment, and healthy: replacing healthy
// instances by the same would risk something for nothing.
func (d *deployment) there() bool {
	return d.found.VersionLabel == d.wanted().Label && slices.Contains(d.stage().Health.Accept, d.found.HealthStatus)
}

// prove waits until the platform's health rules and the stage's own check are satisfied by an environment.
func (d *deployment) prove(ctx workflow.Context, on delivery.Observation, version delivery.Version, started activities.Update) error {
	if err := d.healthy(ctx, on, version, started); err != nil {
		return err
	}
	return d.verify(ctx, d.stage().Health, d.proven, version)
}

// healthy waits until the platform's health rules are satisfied by an environment.
func (d *deployment) healthy(ctx workflow.Context, on delivery.Observation, version delivery.Version, started activities.Update) error {
	d.enter(ctx, PhaseHealth, "waits for the health of "+version.Label)
	proof, err := d.awaitHealth(ctx, on, version, started)
	if err != nil {
		return err
	}
	d.evidence = append(d.evidence, proof.Evidence...)
	if err := failureOfProof(proof); err != nil {
		return err
	}
	d.proven, d.configuration = proof.Observed, proof.Configuration
	return nil
}

// failureOfProof is the error that a wait for health ended with; nil when it ended well.
func failureOfProof(proof delivery.Proof) error {
	kind := proof.Cause
	switch proof.Verdict {
	case delivery.VerdictHealthy:
		return nil
	case delivery.VerdictNotUpdated:
		kind = orElse(kind, delivery.UpdateFailed)
	case delivery.VerdictUnhealthy, delivery.VerdictWorse:
		kind = orElse(kind, delivery.Unhealthy)
	case delivery.VerdictLate:
		kind = orElse(kind, delivery.DeadlineExceeded)
	default:
		return delivery.Errorf(delivery.Unhealthy, "unknown verdict %q", proof.Verdict)
	}
	return &delivery.Error{Type: kind, Message: proof.Reason}
}

func orElse(kind, fallback delivery.ErrorType) delivery.ErrorType {
	if kind == "" {
		return fallback
	}
	return kind
}

func (d *deployment) awaitHealth(
	ctx workflow.Context, on delivery.Observation, version delivery.Version, started activities.Update,
) (delivery.Proof, error) {
	var beanstalk *activities.Beanstalk
	var proof delivery.Proof
	deadline := d.stage().Deadline.Std()
	limit := deadline + d.stage().Health.Settle.Std() + d.stage().Health.Steady.Std()
	err := workflow.ExecuteActivity(waitOptions(ctx, limit, "wait for the health of "+version.Label), beanstalk.AwaitHealth, activities.AwaitHealthInput{
		Application: d.application(), Environment: on.Name, EnvironmentID: on.ID,
		Version: version.Label, Started: started, Health: d.rules(version),
		Deadline: workflow.Now(ctx).Add(deadline),
	}).Get(ctx, &proof)
	return proof, err
}

// rules are what a version has to satisfy. The way back is not held to the stage's alarms, which take their
// time to notice that what raised them is gone, nor compared with the version that failed.
func (d *deployment) rules(version delivery.Version) delivery.Health {
	rules := d.stage().Health
	if version.Label != d.wanted().Label {
		rules.Alarms, rules.Compare = nil, nil
	}
	return rules
}

// verify asks the application itself, from outside, as its users do, and in whatever way the team has found
// a single request not to suffice.
func (d *deployment) verify(ctx workflow.Context, health delivery.Health, observed delivery.Observation, version delivery.Version) error {
	check, probe := health.Check, health.Probe
	if d.adopted(version) {
		return nil
	}
	if check != nil {
		d.enter(ctx, PhaseVerify, "asks "+check.Path)
		var site *activities.Site
		err := workflow.ExecuteActivity(checkOptions(ctx, *check), site.Check, activities.CheckInput{
			Check: *check, Address: observed.Address, Version: version,
		}).Get(ctx, nil)
		if err != nil {
			return err
		}
	}
	if probe == nil {
		return nil
	}
	d.enter(ctx, PhaseVerify, "runs the stage's probe")
	var probes *activities.Probes
	return workflow.ExecuteActivity(probeOptions(ctx, *probe), probes.Probe, activities.ProbeInput{
		Probe: *probe, Check: check, Address: observed.Address, Version: version,
	}).Get(ctx, nil)
}

// adopted reports whether a version was found on the environment, not deployed there by Gravity.
// Nobody knows whether it passes the stage's check, which may be newer than it, so the platform's health
// has to do as proof that the environment is well on it again.
func (d *deployment) adopted(version delivery.Version) bool {
	return version.Label != d.wanted().Label && (d.input.Good == nil || d.input.Good.Label != version.Label)
}

func (d *deployment) deployed() delivery.Result {
	wanted := d.wanted()
	return delivery.Result{
		Outcome: delivery.OutcomeDeployed, LeftOn: wanted.Label, Good: &wanted,
		Reason: "healthy on " + wanted.Label + d.baking.ended(),
	}
}

// end gives the result to whoever waits for it.
func (d *deployment) end(ctx workflow.Context, result delivery.Result) (delivery.Result, error) {
	result.RequestID = d.input.Request.ID
	result.Evidence = lastOf(d.evidence, maxEvidence)
	switch result.Outcome {
	case delivery.OutcomeDeployed, delivery.OutcomeTakenBack, delivery.OutcomeRolledBack:
		result.Configuration = d.configuration
	default: // nobody knows, or nothing was changed
	}
	d.status.Result = &result
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	d.enter(ctx, PhaseEnded, string(result.Outcome)+": "+result.Reason)
	if result.Outcome == delivery.OutcomeDeployed {
		return result, nil
	}
	kind := result.Cause
	if result.Outcome == delivery.OutcomeNeedsAttention {
		kind = delivery.NeedsAttention
	}
	return result, toTemporal(&delivery.Error{Type: kind, Message: result.Reason}, result)
}

// maxEvidence bounds the lines of evidence in a result: enough to understand, small in a history.
const maxEvidence = 30

// enter moves the deployment to another phase, where people and programs can see it.
func (d *deployment) enter(ctx workflow.Context, phase Phase, detail string) {
	state := string(phase)
	if phase == PhaseEnded {
		state = string(d.status.Result.Outcome)
	}
	entered := d.status.Phase != phase
	if entered {
		workflow.GetLogger(ctx).Info("deployment", "phase", string(phase), "state", state, "version", d.wanted().Label)
	}
	if entered && d.told(phase) {
		if err := workflow.UpsertTypedSearchAttributes(ctx, StateAttribute.ValueSet(state)); err != nil {
			workflow.GetLogger(ctx).Warn("could not set search attributes", "error", err)
		}
	}
	d.status.Phase, d.status.Since = phase, workflow.Now(ctx)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s** since %s: %s", phase, d.status.Since.UTC().Format(time.TimeOnly), plain(detail)))
}

// told reports whether a phase is put into the search attributes.
func (d *deployment) told(phase Phase) bool {
	switch phase {
	case PhasePrecheck, PhaseUpdate, PhaseHealth, PhaseVerify:
		return !d.input.Terse
	case PhaseSwap, PhaseRetire, PhaseBake, PhaseRollback, PhaseEnded:
		return true
	}
	return true
}

func (d *deployment) stage() delivery.Stage    { return d.input.Request.Stage }
func (d *deployment) wanted() delivery.Version { return d.input.Request.Version }
func (d *deployment) application() string      { return d.input.Request.Version.Application }
func (d *deployment) environment() string      { return d.input.Request.Stage.Environment }

// stopped reports whether an error is the abort's doing.
func (d *deployment) stopped(err error) bool { return temporal.IsCanceledError(err) }
