package platform

import (
	"fmt"
	"time"
)

const (
	planSplitting     = "traffic splitting"
	planSplittingBack = "traffic splitting: take back"
)

// splittingPlan launches a second set of instances with the new version, sends it a share of the
// requests for a time, and only then, if it has stayed healthy, all of them.
func splittingPlan(pause time.Duration) []step {
	return []step{
		{name: "announce", after: pause, begin: func(t *turn) { t.event(msgSplitting) }},
		{name: "temporary group", after: pause, begin: (*turn).makeTemporaryGroup},
		{name: "new instances", begin: func(t *turn) { t.launchBatch(t.u.Wanted, t.u.TemporaryGroup) }, done: (*turn).batchDeployed},
		{name: "register new instances", begin: (*turn).registerWithoutTraffic},
		{name: "check new instances", begin: (*turn).announceWaiting, done: (*turn).batchHealthy},
		{name: "evaluate", begin: (*turn).shiftShare, done: (*turn).evaluated},
		{name: "shift all", after: pause, begin: (*turn).shiftAll, final: true},
		{name: stepAttach, after: pause, begin: (*turn).joinPermanentGroup},
		{name: "end old instances", after: pause, begin: (*turn).endOld, done: (*turn).oldGone},
		{name: stepComplete, begin: func(t *turn) { t.endSplit(); t.complete() }},
	}
}

// splittingBackPlan gives all requests back to the old instances, and ends the new ones.
func splittingBackPlan(pause time.Duration) []step {
	return []step{
		{name: "give traffic back", begin: func(t *turn) { t.split(0) }, final: true},
		{name: "end new instances", after: pause, begin: (*turn).endNew, done: (*turn).newGone},
		{name: "give up", begin: func(t *turn) { t.setWeights(nil); t.giveUp() }},
	}
}

func (t *turn) registerWithoutTraffic() {
	t.split(0)
	t.registerBatch()
}

// split sends this many percent of the requests to the new instances.
func (t *turn) split(percent int) {
	t.setWeights(map[string]int{t.e.Group: 100 - percent, t.u.TemporaryGroup: percent})
}

// setWeights is kept with the operation, so that a restart does not undo it.
func (t *turn) setWeights(weights map[string]int) {
	t.u.Weights = weights
	t.e.balancer.SetWeights(weights)
}

// endSplit has the load balancer, too, count the new instances to the permanent group: the next update splits by it.
func (t *turn) endSplit() {
	t.setWeights(nil)
	for _, i := range t.e.find(t.u.New) {
		if i.target != nil {
			i.target.Group(t.e.Group)
		}
	}
}

func (t *turn) shiftShare() {
	percent := t.number(t.e, Option{nsSplitting, "NewVersionPercent"})
	minutes := t.number(t.e, Option{nsSplitting, "EvaluationTime"})
	t.split(percent)
	t.u.Deadline = t.now.Add(t.options.Pace.option(minutes * 60))
	t.event(msgEvaluating, percent, minutes)
}

// evaluated waits for the end of the evaluation. An instance that is found failing ends it.
func (t *turn) evaluated() (bool, error) {
	for _, i := range t.e.find(t.u.New) {
		if failed, err := i.failed(); failed {
			return false, &deploymentFailed{instances: []string{i.ID}, of: len(t.u.New), reason: err}
		}
		if i.badReports >= failuresToLower {
			return false, &evaluationFailed{instance: i.ID, status: string(i.report.status)}
		}
	}
	return !t.now.Before(t.u.Deadline), nil
}

func (t *turn) shiftAll() {
	t.split(100)
	t.event(msgShifted)
}

// evaluationFailed: an instance turned bad while it served its share of the requests.
type evaluationFailed struct{ instance, status string }

func (f *evaluationFailed) Error() string {
	return fmt.Sprintf("%s is %s during the evaluation", f.instance, f.status)
}
