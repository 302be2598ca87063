package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"gravity/internal/local/aws/clock"
)

// Backend is what a target is reached by.
type Backend struct {
	URL       *url.URL
	Transport http.RoundTripper
}

// Options are the parts that a balancer stands on.
type Options struct {
	Clock clock.Clock
	Log   *slog.Logger
	// Drop decides, request by request, whether the balancer loses it. Nil loses none.
	Drop func() bool
}

// Balancer spreads requests over targets. It is an http.Handler; a Front gives it an address.
type Balancer struct {
	options Options
	proxy   *httputil.ReverseProxy

	mu      sync.Mutex
	check   Check
	targets []*Target
	turn    int
	sticky  time.Duration
	idle    time.Duration
	weights map[string]int
	spread  map[string]int
	closed  bool
}

// New makes a balancer without targets, which answers 503.
func New(o Options) *Balancer {
	b := &Balancer{options: o, check: DefaultCheck()}
	b.proxy = &httputil.ReverseProxy{
		Rewrite:      b.rewrite,
		Transport:    roundTripper{},
		ErrorHandler: b.badGateway,
		ErrorLog:     slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		BufferPool:   &bufferPool{},
	}
	return b
}

// SetCheck changes how targets are checked, from each one's next check on.
func (b *Balancer) SetCheck(check Check) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.check = check
}

// SetStickiness makes users come back to the same target for some time, as long as it is in
// service. 0 ends that.
func (b *Balancer) SetStickiness(lifetime time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sticky = lifetime
}

// SetIdleTimeout is how long a target may take (real time) until the beginning of its answer. 0 is forever.
func (b *Balancer) SetIdleTimeout(timeout time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = timeout
}

// SetWeights splits traffic between the groups of targets in these proportions. Nil ends the
// split: every target in service gets its turn.
func (b *Balancer) SetWeights(weights map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.weights, b.spread = weights, map[string]int{}
}

// Register adds a target, which is checked from now on and gets requests once it is healthy.
func (b *Balancer) Register(id, group string, backend Backend) *Target {
	target := &Target{ID: id, balancer: b, group: group, backend: backend, state: Initial}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = append(b.targets, target)
	target.scheduleCheck(0)
	return target
}

// Close forgets all targets and ends their checks.
func (b *Balancer) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, target := range b.targets {
		target.stopChecks()
	}
	b.targets = nil
}

type routeKey struct{}

// route is where one request goes.
type route struct {
	target  *Target
	backend Backend
	sticky  time.Duration // for which the user is to come back to the target
	idle    time.Duration
}

// stickyCookie is the cookie by which AWS's balancers send a user to the same target again.
const stickyCookie = "AWSALB"

// ServeHTTP sends a request to the next target in service. It is never sent to a second one: only
// the client knows whether that would be safe.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.options.Drop != nil && b.options.Drop() {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	preferred := ""
	if cookie, err := r.Cookie(stickyCookie); err == nil {
		preferred = cookie.Value
	}
	to := b.take(preferred)
	if to.target == nil {
		http.Error(w, "503 Service Temporarily Unavailable", http.StatusServiceUnavailable)
		return
	}
	if to.sticky > 0 {
		http.SetCookie(w, &http.Cookie{Name: stickyCookie, Value: to.target.ID, Path: "/", MaxAge: int(to.sticky.Seconds())})
	}
	began := time.Now()
	recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	defer func() { to.target.release(recorder.status, time.Since(began)) }()
	ctx := context.WithValue(r.Context(), routeKey{}, to)
	if to.idle > 0 {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		recorder.silence = time.AfterFunc(to.idle, func() { cancel(errSilent) })
		defer recorder.silence.Stop()
	}
	b.proxy.ServeHTTP(recorder, r.WithContext(ctx))
}

// errSilent ends a request whose target does not begin to answer.
var errSilent = errors.New("the target did not begin to answer within the idle timeout")

func (b *Balancer) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(r.In.Context().Value(routeKey{}).(route).backend.URL)
	r.Out.Host = r.In.Host
	r.SetXForwarded()
}

func (b *Balancer) badGateway(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(context.Cause(r.Context()), errSilent) {
		http.Error(w, "504 Gateway Time-out", http.StatusGatewayTimeout)
		return
	}
	if r.Context().Err() != nil {
		w.WriteHeader(statusClientGone)
		return
	}
	b.options.Log.Debug("instance gave no answer", "path", r.URL.Path, "error", err)
	http.Error(w, "502 Bad Gateway", http.StatusBadGateway)
}

// statusClientGone is what AWS's balancers note when the client has closed the connection: not the
// instance's fault.
const statusClientGone = 460

// take picks a target and counts the request as in flight on it, in one step, so that no target
// can be taken for empty while a request is on its way to it.
func (b *Balancer) take(preferred string) route {
	b.mu.Lock()
	defer b.mu.Unlock()
	candidates := b.inService()
	if len(candidates) == 0 {
		return route{}
	}
	if b.sticky > 0 {
		for _, target := range candidates {
			if target.ID == preferred {
				target.inFlight++
				return route{target, target.backend, b.sticky, b.idle}
			}
		}
	}
	if group := b.nextGroup(candidates); group != "" {
		candidates = ofGroup(candidates, group)
	}
	b.turn++
	target := candidates[b.turn%len(candidates)]
	target.inFlight++
	return route{target, target.backend, b.sticky, b.idle}
}

// inService are the healthy targets; and when there is none, all that were ever checked, because
// an application load balancer fails open.
func (b *Balancer) inService() []*Target {
	var healthy, unhealthy []*Target
	for _, target := range b.targets {
		switch target.state {
		case Healthy:
			healthy = append(healthy, target)
		case Unhealthy:
			unhealthy = append(unhealthy, target)
		case Initial, Draining:
		}
	}
	if len(healthy) == 0 {
		return unhealthy
	}
	return healthy
}

// nextGroup is the group whose share of the requests lags most behind its weight.
func (b *Balancer) nextGroup(candidates []*Target) string {
	best, bestScore, total := "", 0, 0
	for _, weight := range b.weights {
		total += weight
	}
	for group, weight := range b.weights {
		if weight == 0 || len(ofGroup(candidates, group)) == 0 {
			continue
		}
		b.spread[group] += weight
		if best == "" || b.spread[group] > bestScore || b.spread[group] == bestScore && group < best {
			best, bestScore = group, b.spread[group]
		}
	}
	if best != "" {
		b.spread[best] -= total
	}
	return best
}

func ofGroup(targets []*Target, group string) []*Target {
	var members []*Target
	for _, target := range targets {
		if target.group == group {
			members = append(members, target)
		}
	}
	return members
}

// NewTransport makes the transport to instances that listen on ports. It keeps connections open,
// and sends a request a second time only when it is idempotent or was never written.
func NewTransport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
}

// roundTripper sends a request the way its target is reached.
type roundTripper struct{}

func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	return r.Context().Value(routeKey{}).(route).backend.Transport.RoundTrip(r)
}

// statusRecorder notes the status that a client was sent.
type statusRecorder struct {
	http.ResponseWriter
	status  int
	silence *time.Timer // ends the request unless an answer begins
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	if r.silence != nil {
		r.silence.Stop()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the proxy flush and take over the connection.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if buffer, ok := p.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32*1024)
}

func (p *bufferPool) Put(buffer []byte) { p.pool.Put(&buffer) }
