package beanstalk

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
)

// Retirement is the end of an environment that users do not have.
type Retirement struct {
	Application, Name string
	// ID is Beanstalk's own; when it is not known, the environment is the one that has the mark.
	ID   string
	Mark Mark
	// Public is the users' address, whose environment is never ended.
	Public string
	// Swapped is when that address last moved; zero when it did not.
	Swapped time.Time
}

// Retire ends an environment once the last user must have left it, and deletes the saved configuration that goes
// with the mark. It reports whether there was one to end. The platform takes minutes for the rest, which nobody has to wait for.
//
// An abort stops it for as long as the end has not begun. sentBefore and announce are as with StartUpdate.
func (c *Client) Retire(ctx context.Context, r Retirement, sentBefore bool, until time.Time, announce func(), report func(Progress)) (bool, error) {
	there, err := c.toRetire(ctx, r, report)
	if err != nil {
		return false, err
	}
	if there != nil && !ending(*there) {
		if err := c.Drain(ctx, r.Name, r.Swapped, report); err != nil {
			return false, err
		}
		if err := c.terminate(ctx, *there, r.Public, sentBefore, until, announce, report); err != nil {
			return false, err
		}
	}
	return there != nil || sentBefore, c.deleteTemplate(context.WithoutCancel(ctx), r)
}

// toRetire finds the environment; nil when there is none of ours.
func (c *Client) toRetire(ctx context.Context, r Retirement, report func(Progress)) (*delivery.Observation, error) {
	described, tags, err := c.tagged(ctx, r.Application, r.Name)
	if delivery.TypeOf(err) == delivery.EnvironmentNotFound && r.ID == "" {
		// Made a moment ago, it may not be visible yet.
		if err := wait(ctx, c.pace.Lag, func() { report(Progress{Environment: r.Name}) }); err != nil {
			return nil, err
		}
		described, tags, err = c.tagged(ctx, r.Application, r.Name)
	}
	switch kind := delivery.TypeOf(err); {
	case kind == delivery.EnvironmentNotFound, kind == delivery.Drift:
		return nil, nil
	case err != nil:
		return nil, err
	}
	found := observed(described)
	if r.ID != "" && found.ID != r.ID || r.ID == "" && tags[tagRequest] != r.Mark.Request {
		return nil, nil
	}
	return &found, nil
}

// terminate begins the end of an environment, once, as soon as it is Ready. An environment that users have, by
// whoever's doing, is left alone.
func (c *Client) terminate(ctx context.Context, o delivery.Observation, public string, sentBefore bool, until time.Time, announce func(), report func(Progress)) error {
	sent := sentBefore
	var rest pause
	return c.poll(ctx, report, func(looking context.Context) (delivery.Observation, bool, error) {
		pair, err := c.lookAt(looking, Pair{Old: o, New: o})
		now := pair.Old
		switch {
		case err != nil:
			return o, false, err
		case ending(now):
			return now, true, nil
		case strings.EqualFold(now.Address, public):
			return now, false, delivery.Errorf(delivery.Drift, "%s is not ended: it has the address %s of its users", o.Name, public)
		case !now.Ready():
			rest.over()
			return now, false, overdue(now, until)
		case sent && !rest.lasted(c.pace.Lag):
			return now, false, nil
		}
		announce()
		if ctx.Err() != nil {
			return now, false, ctx.Err()
		}
		// An abort in this moment would leave open whether there is anything to return to.
		sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
		defer cancel()
		sent = true
		rest.over()
		_, err = c.api.TerminateEnvironment(sending, &elasticbeanstalk.TerminateEnvironmentInput{EnvironmentId: aws.String(o.ID)}, once)
		err = classify(err, "ending "+o.Name)
		if delivery.TypeOf(err) == delivery.EnvironmentBusy {
			return now, false, nil
		}
		// Not before it shows: who looks for what is left beside the live one would take it for standing. An
		// abort changes nothing any more, and has not to wait for that.
		return now, err == nil && ctx.Err() != nil, err
	})
}

// awaitGone waits until an environment's name is free again.
func (c *Client) awaitGone(ctx context.Context, o delivery.Observation, until time.Time, report func(Progress)) error {
	return c.poll(ctx, report, func(ctx context.Context) (delivery.Observation, bool, error) {
		pair, err := c.lookAt(ctx, Pair{Old: o, New: o})
		if err != nil {
			return o, false, err
		}
		return pair.Old, pair.Old.Status == gone, overdue(pair.Old, until)
	})
}

// deleteTemplate deletes the saved configuration; one that is not there is as good as deleted.
func (c *Client) deleteTemplate(ctx context.Context, r Retirement) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err := c.api.DeleteConfigurationTemplate(ctx, &elasticbeanstalk.DeleteConfigurationTemplateInput{
		ApplicationName: aws.String(r.Application), TemplateName: aws.String(r.Mark.template()),
	}, once)
	var api smithy.APIError
	if errors.As(err, &api) && strings.HasPrefix(api.ErrorMessage(), "No Configuration Template named") {
		return nil
	}
	return classify(err, "deleting the saved configuration "+r.Mark.template())
}
