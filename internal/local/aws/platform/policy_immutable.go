package platform

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// The names of plans are kept on disk with the operations that follow them.
const (
	planImmutable     = "immutable"
	planImmutableBack = "immutable: take back"

	stepAttach = "attach"
)

// immutablePlan brings a version to new instances: one in a temporary group first, which has to
// prove itself beside the old ones, then as many as there were. Only when all are healthy do they
// join the permanent group, and the old ones end.
func immutablePlan(pause time.Duration) []step {
	return []step{
		{name: "announce", after: pause, begin: func(t *turn) { t.event(msgImmutable) }},
		{name: "temporary group", after: pause, begin: (*turn).makeTemporaryGroup},
		{name: "test instance", begin: func(t *turn) { t.launchBatch(1, t.u.TemporaryGroup) }, done: (*turn).batchDeployed},
		{name: "register test instance", begin: (*turn).registerBatch},
		{name: "check test instance", begin: (*turn).announceWaiting, done: (*turn).batchHealthy},
		{name: "remaining instances", begin: (*turn).launchRemaining, done: (*turn).batchDeployed},
		{name: "register remaining instances", begin: (*turn).registerRemaining},
		{name: "check all instances", begin: (*turn).watchAll, done: (*turn).batchHealthy},
		{name: "detach", after: pause, begin: func(t *turn) { t.event(msgDetached, t.u.TemporaryGroup) }},
		{name: stepAttach, after: pause, begin: (*turn).joinPermanentGroup},
		{name: "post-deployment", after: pause, begin: (*turn).postDeployment},
		{name: "end old instances", after: pause, begin: (*turn).endOld, done: (*turn).oldGone, final: true},
		{name: stepComplete, begin: (*turn).complete},
	}
}

// immutableBackPlan ends the new instances. The old ones were never touched.
func immutableBackPlan(pause time.Duration) []step {
	return []step{
		{name: "end new instances", after: pause, begin: (*turn).endNew, done: (*turn).newGone, final: true},
		{name: "give up", begin: (*turn).giveUp},
	}
}

func (t *turn) makeTemporaryGroup() {
	t.u.TemporaryGroup = t.identifier("awseb-"+t.e.ID+"-immutable-stack-AWSEBAutoScalingGroup-", 12, capitals)
	t.event(msgTemporaryGroup, t.u.TemporaryGroup)
}

// launchBatch starts instances with the new version, and gives them the command timeout to prove
// themselves.
func (t *turn) launchBatch(count int, group string) {
	t.u.Batch = nil
	for range count {
		launched := t.launch(t.e, group, t.u.Version, t.u.DeploymentID)
		t.u.Batch = append(t.u.Batch, launched.ID)
		t.u.New = append(t.u.New, launched.ID)
	}
	t.startTimeout()
}

func (t *turn) startTimeout() {
	timeout := t.options.Pace.timeout(t.number(t.e, Option{nsCommand, "Timeout"}))
	t.u.Deadline = t.now.Add(timeout)
}

// batchDeployed waits until the version runs on every instance of the batch, and says so.
func (t *turn) batchDeployed() (bool, error) {
	done, err := t.batchRunning()
	if done && len(t.u.Batch) > 0 {
		t.event(msgInstanceDeployed)
	}
	return done, err
}

func (t *turn) batchRunning() (bool, error) {
	batch := t.e.find(t.u.Batch)
	for _, i := range batch {
		if failed, err := i.failed(); failed {
			return false, &deploymentFailed{instances: []string{i.ID}, of: len(batch), reason: err}
		}
	}
	for _, i := range batch {
		if i.running() {
			continue
		}
		if t.now.After(t.u.Deadline) {
			return false, &timedOut{instances: notRunning(batch), of: len(batch)}
		}
		return false, nil
	}
	return true, nil
}

func notRunning(batch []*Instance) []string {
	var ids []string
	for _, i := range batch {
		if !i.running() {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

func (t *turn) registerBatch() {
	batch := t.e.find(t.u.Batch)
	if len(batch) == 0 {
		return
	}
	t.event(msgAdding, strings.Join(t.u.Batch, ", "))
	for _, i := range batch {
		t.register(t.e, i)
	}
}

func (t *turn) announceWaiting() {
	if len(t.u.Batch) > 0 {
		t.event(msgWaiting, strings.Join(t.u.Batch, ", "))
	}
}

// batchHealthy waits until every instance of the batch has been healthy often enough in a row.
// Until the command timeout, nothing that an instance does short of ending makes it fail.
func (t *turn) batchHealthy() (bool, error) {
	batch := t.e.find(t.u.Batch)
	var waiting []string
	for _, i := range batch {
		if failed, err := i.failed(); failed {
			return false, &deploymentFailed{instances: []string{i.ID}, of: len(batch), reason: err}
		}
		if i.okReports < t.options.Pace.ConsecutiveChecks && !t.ignoresHealth() {
			waiting = append(waiting, i.ID)
		}
	}
	if len(waiting) == 0 {
		return true, nil
	}
	if t.now.After(t.u.Deadline) {
		return false, &unhealthy{instances: waiting}
	}
	return false, nil
}

func (t *turn) ignoresHealth() bool {
	return t.value(t.e, Option{nsCommand, "IgnoreHealthCheck"}) == "true"
}

func (t *turn) launchRemaining() {
	t.added(t.u.Batch)
	remaining := t.u.Wanted - len(t.u.New)
	if remaining <= 0 {
		t.u.Batch = nil
		return
	}
	t.event(msgTestPassed)
	t.launchBatch(remaining, t.u.TemporaryGroup)
}

func (t *turn) registerRemaining() {
	if len(t.u.Batch) > 0 {
		t.added(t.u.Batch)
		t.event(msgAllLaunched)
		t.registerBatch()
	}
}

func (t *turn) watchAll() {
	t.announceWaiting()
	t.u.Batch = append([]string(nil), t.u.New...)
}

func (t *turn) added(ids []string) { t.plural(msgAddedOne, msgAddedMore, ids) }

func (t *turn) plural(one, more message, ids []string) {
	switch len(ids) {
	case 0:
	case 1:
		t.event(one, ids[0])
	default:
		t.event(more, strings.Join(ids, ", "))
	}
}

func (t *turn) joinPermanentGroup() {
	for _, i := range t.e.find(t.u.New) {
		i.Group = t.e.Group
		if i.target != nil && t.u.Weights == nil {
			i.target.Group(t.e.Group)
		}
	}
	t.event(msgAttached, t.e.Group)
}

func (t *turn) postDeployment() {
	t.event(msgPostDeployment)
	t.event(msgInstanceDeployed)
	t.event(msgPostWaiting)
}

func (t *turn) endOld() {
	t.event(msgEndingOld)
	for _, i := range t.e.find(t.u.Old) {
		t.terminate(t.e, i)
	}
}

func (t *turn) oldGone() (bool, error) { return len(t.e.find(t.u.Old)) == 0, nil }

func (t *turn) endNew() {
	if t.u.TemporaryGroup != "" {
		t.event(msgTakingBack, t.u.TemporaryGroup)
	}
	for _, i := range t.e.find(t.u.New) {
		if t.u.Failed && !i.Leaving {
			t.collectLogs(t.e, i, types.EnvironmentInfoTypeBundle, failedLogLifetime)
		}
		t.terminate(t.e, i)
	}
}

func (t *turn) newGone() (bool, error) { return len(t.e.find(t.u.New)) == 0, nil }

// complete ends a deployment that has succeeded.
func (t *turn) complete() {
	e := t.e
	if !t.u.Configures || t.u.Version != e.Version {
		t.event(msgNewVersion)
	}
	if t.u.Configures {
		t.event(msgNewConfiguration)
	}
	e.Version, e.Expected = t.u.Version, t.u.DeploymentID
	e.Deployed, e.DeployTook, e.Done = t.now, t.now.Sub(t.u.Began), t.u.kind()
	t.event(msgUpdateCompleted)
	t.finish()
}

// giveUp ends a deployment that was taken back: the environment is what it was before.
func (t *turn) giveUp() {
	t.revert()
	if t.u.Aborted {
		t.event(msgAbortCompleted)
	} else {
		t.failed()
	}
	t.finish()
}

// revert puts the settings from before in force again.
func (t *turn) revert() {
	before := t.u.Before
	t.e.Settings, t.e.Extensions, t.e.SolutionStack, t.e.PlatformArn = before.Settings, before.Extensions, before.SolutionStack, before.PlatformArn
	t.applyCheck(t.e)
}

// failed says what has failed, as the last thing before the environment is ready again.
func (t *turn) failed() {
	if t.u.Configures {
		t.event(msgReverted)
		t.event(msgConfigFailed)
		return
	}
	t.event(msgDeployFailed)
}

// finish makes the environment ready for the next operation.
func (t *turn) finish() {
	t.remember(t.e)
	t.e.Update = nil
	t.e.Status = types.EnvironmentStatusReady
	t.e.Updated = t.now
	for _, i := range t.e.Instances {
		i.badReports = 0
	}
}

// deploymentFailed: the version could not be brought to an instance, or its process ended.
type deploymentFailed struct {
	instances []string
	of        int // instances in the batch
	reason    error
}

func (f *deploymentFailed) Error() string {
	return fmt.Sprintf("deployment failed on %s: %v", strings.Join(f.instances, ", "), f.reason)
}

// timedOut: the version does not run on an instance within the command timeout.
type timedOut struct {
	instances []string
	of        int // instances in the batch
}

func (f *timedOut) Error() string { return "no answer from " + strings.Join(f.instances, ", ") }

// unhealthy: the version runs, and does not become healthy within the command timeout.
type unhealthy struct{ instances []string }

func (f *unhealthy) Error() string {
	return strings.Join(f.instances, ", ") + " did not become healthy"
}
