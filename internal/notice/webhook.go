package notice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"gravity/internal/delivery"
)

// Webhook sends CloudEvents to any address, signed as the Standard Webhooks specification says, so that a
// receiver needs no more than a library for that.
type Webhook struct {
	// Secret signs what is sent.
	Secret []byte
	// Client sends. Default: one that follows no redirects.
	Client *http.Client
}

var webhookClient = &http.Client{
	Timeout:       15 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Tell implements Receiver. An event that was answered with 2xx is not sent again.
func (w *Webhook) Tell(ctx context.Context, m Message, memory Memory) error {
	e, body, err := event(m)
	if err != nil || memory.told("id", e.ID) {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Target, bytes.NewReader(body))
	if err != nil {
		return delivery.Errorf(delivery.InvalidInput, "tell %s: %w", m.Target, err)
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	request.Header.Set("User-Agent", "gravity")
	request.Header.Set("webhook-id", e.ID)
	request.Header.Set("webhook-timestamp", at)
	request.Header.Set("webhook-signature", "v1,"+signature(w.Secret, e.ID, at, body))
	client := w.Client
	if client == nil {
		client = webhookClient
	}
	response, err := client.Do(request)
	if err != nil {
		return delivery.Errorf(delivery.Unavailable, "tell %s: %w", m.Target, err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if err := webhookAnswer(m.Target, response); err != nil {
		return err
	}
	memory["id"] = e.ID
	return nil
}

// signature is over the ID, the time and the body, so that none of them can be another's.
func signature(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, at) // a hash never fails
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func webhookAnswer(target string, response *http.Response) error {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		wait = min(time.Duration(seconds)*time.Second, time.Hour)
	}
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusTooManyRequests:
		return &delivery.Error{Type: delivery.Throttled, Message: target + " asks to wait", RetryAfter: max(wait, time.Second)}
	case code == http.StatusRequestTimeout || code >= 500:
		return &delivery.Error{Type: delivery.Unavailable, Message: fmt.Sprintf("%s answered %s", target, response.Status), RetryAfter: wait}
	default:
		return delivery.Errorf(delivery.InvalidInput, "%s answered %s", target, response.Status)
	}
}
