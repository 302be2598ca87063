package platform

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gravity/internal/local/aws/balancer"
	"gravity/internal/local/aws/faults"
	"gravity/internal/local/aws/instance"
)

// sampleVersion is the label that environments show that were made without a version.
const sampleVersion = "Sample Application"

// launch adds an instance to a group. Its deployment begins once it has booted.
func (p *Platform) launch(e *Environment, group, version string, deployment int) *Instance {
	i := &Instance{
		ID:           p.identifier("i-", 17, hexadecimal),
		Group:        group,
		Zone:         p.options.Region + string("abc"[len(e.Instances)%3]),
		Type:         p.instanceType(e),
		Launched:     p.options.Clock.Now(),
		Version:      version,
		DeploymentID: deployment,
	}
	e.Instances = append(e.Instances, i)
	p.later(p.options.Pace.Boot, func() {
		if !i.Leaving && !p.options.Faults.Suffers(faults.NeverBoots, subject(e, i)) {
			p.deploy(e, i)
		}
	})
	return i
}

// later calls f, with the platform's lock held, once some time has passed.
func (p *Platform) later(after time.Duration, f func()) {
	p.options.Clock.AfterFunc(after, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed {
			f()
		}
	})
}

// deploy starts the instance's version on it.
func (p *Platform) deploy(e *Environment, i *Instance) {
	i.deployAt, i.deployed = p.options.Clock.Now(), time.Time{}
	runner := p.options.Runner
	if i.Version == sampleVersion {
		runner = p.sample
	}
	application := e.Application
	version := i.Version
	i.application = runner.Run(instance.Spec{
		ID: i.ID, Version: i.Version, Folder: p.disk(i), Properties: p.properties(e),
		Bundle: func() (*os.File, error) { return p.openBundle(application, version) },
	}, func() { p.wakeLater(e) })
}

func (p *Platform) disk(i *Instance) string {
	return filepath.Join(p.options.DataDir, "instances", i.ID)
}

// subject is the instance as faults select it.
func subject(e *Environment, i *Instance) faults.Subject {
	return faults.Subject{Environment: e.Name, Version: i.Version, ID: i.ID, Zone: i.Zone}
}

// register puts an instance behind the load balancer.
func (p *Platform) register(e *Environment, i *Instance) {
	i.InService = true
	if !i.running() {
		return
	}
	i.connected = i.application
	if i.target != nil {
		i.target.SetBackend(p.backend(e, i))
		return
	}
	i.target = e.balancer.Register(i.ID, i.Group, p.backend(e, i))
}

// backend is the way from the load balancer to an instance: to the port that the process has in the
// environment's options. On AWS's instances a proxy listens on 80, and the application on PORT.
func (p *Platform) backend(e *Environment, i *Instance) balancer.Backend {
	backend := i.application.Backend()
	backend.Transport = p.options.Faults.Transport(subject(e, i), backend.Transport)
	application := p.properties(e)["PORT"]
	if application == "" {
		application = "5000"
	}
	if port := p.value(e, Option{nsProcess, "Port"}); port != proxyPort && port != application {
		backend.Transport = nobody{}
	}
	return backend
}

const proxyPort = "80"

// nobody is a port that nobody listens on.
type nobody struct{}

// RoundTrip refuses the connection.
func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// replaceApplication ends what runs on an instance, and starts its new version in its place.
func (p *Platform) replaceApplication(e *Environment, i *Instance) {
	old := i.application
	i.application, i.okReports, i.badReports = nil, 0, 0
	i.deployAt = p.options.Clock.Now()
	if old == nil {
		p.deploy(e, i)
		return
	}
	p.ending.Add(1)
	p.aside(func() {
		old.Stop(func() {
			defer p.ending.Done()
			p.later(p.options.Pace.Deploy, func() {
				if !i.Leaving && i.application == nil {
					p.deploy(e, i)
				}
			})
		})
	})
}

// aside runs what must not run under the platform's lock.
func (p *Platform) aside(f func()) {
	busy := p.options.Clock.Busy()
	go func() {
		defer busy()
		f()
	}()
}

// terminate takes an instance out of service, lets its requests come to their end, and ends it.
func (p *Platform) terminate(e *Environment, i *Instance) {
	if i.Leaving {
		return
	}
	i.Leaving = true
	end := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.closed {
			return // Close ends what is left
		}
		p.endProcesses(i, func() {
			p.later(p.options.Pace.Termination, func() {
				i.gone = true
				p.wake(e)
			})
		})
	}
	if i.target == nil {
		p.aside(end)
		return
	}
	i.target.Deregister(p.drainTime(e), end)
}

// drainTime is how long requests in flight may take when an instance leaves. They take real time,
// so this option is not scaled.
func (p *Platform) drainTime(e *Environment) time.Duration {
	return time.Duration(p.number(e, Option{nsProcess, "DeregistrationDelay"})) * time.Second
}

// endProcesses ends what runs on an instance. It holds the platform's lock only to begin with.
func (p *Platform) endProcesses(i *Instance, ended func()) {
	application := i.application
	p.ending.Add(1)
	p.aside(func() {
		if application == nil {
			p.ending.Done()
			ended()
			return
		}
		application.Stop(func() {
			p.ending.Done()
			ended()
		})
	})
}

// tend looks after the instances: forgets those that are gone, replaces those that have died
// outside of an operation, and puts replacements into service.
func (p *Platform) tend(e *Environment, now time.Time) {
	t := &turn{Platform: p, e: e, u: e.Update, now: now}
	var staying []*Instance
	var removed []string
	for _, i := range e.Instances {
		if i.gone {
			removed = append(removed, i.ID)
			_ = os.RemoveAll(p.disk(i)) // logs were kept as long as somebody could ask for them
			continue
		}
		staying = append(staying, i)
	}
	e.Instances = staying
	if !t.launching() {
		for _, id := range removed {
			t.event(msgRemoved, id)
		}
	}
	for _, i := range e.staying() {
		if i.InService && i.running() && i.connected != i.application {
			p.register(e, i) // after a restart, a replacement that runs now, or a new version in place
		}
		if i.running() && p.options.Faults.Suffers(faults.Crash, subject(e, i)) {
			i.application.Crash()
		}
		if failed, _ := i.failed(); failed && !t.handles(i) {
			t.replace(i)
		}
	}
}

func (t *turn) launching() bool { return t.u != nil && t.u.Plan == planLaunch }

// handles tells whether the operation under way deals with the instance itself.
func (t *turn) handles(i *Instance) bool {
	if t.u == nil {
		return false
	}
	for _, id := range append(append([]string(nil), t.u.New...), t.u.Batch...) {
		if id == i.ID {
			return true
		}
	}
	return false
}

// replace does what an auto scaling group does when an instance dies. One that dies again and
// again is not replaced faster than about once in six health reports.
func (t *turn) replace(i *Instance) {
	if t.now.Before(t.e.noReplace) {
		return
	}
	t.e.noReplace = t.now.Add(6 * t.options.Pace.HealthInterval)
	t.event(msgReplacing, i.ID)
	t.terminate(t.e, i)
	version, deployment := t.e.Version, t.e.Expected // what the last successful deployment brought
	if t.u != nil {
		version, deployment = i.Version, i.DeploymentID
	}
	launched := t.launch(t.e, i.Group, version, deployment)
	launched.InService = true
	if t.u != nil {
		t.u.Old = append(t.u.Old, launched.ID) // ends with the others, but is none more to make up for
	}
	t.added([]string{launched.ID})
}

func (p *Platform) singleInstance(e *Environment) bool {
	return p.value(e, Option{nsEnvironment, "EnvironmentType"}) == "SingleInstance"
}

// instanceType is the type that instances are launched with, from either of the namespaces that have it.
func (p *Platform) instanceType(e *Environment) string {
	list := p.value(e, Option{nsInstances, "InstanceTypes"})
	if older := p.value(e, Option{nsLaunch, "InstanceType"}); list == p.rules[Option{nsInstances, "InstanceTypes"}].fallback {
		list = older
	}
	return strings.TrimSpace(strings.Split(list, ",")[0])
}

// wantedInstances is how many instances an environment is to have.
func (p *Platform) wantedInstances(e *Environment) int {
	if p.singleInstance(e) {
		return 1
	}
	return max(p.number(e, Option{nsGroup, "MinSize"}), 0)
}

// applyCheck tells the load balancer how to check instances now, and how to treat their users.
func (p *Platform) applyCheck(e *Environment) {
	if e.balancer == nil {
		return
	}
	path := p.value(e, Option{nsProcess, "HealthCheckPath"})
	if older := p.value(e, Option{nsApplication, "Application Healthcheck URL"}); path == "/" && strings.HasPrefix(older, "/") {
		path = older
	}
	var sticky time.Duration
	if p.value(e, Option{nsProcess, "StickinessEnabled"}) == "true" {
		sticky = time.Duration(p.number(e, Option{nsProcess, "StickinessLBCookieDuration"})) * time.Second
	}
	e.balancer.SetStickiness(sticky)
	e.balancer.SetIdleTimeout(time.Duration(p.number(e, Option{nsBalancer, "IdleTimeout"})) * time.Second)
	for _, i := range e.Instances {
		if i.target != nil && i.connected != nil && i.connected == i.application {
			i.target.SetBackend(p.backend(e, i))
		}
	}
	e.balancer.SetCheck(balancer.Check{
		Path:     path,
		Matcher:  p.value(e, Option{nsProcess, "MatcherHTTPCode"}),
		Interval: p.options.Pace.option(p.number(e, Option{nsProcess, "HealthCheckInterval"})),
		// An answer takes real time, however fast the platform goes.
		Timeout:   max(p.options.Pace.option(p.number(e, Option{nsProcess, "HealthCheckTimeout"})), time.Second),
		Healthy:   p.number(e, Option{nsProcess, "HealthyThresholdCount"}),
		Unhealthy: p.number(e, Option{nsProcess, "UnhealthyThresholdCount"}),
	})
}
