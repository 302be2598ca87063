package platform

import (
	"fmt"
	"time"

	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

const (
	planSwap    = "swap"
	planSwapped = "swapped"
	planRebuild = "rebuild"
	planRestart = "restart"
)

// SwapEnvironmentCNAMEs begins to exchange the addresses of two environments.
func (p *Platform) SwapEnvironmentCNAMEs(call Call, in *eb.SwapEnvironmentCNAMEsInput) (*eb.SwapEnvironmentCNAMEsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	source, err := p.environment(in.SourceEnvironmentName, in.SourceEnvironmentId)
	if err != nil {
		return nil, err
	}
	destination, err := p.environment(in.DestinationEnvironmentName, in.DestinationEnvironmentId)
	if err != nil {
		return nil, err
	}
	if source == destination {
		return nil, invalid("Source and destination are the same environment: %s.", source.Name)
	}
	for _, e := range []*Environment{source, destination} {
		if e.Update != nil {
			return nil, notReady(e)
		}
	}
	p.operate(call, source, &Update{Plan: planSwap, Partner: destination.ID, Final: true}, msgSwapStarting)
	p.operate(call, destination, &Update{Plan: planSwapped, Partner: source.ID, Final: true}, msgSwapStarting)
	return &eb.SwapEnvironmentCNAMEsOutput{}, nil
}

// operate makes an update that deploys nothing the operation of its environment.
func (p *Platform) operate(call Call, e *Environment, u *Update, starting message) {
	p.remember(e)
	now := p.now()
	u.RequestID, u.Began, u.Version, u.DeploymentID = call.RequestID, now, e.Version, e.Expected
	u.Wanted = len(e.staying())
	e.Status, e.Updated, e.Update = types.EnvironmentStatusUpdating, now, u
	p.write(e, u.RequestID, starting)
	p.save(e)
	p.wake(e)
}

// swapPlan exchanges the addresses; its partner's plan waits until that has happened.
func swapPlan(pause time.Duration) []step {
	return []step{
		{name: "swap", after: pause, begin: (*turn).swap},
		{name: stepComplete, begin: func(t *turn) { t.event(msgSwapCompleted); t.finish() }},
	}
}

func swappedPlan(pause time.Duration) []step {
	return []step{
		{name: "wait", after: pause, done: func(t *turn) (bool, error) {
			partner := t.environments[t.u.Partner]
			return partner == nil || partner.Update == nil || partner.Update.RequestID != t.u.RequestID || partner.Update.Step == stepComplete, nil
		}},
		{name: stepComplete, begin: func(t *turn) { t.event(msgSwapCompleted); t.finish() }},
	}
}

func (t *turn) swap() {
	a, b := t.e, t.environments[t.u.Partner]
	if b == nil {
		return
	}
	names := fmt.Sprintf("'%s' and '%s'", a.Name, b.Name)
	t.event(msgSwapping, names)
	a.front, b.front = b.front, a.front
	a.Port, b.Port = b.Port, a.Port
	a.CNAMEPrefix, b.CNAMEPrefix = b.CNAMEPrefix, a.CNAMEPrefix
	a.front.Serve(a.balancer)
	b.front.Serve(b.balancer)
	t.event(msgSwapped, names)
	t.save(b) // the turn saves its own environment
	t.wake(b)
}

// RebuildEnvironment begins to make all of an environment's resources anew.
func (p *Platform) RebuildEnvironment(call Call, in *eb.RebuildEnvironmentInput) (*eb.RebuildEnvironmentOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.idleEnvironment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	e.DeploymentID++
	e.Expected = e.DeploymentID
	p.operate(call, e, &Update{Plan: planRebuild, Final: true}, msgRebuildStarting)
	return &eb.RebuildEnvironmentOutput{}, nil
}

// rebuildPlan ends all instances, and goes on like a launch.
func rebuildPlan(pause time.Duration) []step {
	return append([]step{{
		name: "end instances", after: pause,
		begin: func(t *turn) {
			for _, i := range t.e.staying() {
				t.terminate(t.e, i)
			}
		},
		done: func(t *turn) (bool, error) { return len(t.e.Instances) == 0, nil },
	}}, launchPlan(pause)...)
}

// RestartAppServer begins to restart the application on every instance.
func (p *Platform) RestartAppServer(call Call, in *eb.RestartAppServerInput) (*eb.RestartAppServerOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.idleEnvironment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	p.operate(call, e, &Update{Plan: planRestart, Final: true}, msgRestartStarting)
	return &eb.RestartAppServerOutput{}, nil
}

func restartPlan(pause time.Duration) []step {
	return []step{
		{name: "restart", after: pause, begin: (*turn).restartAll, done: (*turn).batchRunning, next: toComplete},
		{name: stepFailed, begin: func(t *turn) { t.event(msgRestartFailed); t.finish() }},
		{name: stepComplete, begin: func(t *turn) { t.event(msgRestarted); t.finish() }},
	}
}

// restartAll starts the version that each instance has once more.
func (t *turn) restartAll() {
	batch := t.e.staying()
	t.u.Batch = instanceIDs(batch)
	for _, i := range batch {
		t.replaceApplication(t.e, i)
	}
	t.startTimeout()
}
