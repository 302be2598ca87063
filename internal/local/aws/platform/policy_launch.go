package platform

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/local/aws/balancer"
)

const (
	planLaunch    = "launch"
	planTerminate = "terminate"
	planSettings  = "settings"
)

// launchPlan makes the resources of a new environment.
func launchPlan(pause time.Duration) []step {
	return []step{
		{name: "storage", begin: func(t *turn) { t.event(msgStorage, t.StorageBucket()) }},
		{name: "load balancer", after: pause, begin: func(t *turn) { t.event(msgLoadBalancer, t.e.balancerArn(t.Platform)) }},
		{name: "group", after: pause, begin: (*turn).makeGroup},
		{name: "instances", begin: func(t *turn) { t.launchBatch(t.wantedInstances(t.e), t.e.Group) }, done: (*turn).batchDeployed},
		{name: "register", begin: (*turn).registerLaunched, done: (*turn).batchInService},
		{name: "available", begin: func(t *turn) { t.event(msgAvailable, t.e.CNAME()) }, next: toComplete},
		{name: stepFailed, begin: func(t *turn) { t.event(msgLaunchErrors); t.registerRunning(); t.finish() }},
		{name: stepComplete, begin: (*turn).launched},
	}
}

func (t *turn) makeGroup() {
	t.e.Group = t.identifier("awseb-"+t.e.ID+"-stack-AWSEBAutoScalingGroup-", 12, capitals)
	t.event(msgGroupCreated, t.e.Group)
	t.event(msgLaunching)
}

func (t *turn) registerLaunched() {
	for _, i := range t.e.find(t.u.Batch) {
		t.register(t.e, i)
	}
}

// registerRunning lets a launch that failed on some instances serve with the others.
func (t *turn) registerRunning() {
	for _, i := range t.e.staying() {
		if i.running() {
			t.register(t.e, i)
		}
	}
}

// batchInService waits until the load balancer has found every instance of the batch healthy. One
// that never becomes so does not fail a launch: the environment becomes ready, and shows it.
func (t *turn) batchInService() (bool, error) {
	for _, i := range t.e.find(t.u.Batch) {
		if failed, err := i.failed(); failed {
			return false, &deploymentFailed{instances: []string{i.ID}, of: len(t.u.Batch), reason: err}
		}
		if state, _ := i.target.State(); state != balancer.Healthy {
			return t.now.After(t.u.Deadline), nil
		}
	}
	return true, nil
}

func (t *turn) launched() {
	t.e.Version, t.e.Expected = t.u.Version, t.u.DeploymentID
	t.e.Deployed, t.e.DeployTook, t.e.Done = t.now, t.now.Sub(t.u.Began), t.u.kind()
	t.event(msgLaunched, t.e.Name)
	t.finish()
}

// settingsPlan puts settings in force that need nothing new on the instances.
func settingsPlan(pause time.Duration) []step {
	return []step{
		{name: "apply", after: pause},
		{name: "scale", begin: (*turn).scale, done: (*turn).scaled, next: toComplete},
		{name: stepFailed, begin: (*turn).endNew, done: (*turn).newGone, final: true},
		{name: "give up", begin: (*turn).giveUp},
		{name: stepComplete, after: pause, begin: func(t *turn) {
			t.event(msgNewConfiguration)
			t.event(msgUpdateCompleted)
			t.finish()
		}},
	}
}

// scale brings the number of instances between the group's limits.
func (t *turn) scale() {
	staying := t.e.staying()
	least, most := t.wantedInstances(t.e), max(t.number(t.e, Option{nsGroup, "MaxSize"}), 1)
	t.startTimeout()
	if missing := least - len(staying); missing > 0 {
		for range missing {
			launched := t.launch(t.e, t.e.Group, t.e.Version, t.e.Expected)
			launched.InService = true
			t.u.New = append(t.u.New, launched.ID)
			t.u.Batch = append(t.u.Batch, launched.ID)
		}
		t.added(t.u.Batch)
	}
	for n := most; n < len(staying); n++ {
		t.terminate(t.e, staying[n-most]) // the oldest go first
	}
}

func (t *turn) scaled() (bool, error) {
	if running, err := t.batchRunning(); !running || err != nil {
		return false, err
	}
	return len(t.e.staying()) == len(t.e.Instances), nil
}

// terminatePlan takes an environment down.
func terminatePlan(pause time.Duration) []step {
	return []step{
		{name: "instances", after: pause, begin: func(t *turn) {
			for _, i := range t.e.staying() {
				t.terminate(t.e, i)
			}
		}, done: func(t *turn) (bool, error) { return len(t.e.Instances) == 0, nil }, final: true},
		{name: "resources", after: pause, begin: func(t *turn) {
			t.event(msgGroupDeleted, t.e.Group)
			t.event(msgBalancerDeleted, t.e.balancerArn(t.Platform))
		}},
		{name: stepComplete, begin: func(t *turn) {
			t.event(msgTerminated)
			t.finish()
			t.e.Status = types.EnvironmentStatusTerminated
			t.e.Terminated = t.now
			t.e.balancer.Close()
			front := t.e.front
			go func() { _ = front.Close() }() // waits for requests in flight
		}},
	}
}
