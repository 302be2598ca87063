package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// policy is the strategy of an environment that replaces its own instances, in the way that its DeploymentPolicy
// says: one update brings the version, and one more brings the last good one back where the platform does not do
// so itself.
type policy struct {
	*deployment
	// sent is true from the moment in which an update may have reached the platform.
	sent bool
	// accepted is true once the platform is known to have taken the update.
	accepted bool
}

func byPolicy(d *deployment) strategy { return &policy{deployment: d} }

// attempt is the way forward: every step must succeed.
func (p *policy) attempt(ctx workflow.Context) error {
	until := workflow.Now(ctx).Add(p.stage().Patience.Std())
	for {
		if err := p.precheck(ctx, until); err != nil {
			return err
		}
		started, err := p.update(ctx)
		if err != nil {
			return err
		}
		if !started.Busy {
			p.accepted = true
			return p.prove(ctx, p.found, p.wanted(), started)
		}
		p.sent = false
		if err := p.standBack(ctx, until); err != nil {
			return err
		}
	}
}

// finish has nothing to give up: the version to return to is deployed like any other.
func (p *policy) finish(workflow.Context) error { return nil }

// standBack lets somebody else's update, which was faster by a moment, come to its end. The pause also bounds
// how often an environment is asked that says Ready and refuses updates all the same.
func (p *policy) standBack(ctx workflow.Context, until time.Time) error {
	if workflow.Now(ctx).After(until) {
		return delivery.Errorf(delivery.EnvironmentBusy,
			"environment %s says that it is Ready, and takes no update: look at its events, or rebuild it", p.environment())
	}
	return workflow.NewTimerWithOptions(ctx, busyPause, workflow.TimerOptions{Summary: "somebody else's update came first"}).Get(ctx, nil)
}

// precheck waits until the environment takes an update, and decides whether it may have one.
func (p *policy) precheck(ctx workflow.Context, until time.Time) error {
	p.enter(ctx, PhasePrecheck, "waits until "+p.environment()+" is Ready")
	p.found = delivery.Observation{} // what an answer leaves out is not what it was
	var beanstalk *activities.Beanstalk
	err := workflow.ExecuteActivity(waitOptions(ctx, until.Sub(workflow.Now(ctx)), "wait until Ready"), beanstalk.AwaitReady, activities.AwaitReadyInput{
		Application: p.application(), Environment: p.environment(), Until: until,
	}).Get(ctx, &p.found)
	if err != nil {
		return err
	}
	return p.mayBegin(ctx)
}

// update sends the update to the platform, once, or adopts the one that an earlier attempt sent.
func (p *policy) update(ctx workflow.Context) (activities.Update, error) {
	if p.there() {
		return activities.Update{Ended: true, Before: p.found.UpdatedAt}, nil
	}
	p.enter(ctx, PhaseUpdate, "sends the update to "+p.wanted().Label)
	p.sent = true
	return p.send(ctx, p.found, p.wanted())
}

func (p *policy) send(ctx workflow.Context, found delivery.Observation, version delivery.Version) (activities.Update, error) {
	var beanstalk *activities.Beanstalk
	var started activities.Update
	err := workflow.ExecuteActivity(updateOptions(ctx, "update to "+version.Label), beanstalk.Update, activities.UpdateInput{
		Found: found, Version: version.Label,
	}).Get(ctx, &started)
	return started, err
}
