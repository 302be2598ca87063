package git

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"gravity/internal/delivery"
	"gravity/internal/webhook"
)

const (
	// deliveryTimeout is GitHub's: who answers later has failed, and is not asked again.
	deliveryTimeout = 10 * time.Second
	// keptDeliveries bounds the list.
	keptDeliveries = 500
)

// Delivery is one event on its way to the webhook, or its end.
type Delivery struct {
	// ID is the GUID of X-GitHub-Delivery; a redelivery has the same.
	ID         string
	Event      string // "push"
	Repository string
	Ref        string
	Before     string
	After      string
	// Attempts counts how often it was sent; 0: it waits.
	Attempts int
	// Status is the HTTP status of the last answer; 0: there was none, and Error says why.
	Status int
	Error  string
	// Took is how long the last attempt took.
	Took time.Duration

	body []byte
}

// OK reports that the receiver took it.
func (d Delivery) OK() bool { return d.Status >= 200 && d.Status < 300 }

// courier sends deliveries one after the other, in the order of the pushes.
type courier struct {
	options Options
	client  *http.Client
	cancel  context.CancelFunc // ends all sending
	ended   chan struct{}
	wake    chan struct{}
	sending sync.Mutex // one at a time, redeliveries among them

	mutex      sync.Mutex
	url        string
	secret     []byte
	deliveries []*Delivery
}

func startCourier(options Options) *courier {
	ctx, cancel := context.WithCancel(context.Background())
	c := &courier{
		options: options, cancel: cancel, ended: make(chan struct{}), wake: make(chan struct{}, 1),
		url: options.WebhookURL, secret: bytes.Clone(options.Secret),
		client: &http.Client{
			Timeout:   deliveryTimeout,
			Transport: &http.Transport{}, // no proxy: the receiver is on this machine or in its network
			// As GitHub: a redirect is the answer.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	go c.run(ctx)
	return c
}

func (c *courier) setTarget(url string, secret []byte) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.url, c.secret = url, bytes.Clone(secret)
}

// send puts events at the end of the queue. Without a webhook there is nobody to tell.
func (c *courier) send(fullName string, events []pushEvent) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.url == "" {
		return nil
	}
	for _, event := range events {
		body, err := json.Marshal(event)
		if err != nil {
			return fmt.Errorf("write the push event of %s: %w", fullName, err)
		}
		c.deliveries = append(c.deliveries, &Delivery{
			ID: uuid.NewString(), Event: "push", Repository: fullName,
			Ref: event.Ref, Before: event.Before, After: event.After, body: body,
		})
	}
	for len(c.deliveries) > keptDeliveries && c.deliveries[0].Attempts > 0 {
		c.deliveries = slices.Delete(c.deliveries, 0, 1)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

func (c *courier) run(ctx context.Context) {
	defer close(c.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		for next := c.next(); next != nil && ctx.Err() == nil; next = c.next() {
			c.attempt(ctx, next)
		}
	}
}

func (c *courier) next() *Delivery {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, d := range c.deliveries {
		if d.Attempts == 0 {
			return d
		}
	}
	return nil
}

// attempt sends once. GitHub does not retry either; Redeliver is for people, and for finding pushes
// whose webhook never came.
func (c *courier) attempt(ctx context.Context, d *Delivery) Delivery {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mutex.Lock()
	url, secret := c.url, c.secret
	c.mutex.Unlock()
	began := time.Now()
	status, err := c.post(ctx, url, secret, d)
	c.mutex.Lock()
	d.Attempts++
	d.Status, d.Error, d.Took = status, "", time.Since(began)
	if err != nil {
		d.Error = err.Error()
	}
	done := *d
	c.mutex.Unlock()
	log := c.options.Log.With("delivery", done.ID, "repository", done.Repository, "ref", done.Ref, "after", done.After, "status", done.Status)
	if done.OK() {
		log.Info("webhook delivered")
	} else {
		log.Warn("webhook not taken", "error", done.Error)
	}
	if c.options.Delivered != nil {
		c.options.Delivered(done)
	}
	return done
}

func (c *courier) post(ctx context.Context, url string, secret []byte, d *Delivery) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.body))
	if err != nil {
		return 0, fmt.Errorf("webhook address: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "GitHub-Hookshot/gravity")
	request.Header.Set("X-GitHub-Event", d.Event)
	request.Header.Set("X-GitHub-Delivery", d.ID)
	request.Header.Set("X-GitHub-Hook-ID", "1")
	if len(secret) > 0 { // GitHub signs with a secret only
		request.Header.Set("X-Hub-Signature-256", webhook.Sign(secret, d.body))
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, err
}

func (c *courier) redeliver(ctx context.Context, id string) (Delivery, error) {
	c.mutex.Lock()
	at := slices.IndexFunc(c.deliveries, func(d *Delivery) bool { return d.ID == id && d.Attempts > 0 })
	var d *Delivery
	if at >= 0 {
		d = c.deliveries[at]
	}
	c.mutex.Unlock()
	if d == nil {
		return Delivery{}, delivery.Errorf(delivery.InvalidInput, "no delivery %q was sent since this git host started", id)
	}
	done := c.attempt(ctx, d)
	if !done.OK() {
		return done, fmt.Errorf("redeliver %s: %w", id, errors.New(done.explain()))
	}
	return done, nil
}

func (d Delivery) explain() string {
	if d.Error != "" {
		return d.Error
	}
	return fmt.Sprintf("the receiver answered %d %s", d.Status, http.StatusText(d.Status))
}

func (c *courier) list() []Delivery {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	list := make([]Delivery, len(c.deliveries))
	for i, d := range c.deliveries {
		list[i] = *d
	}
	return list
}

func (c *courier) close() {
	c.cancel()
	<-c.ended
	c.client.CloseIdleConnections()
	for _, d := range c.list() {
		if d.Attempts == 0 {
			c.options.Log.Warn("the git host ended before a webhook was sent", "repository", d.Repository, "ref", d.Ref, "after", d.After)
		}
	}
}
