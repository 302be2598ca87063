package beanstalk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gravity/internal/delivery"
)

// BakeWatch is what Bake watches, for how long, and by which rules.
type BakeWatch struct {
	Application, Environment, Version string
	// EnvironmentID is Beanstalk's own.
	EnvironmentID string
	Health        delivery.Health
	// Until is the end of the bake. A complaint that is open then is seen through.
	Until time.Time
	// Patience is how much longer an update that somebody else began may take.
	Patience time.Duration
	// Also tells what else is held against the environment at present. Optional.
	Also func() Complaint
	// Changed says that it is something new. Optional.
	Changed <-chan struct{}
}

// Bake watches an environment that was proven good until the end of its bake, or until it can be said that it
// is good no more. A thousand bakes cost little: beside the looks that they share with all other
// waits, each reads its health now and then while nothing is wrong, and at every look while something is.
func (c *Client) Bake(ctx context.Context, bake BakeWatch, report func(Progress)) (delivery.Proof, error) {
	v := &vigil{
		environmentID: bake.EnvironmentID, version: bake.Version, health: bake.Health, until: bake.Until, patience: bake.Patience,
		grace: c.pace.Lag, good: time.Now(),
	}
	began := v.good
	var proof delivery.Proof
	var logs pendingLogs
	defer logs.stop()
	reading := &reading{client: c, rules: v}
	tell := func(p Progress) {
		p.Instances = len(proof.Observed.Instances)
		report(p)
	}
	err := c.watch(ctx, bake.Application, bake.Environment, tell, bake.Changed, func(looking context.Context, o delivery.Observation) (next, error) {
		seen, err := reading.of(looking, o)
		if err != nil {
			return next{}, err
		}
		if bake.Also != nil {
			seen.complaint = bake.Also()
		}
		ruled := v.rule(seen, time.Now())
		proof.Observed, proof.Verdict, proof.Reason, proof.Cause = seen.Observation, ruled.verdict, ruled.reason, ruled.cause
		switch {
		case v.bad == 0:
			logs.stop()
		case v.bad > blip && ruled == open:
			// What the instances logged is asked for while there is time: a failure is not kept waiting for it.
			logs.begin(ctx, c, seen.Observation)
		}
		return next{done: ruled != open, due: v.due(), complaint: v.complaint}, nil
	})
	if err != nil {
		return delivery.Proof{}, err
	}
	if proof.Verdict != delivery.VerdictHealthy {
		proof.Evidence = append(c.said(ctx, Started{Before: began}, proof.Observed, bakeEvidence), logs.soFar()...)
	}
	return proof, nil
}

// bakeEvidence is how long a failed bake may spend on its evidence: users are waiting for the rollback.
const bakeEvidence = 500 * time.Millisecond

// vigil decides whether an environment that was proven good stays so. Like judge it is plain logic.
//
// One look that finds something wrong is a blip. A failure is what lasts: no proof of health for the
// steady time, counted from the last look that found nothing wrong, and at least two looks that did.
type vigil struct {
	environmentID, version string
	health                 delivery.Health
	until                  time.Time
	patience               time.Duration
	grace                  time.Duration

	good      time.Time // the last look that found nothing wrong
	bad       int       // looks since then
	complaint string    // of the last look
	otherAt   time.Time // since when another version is seen
}

// blip is how many looks may find something wrong without it being a failure.
const blip = 1

// due is the next moment at which a look could decide something.
func (v *vigil) due() time.Time {
	switch {
	case !v.otherAt.IsZero():
		return v.otherAt.Add(v.grace)
	case v.bad > 0:
		return v.good.Add(v.health.Steady.Std())
	default:
		return v.until
	}
}

func (v *vigil) rule(o sight, now time.Time) ruling {
	v.complaint = ""
	switch {
	case v.environmentID != "" && o.ID != v.environmentID:
		return byHand("%s was created anew during the bake: it is %s now, and was %s", o.Name, o.ID, v.environmentID)
	case o.Status == "Terminating" || o.Status == "Terminated":
		return byHand("%s was terminated during the bake", o.Name)
	case !o.Ready():
		return v.waitOut(o, now)
	case o.VersionLabel != v.version:
		return v.ruleOtherVersion(o, now)
	}
	v.otherAt = time.Time{}
	return v.weigh(o, now)
}

func (v *vigil) weigh(o sight, now time.Time) ruling {
	complaint := v.wrong(o)
	v.complaint = complaint.Text
	if complaint.Text == "" {
		v.good, v.bad = now, 0
		if now.Before(v.until) {
			return open
		}
		return ruling{verdict: delivery.VerdictHealthy, reason: fmt.Sprintf("%s stayed healthy on %s", o.Name, v.version)}
	}
	v.bad++
	if complaint.Final || v.bad > blip && now.Sub(v.good) >= v.health.Steady.Std() {
		return ruling{verdict: delivery.VerdictUnhealthy, cause: complaint.Cause,
			reason: fmt.Sprintf("%s did not stay healthy on %s: %s", o.Name, v.version, complaint.Text)}
	}
	return open
}

// wrong says what keeps the environment from being good. An instance that is coming up, because load grew
// or another one died, is no fault of the version's.
func (v *vigil) wrong(o sight) Complaint {
	settled := o.Observation
	settled.Instances = slices.DeleteFunc(slices.Clone(o.Instances), func(i delivery.Instance) bool {
		return i.Deployment != "Failed" && (i.Deployment != "Deployed" || slices.Contains(starting, i.HealthStatus))
	})
	text := illness(settled, v.version, v.health.Accept)
	if text == "" {
		text = o.environment.complaintOf(v.health.Requests)
	}
	if text != "" {
		return Complaint{Text: text}
	}
	return o.complaint
}

// starting are the statuses of instances of which nothing is known yet.
var starting = []string{"Pending", "NoData", "Unknown", ""}

// waitOut lets an update go by that somebody else began, such as one of the platform itself: what it does
// to health is not the version's doing.
func (v *vigil) waitOut(o sight, now time.Time) ruling {
	// Health lags behind such an update as behind one of ours, and has the same time to settle.
	v.good, v.bad = now.Add(max(0, v.health.Settle.Std()-v.health.Steady.Std())), 0
	v.complaint = "somebody else's update is under way"
	if limit := v.until.Add(v.patience); now.After(limit) {
		return ruling{verdict: delivery.VerdictLate, cause: delivery.Drift, reason: fmt.Sprintf("somebody else's update of %s has not ended", o.Name)}
	}
	return open
}

// ruleOtherVersion: the version was proven there, so another one is somebody's doing. As in judge, the
// answer has to be given twice.
func (v *vigil) ruleOtherVersion(o sight, now time.Time) ruling {
	if v.otherAt.IsZero() {
		v.otherAt = now
	}
	if v.otherAt.Equal(now) || now.Sub(v.otherAt) < v.grace {
		return open
	}
	return byHand("somebody deployed %s on %s during its bake", orUnknown(o.VersionLabel), o.Name)
}

// byHand is the verdict on an environment that somebody took to something else.
func byHand(format string, args ...any) ruling {
	return ruling{verdict: delivery.VerdictNotUpdated, cause: delivery.Drift, reason: fmt.Sprintf(format, args...)}
}

// reading asks for an environment's health as often as a bake needs it.
type reading struct {
	client *Client
	rules  *vigil
	last   sight
	at     time.Time
}

// of completes an observation with what is known of its health.
func (r *reading) of(ctx context.Context, o delivery.Observation) (sight, error) {
	seen := sight{Observation: o}
	if !o.Ready() || o.VersionLabel != r.rules.version {
		r.at = time.Time{}
		return seen, nil
	}
	calm := slices.Contains(r.rules.health.Accept, o.HealthStatus) && r.rules.bad == 0 && r.rules.health.Requests == nil
	if calm && !r.at.IsZero() && time.Since(r.at) < r.client.pace.Events && time.Now().Before(r.rules.until) {
		seen.Instances, seen.Causes, seen.report = r.last.Instances, r.last.Causes, r.last.report
		return seen, nil
	}
	var err error
	if seen.report, err = r.client.health(ctx, &seen.Observation); err != nil {
		return sight{}, err
	}
	r.last, r.at = seen, time.Now()
	return seen, nil
}
