package platform

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// step is one step of a plan. Its parts may all be left out.
type step struct {
	name  string
	after time.Duration // before it begins
	// begin happens once, even when the stand-in is restarted in the middle of the step.
	begin func(*turn)
	// done is asked again and again; an error fails the operation.
	done func(*turn) (bool, error)
	// next names the step to go to, when it is not the one below.
	next func(*turn) string
	// final marks the point from which on the operation cannot be aborted.
	final bool
}

// turn is what a step works with: one environment, its operation, and the moment.
type turn struct {
	*Platform
	e   *Environment
	u   *Update
	now time.Time
}

// plan returns the steps of a plan.
func (p *Platform) plan(name string) []step {
	pause := p.options.Pace.Step
	switch name {
	case planLaunch:
		return launchPlan(pause)
	case planTerminate:
		return terminatePlan(pause)
	case planSettings:
		return settingsPlan(pause)
	case planSwap:
		return swapPlan(pause)
	case planSwapped:
		return swappedPlan(pause)
	case planRebuild:
		return rebuildPlan(pause)
	case planRestart:
		return restartPlan(pause)
	case planRolling:
		return rollingPlan(pause)
	case planAdditional:
		return additionalPlan(pause)
	case planSplitting:
		return splittingPlan(pause)
	case planSplittingBack:
		return splittingBackPlan(pause)
	case planImmutable:
		return immutablePlan(pause)
	case planImmutableBack:
		return immutableBackPlan(pause)
	case planReplace:
		return replacePlan(pause)
	case planSettingsBack:
		return settingsBackPlan(pause)
	case planStop:
		return stopPlan()
	default:
		return allAtOncePlan(pause)
	}
}

// wake gives an environment its turn as soon as possible.
func (p *Platform) wake(e *Environment) { p.schedule(e, 0) }

func (p *Platform) schedule(e *Environment, after time.Duration) {
	if p.closed {
		return
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.timer = p.options.Clock.AfterFunc(after, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.turn(e)
	})
}

// wakeLater is for goroutines that do not hold the lock.
func (p *Platform) wakeLater(e *Environment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake(e)
}

// turn does all that there is to do for an environment now, and arranges for its next turn.
func (p *Platform) turn(e *Environment) {
	if p.closed {
		return
	}
	now := p.options.Clock.Now()
	p.tend(e, now)
	if !now.Before(e.nextReport) {
		p.reportHealth(e, now)
		e.nextReport = now.Add(p.options.Pace.HealthInterval)
	}
	for e.Update != nil && p.advance(&turn{Platform: p, e: e, u: e.Update, now: now}) {
		continue
	}
	p.save(e)
	if e.Status == types.EnvironmentStatusTerminated {
		return
	}
	next := e.nextReport
	if u := e.Update; u != nil {
		for _, due := range []time.Time{u.Due, u.Deadline} {
			if due.After(now) && due.Before(next) {
				next = due
			}
		}
	}
	p.schedule(e, max(next.Sub(now), 0))
}

// advance takes the operation one step further, and tells whether it could.
func (p *Platform) advance(t *turn) bool {
	steps := p.plan(t.u.Plan)
	current, following := find(steps, t.u.Step)
	if t.u.Due.IsZero() {
		t.u.Due = t.now.Add(current.after)
	}
	if !t.u.Entered {
		if t.now.Before(t.u.Due) || t.u.Plan == planSwap && t.stuck() {
			return false
		}
		t.u.Entered = true
		t.u.Final = t.u.Final || current.final
		if current.begin != nil {
			current.begin(t)
		}
		if t.e.Update != t.u {
			return false // the operation has ended
		}
	}
	if t.stuck() {
		return false
	}
	if current.done != nil {
		done, err := current.done(t)
		if err != nil {
			t.fail(err)
			return true
		}
		if !done {
			return false
		}
	}
	if current.next != nil {
		following = current.next(t)
	}
	t.goTo(following)
	return true
}

// stuck tells whether the operation is to make no progress, which ends with an abort where there can be one.
func (t *turn) stuck() bool {
	return (t.u.Plan == planSwap || t.u.Deploys && !t.u.Aborted && !t.u.Failed && t.u.Plan != planLaunch) && t.options.Faults.NeverEnds(t.e.Name)
}

// find returns a plan's step by name (the first one when the name is empty), and the name of the
// one after it.
func find(steps []step, name string) (current step, following string) {
	at := 0
	for i, candidate := range steps {
		if candidate.name == name {
			at = i
		}
	}
	if at+1 < len(steps) {
		following = steps[at+1].name
	}
	return steps[at], following
}

func (t *turn) goTo(name string) {
	t.u.Step, t.u.Entered, t.u.Due = name, false, time.Time{}
}

// follow changes over to a step of another plan; the empty name is its beginning.
func (t *turn) follow(plan, step string) {
	t.u.Plan = plan
	t.goTo(step)
}

// fail says what went wrong, and turns to the steps that a failed operation ends with.
func (t *turn) fail(err error) {
	t.u.Failed = true
	t.explain(err)
	if t.options.Faults.Get().SkipRollback && t.u.Plan == planImmutable {
		t.follow(planImmutable, stepAttach)
		return
	}
	t.follow(takeBack(t.u))
}

// takeBack is where a failed or aborted operation goes on.
func takeBack(u *Update) (name, step string) {
	switch {
	case u.Plan == planImmutable:
		return planImmutableBack, ""
	case u.Plan == planSplitting:
		return planSplittingBack, ""
	case u.Configures && u.Deploys:
		return planSettingsBack, ""
	default:
		return u.Plan, stepFailed
	}
}
