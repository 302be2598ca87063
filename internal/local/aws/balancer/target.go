package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"gravity/internal/local/aws/clock"
)

// State is where a target stands.
type State string

// The states of a target. Only healthy ones get requests, unless there is none.
const (
	Initial   State = "initial"
	Healthy   State = "healthy"
	Unhealthy State = "unhealthy"
	Draining  State = "draining"
)

// Check says how targets are checked.
type Check struct {
	Path      string
	Matcher   string        // status codes: "200", "200,202", "200-399"
	Interval  time.Duration // between two checks of one target
	Timeout   time.Duration // of one check, in real time
	Healthy   int           // passed checks in a row that bring an unhealthy target back
	Unhealthy int           // failed checks in a row that take a target out
}

// DefaultCheck is what Beanstalk configures when nothing else is said.
func DefaultCheck() Check {
	return Check{Path: "/", Matcher: "200", Interval: 15 * time.Second, Timeout: 5 * time.Second, Healthy: 3, Unhealthy: 5}
}

// Matches tells whether a status code passes.
func (c Check) Matches(status int) bool {
	for _, part := range strings.Split(c.Matcher, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		low, lowErr := strconv.Atoi(from)
		high, highErr := strconv.Atoi(to)
		if lowErr == nil && highErr == nil && low <= status && status <= high {
			return true
		}
	}
	return false
}

// Target is one instance behind a balancer. Its fields are guarded by the balancer's lock.
type Target struct {
	ID string

	balancer *Balancer
	group    string
	backend  Backend
	state    State
	reason   string
	passed   int // checks in a row
	failed   int
	timer    clock.Timer
	inFlight int
	drained  func()
	traffic  traffic
}

// State is the target's state, and why it is not healthy, in the balancer's words.
func (t *Target) State() (State, string) {
	t.balancer.mu.Lock()
	defer t.balancer.mu.Unlock()
	return t.state, t.reason
}

// SetBackend points the target at a new process of the same instance.
func (t *Target) SetBackend(backend Backend) {
	t.balancer.mu.Lock()
	defer t.balancer.mu.Unlock()
	t.backend = backend
}

// Group moves the target into another group, for the split of traffic.
func (t *Target) Group(group string) {
	t.balancer.mu.Lock()
	defer t.balancer.mu.Unlock()
	t.group = group
}

// Deregister takes the target out. It gets no new request from now on; drained is called once the
// last one in flight has ended, or after the given (real) time with requests left to cut.
func (t *Target) Deregister(within time.Duration, drained func()) {
	t.balancer.mu.Lock()
	defer t.balancer.mu.Unlock()
	t.state = Draining
	t.stopChecks()
	busy := t.balancer.options.Clock.Busy()
	finished := false
	var timeout *time.Timer
	// Runs under the balancer's lock, once: by the last request, or by the timeout.
	t.drained = func() {
		if finished {
			return
		}
		finished = true
		if timeout != nil {
			timeout.Stop()
		}
		t.balancer.remove(t)
		go func() {
			drained()
			busy()
		}()
	}
	if t.inFlight == 0 {
		t.drained()
		return
	}
	timeout = time.AfterFunc(within, func() {
		t.balancer.mu.Lock()
		defer t.balancer.mu.Unlock()
		t.drained()
	})
}

func (b *Balancer) remove(target *Target) {
	for i, other := range b.targets {
		if other == target {
			b.targets = append(b.targets[:i:i], b.targets[i+1:]...)
			return
		}
	}
}

func (t *Target) release(status int, took time.Duration) {
	t.balancer.mu.Lock()
	defer t.balancer.mu.Unlock()
	t.inFlight--
	t.traffic.add(status, took)
	if t.inFlight == 0 && t.drained != nil {
		t.drained()
	}
}

func (t *Target) stopChecks() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

func (t *Target) scheduleCheck(after time.Duration) {
	t.timer = t.balancer.options.Clock.AfterFunc(after, func() {
		busy := t.balancer.options.Clock.Busy()
		go func() {
			defer busy()
			t.runCheck()
		}()
	})
}

func (t *Target) runCheck() {
	t.balancer.mu.Lock()
	check, backend, closed := t.balancer.check, t.backend, t.balancer.closed
	leaving := closed || t.state == Draining
	t.balancer.mu.Unlock()
	if leaving {
		return
	}
	problem := check.try(backend)

	t.balancer.mu.Lock()
	defer t.balancer.mu.Unlock()
	if t.balancer.closed || t.state == Draining {
		return
	}
	t.note(check, problem)
	t.scheduleCheck(check.Interval)
}

// note counts a check's outcome. A new target is in service after the first check that it passes.
func (t *Target) note(check Check, problem string) {
	if problem == "" {
		t.passed, t.failed = t.passed+1, 0
		if t.state == Initial || t.passed >= check.Healthy {
			t.state, t.reason = Healthy, ""
		}
		return
	}
	t.passed, t.failed = 0, t.failed+1
	if t.failed >= check.Unhealthy {
		t.state, t.reason = Unhealthy, problem
	}
}

// try makes one check; the empty string is a pass.
func (c Check) try(backend Backend) string {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, backend.URL.JoinPath("/").String(), nil)
	if err != nil {
		return "Target.FailedHealthChecks"
	}
	path, query, _ := strings.Cut(c.Path, "?")
	request.URL.Path, request.URL.RawQuery = path, query
	request.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	response, err := backend.Transport.RoundTrip(request) // follows no redirect
	if err != nil {
		var network net.Error
		if ctx.Err() != nil || errors.As(err, &network) && network.Timeout() {
			return "Target.Timeout: Request timed out"
		}
		return "Target.FailedHealthChecks: Health checks failed"
	}
	defer response.Body.Close()                                        //nolint:errcheck // read only
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64*1024)) // lets the connection be used again
	if !c.Matches(response.StatusCode) {
		return fmt.Sprintf("Target.ResponseCodeMismatch: Health checks failed with these codes: [%d]", response.StatusCode)
	}
	return ""
}

// Metrics is what went through a target, or several, in a time.
type Metrics struct {
	Requests int
	Status   [6]int // by hundreds, 5xx under 5; under 0 requests whose client left
	Latency  []time.Duration
}

// traffic collects metrics. It keeps a bounded number of latencies, spread over the time.
type traffic struct{ Metrics }

const maxLatencies = 2048

func (t *traffic) add(status int, took time.Duration) {
	class := min(max(status/100, 0), 5)
	if status == statusClientGone {
		class = 0 // nobody's fault
	}
	t.Status[class]++
	if len(t.Latency) < maxLatencies {
		t.Latency = append(t.Latency, took)
	} else {
		t.Latency[t.Requests%maxLatencies] = took
	}
	t.Requests++
}

// Traffic is what went through the target since the last call.
func (t *Target) Traffic() Metrics {
	t.balancer.mu.Lock()
	defer t.balancer.mu.Unlock()
	seen := t.traffic.Metrics
	t.traffic = traffic{}
	return seen
}

// Add sums two metrics up.
func (m Metrics) Add(other Metrics) Metrics {
	sum := Metrics{Requests: m.Requests + other.Requests, Status: m.Status}
	for i, count := range other.Status {
		sum.Status[i] += count
	}
	sum.Latency = append(append(sum.Latency, m.Latency...), other.Latency...)
	return sum
}

// Percentile is the latency that this share (0 to 1) of the requests stayed under, in seconds.
func (m Metrics) Percentile(share float64) float64 {
	if len(m.Latency) == 0 {
		return 0
	}
	sorted := append([]time.Duration(nil), m.Latency...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	at := min(int(share*float64(len(sorted))), len(sorted)-1)
	return sorted[at].Seconds()
}
