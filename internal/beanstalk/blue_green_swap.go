package beanstalk

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"

	"gravity/internal/delivery"
)

// Swap moves the address that one environment has to another, and what that one has to the first.
type Swap struct {
	From, To delivery.Observation
}

// Swap carries it out exactly once, and waits until both environments are Ready with it done. A swap that is sent
// twice is none, so it is never sent blindly: only when both are at rest and the address is where it was; and after
// an earlier attempt only when its change had time to show.
//
// sentBefore and announce are as with StartUpdate.
func (c *Client) Swap(ctx context.Context, swap Swap, sentBefore bool, until time.Time, announce func(), report func(Progress)) (delivery.Observation, error) {
	s := &swapping{Swap: swap, client: c, until: until, sent: sentBefore, announce: announce}
	err := c.poll(ctx, report, s.see)
	return s.live, err
}

// swapping is a swap under way.
type swapping struct {
	Swap
	client   *Client
	until    time.Time
	announce func()

	// sent: by this attempt or by an earlier one. accepted: by this one, and the platform took it.
	sent, accepted bool
	// rest is how long both have been Ready with nothing moved.
	rest pause
	live delivery.Observation
}

func (s *swapping) see(ctx context.Context) (delivery.Observation, bool, error) {
	now, err := s.client.lookAt(ctx, Pair{Old: s.From, New: s.To})
	if err != nil {
		return s.To, false, err
	}
	for _, o := range []delivery.Observation{now.Old, now.New} {
		if ending(o) {
			return o, false, delivery.Errorf(delivery.UpdateFailed, "%s is %s: no address can be moved", o.Name, strings.ToLower(o.Status))
		}
		if !o.Ready() {
			s.rest.over()
			return o, false, overdue(o, s.until)
		}
	}
	switch {
	case s.has(now.New):
		s.live = now.New
		return now.New, true, nil
	case !s.has(now.Old):
		return now.Old, false, delivery.Errorf(delivery.Drift,
			"neither %s nor %s has the address %s any more: somebody swapped it by hand", s.From.Name, s.To.Name, s.From.Address)
	case s.sent && !s.rest.lasted(s.grace()):
		return now.New, false, nil
	case s.accepted:
		return now.New, false, delivery.Errorf(delivery.UpdateFailed,
			"the platform took the swap of %s and %s, and did not carry it out: look at their events", s.From.Name, s.To.Name)
	case !unchanged(s.From, now.Old):
		return now.Old, false, delivery.Errorf(delivery.Drift,
			"%s was changed by somebody meanwhile: it is on %s now, and was on %s", s.From.Name, orUnknown(now.Old.VersionLabel), orUnknown(s.From.VersionLabel))
	}
	return now.New, false, s.send(ctx)
}

func (s *swapping) has(o delivery.Observation) bool {
	return strings.EqualFold(o.Address, s.From.Address)
}

// grace is how long a swap may stay unseen: longer where the platform said that it took it.
func (s *swapping) grace() time.Duration {
	if s.accepted {
		return max(6*s.client.pace.Lag, time.Second)
	}
	return s.client.pace.Lag
}

// send asks for the swap. Refused with EnvironmentBusy, or without an answer, it is looked for again.
func (s *swapping) send(ctx context.Context) error {
	s.announce()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.rest.over()
	_, err := s.client.api.SwapEnvironmentCNAMEs(ctx, &elasticbeanstalk.SwapEnvironmentCNAMEsInput{
		SourceEnvironmentId: aws.String(s.From.ID), DestinationEnvironmentId: aws.String(s.To.ID),
	}, once)
	err = classify(err, "swapping the addresses of "+s.From.Name+" and "+s.To.Name)
	switch delivery.TypeOf(err) {
	case delivery.EnvironmentBusy:
		return nil
	case delivery.Throttled, delivery.AccessDenied, delivery.InvalidInput:
		return err // it was not taken
	default:
		s.sent, s.accepted = true, err == nil
		return err
	}
}
