// Package measures computes the four measures of software delivery that the DORA research uses, from
// deployments as they were recorded: how often a change arrives, how long it took, how often one had to
// be taken back, and how long until that was mended. See https://dora.dev/guides/dora-metrics/.
package measures

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"gravity/internal/delivery"
)

// Deployment is one that ended.
type Deployment struct {
	Pipeline    string           `json:"pipeline"`
	Environment string           `json:"environment"`
	Version     string           `json:"version"`
	Outcome     delivery.Outcome `json:"outcome"`
	// CommittedAt is when the version's commit was made; zero where the label does not say.
	CommittedAt time.Time `json:"committedAt,omitzero"`
	StartedAt   time.Time `json:"startedAt"`
	EndedAt     time.Time `json:"endedAt"`
}

// Measure is the four measures of one pipeline on one environment over a period.
type Measure struct {
	Pipeline    string `json:"pipeline"`
	Environment string `json:"environment"`
	// Deployments counts those that changed the environment, Succeeded those that left the new version there.
	Deployments int `json:"deployments"`
	Succeeded   int `json:"succeeded"`
	// Failed counts those that were taken back: by the platform, by Gravity, or later by a person.
	Failed int `json:"failed"`
	// PerDay is the deployment frequency: successful deployments a day.
	PerDay float64 `json:"perDay"`
	// LeadTime is the median time from a commit to its first successful deployment, in seconds of JSON; zero where
	// there was none.
	LeadTime Seconds `json:"leadTimeSeconds"`
	// FailureRate is the share of deployments that failed, 0 to 1.
	FailureRate float64 `json:"failureRate"`
	// TimeToRestore is the median time until the environment was proven healthy again after a failure; zero where
	// nothing failed, or nothing was mended yet.
	TimeToRestore Seconds `json:"timeToRestoreSeconds"`
	// Days has the successful and failed deployments of each day of the period, the first day first.
	Days []Day `json:"days"`
}

// Day is one day of a period, in the period's own time zone.
type Day struct {
	Date      string `json:"date"`
	Succeeded int    `json:"succeeded"`
	Failed    int    `json:"failed"`
}

// Seconds is a duration that JSON has as a number of seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(time.Duration(s)/time.Second), 10), nil
}

// Compute measures each pipeline on each environment over the deployments that ended from from up to to.
// Those that ended before from are read for what they say about later ones: whether a version
// was new, and what a failure is restored from.
func Compute(deployments []Deployment, from, to time.Time) []Measure {
	sorted := slices.Clone(deployments)
	slices.SortStableFunc(sorted, func(a, b Deployment) int {
		return cmp.Or(cmp.Compare(a.Pipeline, b.Pipeline), cmp.Compare(a.Environment, b.Environment), a.EndedAt.Compare(b.EndedAt))
	})
	var all []Measure
	for len(sorted) > 0 {
		first := sorted[0]
		end := slices.IndexFunc(sorted, func(d Deployment) bool { return d.Pipeline != first.Pipeline || d.Environment != first.Environment })
		if end < 0 {
			end = len(sorted)
		}
		if measure := measure(sorted[:end], from, to); measure.Deployments > 0 {
			all = append(all, measure)
		}
		sorted = sorted[end:]
	}
	return all
}

// change is a deployment with what became of it.
type change struct {
	Deployment
	failed bool
	// rollback is true for a deployment that a person asked for to get rid of another one: it brought back a version
	// that had been there before, and is no change of its own.
	rollback bool
	first    bool // the version's first success here
	restored time.Time
	bad      time.Time // since when the failure was there
}

// measure takes the deployments of one pipeline on one environment, oldest first.
func measure(deployments []Deployment, from, to time.Time) Measure {
	m := Measure{Pipeline: deployments[0].Pipeline, Environment: deployments[0].Environment, Days: days(from, to)}
	var leads, restores []time.Duration
	for _, c := range judged(deployments) {
		if c.EndedAt.Before(from) || !c.EndedAt.Before(to) || c.rollback {
			continue
		}
		m.Deployments++
		day := int(dayOf(c.EndedAt, from).Sub(dayOf(from, from)).Hours()/24 + 0.5)
		if c.failed {
			m.Failed++
			m.Days[day].Failed++
			if !c.restored.IsZero() {
				restores = append(restores, c.restored.Sub(c.bad))
			}
		} else {
			m.Days[day].Succeeded++
		}
		if c.Outcome == delivery.OutcomeDeployed {
			m.Succeeded++
			if c.first && !c.CommittedAt.IsZero() {
				leads = append(leads, c.EndedAt.Sub(c.CommittedAt))
			}
		}
	}
	m.PerDay = float64(m.Succeeded) / max(to.Sub(from).Hours()/24, 1)
	if m.Deployments > 0 {
		m.FailureRate = float64(m.Failed) / float64(m.Deployments)
	}
	m.LeadTime, m.TimeToRestore = Seconds(median(leads)), Seconds(median(restores))
	return m
}

// judged says of each deployment what became of it, with the knowledge of those after it.
func judged(deployments []Deployment) []change {
	var changes []change
	seen := map[string]bool{}
	live := -1 // the change that the environment is on
	for _, d := range deployments {
		c := change{Deployment: d}
		switch d.Outcome {
		case delivery.OutcomeDeployed:
			c.first = !seen[d.Version]
			c.rollback = seen[d.Version] && live >= 0 && changes[live].Version != d.Version
			seen[d.Version] = true
			for i := range changes {
				if changes[i].failed && changes[i].restored.IsZero() {
					changes[i].restored = d.EndedAt
				}
			}
			if c.rollback {
				// A person got rid of what was there: that change failed after all, since it was live.
				changes[live].failed, changes[live].bad, changes[live].restored = true, changes[live].EndedAt, d.EndedAt
			}
		case delivery.OutcomeTakenBack, delivery.OutcomeRolledBack:
			c.failed, c.bad, c.restored = true, d.StartedAt, d.EndedAt
		case delivery.OutcomeNeedsAttention:
			c.failed, c.bad = true, d.StartedAt
		default:
			continue // nothing was changed
		}
		changes = append(changes, c)
		if d.Outcome == delivery.OutcomeDeployed {
			live = len(changes) - 1
		}
	}
	return changes
}

// days lists the days of a period.
func days(from, to time.Time) []Day {
	var all []Day
	for day := dayOf(from, from); day.Before(to); day = day.AddDate(0, 0, 1) {
		all = append(all, Day{Date: day.Format(time.DateOnly)})
	}
	return all
}

// dayOf is the beginning of a moment's day, in the zone of another.
func dayOf(moment, zone time.Time) time.Time {
	moment = moment.In(zone.Location())
	return time.Date(moment.Year(), moment.Month(), moment.Day(), 0, 0, 0, 0, zone.Location())
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	middle := len(all) / 2
	if len(all)%2 == 1 {
		return all[middle]
	}
	return (all[middle-1] + all[middle]) / 2
}
