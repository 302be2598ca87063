package balancer

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws/clock"
)

// fakeTarget answers without a network.
type fakeTarget struct {
	name    string
	status  atomic.Int64 // of health checks; 0 is no answer
	waiting chan struct{}
	release chan struct{}
	seen    atomic.Int64
}

func (f *fakeTarget) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	if strings.HasPrefix(r.Header.Get("User-Agent"), "ELB-HealthChecker") {
		if f.status.Load() == 0 {
			return nil, errors.New("connection refused")
		}
		recorder.WriteHeader(int(f.status.Load()))
		return recorder.Result(), nil
	}
	f.seen.Add(1)
	if f.waiting != nil {
		f.waiting <- struct{}{}
		<-f.release
	}
	_, _ = io.WriteString(recorder, f.name)
	return recorder.Result(), nil
}

func register(b *Balancer, group string, f *fakeTarget) *Target {
	return b.Register(f.name, group, Backend{URL: &url.URL{Scheme: "http", Host: f.name}, Transport: f})
}

func newTarget(name string, status int) *fakeTarget {
	f := &fakeTarget{name: name}
	f.status.Store(int64(status))
	return f
}

func newBalancer(t *testing.T) (*Balancer, *clock.Stepped) {
	c := clock.NewStepped(time.Unix(0, 0))
	b := New(Options{Clock: c, Log: slog.New(slog.DiscardHandler)})
	b.SetCheck(Check{Path: "/health?deep=1", Matcher: "200,300-399", Interval: 10 * time.Second, Timeout: time.Second, Healthy: 2, Unhealthy: 3})
	t.Cleanup(b.Close)
	return b, c
}

func ask(b *Balancer) (int, string) {
	recorder := httptest.NewRecorder()
	b.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	return recorder.Code, recorder.Body.String()
}

func state(t *Target) State {
	s, _ := t.State()
	return s
}

func TestATargetServesFromItsFirstPassedCheckAndLeavesAfterSomeFailedOnes(t *testing.T) {
	b, c := newBalancer(t)
	status, _ := ask(b)
	assert.Equal(t, http.StatusServiceUnavailable, status, "no target")
	one, two := newTarget("one", 200), newTarget("two", 302)
	first, second := register(b, "g", one), register(b, "g", two)
	status, _ = ask(b)
	assert.Equal(t, http.StatusServiceUnavailable, status, "none was checked yet")
	c.Advance(0)
	assert.Equal(t, Healthy, state(first))
	assert.Equal(t, Healthy, state(second))

	one.status.Store(500)
	c.Advance(20 * time.Second)
	assert.Equal(t, Healthy, state(first), "two failed checks are not enough")
	c.Advance(10 * time.Second)
	is, reason := first.State()
	assert.Equal(t, Unhealthy, is)
	assert.Equal(t, "Target.ResponseCodeMismatch: Health checks failed with these codes: [500]", reason)
	for range 10 {
		_, body := ask(b)
		assert.Equal(t, "two", body)
	}
	one.status.Store(200)
	c.Advance(10 * time.Second)
	assert.Equal(t, Unhealthy, state(first), "one passed check is not enough to come back")
	c.Advance(10 * time.Second)
	assert.Equal(t, Healthy, state(first))
}

func TestWithoutAHealthyTargetTheBalancerFailsOpen(t *testing.T) {
	b, c := newBalancer(t)
	one := newTarget("one", 0)
	first := register(b, "g", one)
	c.Advance(30 * time.Second)
	require.Equal(t, Unhealthy, state(first))
	status, body := ask(b)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "one", body)
}

func TestATargetThatLeavesAnswersWhatItHasBegunAndNothingNew(t *testing.T) {
	b, c := newBalancer(t)
	old := newTarget("old", 200)
	old.waiting, old.release = make(chan struct{}), make(chan struct{})
	leaving := register(b, "g", old)
	c.Advance(0)
	answer := make(chan string, 2)
	for range 2 {
		go func() {
			_, body := ask(b)
			answer <- body
		}()
		<-old.waiting
	}
	register(b, "g", newTarget("new", 200))
	c.Advance(0)
	drained := make(chan struct{})
	leaving.Deregister(time.Minute, func() { close(drained) })
	for range 5 {
		_, body := ask(b)
		assert.Equal(t, "new", body)
	}
	old.release <- struct{}{}
	assert.Equal(t, "old", <-answer)
	select {
	case <-drained:
		t.Fatal("drained with a request in flight")
	case <-time.After(20 * time.Millisecond): // nothing is to happen, so there is nothing to wait for
	}
	close(old.release)
	<-drained
	assert.Equal(t, "old", <-answer)
	assert.Equal(t, int64(2), old.seen.Load())
}

func TestARequestLeftAfterTheDrainTimeHoldsNobodyUp(t *testing.T) {
	b, c := newBalancer(t)
	old := newTarget("old", 200)
	old.waiting, old.release = make(chan struct{}), make(chan struct{})
	leaving := register(b, "g", old)
	c.Advance(0)
	go ask(b)
	<-old.waiting
	drained := make(chan struct{})
	leaving.Deregister(time.Millisecond, func() { close(drained) })
	<-drained
	close(old.release)
}

func TestTrafficIsSplitByWeight(t *testing.T) {
	b, c := newBalancer(t)
	one, two, three := newTarget("one", 200), newTarget("two", 200), newTarget("three", 200)
	register(b, "old", one)
	register(b, "old", two)
	register(b, "new", three)
	c.Advance(0)
	b.SetWeights(map[string]int{"old": 90, "new": 10})
	for range 200 {
		ask(b)
	}
	assert.Equal(t, int64(20), three.seen.Load())
	b.SetWeights(map[string]int{"old": 0, "new": 100})
	before := three.seen.Load()
	for range 50 {
		ask(b)
	}
	assert.Equal(t, before+50, three.seen.Load())
}

func TestMetricsCountWhatWentThrough(t *testing.T) {
	b, c := newBalancer(t)
	target := register(b, "g", newTarget("one", 200))
	c.Advance(0)
	for range 10 {
		ask(b)
	}
	seen := target.Traffic()
	assert.Equal(t, 10, seen.Requests)
	assert.Equal(t, 10, seen.Status[2])
	assert.Greater(t, seen.Percentile(0.99), 0.0)
	assert.Zero(t, target.Traffic().Requests, "counted once")
}
