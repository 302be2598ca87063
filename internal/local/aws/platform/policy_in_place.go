package platform

import (
	"strings"
	"time"
)

// The deployment policies, as their option spells them.
const (
	allAtOnce         = "AllAtOnce"
	rolling           = "Rolling"
	rollingAdditional = "RollingWithAdditionalBatch"
	immutable         = "Immutable"
	trafficSplitting  = "TrafficSplitting"
)

const (
	planAllAtOnce = "all at once"
	// stepFailed is where plans that take nothing back end after a failure or an abort.
	stepFailed = "failed"
	// stepComplete is where they end otherwise.
	stepComplete = "complete"
)

func toComplete(*turn) string { return stepComplete }

// allAtOncePlan changes the application on every instance at the same time. Users see errors while
// it restarts, and a failure leaves whatever it leaves.
func allAtOncePlan(pause time.Duration) []step {
	return []step{
		{name: "announce", after: pause, begin: func(t *turn) { t.event(msgDeploying) }},
		{name: "deploy", begin: func(t *turn) { t.redeploy(t.e.staying()) }, done: (*turn).batchDeployed},
		{name: "settle", after: pause, next: toComplete},
		{name: stepFailed, begin: (*turn).stopHere},
		{name: stepComplete, begin: (*turn).complete},
	}
}

// redeploy brings the new version to instances that are there.
func (t *turn) redeploy(batch []*Instance) {
	t.u.Batch = instanceIDs(batch)
	for _, i := range batch {
		i.Version, i.DeploymentID = t.u.Version, t.u.DeploymentID
		t.replaceApplication(t.e, i)
	}
	t.startTimeout()
}

// stopHere ends an operation on the spot. Instances that have the new version keep it.
func (t *turn) stopHere() {
	t.registerRunning() // whatever a batch was in the middle of
	if !t.u.Aborted {
		t.failed()
	}
	t.event(msgMixed)
	t.finish()
}

// explain writes the events that say why an operation fails.
func (t *turn) explain(err error) {
	switch reason := err.(type) { //nolint:errorlint // made by our own steps, never wrapped
	case *deploymentFailed:
		t.event(msgDeploymentFailed)
		for _, id := range reason.instances {
			t.event(msgCommandFailed, id)
		}
		t.event(msgCommandSummary, reason.of-len(reason.instances), len(reason.instances))
		t.event(msgUnsuccessful, strings.Join(reason.instances, ", "))
	case *timedOut:
		t.event(msgTimedOut, strings.Join(reason.instances, ", "))
		t.event(msgCommandTimedOut, reason.of-len(reason.instances), len(reason.instances))
		t.event(msgUnsuccessful, strings.Join(reason.instances, ", "))
	case *evaluationFailed:
		t.event(msgEvaluationFailed, reason.instance, reason.status)
	case *unhealthy:
		t.event(msgChecksFailed, strings.Join(reason.instances, ", "))
	default:
		t.event(failure("%s"), err.Error())
	}
}
