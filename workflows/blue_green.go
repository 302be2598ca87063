package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// blueGreen is the strategy that leaves the instances of users alone: it makes a second environment beside the
// live one, proves the version there, and swaps their addresses. The old environment stays until the new one has
// proven itself with its users: the way back is another swap.
//
// A stage's environment and the delivery.Green of it are a pair, of which the one that has the users' address is
// live. Which one that is, is looked up at the platform each time, and kept nowhere.
type blueGreen struct {
	*deployment
	// made is the environment beside the live one.
	made delivery.Observation
	// making, swapping and retiring are true from the moment in which the new environment may have been
	// made, the addresses been swapped, and the end of the old environment begun.
	making, swapping, retiring bool
	// swapped is when the addresses were last seen to have moved.
	swapped time.Time
}

func byPair(d *deployment) strategy { return &blueGreen{deployment: d} }

// attempt is the way forward: every step must succeed.
func (b *blueGreen) attempt(ctx workflow.Context) error {
	if err := b.find(ctx); err != nil {
		return err
	}
	if b.there() {
		return b.prove(ctx, b.found, b.wanted(), activities.Update{Ended: true, Before: b.found.UpdatedAt})
	}
	if err := b.make(ctx); err != nil {
		return err
	}
	if err := b.proveBeside(ctx); err != nil {
		return err
	}
	b.swapping = true
	if err := b.swap(ctx, b.found, b.made); err != nil {
		return err
	}
	return b.verifyPublic(ctx, b.wanted())
}

// find waits until the live environment takes a change, and decides whether the deployment may go on.
func (b *blueGreen) find(ctx workflow.Context) error {
	b.enter(ctx, PhasePrecheck, "waits until the live one of "+b.environment()+" and "+delivery.Green(b.environment())+" is Ready")
	var beanstalk *activities.Beanstalk
	patience := b.stage().Patience.Std()
	err := workflow.ExecuteActivity(waitOptions(ctx, patience, "wait until the live environment is Ready"), beanstalk.AwaitLive, activities.AwaitLiveInput{
		Application: b.application(), Environment: b.environment(), CNAME: b.stage().CNAME, Until: workflow.Now(ctx).Add(patience),
	}).Get(ctx, &b.found)
	if err != nil {
		return err
	}
	return b.mayBegin(ctx)
}

// beside is the name that the live environment leaves for the new one.
func (b *blueGreen) beside() string {
	if b.found.Name == b.environment() {
		return delivery.Green(b.environment())
	}
	return b.environment()
}

// make brings the new environment on its way, once, or adopts the one that an earlier attempt made.
func (b *blueGreen) make(ctx workflow.Context) error {
	b.enter(ctx, PhaseUpdate, "makes "+b.beside()+" with "+b.wanted().Label)
	b.making = true
	var beanstalk *activities.Beanstalk
	patience := b.stage().Patience.Std()
	return workflow.ExecuteActivity(waitOptions(ctx, patience, "make "+b.beside()+" with "+b.wanted().Label), beanstalk.MakeBeside, activities.MakeBesideInput{
		Live: b.found, Name: b.beside(), Version: b.wanted().Label, Mark: b.mark(), Until: workflow.Now(ctx).Add(patience),
	}).Get(ctx, &b.made)
}

// mark is how the new environment is known as this deployment's.
func (b *blueGreen) mark() activities.Mark {
	return activities.Mark{Environment: b.environment(), Deployment: b.status.Deployment, Request: b.input.Request.ID}
}

// proveBeside proves the new environment at an address that no user has.
func (b *blueGreen) proveBeside(ctx workflow.Context) error {
	if err := b.healthy(ctx, b.made, b.wanted(), activities.Update{Ended: true, Before: b.made.UpdatedAt}); err != nil {
		return err
	}
	b.made = b.proven
	health := b.stage().Health
	if health.Check != nil {
		check := *health.Check
		check.URL = "" // leads to the live one
		health.Check = &check
	}
	return b.verify(ctx, health, b.made, b.wanted())
}

// swap gives the address that one environment has to another, which was proven.
func (b *blueGreen) swap(ctx workflow.Context, from, to delivery.Observation) error {
	b.enter(ctx, PhaseSwap, fmt.Sprintf("moves the address of %s to %s", from.Name, to.Name))
	var beanstalk *activities.Beanstalk
	var live delivery.Observation
	err := workflow.ExecuteActivity(waitOptions(ctx, swapPatience, "move the address of "+from.Name+" to "+to.Name), beanstalk.Swap, activities.SwapInput{
		From: from, To: to, Until: workflow.Now(ctx).Add(swapPatience),
	}).Get(ctx, &live)
	if err == nil {
		b.proven, b.swapped = live, workflow.Now(ctx)
	}
	return err
}

// verifyPublic asks the application at the users' address. Name servers may lead to the environment that had it
// before for a while, so an answer that is not as expected counts only after that.
func (b *blueGreen) verifyPublic(ctx workflow.Context, version delivery.Version) error {
	err := b.verify(ctx, b.stage().Health, b.proven, version)
	if typeOf(err) != delivery.CheckFailed {
		return err
	}
	b.evidence = append(b.evidence, "right after the swap: "+sentence(err))
	var beanstalk *activities.Beanstalk
	err = workflow.ExecuteActivity(waitOptions(ctx, swapPatience, "wait until name servers know where the address leads"), beanstalk.Drain, activities.DrainInput{
		Name: b.other(b.proven).Name, Swapped: b.swapped,
	}).Get(ctx, nil)
	if err != nil {
		return err
	}
	return b.verify(ctx, b.stage().Health, b.proven, version)
}

func (b *blueGreen) other(live delivery.Observation) delivery.Observation {
	if live.ID == b.found.ID {
		return b.made
	}
	return b.found
}

// finish ends the environment that users have left. Until that has begun an abort swaps back; afterwards the
// deployment is done. That it could not be ended is no reason to take a good version back, unless it has its
// users again.
func (b *blueGreen) finish(ctx workflow.Context) error {
	if !b.making {
		return nil
	}
	b.enter(ctx, PhaseRetire, "ends "+b.found.Name)
	b.retiring = true
	_, err := b.retire(ctx, b.found)
	if b.stopped(err) || typeOf(err) == delivery.Drift && changed(ctx, changeSwapByHandIsNoSuccess) {
		return err
	}
	if err != nil {
		b.leftBeside(b.found.Name, err)
	}
	return nil
}

// retire ends an environment that users do not have, when the last of them must have left it, and deletes what
// the new environment was made from. It reports whether there was one to end.
func (b *blueGreen) retire(ctx workflow.Context, environment delivery.Observation) (bool, error) {
	var beanstalk *activities.Beanstalk
	var retired activities.Retired
	patience := b.stage().Deadline.Std() + rollbackPatience
	err := workflow.ExecuteActivity(waitOptions(ctx, patience, "end "+environment.Name), beanstalk.Retire, activities.RetireInput{
		Application: b.application(), Name: environment.Name, ID: environment.ID, Mark: b.mark(), Public: b.found.Address,
		Swapped: b.swapped, Until: workflow.Now(ctx).Add(patience),
	}).Get(ctx, &retired)
	return retired.Ended, err
}

func (b *blueGreen) leftBeside(name string, why error) {
	b.evidence = append(b.evidence, fmt.Sprintf("%s could not be ended, and is left beside the live environment; terminate it by hand: %s", name, sentence(why)))
}

// takeBack leaves users where they were, or brings them back there by another swap.
func (b *blueGreen) takeBack(ctx workflow.Context, result delivery.Result) delivery.Result {
	if !b.making {
		return result
	}
	b.enter(ctx, PhaseRollback, result.Reason)
	pair, err := b.settle(ctx)
	switch has := func(o delivery.Observation) bool { return strings.EqualFold(o.Address, b.found.Address) }; {
	case err != nil:
		return b.needsAttention(result, err)
	case !b.swapping || has(pair.Old):
		return b.keepOld(ctx, result, pair.Old)
	case !has(pair.New):
		return b.needsAttention(result, fmt.Errorf("neither %s nor %s has the address %s any more", b.found.Name, b.made.Name, b.found.Address))
	case b.retiring && !pair.Old.Ready():
		done := b.deployed()
		done.Reason += "; the end of " + b.found.Name + " had begun when it was " + string(result.Cause)
		return done
	default:
		return b.swapBack(ctx, result, pair)
	}
}

// settle waits until nothing moves any more, and so comes to a pair that can be judged. Before the swap the new
// environment does not matter for that.
func (b *blueGreen) settle(ctx workflow.Context) (activities.Pair, error) {
	var beanstalk *activities.Beanstalk
	pair := activities.Pair{Old: b.found}
	if b.swapping {
		pair.New = b.made
	}
	var settled activities.Pair
	err := workflow.ExecuteActivity(waitOptions(ctx, rollbackPatience, "wait until nothing moves"), beanstalk.SettlePair, activities.SettlePairInput{
		Pair: pair, Until: workflow.Now(ctx).Add(rollbackPatience),
	}).Get(ctx, &settled)
	return settled, err
}

// keepOld ends what was made beside the environment that users never left, and proves that they are well there.
func (b *blueGreen) keepOld(ctx workflow.Context, result delivery.Result, old delivery.Observation) delivery.Result {
	if b.made.ID != "" && !old.Ready() && changed(ctx, changeLastOfPairIsKept) {
		return b.needsAttention(result, fmt.Errorf("somebody ends %s, which its users have; %s is all that is left of the pair, with %s",
			old.Name, b.made.Name, b.wanted().Label))
	}
	made := b.made
	made.Name = b.beside()
	ended, err := b.retire(ctx, made)
	if err != nil {
		b.leftBeside(made.Name, err)
	}
	good := b.wayBack()
	if !ended && err == nil || good == nil || old.VersionLabel != good.Label {
		// Nothing was made; or what users have is no version of which anything was known, or somebody else's work meanwhile.
		result.Outcome, result.LeftOn = delivery.OutcomeUntouched, old.VersionLabel
		return result
	}
	if err := b.prove(ctx, old, *good, activities.Update{Ended: true, Before: b.found.UpdatedAt}); err != nil {
		return b.needsAttention(result, err)
	}
	result.Outcome = delivery.OutcomeRolledBack
	where := "which its users never left"
	if b.retiring {
		where = "to which somebody moved its users back"
	}
	result.Reason += fmt.Sprintf("; %s is healthy on %s, %s", old.Name, good.Label, where)
	return result
}

// swapBack gives users the old environment back, if that is the better one.
func (b *blueGreen) swapBack(ctx workflow.Context, result delivery.Result, pair activities.Pair) delivery.Result {
	result.LeftOn = pair.New.VersionLabel
	good := b.wayBack()
	switch {
	case pair.New.VersionLabel != b.wanted().Label:
		// Others' work is not rolled back.
		result.Outcome = delivery.OutcomeUntouched
		result.Reason += fmt.Sprintf("; somebody brought %s to %s meanwhile, and both environments are left as they are", pair.New.Name, pair.New.VersionLabel)
		return result
	case good == nil:
		return b.needsAttention(result, errors.New("there is no version to return to"))
	case !pair.Old.Ready() || pair.Old.VersionLabel != good.Label:
		return b.needsAttention(result, fmt.Errorf("%s is not there on %s any more: it is %s on %q",
			b.found.Name, good.Label, strings.ToLower(pair.Old.Status), pair.Old.VersionLabel))
	case !b.worthReturning(pair):
		return b.needsAttention(result, fmt.Errorf("%s is %s on the last good version and %s is %s: returning would not mend it",
			pair.Old.Name, pair.Old.HealthStatus, pair.New.Name, pair.New.HealthStatus))
	}
	if err := b.swap(ctx, pair.New, pair.Old); err != nil {
		return b.needsAttention(result, err)
	}
	result.LeftOn = good.Label
	err := b.healthy(ctx, b.proven, *good, activities.Update{Ended: true, Before: b.found.UpdatedAt})
	if err == nil {
		err = b.verifyPublic(ctx, *good)
	}
	if err != nil {
		return b.needsAttention(result, err)
	}
	if _, err := b.retire(ctx, pair.New); err != nil {
		b.leftBeside(pair.New.Name, err)
	}
	result.Outcome = delivery.OutcomeRolledBack
	result.Reason += fmt.Sprintf("; users are back on %s, healthy on %s", pair.Old.Name, good.Label)
	return result
}

// wayBack is the version of the old environment, if it was well on it; the last good one may be another.
func (b *blueGreen) wayBack() *delivery.Version {
	if b.good == nil || b.good.Label != b.found.VersionLabel || !slices.Contains(b.stage().Health.Accept, b.found.HealthStatus) {
		return nil
	}
	return b.good
}

// worthReturning reports whether the old environment is well, or at least less ill than the new one.
func (b *blueGreen) worthReturning(pair activities.Pair) bool {
	return slices.Contains(b.stage().Health.Accept, pair.Old.HealthStatus) ||
		delivery.Severity(pair.Old.HealthStatus) < delivery.Severity(pair.New.HealthStatus)
}
