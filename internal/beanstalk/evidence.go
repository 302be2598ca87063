package beanstalk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gravity/internal/delivery"
)

// maxEvidence and maxLine bound what is kept of a failure, in lines and bytes a line; maxCauses is
// how many causes of one environment's or instance's health are kept.
const (
	maxEvidence = 20
	maxLine     = 400
	maxCauses   = 5
)

// evidenceTimeout keeps a platform that does not answer from holding back a verdict.
const evidenceTimeout = 10 * time.Second

// evidence collects what the platform says about a failure: the warnings and errors since the
// update, and the causes of ill health. It is collected as far as the platform answers; a failure
// is no less one for want of reasons.
func (c *Client) evidence(ctx context.Context, started Started, o delivery.Observation) []string {
	ctx, cancel := context.WithTimeout(ctx, evidenceTimeout)
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
	for _, cause := range o.Causes {
		lines = append(lines, o.HealthStatus+": "+cause)
	}
	for _, i := range o.Instances {
		for _, cause := range i.Causes {
			lines = append(lines, fmt.Sprintf("%s %s: %s", i.ID, i.HealthStatus, cause))
		}
	}
	lines = lines[max(0, len(lines)-maxEvidence):]
	for i := range lines {
		lines[i] = delivery.Clip(lines[i], maxLine)
	}
	return lines
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
		kept = append(kept, delivery.Clip(cause, maxLine))
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
	f.last = delivery.Clip(events[len(events)-1].Message, maxLine)
	return events
}
