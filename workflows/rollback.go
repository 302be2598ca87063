package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// takeBack comes to an environment that can be judged, and leaves it on its last good version.
func (p *policy) takeBack(ctx workflow.Context, result delivery.Result) delivery.Result {
	if !p.sent {
		result.Outcome = delivery.OutcomeUntouched
		return result
	}
	p.enter(ctx, PhaseRollback, result.Reason)
	observed, err := p.settle(ctx)
	if err != nil {
		return p.needsAttention(result, err)
	}
	result.LeftOn = observed.VersionLabel
	return p.restore(ctx, result, observed)
}

// settle ends our update if it is still under way, waits for the end of anybody else's, and so
// comes to an environment that can be judged.
func (p *policy) settle(ctx workflow.Context) (delivery.Observation, error) {
	if p.baking.settled != nil {
		return *p.baking.settled, nil // a failed bake has just looked, and nothing of ours is under way
	}
	var beanstalk *activities.Beanstalk
	var observed delivery.Observation
	patience := p.stage().Deadline.Std() + rollbackPatience
	err := workflow.ExecuteActivity(waitOptions(ctx, patience, "abort what is under way"), beanstalk.Settle, activities.SettleInput{
		Found: p.found, Abort: p.accepted && !p.baking.begun, Until: workflow.Now(ctx).Add(patience),
	}).Get(ctx, &observed)
	return observed, err
}

// restore proves the last good version where the platform returned to it by itself, and deploys
// it otherwise; or it does neither, where that would make things worse.
func (p *policy) restore(ctx workflow.Context, result delivery.Result, observed delivery.Observation) delivery.Result {
	switch {
	case p.untouched(observed), p.somebodyElses(observed):
		result.Outcome = delivery.OutcomeUntouched
		return result
	case p.good == nil:
		return p.needsAttention(result, errors.New("there is no version to return to"))
	case observed.VersionLabel == p.good.Label:
		err := p.prove(ctx, p.found, *p.good, activities.Update{Ended: true, Before: p.found.UpdatedAt})
		if err == nil {
			result.Outcome = delivery.OutcomeTakenBack
			result.Reason += "; " + p.environment() + " is healthy on " + p.good.Label + " again"
			return result
		}
		p.evidence = append(p.evidence, "the platform's own return to "+p.good.Label+" did not prove healthy: "+sentence(err))
	case !p.worthReturning(observed):
		return p.needsAttention(result, fmt.Errorf("%s was %s on the last good version and is %s now: returning would not mend it",
			p.environment(), p.found.HealthStatus, observed.HealthStatus))
	}
	return p.redeploy(ctx, result, observed)
}

// redeploy puts the last good version back, by the same strategy and the same proof.
func (p *policy) redeploy(ctx workflow.Context, result delivery.Result, observed delivery.Observation) delivery.Result {
	p.enter(ctx, PhaseRollback, "returns to "+p.good.Label)
	started, err := p.send(ctx, observed, *p.good)
	if err == nil && started.Busy {
		err = errors.New("somebody else began an update meanwhile")
	}
	if err == nil {
		err = p.prove(ctx, p.found, *p.good, started)
	}
	if err != nil {
		return p.needsAttention(result, err)
	}
	result.Outcome, result.LeftOn = delivery.OutcomeRolledBack, p.good.Label
	result.Reason += "; rolled back to " + p.good.Label
	return result
}

// untouched reports whether the update never reached the platform: it refused it, or could not be asked.
func (p *policy) untouched(observed delivery.Observation) bool {
	return observed.VersionLabel == p.found.VersionLabel && observed.UpdatedAt.Equal(p.found.UpdatedAt)
}

// somebodyElses reports whether what happened to the environment is not ours: the platform never
// told us that it took our update, and our version is not there; or somebody came during the bake. Others'
// work is not rolled back.
func (p *policy) somebodyElses(observed delivery.Observation) bool {
	return p.baking.taken || (!p.accepted || p.baking.begun) && observed.VersionLabel != p.wanted().Label
}

// worthReturning reports whether the last good version has a chance of being better than what is
// there now. It has, unless the environment was ill on it before, and is less ill now.
func (p *policy) worthReturning(observed delivery.Observation) bool {
	return delivery.Severity(p.found.HealthStatus) <= delivery.Severity("Info") ||
		delivery.Severity(p.found.HealthStatus) <= delivery.Severity(observed.HealthStatus)
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
