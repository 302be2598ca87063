// Package alarms reads CloudWatch alarms over the AWS SDK. It changes none.
package alarms

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"gravity/internal/delivery"
	"gravity/internal/refusal"
)

// API is what this package calls; *cloudwatch.Client satisfies it.
type API interface {
	DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error)
}

// Client is one account and region. All who ask it at about the same time share its calls: CloudWatch
// takes nine a second, and a thousand bakes may watch an alarm or two each.
type Client struct {
	api API
	// fresh is how old an answer of Recent may be.
	fresh time.Duration

	// turn is held by whoever reads or writes known; waiting for it ends with the context.
	turn  chan struct{}
	known map[string]entry // by name
}

// entry is what is known of an alarm, and who wants to know.
type entry struct {
	alarm  delivery.Alarm
	exists bool
	read   time.Time
	wanted time.Time
}

const (
	// maxNames is how many alarms one call may name, and maxPages how many answers it may take.
	maxNames = 100
	maxPages = 50
	// forgotten is after how long an alarm that nobody asks for is not asked for along with others.
	forgotten   = time.Minute
	callTimeout = 8 * time.Second
	// maxReason bounds CloudWatch's reason for a state, in bytes.
	maxReason = 300
)

// New makes a client from the SDK's configuration. An answer of Recent is at most as old as fresh.
func New(config aws.Config, fresh time.Duration) *Client {
	return NewFromAPI(cloudwatch.NewFromConfig(config), fresh)
}

// NewFromAPI makes a client over any implementation of the API.
func NewFromAPI(api API, fresh time.Duration) *Client {
	return &Client{api: api, fresh: fresh, turn: make(chan struct{}, 1), known: map[string]entry{}}
}

// begin waits for this caller's turn.
func (c *Client) begin(ctx context.Context) (done func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, refusal.Wrap(ctx.Err(), "reading alarms", nil)
	}
}

// States reads alarms now. Names that no alarm has are missing; both lists are in the order of the names.
func (c *Client) States(ctx context.Context, names []string) (found []delivery.Alarm, missing []string, err error) {
	done, err := c.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if err := c.read(ctx, names); err != nil {
		return nil, nil, err
	}
	found, missing = c.answer(names)
	return found, missing, nil
}

// Recent reads alarms of which nothing recent is known, and with them those that others have asked for lately.
func (c *Client) Recent(ctx context.Context, names []string) (found []delivery.Alarm, missing []string, err error) {
	done, err := c.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	now := time.Now()
	stale := false
	for _, name := range names {
		known := c.known[name]
		stale = stale || now.Sub(known.read) > c.fresh
		known.wanted = now
		c.known[name] = known
	}
	if stale {
		var wanted []string
		for name, known := range c.known {
			if now.Sub(known.wanted) > forgotten {
				delete(c.known, name)
				continue
			}
			wanted = append(wanted, name)
		}
		if err := c.read(ctx, wanted); err != nil {
			return nil, nil, err
		}
	}
	found, missing = c.answer(names)
	return found, missing, nil
}

// Raised answers with the first of the alarms that is raised, if one is. One that was deleted is a
// complaint of its own: what nobody watches is not quiet.
func (c *Client) Raised(ctx context.Context, names []string) (text string, err error) {
	if len(names) == 0 {
		return "", nil
	}
	found, missing, err := c.Recent(ctx, names)
	if err != nil {
		return "", err
	}
	for _, alarm := range found {
		if alarm.Raised() {
			text = "alarm " + alarm.Name + " is raised"
			if alarm.Reason != "" {
				text += ": " + alarm.Reason
			}
			return text, nil
		}
	}
	if len(missing) > 0 {
		return "there is no alarm " + missing[0] + " any more", nil
	}
	return "", nil
}

func (c *Client) answer(names []string) (found []delivery.Alarm, missing []string) {
	for _, name := range names {
		if known := c.known[name]; known.exists {
			found = append(found, known.alarm)
		} else {
			missing = append(missing, name)
		}
	}
	return found, missing
}

// read asks for alarms by name, and remembers what it is told.
func (c *Client) read(ctx context.Context, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for batch := range slices.Chunk(names, maxNames) {
		alarms, err := c.describe(ctx, batch)
		if err != nil {
			return err
		}
		now := time.Now()
		for _, name := range batch {
			alarm, exists := alarms[name]
			wanted := c.known[name].wanted
			c.known[name] = entry{alarm: alarm, exists: exists, read: now, wanted: wanted}
		}
	}
	return nil
}

func (c *Client) describe(ctx context.Context, names []string) (map[string]delivery.Alarm, error) {
	// One call that hangs must not hold up everyone.
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	alarms := map[string]delivery.Alarm{}
	var token *string
	for range maxPages {
		out, err := c.api.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
			AlarmNames: names, NextToken: token, MaxRecords: aws.Int32(maxNames),
			// Without them, only metric alarms are answered.
			AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
		})
		if err != nil {
			return nil, refusal.Wrap(err, "reading alarms", nil)
		}
		for _, a := range out.MetricAlarms {
			add(alarms, a.AlarmName, a.StateValue, a.StateReason, a.StateTransitionedTimestamp, a.StateUpdatedTimestamp)
		}
		for _, a := range out.CompositeAlarms {
			add(alarms, a.AlarmName, a.StateValue, a.StateReason, a.StateTransitionedTimestamp, a.StateUpdatedTimestamp)
		}
		if token = out.NextToken; aws.ToString(token) == "" {
			return alarms, nil
		}
	}
	return nil, delivery.Errorf(delivery.Unavailable, "reading %d alarms: CloudWatch's answer does not end", len(names))
}

func add(alarms map[string]delivery.Alarm, name *string, state types.StateValue, reason *string, since, updated *time.Time) {
	if since == nil {
		since = updated
	}
	alarms[aws.ToString(name)] = delivery.Alarm{
		Name: aws.ToString(name), State: string(state), Since: aws.ToTime(since).UTC(),
		Reason: delivery.Clip(strings.Join(strings.Fields(aws.ToString(reason)), " "), maxReason),
	}
}
