package platform

import (
	"strings"
	"time"
)

const (
	planRolling    = "rolling"
	planAdditional = "rolling with additional batch"
)

// The steps that a rolling plan goes around in.
const (
	stepTakeOut = "take batch out of service"
	stepEndMore = "end additional batch"
)

// rollingPlan changes the application batch by batch. Each batch leaves the load balancer, gets
// the version, comes back and has to be healthy before the next one goes. A failure stops it where
// it is: batches that are done keep the new version.
func rollingPlan(pause time.Duration) []step {
	return append([]step{
		{name: "announce", after: pause, begin: func(t *turn) { t.event(msgDeploying) }},
	}, batches(pause)...)
}

// batches go around until every instance has the new version.
func batches(pause time.Duration) []step {
	return []step{
		{name: stepTakeOut, after: pause, begin: (*turn).takeBatchOut, done: (*turn).batchOut},
		{name: "deploy batch", begin: (*turn).deployBatch, done: (*turn).batchChanged},
		{name: "register batch", begin: (*turn).bringBatchIn},
		{name: "check batch", begin: (*turn).startTimeout, done: (*turn).batchHealthy},
		{name: "batch done", begin: (*turn).batchDone, next: (*turn).nextBatch},
		{name: stepEndMore, after: pause, begin: (*turn).endNew, done: (*turn).newGone, final: true, next: toComplete},
		{name: stepFailed, begin: (*turn).endNew, done: (*turn).newGone, final: true},
		{name: "stop", begin: (*turn).stopHere},
		{name: stepComplete, begin: (*turn).complete},
	}
}

// additionalPlan launches a batch of new instances first, so that capacity never falls, and ends
// as many when it is done.
func additionalPlan(pause time.Duration) []step {
	return append([]step{
		{name: "additional batch", after: pause, begin: (*turn).launchAdditional, done: (*turn).batchDeployed},
		{name: "register additional batch", begin: (*turn).bringBatchIn},
		{name: "check additional batch", begin: (*turn).startTimeout, done: (*turn).batchHealthy},
		{name: "additional batch done", begin: (*turn).batchDone},
	}, batches(pause)...)
}

// batchSize is how many instances are changed at a time.
func (t *turn) batchSize() int {
	size := t.number(t.e, Option{nsCommand, "BatchSize"})
	if t.value(t.e, Option{nsCommand, "BatchSizeType"}) == "Percentage" {
		size = t.u.Wanted * min(size, 100) / 100
	}
	return max(size, 1)
}

func (t *turn) takeBatchOut() {
	t.u.Batches++
	t.u.Batch = nil
	for _, i := range t.e.staying() {
		if i.DeploymentID != t.u.DeploymentID && len(t.u.Batch) < t.batchSize() {
			t.u.Batch = append(t.u.Batch, i.ID)
			t.takeOut(i)
		}
	}
	t.event(msgBatchStarting, t.u.Batches, strings.Join(t.u.Batch, ", "))
	t.event(msgBatchOut, t.u.Batches)
}

func (t *turn) deployBatch() {
	t.event(msgBatchCommand, t.u.Batches)
	t.redeploy(t.e.find(t.u.Batch))
}

// batchChanged waits until the version runs on every instance of the batch.
func (t *turn) batchChanged() (bool, error) {
	done, err := t.batchDeployed()
	if done {
		changed := 0
		for _, i := range t.e.staying() {
			if i.DeploymentID == t.u.DeploymentID {
				changed++
			}
		}
		t.event(msgBatchCommandDone, t.u.Batches)
		t.event(msgCommandDone, changed, len(t.e.staying()))
	}
	return done, err
}

// takeOut ends an instance's service; its requests in flight come to their end first.
func (t *turn) takeOut(i *Instance) {
	i.InService = false
	if i.target == nil {
		return
	}
	e, p := t.e, t.Platform
	i.target.Deregister(p.drainTime(e), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		i.target, i.connected = nil, nil
		p.wake(e)
	})
}

func (t *turn) batchOut() (bool, error) {
	for _, i := range t.e.find(t.u.Batch) {
		if i.target != nil {
			return false, nil
		}
	}
	return true, nil
}

func (t *turn) bringBatchIn() {
	t.event(msgBatchRegistering, t.u.Batches)
	for _, i := range t.e.find(t.u.Batch) {
		t.register(t.e, i)
	}
}

func (t *turn) batchDone() { t.event(msgBatchCompleted, t.u.Batches) }

// nextBatch goes around again while there are instances with another version.
func (t *turn) nextBatch() string {
	for _, i := range t.e.staying() {
		if i.DeploymentID != t.u.DeploymentID {
			return stepTakeOut
		}
	}
	if len(t.u.New) > 0 {
		return stepEndMore
	}
	return stepComplete
}

func (t *turn) launchAdditional() {
	t.u.Batches++
	count := min(t.batchSize(), t.u.Wanted)
	t.event(msgBatchAdditional, count)
	t.launchBatch(count, t.e.Group)
	t.added(t.u.Batch)
	t.event(msgBatchLaunched, t.u.Batches, count, strings.Join(t.u.Batch, ", "), t.u.Version)
}
