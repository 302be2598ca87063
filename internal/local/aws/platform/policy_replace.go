package platform

import (
	"strings"
	"time"
)

const (
	planReplace      = "replace instances"
	planSettingsBack = "take settings back"
	planStop         = "stop"

	stepReplaceBatch = "end batch"
)

// The types of rolling updates, as their option spells them.
const (
	rollingByTime   = "Time"
	rollingByHealth = "Health"
)

// replacePlan changes what only new instances can have, batch by batch: some old instances end, as
// many new ones begin. Without rolling updates the batch is the whole fleet, and users notice.
func replacePlan(pause time.Duration) []step {
	return []step{
		{name: "announce", after: pause, begin: func(t *turn) { t.event(msgUpdatingSettings, t.e.Name) }},
		{name: stepReplaceBatch, after: pause, begin: (*turn).endBatch, done: (*turn).batchGone},
		{name: "launch batch", begin: (*turn).launchReplacements, done: (*turn).batchDeployed},
		{name: "register batch", begin: (*turn).registerLaunched},
		{name: "check batch", begin: (*turn).startTimeout, done: (*turn).batchAccepted},
		{name: "batch done", after: pause, begin: func(t *turn) { t.added(t.u.Batch) }, next: (*turn).nextReplacement},
		{name: stepComplete, begin: (*turn).complete},
	}
}

// replacementBatch is how many instances are replaced at a time.
func (t *turn) replacementBatch() int {
	if t.value(t.e, Option{nsRolling, "RollingUpdateEnabled"}) != "true" {
		return t.u.Wanted
	}
	size := t.number(t.e, Option{nsRolling, "MaxBatchSize"})
	if spare := t.u.Wanted - t.number(t.e, Option{nsRolling, "MinInstancesInService"}); spare < size {
		size = spare
	}
	return max(size, 1)
}

func (t *turn) endBatch() {
	t.u.Batches++
	t.u.Batch = nil
	for _, i := range t.e.find(t.u.Old) {
		if !i.Leaving && len(t.u.Batch) < t.replacementBatch() {
			t.u.Batch = append(t.u.Batch, i.ID)
			t.terminate(t.e, i)
		}
	}
	t.event(msgReplacingBatch, t.u.Batches, strings.Join(t.u.Batch, ", "))
}

func (t *turn) batchGone() (bool, error) { return len(t.e.find(t.u.Batch)) == 0, nil }

func (t *turn) launchReplacements() { t.launchBatch(len(t.u.Batch), t.e.Group) }

// batchAccepted waits for what the type of rolling update waits for: health, or time alone.
func (t *turn) batchAccepted() (bool, error) {
	if t.value(t.e, Option{nsRolling, "RollingUpdateType"}) == rollingByHealth {
		return t.batchHealthy()
	}
	return t.batchRunning()
}

func (t *turn) nextReplacement() string {
	for _, i := range t.e.find(t.u.Old) {
		if !i.Leaving {
			return stepReplaceBatch
		}
	}
	return stepComplete
}

// settingsBackPlan undoes a change of settings that was brought to instances in place, or by
// replacing them: AWS takes those back by itself, as it does not with versions.
func settingsBackPlan(pause time.Duration) []step {
	return []step{
		{name: "end new instances", after: pause, begin: (*turn).endNew, done: (*turn).newGone, final: true},
		{name: "restore instances", begin: (*turn).restoreInstances, done: (*turn).restored},
		{name: "give up", after: pause, begin: func(t *turn) { t.registerRunning(); t.giveUp() }},
	}
}

// restoreInstances brings the old settings to the instances that have the new ones already, and
// makes up for those that ended.
func (t *turn) restoreInstances() {
	t.revert()
	t.u.Batch = nil
	for _, i := range t.e.staying() {
		if i.DeploymentID == t.u.DeploymentID {
			i.Version, i.DeploymentID = t.e.Version, t.e.Expected
			t.replaceApplication(t.e, i)
			t.u.Batch = append(t.u.Batch, i.ID)
		}
	}
	for missing := t.u.Wanted - len(t.e.staying()); missing > 0; missing-- {
		launched := t.launch(t.e, t.e.Group, t.e.Version, t.e.Expected)
		launched.InService = true
		t.u.Batch = append(t.u.Batch, launched.ID)
	}
	t.startTimeout()
}

// restored waits for the instances that were restored, as long as they may take; there is nothing
// more to be done for one that does not come back.
func (t *turn) restored() (bool, error) {
	done, err := t.batchRunning()
	return done || err != nil, nil
}

// stopPlan ends an aborted update where it is, with the new instances beside the old ones.
func stopPlan() []step {
	return []step{{name: stepFailed, final: true, begin: func(t *turn) {
		for _, i := range t.e.find(t.u.New) {
			i.Group = t.e.Group
			if i.target != nil {
				i.target.Group(t.e.Group)
			}
		}
		t.setWeights(nil)
		t.stopHere()
	}}}
}
