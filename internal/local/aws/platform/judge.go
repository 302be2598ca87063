package platform

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/local/aws/balancer"
)

// trouble is the kind of what is wrong with an instance, by which an environment sums it up.
type trouble int

const (
	none         trouble = iota
	services             // its processes do not run
	processes            // the load balancer finds it unhealthy
	wrongVersion         // it runs another version than the environment is on
	requests             // its users see errors
)

// finding is what an agent says of its instance.
type finding struct {
	status  types.EnvironmentHealthStatus
	trouble trouble
	causes  []string
}

// examine judges an instance by its process, its load balancer and the requests it answered.
func (p *Platform) examine(e *Environment, i *Instance, now time.Time, traffic balancer.Metrics) finding {
	if i.application == nil {
		return finding{pending, none, []string{"Initialization in progress (running for " + span(now.Sub(i.Launched)) + ")."}}
	}
	if failed, err := i.failed(); failed {
		return finding{severe, services, []string{"Following services are not running: web.", err.Error()}}
	}
	if !i.running() && e.Update == nil && i.DeploymentID != e.Expected {
		return finding{severe, services, []string{"Following services are not running: web."}} // left so by an operation that failed
	}
	if !i.running() {
		return finding{pending, none, []string{"Performing application deployment (running for " + span(now.Sub(i.deployAt)) + ")"}}
	}
	if i.target == nil {
		return finding{pending, none, []string{"Instance is not registered with the load balancer yet."}}
	}
	state, reason := i.target.State()
	switch state {
	case balancer.Initial, balancer.Draining:
		return finding{pending, none, []string{"Instance is being registered with or removed from the load balancer."}}
	case balancer.Unhealthy:
		return finding{severe, processes, []string{"Process default has been unhealthy (" + reason + ")."}}
	case balancer.Healthy:
	}
	if i.DeploymentID != e.Expected && e.Update == nil {
		return finding{degraded, wrongVersion, []string{fmt.Sprintf("Incorrect application version %q (deployment %d). Expected version %q (deployment %d).",
			i.Version, i.DeploymentID, e.Version, e.Expected)}}
	}
	found := judgeTraffic(traffic, p.counts4xx(e))
	if ago := now.Sub(i.deployed); found.status == ok && !i.deployed.IsZero() && ago < recently {
		found.causes = []string{fmt.Sprintf("Application deployment completed %s ago and took %s", span(ago), span(i.deployed.Sub(i.deployAt)))}
	}
	return found
}

// judgeTraffic judges by the shares of requests that ended in errors. AWS does not say from which
// share on it finds what; these are our thresholds.
func judgeTraffic(traffic balancer.Metrics, with4xx bool) finding {
	faults, failing := judgeShare(traffic, 5)
	if !with4xx {
		traffic.Status[4] = 0
	}
	errors, erring := judgeShare(traffic, 4)
	found := finding{status: worse(faults, errors)}
	if found.status != ok {
		found.trouble = requests
		found.causes = shares(failing, erring)
	}
	return found
}

func judgeShare(traffic balancer.Metrics, class int) (status types.EnvironmentHealthStatus, share float64) {
	if traffic.Requests == 0 {
		return ok, 0
	}
	share = float64(traffic.Status[class]) / float64(traffic.Requests)
	switch {
	case share >= 0.5:
		return severe, share
	case share >= 0.1:
		return degraded, share
	case share >= 0.01:
		return warned, share
	default:
		return ok, share
	}
}

func shares(failing, erring float64) []string {
	var causes []string
	if failing > 0 {
		causes = append(causes, fmt.Sprintf("%.1f %% of the requests are failing with HTTP 5xx.", failing*100))
	}
	if erring > 0 {
		causes = append(causes, fmt.Sprintf("%.1f %% of the requests are erroring with HTTP 4xx.", erring*100))
	}
	return causes
}

// counts4xx tells whether the environment's health counts answers of 4xx, which a rule of its
// ConfigDocument can end.
func (p *Platform) counts4xx(e *Environment) bool {
	document := p.value(e, Option{nsHealth, "ConfigDocument"})
	if document == "" {
		return true
	}
	var rules struct {
		Rules struct {
			Environment struct {
				Application struct {
					ApplicationRequests4xx struct{ Enabled *bool }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(document), &rules); err != nil {
		return true
	}
	enabled := rules.Rules.Environment.Application.ApplicationRequests4xx.Enabled
	return enabled == nil || *enabled
}

// judge sums the instances up. While an operation runs, what they report does not lower the
// environment's health: an application that fails may show as Info, in green, until the command
// timeout.
func (p *Platform) judge(e *Environment, now time.Time, current verdict) (types.EnvironmentHealthStatus, []string) {
	if u := e.Update; u != nil {
		return underway(u, now)
	}
	staying := e.staying()
	if len(staying) == 0 {
		return noData, []string{"There are no instances."}
	}
	failing, worst := 0, ok
	troubled := map[trouble]int{}
	for _, i := range staying {
		if i.badReports >= failuresToLower {
			failing++
			worst = worse(worst, i.report.status)
			troubled[i.report.trouble]++
		}
	}
	if failing == 0 && current.counts[pending] == len(staying) {
		return pending, nil
	}
	if failing == 0 {
		if ago := now.Sub(e.Deployed); !e.Deployed.IsZero() && ago < recently {
			return ok, []string{fmt.Sprintf("%s completed %s ago and took %s.", e.Done, span(ago), span(e.DeployTook))}
		}
		return ok, nil
	}
	if failing < len(staying) && worst == severe {
		worst = degraded // part of the fleet still serves
	}
	return worst, p.impairments(e, troubled, len(staying), current.metrics)
}

// underway is the health of an environment during an operation.
func underway(u *Update, now time.Time) (types.EnvironmentHealthStatus, []string) {
	running := " in progress (running for " + span(now.Sub(u.Began)) + ")."
	if u.Aborted {
		running = " is aborting (running for " + span(now.Sub(u.Began)) + ")."
	}
	switch u.Plan {
	case planLaunch:
		return pending, []string{"Initialization" + running}
	case planTerminate:
		return informed, []string{"Environment termination" + running}
	default:
		return informed, []string{u.kind() + running}
	}
}

// kind is what an operation is called in causes of health.
func (u *Update) kind() string {
	switch {
	case u.Plan == planLaunch || u.Plan == planRebuild:
		return "Initialization"
	case u.Plan == planRestart:
		return "Application restart"
	case u.Configures:
		return "Configuration update"
	default:
		return "Application update"
	}
}

// impairments are the causes of an environment's health when some instances are in trouble.
func (p *Platform) impairments(e *Environment, troubled map[trouble]int, instances int, traffic balancer.Metrics) []string {
	of := func(count int) string {
		if count == instances {
			return "all instances"
		}
		return fmt.Sprintf("%d out of %d instances", count, instances)
	}
	var causes []string
	if troubled[requests] > 0 {
		_, failing := judgeShare(traffic, 5)
		_, erring := judgeShare(traffic, 4)
		causes = append(causes, shares(failing, erring)...)
	}
	if count := troubled[processes]; count > 0 {
		causes = append(causes, "ELB processes are not healthy on "+of(count)+".", "ELB health is failing or not available for "+of(count)+".")
	}
	if count := troubled[services]; count > 0 {
		causes = append(causes, "Impaired services on "+of(count)+".")
	}
	if count := troubled[wrongVersion]; count > 0 {
		causes = append(causes, fmt.Sprintf("Incorrect application version found on %s. Expected version %q (deployment %d).", of(count), e.Version, e.Expected))
	}
	return causes
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

// span is a length of time as causes of health have it.
func span(d time.Duration) string {
	count, unit := int(d.Seconds()), "second"
	if d >= time.Minute {
		count, unit = int(d.Minutes()), "minute"
	}
	if count != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", count, unit)
}

// enhanced tells whether the environment reports enhanced health.
func (p *Platform) enhanced(e *Environment) bool {
	return p.value(e, Option{nsHealth, "SystemType"}) == "enhanced"
}
