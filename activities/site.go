package activities

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/delivery"
)

// Site asks deployed applications from outside, as their users do.
type Site struct {
	// HTTP must not reuse connections: a check has to reach whichever instance the balancer picks.
	HTTP *http.Client
	// Pause is the time between a request that failed and the next one.
	Pause time.Duration
}

// NewSite makes a Site with a client fit for checks: no reused connections, and no redirects followed, since
// a redirect to a login page answers 200 too.
func NewSite() *Site {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	return &Site{
		HTTP: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Pause: checkPause,
	}
}

// CheckInput is a stage's check of a version at an environment's address.
type CheckInput struct {
	Check   delivery.Check   `json:"check"`
	Address string           `json:"address"`
	Version delivery.Version `json:"version"`
}

const (
	// checkedBytes is how much of an answer is searched.
	checkedBytes = 64 << 10
	// checkFailures is how many failed requests in a row are a failed check. One alone may be the
	// network's; the platform has called the environment healthy already, so there is nothing to wait for.
	checkFailures = 3
	// checkUnreached is how many requests in a row may get no answer at all: that is more often the network between
	// the worker and the site than the site.
	checkUnreached = 10
	checkPause     = 500 * time.Millisecond
)

// MostRequests is how many requests a check makes at the most, when good and bad answers alternate.
func MostRequests(check delivery.Check) int { return max(10*check.Times, checkUnreached) }

// Check requests the path until it was answered as expected as often in a row as the stage asks,
// or was answered wrongly three times in a row, or not at all ten times.
func (s *Site) Check(ctx context.Context, input CheckInput) error {
	return toTemporal(s.check(ctx, input, func(progress string) { activity.RecordHeartbeat(ctx, progress) }))
}

func (s *Site) check(ctx context.Context, input CheckInput, say func(string)) error {
	url := siteURL(&input.Check, input.Address) + input.Check.Path
	passed, wrong, unreached := 0, 0, 0
	var last error
	for range MostRequests(input.Check) {
		answered, err := s.request(ctx, url, input)
		switch last = err; {
		case err == nil:
			passed, wrong, unreached = passed+1, 0, 0
		case answered:
			passed, wrong, unreached = 0, wrong+1, 0
		default:
			passed, unreached = 0, unreached+1
		}
		if ctx.Err() != nil {
			return ctx.Err() // an abort says nothing about the site
		}
		say(fmt.Sprintf("%d of %d passed", passed, input.Check.Times))
		if passed == input.Check.Times {
			return nil
		}
		if wrong == checkFailures || unreached == checkUnreached {
			break
		}
		if last != nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(s.Pause):
			}
		}
	}
	if last == nil {
		last = fmt.Errorf("good and bad answers alternate at %s", url)
	}
	return delivery.Errorf(delivery.CheckFailed, "the check failed: %w", last)
}

// request makes one request. Whether it was answered matters beside whether the answer was right.
func (s *Site) request(ctx context.Context, url string, input CheckInput) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, input.Check.Timeout.Std())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	request.Header.Set("User-Agent", "gravity-check")
	response, err := s.HTTP.Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, checkedBytes))
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", url, err)
	}
	if response.StatusCode != input.Check.Status {
		return true, fmt.Errorf("%s answered %d instead of %d: %s", url, response.StatusCode, input.Check.Status, excerpt(body))
	}
	wanted := strings.NewReplacer("${version}", input.Version.Label, "${revision}", input.Version.Revision.SHA).Replace(input.Check.Contains)
	if wanted == "" && input.Check.Contains != "" {
		return true, fmt.Errorf("%q stands for nothing with version %s, and every answer contains that", input.Check.Contains, input.Version.Label)
	}
	if !bytes.Contains(body, []byte(wanted)) {
		return true, fmt.Errorf("%s answered without %q: %s", url, wanted, excerpt(body))
	}
	return true, nil
}

func excerpt(body []byte) string { return fmt.Sprintf("%q", delivery.Clip(string(body), 200)) }
