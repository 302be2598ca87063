package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// takeBack leaves the environment on its last good version, proven healthy, after a deployment
// that failed or was aborted. It runs to its end whoever aborts meanwhile.
func (d *deployment) takeBack(ctx workflow.Context, failure error) delivery.Result {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	result := delivery.Result{Cause: d.cause(failure), Reason: d.reason(failure), LeftOn: d.found.VersionLabel, Good: d.good}
	if !d.sent {
		result.Outcome = delivery.OutcomeUntouched
		if result.LeftOn == "" {
			result.LeftOn = d.input.LeftOn // it was never seen: nobody knows better
		}
		return result
	}
	d.enter(ctx, PhaseRollback, result.Reason)
	observed, err := d.settle(ctx)
	if err != nil {
		return d.needsAttention(result, err)
	}
	result.LeftOn = observed.VersionLabel
	return d.restore(ctx, result, observed)
}

// settle ends our update if it is still under way, waits for the end of anybody else's, and so
// comes to an environment that can be judged.
func (d *deployment) settle(ctx workflow.Context) (delivery.Observation, error) {
	var beanstalk *activities.Beanstalk
	var observed delivery.Observation
	patience := d.stage().Deadline.Std() + rollbackPatience
	err := workflow.ExecuteActivity(waitOptions(ctx, patience, "abort what is under way"), beanstalk.Settle, activities.SettleInput{
		Found: d.found, Abort: d.accepted, Until: workflow.Now(ctx).Add(patience),
	}).Get(ctx, &observed)
	return observed, err
}

// restore proves the last good version where the platform returned to it by itself, and deploys
// it otherwise; or it does neither, where that would make things worse.
func (d *deployment) restore(ctx workflow.Context, result delivery.Result, observed delivery.Observation) delivery.Result {
	switch {
	case d.untouched(observed), d.somebodyElses(observed):
		result.Outcome = delivery.OutcomeUntouched
		return result
	case d.good == nil:
		return d.needsAttention(result, errors.New("there is no version to return to"))
	case observed.VersionLabel == d.good.Label:
		err := d.prove(ctx, *d.good, activities.Update{Ended: true, Before: d.found.UpdatedAt})
		if err == nil {
			result.Outcome = delivery.OutcomeTakenBack
			result.Reason += "; " + d.environment() + " is healthy on " + d.good.Label + " again"
			return result
		}
		d.evidence = append(d.evidence, "the platform's own return to "+d.good.Label+" did not prove healthy: "+sentence(err))
	case !d.worthReturning(observed):
		return d.needsAttention(result, fmt.Errorf("%s was %s on the last good version and is %s now: returning would not mend it",
			d.environment(), d.found.HealthStatus, observed.HealthStatus))
	}
	return d.redeploy(ctx, result, observed)
}

// redeploy puts the last good version back, by the same strategy and the same proof.
func (d *deployment) redeploy(ctx workflow.Context, result delivery.Result, observed delivery.Observation) delivery.Result {
	d.enter(ctx, PhaseRollback, "returns to "+d.good.Label)
	started, err := d.send(ctx, observed, *d.good)
	if err == nil && started.Busy {
		err = errors.New("somebody else began an update meanwhile")
	}
	if err == nil {
		err = d.prove(ctx, *d.good, started)
	}
	if err != nil {
		return d.needsAttention(result, err)
	}
	result.Outcome, result.LeftOn = delivery.OutcomeRolledBack, d.good.Label
	result.Reason += "; rolled back to " + d.good.Label
	return result
}

// untouched reports whether the update never reached the platform: it refused it, or could not be asked.
func (d *deployment) untouched(observed delivery.Observation) bool {
	return observed.VersionLabel == d.found.VersionLabel && observed.UpdatedAt.Equal(d.found.UpdatedAt)
}

// somebodyElses reports whether what happened to the environment is not ours: the platform never
// told us that it took our update, and our version is not there. Others' work is not rolled back.
func (d *deployment) somebodyElses(observed delivery.Observation) bool {
	return !d.accepted && observed.VersionLabel != d.wanted().Label
}

// worthReturning reports whether the last good version has a chance of being better than what is
// there now. It has, unless the environment was ill on it before, and is less ill now.
func (d *deployment) worthReturning(observed delivery.Observation) bool {
	return delivery.Severity(d.found.HealthStatus) <= delivery.Severity("Info") ||
		delivery.Severity(d.found.HealthStatus) <= delivery.Severity(observed.HealthStatus)
}

func (d *deployment) needsAttention(result delivery.Result, why error) delivery.Result {
	result.Outcome = delivery.OutcomeNeedsAttention
	result.Reason = fmt.Sprintf("%s; and %s needs a person: %s", result.Reason, d.environment(), sentence(why))
	return result
}

// cause is the kind of failure that led here; an abort by a person comes before what it caused.
func (d *deployment) cause(failure error) delivery.ErrorType {
	if d.stopped(failure) {
		return delivery.Aborted
	}
	return typeOf(failure)
}

func (d *deployment) reason(failure error) string {
	switch {
	case d.stopped(failure) && d.aborted != nil:
		return d.aborted.aborted()
	case d.stopped(failure):
		return "cancelled through Temporal"
	default:
		return sentence(failure)
	}
}
