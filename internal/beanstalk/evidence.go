package beanstalk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gravity/internal/delivery"
	"gravity/internal/runner"
)

// What is kept of a failure: how many of the platform's warnings and errors, causes of ill health and
// lines of the instances' logs, and how many bytes of each. maxCauses is how many causes of one
// environment's or instance's health are kept.
const (
	maxEvents   = 12
	maxIll      = 8
	maxLogLines = 10
	maxEvidence = maxEvents + maxIll + maxLogLines
	maxLine     = 400
	maxCauses   = 5
)

// evidenceTimeout keeps a platform that does not answer from holding back a verdict; logPatience is how
// long the instances' logs are waited for, which the platform fetches when it is asked.
const (
	evidenceTimeout = 10 * time.Second
	logPatience     = 20 * time.Second
)

// collect gathers why a deployment failed: what the platform said, and what the instances logged.
// It is collected as far as the platform answers; a failure is no less one for want of reasons.
func (c *Client) collect(ctx context.Context, wait HealthWait, proof delivery.Proof, report func(Progress)) []string {
	done := make(chan []string, 1)
	go func() {
		lines := c.said(ctx, wait.Started, proof.Observed, evidenceTimeout)
		ctx, cancel := context.WithTimeout(ctx, logPatience)
		defer cancel()
		switch proof.Verdict { //nolint:exhaustive // the others can't wait, or the platform gives no logs then
		case delivery.VerdictUnhealthy:
			lines = append(lines, c.tails(ctx, proof.Observed.ID, proof.Observed.Instances)...)
		case delivery.VerdictNotUpdated:
			lines = append(lines, c.failedLogs(ctx, proof.Observed.ID, wait.Started.Before)...)
		}
		done <- lines
	}()
	progress := Progress{
		Environment: proof.Observed.Name, Status: proof.Observed.Status, Health: proof.Observed.HealthStatus,
		Version: proof.Observed.VersionLabel, Complaint: proof.Reason,
	}
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		select {
		case lines := <-done:
			return lines
		case <-alive.C:
			report(progress)
		}
	}
}

// said is what the platform says about a failure: the warnings and errors since the update, and
// the causes of ill health.
func (c *Client) said(ctx context.Context, started Started, o delivery.Observation, timeout time.Duration) []string {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var lines []string
	events, err := c.Events(ctx, o.ID, started.Before)
	if err != nil {
		lines = append(lines, "the events could not be read: "+err.Error())
	}
	for _, event := range ofUpdate(events, started.RequestID) {
		if event.Severity == "WARN" || event.Severity == "ERROR" || event.Severity == "FATAL" {
			lines = append(lines, fmt.Sprintf("%s %s %s", event.At.UTC().Format(time.TimeOnly), event.Severity, event.Message))
		}
	}
	var ill []string
	for _, cause := range o.Causes {
		ill = append(ill, o.HealthStatus+": "+cause)
	}
	for _, i := range o.Instances {
		for _, cause := range i.Causes {
			ill = append(ill, fmt.Sprintf("%s %s: %s", i.ID, i.HealthStatus, cause))
		}
	}
	lines = append(lines[max(0, len(lines)-maxEvents):], ill[:min(len(ill), maxIll)]...)
	for i := range lines {
		lines[i] = line(lines[i])
	}
	return lines
}

// line makes text from outside fit to be kept and shown.
func line(text string) string {
	return delivery.Clip(strings.ReplaceAll(runner.Clean(text), "\n", " "), maxLine)
}

// ofUpdate leaves out what the platform said before it began with the update: the last change
// before it may have been an update as well, with warnings of its own.
func ofUpdate(events []delivery.Event, requestID string) []delivery.Event {
	begins := slices.IndexFunc(events, func(e delivery.Event) bool { return requestID != "" && e.RequestID == requestID })
	return events[max(0, begins):]
}

// bounded keeps causes, which come from outside, from filling histories.
func bounded(causes []string) []string {
	var kept []string
	for _, cause := range causes[:min(len(causes), maxCauses)] {
		kept = append(kept, line(cause))
	}
	return kept
}

// feed follows the events of one environment, for show.
type feed struct {
	client *Client
	since  time.Time
	read   time.Time
	status string
	// abortable ends with the last phase of an update.
	abortable bool
	last      string
}

func (c *Client) newFeed(since time.Time) *feed { return &feed{client: c, since: since} }

// follow reads the events when the environment's status or phase changed, and now and then while it is at
// work, and gives them. Errors are left to the look that matters.
func (f *feed) follow(ctx context.Context, o delivery.Observation) []delivery.Event {
	if o.Status == f.status && o.Abortable == f.abortable && (o.Ready() || time.Since(f.read) < f.client.pace.Events) {
		return nil
	}
	f.status, f.abortable, f.read = o.Status, o.Abortable, time.Now()
	events, err := f.client.Events(ctx, o.ID, f.since)
	if err != nil || len(events) == 0 {
		return nil
	}
	f.last = line(events[len(events)-1].Message)
	return events
}
