package beanstalk

import (
	"context"
	"time"

	"gravity/internal/delivery"
)

// Started is what is known of an update after it was sent, or found under way.
type Started struct {
	// Busy means that nothing was sent: somebody else's update came first.
	Busy bool `json:"busy,omitempty"`
	// Adopted means that an earlier attempt's update was found, and none was sent now.
	Adopted bool `json:"adopted,omitempty"`
	// Ended means that no update is to be waited for: the environment is to be proven as it is.
	Ended bool `json:"ended,omitempty"`
	// RequestID is the platform's, and stands in the events that the update causes.
	RequestID string `json:"requestId,omitempty"`
	// Before is when the environment had last been changed before the update.
	Before time.Time `json:"before,omitzero"`
}

// StartUpdate brings a version on its way exactly once. It never sends blindly: whoever calls has
// looked at the environment before (found), and it looks again. What changed in between is either
// the update that an earlier attempt sent, whose answer was lost; then it is adopted. Or it is
// somebody else's; then nothing is sent.
//
// sentBefore tells whether an earlier attempt got as far as sending. announce is called right
// before sending, and must put that on record durably.
func (c *Client) StartUpdate(ctx context.Context, found delivery.Observation, label string, sentBefore bool, announce func()) (Started, error) {
	now, err := c.Environment(ctx, found.Application, found.Name)
	if err != nil {
		return Started{}, err
	}
	if sentBefore && unchanged(found, now) {
		// The change may have been made and not be visible yet.
		if now, err = c.lookAgain(ctx, found); err != nil {
			return Started{}, err
		}
	}
	started := Started{Before: found.UpdatedAt}
	if !unchanged(found, now) {
		started.Adopted = ours(found, now, label, sentBefore)
		started.Busy = !started.Adopted
		return started, nil
	}
	announce()
	if ctx.Err() != nil {
		// Announcing is when an attempt learns that it was aborted, or could not be put on record.
		return Started{}, ctx.Err()
	}
	started.RequestID, err = c.Update(ctx, found.ID, label)
	if delivery.TypeOf(err) == delivery.EnvironmentBusy {
		return c.afterRefusal(started, sentBefore), nil
	}
	return started, err
}

// ours tells an earlier attempt's update from somebody else's, as far as it can be told: an update
// shows the wanted label or, while it lasts and after it was taken back, the one from before.
func ours(found, now delivery.Observation, label string, sentBefore bool) bool {
	switch {
	case now.ID != found.ID:
		return false // made anew under the same name: nothing was sent to this one
	case now.VersionLabel == label && found.VersionLabel != label:
		return true
	case now.VersionLabel == found.VersionLabel:
		return sentBefore
	default:
		return false
	}
}

// afterRefusal: "Must be Ready" means that an update began in this moment. After an earlier
// attempt that is ours, seen late; otherwise it is somebody else's.
func (c *Client) afterRefusal(started Started, sentBefore bool) Started {
	started.Adopted, started.Busy = sentBefore, !sentBefore
	return started
}

func (c *Client) lookAgain(ctx context.Context, found delivery.Observation) (delivery.Observation, error) {
	select {
	case <-ctx.Done():
		return delivery.Observation{}, classify(ctx.Err(), "looking a second time at "+found.Name)
	case <-time.After(c.pace.Lag):
		return c.Environment(ctx, found.Application, found.Name)
	}
}

// unchanged reports whether the platform has accepted no change between two looks. Both times are
// the platform's own, so no clocks are compared.
func unchanged(before, after delivery.Observation) bool {
	return after.Ready() && after.ID == before.ID && after.UpdatedAt.Equal(before.UpdatedAt) && after.VersionLabel == before.VersionLabel
}
