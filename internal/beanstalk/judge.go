package beanstalk

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gravity/internal/delivery"
)

// judge decides when a deployment is good, from one observation to the next. It is plain logic:
// it asks nobody, and is told the time.
//
// A platform that says Ready proves nothing. Good is: Ready, on the wanted label, every instance has
// deployed it, and health acceptable without a break for the time that the stage asks.
type judge struct {
	environmentID string
	version       string
	started       Started
	health        delivery.Health
	deadline      time.Time
	// grace is how long a Ready environment on another label may be an answer that lags behind.
	grace time.Duration

	updating    bool // the platform was seen at work
	readySince  time.Time
	steadySince time.Time
	overSince   time.Time
}

// ruling is what an observation led to; open while nothing is decided.
type ruling struct {
	verdict delivery.Verdict
	reason  string
}

var open = ruling{}

// needsInstances reports whether the judge wants to see the instances of this observation: it
// does only when the rest is as it should be, which spares the account most of the calls.
func (j *judge) needsInstances(o delivery.Observation) bool {
	return o.Ready() && o.VersionLabel == j.version
}

// decides is when the next of its clocks runs out, for somebody to look then; zero when none runs.
func (j *judge) decides() time.Time {
	switch {
	case !j.overSince.IsZero():
		return j.overSince.Add(j.grace)
	case !j.steadySince.IsZero():
		return j.steadySince.Add(j.health.Steady.Std())
	case !j.readySince.IsZero():
		return j.readySince.Add(j.health.Settle.Std())
	default:
		return time.Time{}
	}
}

func (j *judge) rule(o delivery.Observation, now time.Time) ruling {
	ruled := j.weigh(o, now)
	// Answers that contradict each other start the clocks below over and over; not for ever.
	if limit := j.deadline.Add(j.health.Settle.Std() + j.health.Steady.Std()); ruled == open && now.After(limit) {
		return ruling{delivery.VerdictLate, fmt.Sprintf("%s was not steadily healthy on %s long after the deadline", o.Name, j.version)}
	}
	return ruled
}

func (j *judge) weigh(o delivery.Observation, now time.Time) ruling {
	if j.environmentID != "" && o.ID != j.environmentID {
		return ruling{delivery.VerdictNotUpdated, fmt.Sprintf("%s was created anew: it is %s now, and was %s", o.Name, o.ID, j.environmentID)}
	}
	if !o.Ready() {
		return j.ruleUnready(o, now)
	}
	if o.VersionLabel != j.version {
		return j.ruleOtherVersion(o, now)
	}
	j.overSince = time.Time{}
	if j.readySince.IsZero() {
		j.readySince = now
	}
	complaint := j.complaint(o)
	if complaint == "" {
		if j.steadySince.IsZero() {
			j.steadySince = now
		}
		if now.Sub(j.steadySince) >= j.health.Steady.Std() {
			return ruling{delivery.VerdictHealthy, fmt.Sprintf("%s is healthy on %s: %s for %s on %d instances",
				o.Name, j.version, o.HealthStatus, j.health.Steady, len(o.Instances))}
		}
		return open
	}
	j.steadySince = time.Time{}
	if now.Sub(j.readySince) >= j.health.Settle.Std() {
		return ruling{delivery.VerdictUnhealthy, fmt.Sprintf("%s did not become healthy on %s within %s of its update: %s",
			o.Name, j.version, j.health.Settle, complaint)}
	}
	return open
}

func (j *judge) ruleUnready(o delivery.Observation, now time.Time) ruling {
	j.updating = true
	j.readySince, j.steadySince, j.overSince = time.Time{}, time.Time{}, time.Time{}
	switch {
	case o.Status == "Terminating" || o.Status == "Terminated":
		return ruling{delivery.VerdictNotUpdated, fmt.Sprintf("%s is being terminated", o.Name)}
	case now.After(j.deadline):
		return ruling{delivery.VerdictLate, fmt.Sprintf("%s was still %s at the deadline", o.Name, strings.ToLower(o.Status))}
	default:
		return open
	}
}

// ruleOtherVersion: Ready on another label means that the update is over and was taken back, even
// though nothing says "failed". Unless the answer is older than the update: DescribeEnvironments
// may lag, so it has to say so for a while, and at least twice.
func (j *judge) ruleOtherVersion(o delivery.Observation, now time.Time) ruling {
	j.readySince, j.steadySince = time.Time{}, time.Time{}
	if j.overSince.IsZero() {
		j.overSince = now
		return open
	}
	grace := j.grace
	if j.unseen(o) {
		// It gets more time to show.
		grace = max(6*j.grace, time.Second)
	}
	if now.Sub(j.overSince) < grace {
		return open
	}
	return ruling{delivery.VerdictNotUpdated, fmt.Sprintf("%s is Ready on %s instead of %s: the platform did not keep the update",
		o.Name, o.VersionLabel, j.version)}
}

// unseen reports whether there is no sign of the update at all yet, though the platform accepted it.
func (j *judge) unseen(o delivery.Observation) bool {
	return !j.started.Ended && !j.updating && o.UpdatedAt.Equal(j.started.Before)
}

// complaint says what keeps an environment from being healthy; empty when nothing does. No data is
// no health: an empty list of instances complains as well.
func (j *judge) complaint(o delivery.Observation) string {
	if j.unseen(o) {
		// On the wanted version before, as when it is put there again: what is seen is what was.
		return "the update does not show yet"
	}
	if !slices.Contains(j.health.Accept, o.HealthStatus) {
		return because("its health is "+orUnknown(o.HealthStatus), o.Causes)
	}
	if len(o.Instances) == 0 {
		return "no instance reports"
	}
	for _, i := range o.Instances {
		switch {
		case i.VersionLabel != j.version:
			return fmt.Sprintf("instance %s runs %s", i.ID, orUnknown(i.VersionLabel))
		case i.Deployment != "Deployed":
			return fmt.Sprintf("the deployment on instance %s is %s", i.ID, orUnknown(i.Deployment))
		case !slices.Contains(j.health.Accept, i.HealthStatus):
			return because(fmt.Sprintf("the health of instance %s is %s", i.ID, orUnknown(i.HealthStatus)), i.Causes)
		}
	}
	return ""
}

func because(complaint string, causes []string) string {
	if len(causes) == 0 {
		return complaint
	}
	return complaint + " (" + strings.Join(causes, "; ") + ")"
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}
