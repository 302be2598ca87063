package github

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/go-github/v60/github"

	"gravity/internal/delivery"
)

// Hook is a webhook: one of a repository, or the App's own where Repository is empty.
type Hook struct {
	Repository string // clone URL
	ID         int64
}

// FailedDelivery is one that never got through.
type FailedDelivery struct {
	ID    int64     `json:"id"`
	GUID  string    `json:"guid"`
	Event string    `json:"event"`
	At    time.Time `json:"at"`
	// Status is what GitHub says of the last attempt, such as "504 Gateway Time-out".
	Status string `json:"status"`
}

// maxDeliveryPages bounds how far back is looked, a hundred deliveries a page; GitHub keeps three days.
const maxDeliveryPages = 50

// Failed lists the deliveries since a moment of which no attempt got through, oldest first.
func (c *Client) Failed(ctx context.Context, hook Hook, since time.Time) ([]FailedDelivery, error) {
	list, _, err := c.hook(ctx, hook)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	var failed []FailedDelivery
	options := &github.ListCursorOptions{PerPage: 100}
	for range maxDeliveryPages {
		page, response, err := list(ctx, options)
		if err != nil {
			return nil, classify(err, "list the deliveries of the webhook")
		}
		for _, d := range page { // newest first
			if d.GetDeliveredAt().Before(since) {
				slices.Reverse(failed)
				return failed, nil
			}
			if done[d.GetGUID()] {
				continue // a later attempt got through, or is listed already
			}
			done[d.GetGUID()] = true
			if code := d.GetStatusCode(); code < 200 || code > 299 {
				failed = append(failed, FailedDelivery{ID: d.GetID(), GUID: d.GetGUID(), Event: d.GetEvent(), At: d.GetDeliveredAt().Time, Status: d.GetStatus()})
			}
		}
		if options.Cursor = response.Cursor; options.Cursor == "" {
			break
		}
	}
	slices.Reverse(failed)
	return failed, nil
}

// Redeliver asks GitHub to send a delivery again.
func (c *Client) Redeliver(ctx context.Context, hook Hook, id int64) error {
	_, again, err := c.hook(ctx, hook)
	if err != nil {
		return err
	}
	return classify(accepted(again(ctx, id)), "ask for delivery %d again", id)
}

// accepted takes GitHub's 202, which the library calls an error, for what it is.
func accepted(err error) error {
	var queued *github.AcceptedError
	if errors.As(err, &queued) {
		return nil
	}
	return err
}

type (
	lister func(context.Context, *github.ListCursorOptions) ([]*github.HookDelivery, *github.Response, error)
	sender func(context.Context, int64) error
)

func (c *Client) hook(ctx context.Context, hook Hook) (lister, sender, error) {
	if hook.Repository == "" {
		api, err := c.asApp()
		if err != nil {
			return nil, nil, err
		}
		return api.Apps.ListHookDeliveries, func(ctx context.Context, id int64) error {
			_, _, err := api.Apps.RedeliverHookDelivery(ctx, id)
			return err
		}, nil
	}
	r, err := c.repository(hook.Repository)
	if err != nil {
		return nil, nil, err
	}
	if hook.ID <= 0 {
		return nil, nil, delivery.Errorf(delivery.InvalidInput, "the webhook's number is missing; GitHub shows it in the address of the webhook's page")
	}
	api, err := c.api(ctx, r.owner, r.name)
	if err != nil {
		return nil, nil, err
	}
	list := func(ctx context.Context, o *github.ListCursorOptions) ([]*github.HookDelivery, *github.Response, error) {
		return api.Repositories.ListHookDeliveries(ctx, r.owner, r.name, hook.ID, o)
	}
	return list, func(ctx context.Context, id int64) error {
		_, _, err := api.Repositories.RedeliverHookDelivery(ctx, r.owner, r.name, hook.ID, id)
		return err
	}, nil
}
