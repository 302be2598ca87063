package github

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// maxAnswer bounds an answer of the API, in bytes. The largest that is asked for, a comparison
	// with 300 changed files, is below two megabytes.
	maxAnswer = 16 << 20
	// secondaryPause is how long GitHub asks to wait at least when it says nothing more precise.
	secondaryPause = time.Minute
)

// pacer keeps GitHub's rate limits. Requests that change something go one after the other with a gap
// between them. When GitHub asks for less, nothing is sent until the time that it named: requests
// meanwhile fail at once with a limited error, and whoever sent them comes back later.
type pacer struct {
	next http.RoundTripper
	gap  time.Duration
	turn chan struct{} // holds one token: whose turn it is to write

	mutex  sync.Mutex
	wrote  time.Time
	closed time.Time // nothing is sent before
}

func newPacer(next http.RoundTripper, gap time.Duration) *pacer {
	p := &pacer{next: next, gap: gap, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// limited is GitHub's, or our own, word to come back later.
type limited struct{ until time.Time }

func (l *limited) Error() string {
	return fmt.Sprintf("GitHub's rate limit is reached until %s", l.until.UTC().Format(time.RFC3339))
}

func (p *pacer) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		if err := p.takeTurn(request); err != nil {
			return nil, err
		}
		defer p.giveTurn()
	}
	if until := p.closedUntil(); time.Now().Before(until) {
		return nil, &limited{until}
	}
	response, err := p.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	p.learn(response)
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswer), response.Body}
	return response, nil
}

// takeTurn waits for the writes before this one, and for the gap after them.
func (p *pacer) takeTurn(request *http.Request) error {
	ctx := request.Context()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.turn:
	}
	p.mutex.Lock()
	wait := time.Until(p.wrote.Add(p.gap))
	p.mutex.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		p.turn <- struct{}{}
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (p *pacer) giveTurn() {
	p.mutex.Lock()
	p.wrote = time.Now()
	p.mutex.Unlock()
	p.turn <- struct{}{}
}

func (p *pacer) closedUntil() time.Time {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.closed
}

// learn remembers until when GitHub wants no more.
func (p *pacer) learn(response *http.Response) {
	wait, ok := pause(response)
	if !ok {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if until := time.Now().Add(wait); until.After(p.closed) {
		p.closed = until
	}
}

// pause is how long an answer asks to wait: the secondary limit by Retry-After, the primary one by
// the time at which the quota begins anew.
func pause(response *http.Response) (time.Duration, bool) {
	if response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		return min(time.Duration(seconds)*time.Second, time.Hour), true
	}
	if response.Header.Get("X-RateLimit-Remaining") == "0" {
		reset, err := strconv.ParseInt(response.Header.Get("X-RateLimit-Reset"), 10, 64)
		if err != nil {
			return secondaryPause, true
		}
		// A second more, since our clock may be ahead of theirs.
		return min(max(time.Until(time.Unix(reset, 0))+time.Second, time.Second), time.Hour+time.Second), true
	}
	return secondaryPause, response.StatusCode == http.StatusTooManyRequests
}
