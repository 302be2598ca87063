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
		}
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
	id := delivery.EnvironmentID(pipeline.Application, stage.Environment)
	if first, taken := claims[id]; taken {
		d.reportAt(key, "environment %q of application %q is deployed to by stage %q of pipeline %q already, on line %d; an environment belongs to one stage",
			stage.Environment, pipeline.Application, first.stage, first.pipeline, first.at.line)
		return
	}
	claims[id] = claim{pipeline.Name, stage.Name, d.positions[key]}
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
