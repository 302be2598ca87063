package platform

import (
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
	finding
	metrics balancer.Metrics
	usage   *types.CPUUtilization
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
	current.status, current.causes = p.judge(e, now, current)
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
	r := report{usage: p.machine.usage()}
	if i.target != nil {
		r.metrics = i.target.Traffic()
	}
	if i.running() && i.deployed.IsZero() {
		i.deployed = now
	}
	r.finding = p.examine(e, i, now, r.metrics)
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
