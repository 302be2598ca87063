package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gravity/internal/delivery"
	"gravity/internal/proof/lab"
	"gravity/workflows"
)

// place is an environment, to which one version after another is deployed.
type place struct {
	storm *storm
	stage delivery.Stage
	dice  *rand.Rand
	// good is the version that it was last proven on, and last the number of the last one.
	good delivery.Version
	last int
	// begun is what has begun there so far, by the results; and updates those of before.
	begun   lab.Changes
	updates int
	began   time.Time
}

func newPlace(s *storm, number int, strategy delivery.Strategy, first delivery.Version) *place {
	return &place{
		storm: s, good: first, dice: rand.New(rand.NewPCG(s.Seed, uint64(number+1))),
		stage: lab.Stage("shop-"+string(strategy), strategy, func(stage *delivery.Stage) {
			stage.Deadline, stage.Patience = delivery.Duration(s.Patience), delivery.Duration(s.Patience)
			stage.Health.Steady, stage.Health.Settle = delivery.Duration(50*time.Millisecond), delivery.Duration(10*time.Second)
		}),
	}
}

// kinds are what versions do, as lab.Region.Version says: two in five are bad in one of four ways.
var kinds = []string{"good", "good", "good", "good", "good", "good", "sick", "broken", "failing", "stuck"}

// deployOnAndOn deploys until it is over, and a good version at last.
func (p *place) deployOnAndOn(ctx, over context.Context) {
	for going := true; going; {
		going = over.Err() == nil
		kind := "good"
		if going {
			kind = kinds[p.dice.IntN(len(kinds))]
		}
		if !p.deploy(ctx, kind) {
			return // what a stuck environment does next says nothing more
		}
	}
	p.storm.Say("%s has taken its last version", p.stage.Environment)
}

// deploy brings a version of a kind, and judges what came of it. It reports whether the environment can go on.
func (p *place) deploy(ctx context.Context, kind string) (goesOn bool) {
	p.last++
	label := fmt.Sprintf("%s-%s-%d", kind, p.stage.Strategy, p.last)
	version, err := p.storm.Lab.Version(label)
	if err != nil {
		p.storm.broken("%s: registering %s: %v", p.stage.Environment, label, err)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, p.storm.Patience)
	defer cancel()
	began := time.Now()
	deployment, err := p.storm.Lab.Deploy(ctx, p.stage, version)
	if err != nil {
		p.storm.broken("%s: nobody took the request for %s: %v", p.stage.Environment, label, err)
		return false
	}
	record, status, err := p.storm.Lab.Await(ctx, p.stage.Environment, deployment)
	if err != nil {
		p.storm.broken("%s is stuck: %v; its queue says %+v", p.stage.Environment, err, status)
		return false
	}
	p.ended(record.Result, time.Since(began))
	for _, complaint := range p.judge(ctx, version, record.Result, status) {
		p.storm.broken("%s, %s (%s: %s): %s", p.stage.Environment, deployment, record.Result.Outcome, record.Result.Reason, complaint)
	}
	return status.Frozen == nil
}

func (p *place) ended(result delivery.Result, took time.Duration) {
	p.storm.mu.Lock()
	defer p.storm.mu.Unlock()
	p.storm.report.Ended[result.Outcome]++
	p.storm.report.Longest = max(p.storm.report.Longest, took)
}

// judge compares an end with what the failure table of the design promises: a good version is proven, a bad one is taken
// back, and either way users have what the result says, after no more changes than that takes.
func (p *place) judge(ctx context.Context, version delivery.Version, result delivery.Result, status workflows.EnvironmentStatus) (complaints []string) {
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	good := lab.IsGood(version.Label)
	promised := []delivery.Outcome{delivery.OutcomeRolledBack, delivery.OutcomeTakenBack}
	if good {
		promised, p.good = []delivery.Outcome{delivery.OutcomeDeployed}, version
	}
	if !slices.Contains(promised, result.Outcome) {
		complain("promised is one of %v", promised)
	}
	if result.LeftOn != p.good.Label {
		complain("it is left on %s instead of %s", result.LeftOn, p.good.Label)
	}
	if status.Good == nil || status.Good.Label != p.good.Label {
		complain("its queue takes %+v for the good version, not %s", status.Good, p.good.Label)
	}
	if status.Frozen != nil || status.Running != nil || len(status.Waiting) > 0 {
		complain("its queue is not at rest: %+v", status)
	}
	if why := p.whyNotWell(ctx); why != "" {
		complain("it is not well on %s: %s", p.good.Label, why)
	}
	if p.stage.Strategy == delivery.BlueGreen {
		return append(complaints, p.miscountedPair(result)...)
	}
	return append(complaints, p.miscounted(result)...)
}

// whyNotWell gives health reports, which come late, some time.
func (p *place) whyNotWell(ctx context.Context) (why string) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		live, err := p.storm.Lab.Live(p.stage)
		if err != nil {
			why = err.Error()
			continue
		}
		if why = p.storm.Lab.WhyNotWell(live.Name, p.good.Label); why == "" {
			return ""
		}
	}
	return why
}

// miscounted compares the updates that the platform has begun with those that an end takes: one, and one more for a
// rollback of Gravity's own.
func (p *place) miscounted(result delivery.Result) []string {
	count, err := p.storm.Lab.Updates(p.stage.Environment)
	if err != nil {
		return []string{err.Error()}
	}
	begun := count - p.updates
	p.updates = count
	wanted := 1
	if result.Outcome == delivery.OutcomeRolledBack {
		wanted = 2
	}
	if begun != wanted {
		return []string{fmt.Sprintf("%d updates were begun instead of %d", begun, wanted)}
	}
	return nil
}

// miscountedPair does so for a pair: each deployment makes one environment and ends one, and swaps if it is proven.
func (p *place) miscountedPair(result delivery.Result) []string {
	p.begun.Made++
	p.begun.Ended++
	if result.Outcome == delivery.OutcomeDeployed {
		p.begun.Swapped++
	}
	begun, err := p.storm.Lab.Changes(p.began, p.stage.Environment, delivery.Green(p.stage.Environment))
	if err != nil {
		return []string{err.Error()}
	}
	if begun != p.begun {
		complaint := fmt.Sprintf("%+v were begun so far instead of %+v", begun, p.begun)
		p.begun = begun
		return []string{complaint}
	}
	return nil
}
