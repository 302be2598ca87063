package beanstalk

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"

	"gravity/internal/delivery"
)

// expectation says when it is worth to look at an environment again while its update and its proof of
// health last. It goes by what the environment did the last time: an update by the same policy takes
// about as long from each of its events to its end. So looks are rare while nothing can be decided,
// and follow one another when the end is due. It is a matter of calls and of seconds, and decides nothing.
type expectation struct {
	pace Pace
	// learned is how long the last update went on after each of its events.
	learned map[string]time.Duration
	// due is when the update is expected to end, give or take the margin; zero when nothing is known.
	due    time.Time
	margin time.Duration

	last    delivery.Observation
	changed time.Time // when a look last showed something new
}

// learn reads the events of the environment's last update, which ended before this one began. Without them
// looks are as frequent as the time without a change allows.
func (c *Client) learn(ctx context.Context, o delivery.Observation, before time.Time) *expectation {
	x := &expectation{pace: c.pace, learned: map[string]time.Duration{}}
	out, err := c.api.DescribeEvents(ctx, &elasticbeanstalk.DescribeEventsInput{
		EnvironmentId: aws.String(o.ID), EndTime: aws.Time(before.Add(time.Second)), MaxRecords: aws.Int32(100),
	})
	if err != nil {
		return x
	}
	events := converted(out.Events)
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].RequestID != "" {
			last, first := events[i], events[i]
			for name, event := range named(events, last.RequestID) {
				x.learned[name] = last.At.Sub(event.At)
				if event.At.Before(first.At) {
					first = event
				}
			}
			x.expect(before, last.At.Sub(first.At)) // until the platform says how far this one is
			break
		}
	}
	return x
}

// hear takes what the platform says of the update under way. The latest event that the last update had as
// well tells most.
func (x *expectation) hear(events []delivery.Event) {
	if len(events) == 0 {
		return
	}
	var latest time.Time
	for name, event := range named(events, events[len(events)-1].RequestID) {
		remaining, known := x.learned[name]
		if known && event.At.After(latest) {
			latest = event.At
			x.expect(event.At, remaining)
		}
	}
}

// expect has the update end some time after a moment.
func (x *expectation) expect(since time.Time, remaining time.Duration) {
	x.due, x.margin = since.Add(remaining), max(2*x.pace.Fast, remaining/25)
}

// next is when to look again after a look.
func (x *expectation) next(o delivery.Observation, now, decision time.Time) time.Time {
	if !same(x.last, o) || x.changed.IsZero() {
		x.last, x.changed = o, now
	}
	if o.Ready() {
		// Health reports come as often as Slow: between two of them there is nothing to see, except the moment in which
		// the stage's own rules are decided.
		return sooner(now.Add(x.pace.Slow), decision)
	}
	quiet, most := now.Sub(x.changed), max(x.pace.Idle, x.pace.Slow)
	calm := x.pace.between(quiet, most)
	switch begins, ends := x.due.Add(-x.margin), x.due.Add(x.margin); {
	case !x.due.IsZero() && now.Before(begins):
		// What changes now was to be expected: it is not followed as closely as where nothing is known.
		return sooner(now.Add(x.pace.between(max(2*quiet, x.pace.Slow), most)), begins)
	case !x.due.IsZero() && now.Before(ends):
		return now.Add(x.pace.Fast)
	case !x.due.IsZero():
		return now.Add(x.pace.between(now.Sub(ends), x.pace.Slow))
	case !o.Abortable: // its last phase
		return now.Add(min(calm, x.pace.Slow))
	default:
		return now.Add(calm)
	}
}

// between bounds a time without news, for it to be the time until the next look.
func (p Pace) between(quiet, most time.Duration) time.Duration { return min(max(quiet, p.Fast), most) }

func sooner(at, other time.Time) time.Time {
	if other.IsZero() || at.Before(other) {
		return at
	}
	return other
}

// named gives the events of one request names that two updates have in common: what they say without
// the IDs in it, and the how-many-eth it is.
func named(events []delivery.Event, requestID string) map[string]delivery.Event {
	byName := map[string]delivery.Event{}
	for _, event := range events {
		if event.RequestID != requestID {
			continue
		}
		name := wording(event.Message)
		for _, again := byName[name]; again; _, again = byName[name] {
			name += "+"
		}
		byName[name] = event
	}
	return byName
}

// wording is the beginning of a message, up to the first thing that names something.
func wording(message string) string {
	end := strings.IndexFunc(message, func(r rune) bool { return unicode.IsDigit(r) || strings.ContainsRune("[]'\"", r) })
	if end < 0 {
		end = len(message)
	}
	return strings.TrimSpace(delivery.Clip(message[:end], 40))
}
