package beanstalk

import (
	"context"
	"fmt"
	"time"

	"gravity/internal/delivery"
)

// Progress is what a wait sees, for people who look at it while it lasts.
type Progress struct {
	Environment string `json:"environment"`
	Status      string `json:"status"`
	Health      string `json:"health,omitempty"`
	Version     string `json:"version,omitempty"`
	Instances   int    `json:"instances,omitempty"`
	// Event is the platform's last event.
	Event string `json:"event,omitempty"`
	// Complaint is what keeps the environment from being good at present.
	Complaint string `json:"complaint,omitempty"`
	// Trouble is why the platform could not be asked, if so.
	Trouble string `json:"trouble,omitempty"`
}

// AwaitReady waits until an environment takes an update. At the deadline it gives up with
// EnvironmentBusy; an environment that does not exist is not waited for.
func (c *Client) AwaitReady(ctx context.Context, application, name string, until time.Time, report func(Progress)) (delivery.Observation, error) {
	var ready delivery.Observation
	err := c.watch(ctx, application, name, report, nil, func(_ context.Context, o delivery.Observation) (next, error) {
		if o.Ready() {
			ready = o
			return next{done: true}, nil
		}
		if o.Status == "Terminating" {
			return next{}, delivery.Errorf(delivery.EnvironmentNotFound,
				"environment %s is being terminated; create it again under that name once it is gone, and deploy again", name)
		}
		if time.Now().After(until) {
			return next{}, delivery.GaveUp(delivery.EnvironmentBusy,
				"environment %s is still %s; somebody else's update holds it: look at its events, or raise the stage's patience", name, o.Status)
		}
		return next{due: until}, nil
	})
	return ready, err
}

// HealthWait is what AwaitHealth waits for.
type HealthWait struct {
	Application, Environment, Version string
	// EnvironmentID is Beanstalk's own; an environment created anew under the same name has another.
	EnvironmentID string
	Started       Started
	Health        delivery.Health
	Deadline      time.Time
	// Also asks for what else is held against an environment that the platform calls healthy. Optional.
	Also func(context.Context) (Complaint, error)
}

// AwaitHealth waits until it can be said whether an environment is good on a version.
func (c *Client) AwaitHealth(ctx context.Context, wait HealthWait, report func(Progress)) (delivery.Proof, error) {
	j := &judge{environmentID: wait.EnvironmentID, version: wait.Version, started: wait.Started, health: wait.Health, deadline: wait.Deadline, grace: c.pace.Lag}
	if limits := wait.Health.Compare; limits != nil {
		j.compared = &comparison{limits: *limits, version: wait.Version}
	}
	feed := c.newFeed(wait.Started.Before)
	var proof delivery.Proof
	var expected *expectation
	tell := func(p Progress) {
		p.Event = feed.last
		p.Instances = len(proof.Observed.Instances)
		report(p)
	}
	err := c.watch(ctx, wait.Application, wait.Environment, tell, nil, func(ctx context.Context, o delivery.Observation) (next, error) {
		if expected == nil {
			expected = c.learn(ctx, o, wait.Started.Before)
		}
		expected.hear(feed.follow(ctx, o))
		seen, err := c.see(ctx, j, o, wait.Also)
		if err != nil {
			return next{}, err
		}
		proof.Observed = seen.Observation
		ruled := j.rule(seen, time.Now())
		proof.Verdict, proof.Reason, proof.Cause = ruled.verdict, ruled.reason, ruled.cause
		led := next{done: ruled != open, due: j.due()}
		if !j.wantsSample(o) {
			led.due, led.patient = sooner(expected.next(o, time.Now(), led.due), led.due), true
		}
		return led, nil
	})
	if err != nil {
		return delivery.Proof{}, err
	}
	if proof.Verdict == delivery.VerdictHealthy {
		proof.Configuration = c.configurationLeft(ctx, wait)
		return proof, nil
	}
	proof.Evidence = c.collect(ctx, wait, proof, tell)
	return proof, nil
}

// see asks for as much as the judge wants to know of an observation.
func (c *Client) see(ctx context.Context, j *judge, o delivery.Observation, also func(context.Context) (Complaint, error)) (sight, error) {
	seen := sight{Observation: o}
	var err error
	switch {
	case j.needsInstances(o):
		seen.report, err = c.health(ctx, &seen.Observation)
		if err == nil && also != nil && j.complaint(seen).Text == "" {
			seen.complaint, err = also(ctx)
		}
	case j.wantsSample(o):
		seen.report, err = c.instances(ctx, &seen.Observation)
	}
	return seen, err
}

// configurationLeft is the digest of the settings on which the proof was given, as far as the platform answers: without
// one, the next deployment can't tell whether they were changed, and no more.
func (c *Client) configurationLeft(ctx context.Context, wait HealthWait) string {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	left, err := c.Configuration(ctx, wait.Application, wait.Environment)
	if err != nil {
		return ""
	}
	return left.Digest
}

// Settle waits until the environment is Ready; with abort, it ends the update that is under way. When
// nothing seems to have changed since found, it looks a second time: the answer may lag behind.
func (c *Client) Settle(ctx context.Context, found delivery.Observation, abort bool, until time.Time, report func(Progress)) (delivery.Observation, error) {
	var settled delivery.Observation
	aborted := "" // which update, by when it was accepted
	err := c.watch(ctx, found.Application, found.Name, report, nil, func(ctx context.Context, o delivery.Observation) (next, error) {
		if o.Ready() && unchanged(found, o) {
			// The second look counts in place of the first, which is older than it.
			again, err := c.lookAgain(ctx, found)
			if err != nil {
				return next{}, err
			}
			o = again
		}
		switch {
		case o.Ready():
			settled = c.withHealth(ctx, o)
			return next{done: true}, nil
		case time.Now().After(until):
			return next{}, delivery.GaveUp(delivery.EnvironmentBusy, "environment %s did not become Ready again: it is %s", found.Name, o.Status)
		case abort && o.Abortable && aborted != o.UpdatedAt.String():
			err := c.abort(ctx, o)
			if err == nil {
				aborted = o.UpdatedAt.String()
			}
			return next{}, err
		default:
			return next{due: until}, nil
		}
	})
	return settled, err
}

// abort tolerates that the update ended by itself in this moment, or can no longer be aborted: the
// wait goes on either way.
func (c *Client) abort(ctx context.Context, o delivery.Observation) error {
	err := c.Abort(ctx, o.ID)
	if kind := delivery.TypeOf(err); kind == delivery.InvalidInput || kind == delivery.EnvironmentBusy {
		return nil
	}
	return err
}

// withHealth adds causes and instances for the record; a settled environment without them is settled still.
func (c *Client) withHealth(ctx context.Context, o delivery.Observation) delivery.Observation {
	if err := c.Health(ctx, &o); err != nil {
		o.Causes = append(o.Causes, fmt.Sprintf("its health could not be read: %v", err))
	}
	return o
}

// maxTrouble is how many answers in a row may be missing before a wait gives the attempt up. It
// is tried again from outside, where the trouble is visible as a failed attempt.
const maxTrouble = 10

// next is what a look led to.
type next struct {
	done bool
	// due is the moment at which the next look could decide something; zero when there is none to be told.
	due time.Time
	// patient is true when no look before due is worth its call.
	patient bool
	// complaint is for people who watch.
	complaint string
}

// watch calls see with every look at an environment until it is done. Trouble with the platform
// does not end a wait, unless it lasts or cannot pass. An update of which someone is told every few
// seconds is one that lives, so report is called at least that often. Whatever arrives on wake asks for a look soon.
func (c *Client) watch(ctx context.Context, application, name string, report func(Progress), wake <-chan struct{},
	see func(context.Context, delivery.Observation) (next, error),
) error {
	looks, at, stop := c.watcher.watch(application, name)
	defer stop()
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	progress := Progress{Environment: name}
	trouble := 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-alive.C:
			report(progress)
		case <-wake:
			at(time.Now(), false)
		case l := <-looks:
			var led next
			err := l.err
			if err == nil {
				led, err = c.seeInTime(ctx, l.observed, see)
				progress = Progress{
					Environment: name, Status: l.observed.Status, Health: l.observed.HealthStatus, Version: l.observed.VersionLabel, Complaint: led.complaint,
				}
			}
			if err == nil {
				trouble = 0
				report(progress)
				if led.done {
					return nil
				}
				at(led.due, led.patient)
				continue
			}
			if trouble++; !passes(err) || trouble >= maxTrouble {
				return err
			}
			progress.Trouble = err.Error()
			report(progress)
		}
	}
}

// seeInTime bounds what is asked of the platform for one look: a connection that answers no more must
// neither hold up the wait nor keep it from showing that it lives.
func (c *Client) seeInTime(ctx context.Context, o delivery.Observation, see func(context.Context, delivery.Observation) (next, error)) (next, error) {
	ctx, cancel := context.WithTimeout(ctx, c.pace.Lag+lookTimeout)
	defer cancel()
	return see(ctx, o)
}

// Both are well below any heartbeat timeout.
const (
	aliveEvery  = 5 * time.Second
	lookTimeout = 10 * time.Second
)

// passes reports whether an error of a look can be waited out.
func passes(err error) bool {
	switch delivery.TypeOf(err) {
	case delivery.Throttled, delivery.Unavailable:
		return true
	default:
		return false
	}
}
