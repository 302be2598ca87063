package platform

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/local/aws/balancer"
)

// The values of health, shortened.
const (
	noData   = types.EnvironmentHealthStatusNoData
	unknown  = types.EnvironmentHealthStatusUnknown
	pending  = types.EnvironmentHealthStatusPending
	ok       = types.EnvironmentHealthStatusOk
	informed = types.EnvironmentHealthStatusInfo
	warned   = types.EnvironmentHealthStatusWarning
	degraded = types.EnvironmentHealthStatusDegraded
	severe   = types.EnvironmentHealthStatusSevere
)

// report is what an instance's agent last said of it.
type report struct {
	status  types.EnvironmentHealthStatus
	causes  []string
	metrics balancer.Metrics
	at      time.Time
}

// verdict is the health of a whole environment at one moment.
type verdict struct {
	status  types.EnvironmentHealthStatus
	causes  []string
	metrics balancer.Metrics
	counts  map[types.EnvironmentHealthStatus]int
	at      time.Time
}

// health is an environment's health: as it is, and as callers get to see it, a little later.
type health struct {
	now     verdict
	seen    verdict
	delayed []verdict
}

// failuresToLower is how many failed reports in a row lower an environment's health.
const failuresToLower = 3

// recently is for how long health still speaks of the last deployment.
const recently = 2 * time.Minute

// color is the colour that stands for a status.
func color(status types.EnvironmentHealthStatus) types.EnvironmentHealth {
	switch status {
	case ok, informed:
		return types.EnvironmentHealthGreen
	case warned:
		return types.EnvironmentHealthYellow
	case degraded, severe:
		return types.EnvironmentHealthRed
	default:
		return types.EnvironmentHealthGrey
	}
}

// reportHealth takes a report of every instance, and sums them up.
func (p *Platform) reportHealth(e *Environment, now time.Time) {
	current := verdict{counts: map[types.EnvironmentHealthStatus]int{}, at: now}
	for _, i := range e.Instances {
		p.reportInstance(e, i, now)
		if i.Leaving {
			continue
		}
		current.counts[i.report.status]++
		current.metrics = current.metrics.Add(i.report.metrics)
	}
	current.status, current.causes = p.judge(e, now, current.counts)
	if before := e.health.now.status; before != current.status && before != "" {
		p.transition(e, before, current)
	}
	e.health.now = current
	e.health.delayed = append(e.health.delayed, current)
	for len(e.health.delayed) > 0 && !now.Before(e.health.delayed[0].at.Add(p.options.Pace.HealthLag)) {
		e.health.seen = e.health.delayed[0]
		e.health.delayed = e.health.delayed[1:]
	}
	if e.health.seen.status == "" {
		e.health.seen = verdict{status: pending, at: now}
	}
}

func (p *Platform) transition(e *Environment, before types.EnvironmentHealthStatus, current verdict) {
	m := msgTransition
	m.severity = types.EventSeverityInfo
	if current.status == warned || current.status == degraded || current.status == severe {
		m.severity = types.EventSeverityWarn
	}
	causes := ""
	for _, cause := range current.causes {
		causes += " " + cause
	}
	// Without a request ID: nobody asked for it.
	p.write(e, "", m, before, current.status, causes)
}

// reportInstance is the agent's report of one instance.
func (p *Platform) reportInstance(e *Environment, i *Instance, now time.Time) {
	r := report{at: now}
	if i.target != nil {
		r.metrics = i.target.Traffic()
	}
	r.status, r.causes = p.examine(e, i, now, r.metrics)
	i.report = r
	bad := r.status == warned || r.status == degraded || r.status == severe
	switch {
	case r.status == ok || r.status == informed:
		i.okReports, i.badReports = i.okReports+1, 0
	case bad && !p.exceeds(e, r.status):
		// Good enough to go on with a deployment; the environment's health still shows it.
		i.okReports, i.badReports = i.okReports+1, i.badReports+1
	case bad:
		i.okReports, i.badReports = 0, i.badReports+1
	default:
		i.okReports = 0
	}
}

// exceeds tells whether a status is worse than the one that the environment's deployments accept.
func (p *Platform) exceeds(e *Environment, status types.EnvironmentHealthStatus) bool {
	accepted := p.value(e, Option{nsHealth, "HealthCheckSuccessThreshold"})
	if accepted == string(ok) {
		accepted = p.value(e, Option{nsCommand, "HealthCheckSuccessThreshold"})
	}
	return rank(status) > rank(types.EnvironmentHealthStatus(accepted))
}

// examine judges an instance by its process, its load balancer and the requests it answered.
func (p *Platform) examine(e *Environment, i *Instance, now time.Time, traffic balancer.Metrics) (types.EnvironmentHealthStatus, []string) {
	if i.application == nil {
		return pending, []string{"Initialization in progress (running for " + seconds(now.Sub(i.Launched)) + ")."}
	}
	if failed, err := i.failed(); failed {
		return severe, []string{"Following services are not running: web.", err.Error()}
	}
	if !i.running() && e.Update == nil && i.DeploymentID != e.Expected {
		return severe, []string{"Following services are not running: web."} // left so by an operation that failed
	}
	if !i.running() {
		return pending, []string{"Performing application deployment (running for " + seconds(now.Sub(i.deployAt)) + ")"}
	}
	if i.target == nil {
		return pending, []string{"Instance is not registered with the load balancer yet."}
	}
	state, reason := i.target.State()
	switch state {
	case balancer.Initial, balancer.Draining:
		return pending, []string{"Instance is being registered with or removed from the load balancer."}
	case balancer.Unhealthy:
		return severe, []string{"Process default has been unhealthy (" + reason + ")."}
	case balancer.Healthy:
	}
	if i.DeploymentID != e.Expected && e.Update == nil {
		return degraded, []string{fmt.Sprintf("Incorrect application version %q (deployment %d). Expected version %q (deployment %d).",
			i.Version, i.DeploymentID, e.Version, e.Expected)}
	}
	return judgeTraffic(traffic)
}

// judgeTraffic judges by the share of requests that ended with a fault of the server's. AWS does
// not say from which share on it finds what; these are our thresholds.
func judgeTraffic(traffic balancer.Metrics) (types.EnvironmentHealthStatus, []string) {
	if traffic.Requests == 0 {
		return ok, nil
	}
	share := float64(traffic.Status[5]) / float64(traffic.Requests)
	cause := []string{fmt.Sprintf("%.1f %% of the requests are failing with HTTP 5xx.", share*100)}
	switch {
	case share >= 0.5:
		return severe, cause
	case share >= 0.1:
		return degraded, cause
	case share >= 0.01:
		return warned, cause
	default:
		return ok, nil
	}
}

// judge sums the instances up. While an operation runs, what they report does not lower the
// environment's health: an application that fails may show as Info, in green, until the command
// timeout.
func (p *Platform) judge(e *Environment, now time.Time, counts map[types.EnvironmentHealthStatus]int) (types.EnvironmentHealthStatus, []string) {
	if u := e.Update; u != nil {
		switch u.Plan {
		case planLaunch:
			return pending, []string{"Environment is launching (running for " + seconds(now.Sub(u.Began)) + ")."}
		case planTerminate:
			return informed, []string{"Environment is being terminated."}
		default:
			return informed, []string{"Performing application deployment (running for " + seconds(now.Sub(u.Began)) + ")"}
		}
	}
	staying := e.staying()
	if len(staying) == 0 {
		return noData, []string{"There are no instances."}
	}
	failing, worst := 0, ok
	var causes []string
	for _, i := range staying {
		if i.badReports >= failuresToLower {
			failing++
			worst = worse(worst, i.report.status)
			causes = append(causes, i.report.causes...)
		}
	}
	switch {
	case failing == 0 && counts[pending] == len(staying):
		return pending, nil
	case failing == 0:
		if ago := now.Sub(e.Deployed); !e.Deployed.IsZero() && ago < recently {
			return ok, []string{fmt.Sprintf("Application deployment completed %s ago and took %s.", seconds(ago), seconds(e.DeployTook))}
		}
		return ok, nil
	case failing < len(staying) && worst == severe:
		// Part of the fleet still serves.
		return degraded, append([]string{fmt.Sprintf("Impaired services on %d out of %d instances.", failing, len(staying))}, causes...)
	default:
		return worst, append([]string{"Impaired services on all instances."}, causes...)
	}
}

func worse(a, b types.EnvironmentHealthStatus) types.EnvironmentHealthStatus {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(status types.EnvironmentHealthStatus) int {
	return map[types.EnvironmentHealthStatus]int{warned: 1, degraded: 2, severe: 3}[status]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%d seconds", int(d.Seconds())) }

// enhanced tells whether the environment reports enhanced health.
func (p *Platform) enhanced(e *Environment) bool {
	return p.value(e, Option{nsHealth, "SystemType"}) == "enhanced"
}
