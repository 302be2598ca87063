package beanstalk

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/delivery"
)

// pairAPI is what blue-green calls beyond what every strategy does.
type pairAPI interface {
	CheckDNSAvailability(context.Context, *elasticbeanstalk.CheckDNSAvailabilityInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CheckDNSAvailabilityOutput, error)
	CreateConfigurationTemplate(context.Context, *elasticbeanstalk.CreateConfigurationTemplateInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateConfigurationTemplateOutput, error)
	CreateEnvironment(context.Context, *elasticbeanstalk.CreateEnvironmentInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateEnvironmentOutput, error)
	DeleteConfigurationTemplate(context.Context, *elasticbeanstalk.DeleteConfigurationTemplateInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DeleteConfigurationTemplateOutput, error)
	ListTagsForResource(context.Context, *elasticbeanstalk.ListTagsForResourceInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.ListTagsForResourceOutput, error)
	SwapEnvironmentCNAMEs(context.Context, *elasticbeanstalk.SwapEnvironmentCNAMEsInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.SwapEnvironmentCNAMEsOutput, error)
	TerminateEnvironment(context.Context, *elasticbeanstalk.TerminateEnvironmentInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.TerminateEnvironmentOutput, error)
}

// Pair is the environment that had the users' address before a deployment, and the one that is made beside it.
type Pair struct {
	Old delivery.Observation `json:"old"`
	New delivery.Observation `json:"new,omitzero"`
}

// gone is the status of an environment that is not there any more.
const gone = "Terminated"

// Live finds the one of an environment and its delivery.Green whose address has the prefix.
func (c *Client) Live(ctx context.Context, application, environment, prefix string) (delivery.Observation, error) {
	green := delivery.Green(environment)
	described, err := c.describe(ctx, []string{environment, green})
	if err != nil {
		return delivery.Observation{}, err
	}
	var pair []delivery.Observation
	for _, o := range described {
		if o.Application == application && !ending(o) {
			pair = append(pair, o)
		}
	}
	if len(pair) == 0 {
		return delivery.Observation{}, delivery.Errorf(delivery.EnvironmentNotFound,
			"application %q has neither an environment %q nor %q in this account and region; create the first, or correct gravity.yaml",
			application, environment, green)
	}
	live, err := c.holders(ctx, pair, prefix)
	switch {
	case err != nil:
		return delivery.Observation{}, err
	case len(live) == 0:
		return delivery.Observation{}, delivery.Errorf(delivery.InvalidInput,
			"the stage's cname is %q, but %s; set cname to the first label of the address that users have", prefix, addresses(pair))
	case len(live) > 1:
		return delivery.Observation{}, delivery.Errorf(delivery.Drift,
			"both environments have an address that begins with %q: %s; set cname to the prefix of the one that users have", prefix, addresses(pair))
	}
	return live[0], nil
}

// OfStage looks at the environment that a stage's users have: the only one, or the live one of a pair.
func (c *Client) OfStage(ctx context.Context, application string, stage delivery.Stage) (delivery.Observation, error) {
	if stage.Strategy == delivery.BlueGreen {
		return c.Live(ctx, application, stage.Environment, stage.CNAME)
	}
	return c.Environment(ctx, application, stage.Environment)
}

// holders are the environments whose address has the prefix. It is the first label of the address, with a label
// of Beanstalk's own behind it where it chose the address itself. An address of another form, as the local
// stand-in has, is asked for.
func (c *Client) holders(ctx context.Context, pair []delivery.Observation, prefix string) ([]delivery.Observation, error) {
	live := having(pair, func(address string) bool {
		label, _, _ := strings.Cut(address, ".")
		return strings.EqualFold(label, prefix)
	})
	if len(live) > 0 {
		return live, nil
	}
	out, err := c.api.CheckDNSAvailability(ctx, &elasticbeanstalk.CheckDNSAvailabilityInput{CNAMEPrefix: aws.String(prefix)})
	if err != nil {
		return nil, classify(err, "asking who has the address "+prefix)
	}
	if aws.ToBool(out.Available) {
		return nil, nil
	}
	return having(pair, func(address string) bool { return strings.EqualFold(address, aws.ToString(out.FullyQualifiedCNAME)) }), nil
}

func having(pair []delivery.Observation, it func(address string) bool) []delivery.Observation {
	var found []delivery.Observation
	for _, o := range pair {
		if it(o.Address) {
			found = append(found, o)
		}
	}
	return found
}

func addresses(pair []delivery.Observation) string {
	var parts []string
	for _, o := range pair {
		parts = append(parts, o.Name+" has "+o.Address)
	}
	return strings.Join(parts, " and ")
}

// AwaitLive waits until the live environment takes a change. At the deadline it gives up with EnvironmentBusy.
func (c *Client) AwaitLive(ctx context.Context, application, environment, prefix string, until time.Time, report func(Progress)) (delivery.Observation, error) {
	for {
		live, err := c.Live(ctx, application, environment, prefix)
		if err != nil || live.Ready() {
			return live, err
		}
		// Whoever holds it may give its address away meanwhile, so it is looked for again afterwards.
		if _, err := c.AwaitReady(ctx, application, live.Name, until, report); err != nil {
			return delivery.Observation{}, err
		}
	}
}

// Copyable reports, as an error, what keeps an environment from having another one made beside it.
func (c *Client) Copyable(ctx context.Context, observed delivery.Observation) error {
	described, err := c.described(ctx, observed.Application, observed.Name)
	if err != nil {
		return err
	}
	if tier := described.Tier; tier != nil && aws.ToString(tier.Name) == "Worker" {
		return delivery.Errorf(delivery.InvalidInput,
			"environment %s is a worker: it takes its work from a queue and has no address to swap; choose another strategy", observed.Name)
	}
	configured, err := c.Configuration(ctx, observed.Application, observed.Name)
	if err != nil {
		return err
	}
	if configured.Database {
		// Made from its configuration, the new one would have an empty database, and the old one's end be the data's.
		return delivery.Errorf(delivery.InvalidInput,
			"environment %s has a database of its own, which blue-green would replace by an empty one; decouple the database, or choose another strategy",
			observed.Name)
	}
	return nil
}

// described is one environment with all that the platform says of it.
func (c *Client) described(ctx context.Context, application, name string) (types.EnvironmentDescription, error) {
	out, err := c.api.DescribeEnvironments(ctx, &elasticbeanstalk.DescribeEnvironmentsInput{
		EnvironmentNames: []string{name}, IncludeDeleted: aws.Bool(false),
	})
	if err != nil {
		return types.EnvironmentDescription{}, classify(err, "describing environment "+name)
	}
	for _, e := range out.Environments {
		if aws.ToString(e.EnvironmentName) != name || e.Status == types.EnvironmentStatusTerminated {
			continue
		}
		if other := aws.ToString(e.ApplicationName); other != application {
			return types.EnvironmentDescription{}, delivery.Errorf(delivery.Drift,
				"environment %s belongs to application %q, and its name is needed for one of %q; names are unique in an account: rename the stage's environment",
				name, other, application)
		}
		return e, nil
	}
	return types.EnvironmentDescription{}, delivery.Errorf(delivery.EnvironmentNotFound, "application %q has no environment %q", application, name)
}

// lookAt looks at both environments of a pair at once, each by its ID: another one under the same name is not it.
func (c *Client) lookAt(ctx context.Context, pair Pair) (Pair, error) {
	described, err := c.describe(ctx, []string{pair.Old.Name, pair.New.Name})
	if err != nil {
		return Pair{}, err
	}
	now := func(before delivery.Observation) delivery.Observation {
		for _, o := range described {
			if o.ID == before.ID {
				return o
			}
		}
		before.Status, before.Address = gone, ""
		return before
	}
	return Pair{Old: now(pair.Old), New: now(pair.New)}, nil
}

func ending(o delivery.Observation) bool { return o.Status == "Terminating" || o.Status == gone }

// SettlePair waits until neither environment is changed by anything any more. A change may not show at once, so
// that has to be so for a while. Of a pair without a new environment only the old one is looked at.
func (c *Client) SettlePair(ctx context.Context, pair Pair, until time.Time, report func(Progress)) (Pair, error) {
	if pair.New.ID == "" {
		pair.New = pair.Old
	}
	var now Pair
	var rest pause
	err := c.poll(ctx, report, func(ctx context.Context) (delivery.Observation, bool, error) {
		var err error
		if now, err = c.lookAt(ctx, pair); err != nil {
			return pair.Old, false, err
		}
		for _, o := range []delivery.Observation{now.Old, now.New} {
			if !o.Ready() && !ending(o) {
				rest.over()
				return o, false, overdue(o, until)
			}
		}
		return now.Old, rest.lasted(c.pace.Lag), nil
	})
	if err != nil {
		return Pair{}, err
	}
	for _, o := range []*delivery.Observation{&now.Old, &now.New} {
		if o.Ready() {
			*o = c.withHealth(ctx, *o)
		}
	}
	return now, nil
}

// overdue gives a wait up whose time is over.
func overdue(o delivery.Observation, until time.Time) error {
	if time.Now().Before(until) {
		return nil
	}
	return delivery.GaveUp(delivery.EnvironmentBusy, "environment %s is still %s", o.Name, strings.ToLower(o.Status))
}

// pause is how long something has been so.
type pause struct{ since time.Time }

func (p *pause) over() { p.since = time.Time{} }

func (p *pause) lasted(long time.Duration) bool {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return time.Since(p.since) >= long
}

// poll looks, at first often and then less so, until see is done. Trouble with the platform does not end it,
// unless it lasts or cannot pass. Waits for a pair are rare and short, and what they decide by is one look at
// both environments, so they go without the watcher.
func (c *Client) poll(ctx context.Context, report func(Progress), see func(context.Context) (delivery.Observation, bool, error)) error {
	interval, trouble := c.pace.Fast, 0
	for {
		o, done, err := c.seeOnce(ctx, see)
		progress := Progress{Environment: o.Name, Status: o.Status, Health: o.HealthStatus, Version: o.VersionLabel}
		switch {
		case err == nil && done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			trouble = 0
		default:
			if trouble++; !passes(err) || trouble >= maxTrouble {
				return err
			}
			progress.Trouble = err.Error()
		}
		if err := wait(ctx, interval, func() { report(progress) }); err != nil {
			return err
		}
		interval = min(interval*3/2, c.pace.Slow)
	}
}

func (c *Client) seeOnce(ctx context.Context, see func(context.Context) (delivery.Observation, bool, error)) (delivery.Observation, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.pace.Lag+lookTimeout)
	defer cancel()
	return see(ctx)
}

// wait waits, and reports at its beginning and every few seconds that it lives.
func wait(ctx context.Context, long time.Duration, report func()) error {
	over := time.NewTimer(long)
	defer over.Stop()
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	report()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return nil
		case <-alive.C:
			report()
		}
	}
}

// Drain waits until no name server should lead anybody any more to the environment that had an address before a swap.
func (c *Client) Drain(ctx context.Context, name string, swapped time.Time, report func(Progress)) error {
	until := swapped.Add(c.pace.Drain)
	if swapped.IsZero() || time.Until(until) <= 0 {
		return nil
	}
	return wait(ctx, time.Until(until), func() {
		report(Progress{Environment: name, Status: "Ready", Event: "name servers may lead here until " + until.UTC().Format(time.TimeOnly)})
	})
}
