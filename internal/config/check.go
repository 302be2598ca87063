package config

import (
	"fmt"
	"strings"

	"gravity/internal/delivery"
)

// check finds what no single key shows: names that are there twice, environments that two stages
// would fight over, times that contradict each other.
func (d *decoder) check(file File, o options) {
	pipelines := map[string]position{}
	environments := map[string]claim{}
	for i, pipeline := range file.Pipelines {
		at := fmt.Sprintf("pipelines[%d]", i)
		d.unique(pipelines, "pipeline", pipeline.Name, at+".name")
		if pipeline.Repository != "" {
			if wrong := checkRepository(pipeline.Repository, o.localRepositories); wrong != "" {
				d.reportAt(at+".repository", `"repository" %s`, wrong)
			}
		}
		d.checkMatrix(pipeline.Test, at+".test.matrix")
		for j, receiver := range pipeline.Notify {
			if wrong := checkReceiver(receiver); wrong != "" {
				d.reportAt(fmt.Sprintf("%s.notify[%d].target", at, j), "%s", wrong)
			}
		}
		stages := map[string]position{}
		for j, stage := range pipeline.Stages {
			at := fmt.Sprintf("%s.stages[%d]", at, j)
			d.unique(stages, "stage", stage.Name, at+".name")
			d.claim(environments, pipeline, stage, at+".environment")
			d.checkTimes(stage, at)
			d.checkGate(stage, j, at)
			d.checkHealth(stage, at)
		}
	}
	d.checkStacks(file.Stacks)
}

// checkMatrix reports variables that are there twice, and matrices that nobody's workers would get through.
func (d *decoder) checkMatrix(test *delivery.Test, at string) {
	if test == nil {
		return
	}
	variables := map[string]position{}
	jobs := 1
	for i, axis := range test.Matrix {
		d.unique(variables, "variable", axis.Variable, fmt.Sprintf("%s[%d].variable", at, i))
		values := map[string]position{}
		for j, value := range axis.Values {
			d.unique(values, "value", value, fmt.Sprintf("%s[%d].values[%d]", at, i, j))
		}
		if jobs *= max(len(axis.Values), 1); jobs > delivery.MaxJobs {
			d.reportAt(at, "the matrix has more than %d combinations; leave some out, or let one job do more", delivery.MaxJobs)
			return
		}
	}
}

// checkStacks reports stacks that are there twice, that need themselves, or come after one that is not there.
func (d *decoder) checkStacks(stacks []delivery.Stack) {
	names := map[string]position{}
	for i, stack := range stacks {
		d.unique(names, "stack", stack.Name, fmt.Sprintf("stacks[%d].name", i))
	}
	for i, stack := range stacks {
		if stack.Approval != nil && stack.Approval.FourEyes {
			d.reportAt(fmt.Sprintf("stacks[%d].approval.four-eyes", i), "the change of a stack has no revision whose author could be kept from approving it; name the users or teams that may approve")
		}
		for _, name := range stack.After {
			if _, there := names[name]; !there {
				d.reportAt(fmt.Sprintf("stacks[%d].after", i), "stack %q is to come after %q, which is not in the file", stack.Name, clipped(name))
			}
		}
	}
	if _, err := delivery.InOrder(stacks); err != nil {
		d.reportAt("stacks", "%v", err)
	}
}

// unique reports a name that is there twice.
func (d *decoder) unique(seen map[string]position, what, name, key string) {
	if name == "" {
		return
	}
	if first, twice := seen[name]; twice {
		d.reportAt(key, "%s %q is there twice; the first is on line %d", what, name, first.line)
		return
	}
	seen[name] = d.positions[key]
}

// claim is the stage that an environment belongs to.
type claim struct {
	pipeline, stage string
	at              position
}

// claim reports an environment that belongs to another stage already: the two would overwrite each
// other's versions, and each would see the other's as drift.
func (d *decoder) claim(claims map[string]claim, pipeline delivery.Pipeline, stage delivery.Stage, key string) {
	if pipeline.Application == "" || stage.Environment == "" {
		return
	}
	names := []string{stage.Environment}
	if stage.Strategy == delivery.BlueGreen {
		names = append(names, delivery.Green(stage.Environment))
	}
	for _, name := range names {
		id := delivery.EnvironmentID(pipeline.Application, name)
		if first, taken := claims[id]; taken {
			d.reportAt(key, "environment %q of application %q is deployed to by stage %q of pipeline %q already, on line %d; an environment belongs to one stage",
				name, pipeline.Application, first.stage, first.pipeline, first.at.line)
			return
		}
		claims[id] = claim{pipeline.Name, stage.Name, d.positions[key]}
	}
}

// checkTimes reports rules that no deployment could ever meet.
func (d *decoder) checkTimes(stage delivery.Stage, at string) {
	health := stage.Health
	if health.Steady > stage.Deadline {
		d.reportAt(at+".health.steady", `"steady" (%s) is longer than the stage's "deadline" (%s); no deployment could prove itself in time`,
			short(health.Steady), short(stage.Deadline))
	}
	if health.Steady > health.Settle {
		d.reportAt(at+".health.steady", `"steady" (%s) is longer than "settle" (%s), the time in which the environment must become steady`,
			short(health.Steady), short(health.Settle))
	}
}

// checkGate reports gates that could never open.
func (d *decoder) checkGate(stage delivery.Stage, number int, at string) {
	gate := stage.Gate
	if gate.Rest > 0 && number == 0 {
		d.reportAt(at+".gate.rest", `"rest" is the time after the previous stage, and stage %q is the first`, stage.Name)
	}
	if gate.Rest > gate.Timeout {
		d.reportAt(at+".gate.rest", `"rest" (%s) is longer than the gate's "timeout" (%s); it would never open`, short(gate.Rest), short(gate.Timeout))
	}
	if approval := gate.Approval; approval != nil && len(approval.Teams) == 0 && len(approval.Users) > 0 && approval.Count > len(approval.Users) {
		d.reportAt(at+".gate.approval.count", `"count" asks for %d people, and "users" names %d`, approval.Count, len(approval.Users))
	}
	if gate.Windows == nil {
		return
	}
	for i, window := range gate.Windows.Open {
		if window.From != "" && window.To != "" && window.From >= window.To {
			d.reportAt(fmt.Sprintf("%s.gate.windows.open[%d].to", at, i),
				`"to" (%s) is not after "from" (%s); write a window over midnight as two, to 24:00 and from 00:00`, window.To, window.From)
		}
	}
}

// checkHealth reports rules that say nothing.
func (d *decoder) checkHealth(stage delivery.Stage, at string) {
	health := stage.Health
	if requests := health.Requests; requests != nil && requests.Errors == nil && requests.Latency == 0 {
		d.reportAt(at+".health.requests", `"requests" limits nothing; give it "errors" or "latency"`)
	}
	if compare := health.Compare; compare != nil {
		if compare.Errors == nil && compare.Latency == nil {
			d.reportAt(at+".health.compare", `"compare" limits nothing; give it "errors" or "latency"`)
		}
		if stage.Strategy != delivery.TrafficSplitting {
			d.reportAt(at+".health.compare", `"compare" needs two versions in service at once, which strategy %s does not have; it goes with %s`,
				stage.Strategy, delivery.TrafficSplitting)
		}
	}
}

// reportAt reports at a key, or at the nearest key around it when it was left to its default.
func (d *decoder) reportAt(key, format string, args ...any) {
	for at := key; ; {
		if place, known := d.positions[at]; known {
			d.report(place, key, format, args...)
			return
		}
		dot := strings.LastIndex(at, ".")
		if dot < 0 {
			d.report(position{1, 1}, key, format, args...)
			return
		}
		at = at[:dot]
	}
}

// short writes a duration without the units that are zero: 1h, not 1h0m0s.
func short(duration delivery.Duration) string {
	text := duration.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
