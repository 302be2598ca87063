package instance

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"

	"gravity/internal/local/aws/balancer"
	"gravity/internal/local/aws/clock"
)

// Fakes is the Runner whose applications are handlers in this process: they cost no process and
// no port, so a machine holds thousands of them.
type Fakes struct {
	Clock clock.Clock
	// Handler is what an application answers with. An error is a deployment that fails, but for
	// ErrNeverRuns.
	Handler func(Spec) (http.Handler, error)
}

// ErrNeverRuns makes a fake application one whose deployment never comes to an end.
var ErrNeverRuns = errors.New("the application never runs")

// Run starts a handler.
func (f Fakes) Run(spec Spec, changed func()) Application {
	a := &fake{state: Running, changed: func() { aside(f.Clock, changed) }}
	a.handler, a.problem = f.Handler(spec)
	switch {
	case errors.Is(a.problem, ErrNeverRuns):
		a.state, a.problem = Deploying, nil
	case a.problem != nil:
		a.state = Failed
	}
	a.changed()
	return a
}

// aside calls a function in a goroutine of its own, which a stepped clock waits for.
func aside(c clock.Clock, f func()) {
	busy := c.Busy()
	go func() {
		defer busy()
		f()
	}()
}

// Sample is the application that Beanstalk runs in an environment that was made without a version.
func Sample(c clock.Clock) Runner {
	return Fakes{Clock: c, Handler: func(Spec) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "Congratulations: your environment runs the sample application.\n")
		}), nil
	}}
}

type fake struct {
	handler http.Handler

	changed func()

	mu      sync.Mutex
	state   State
	problem error
}

func (a *fake) State() (State, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state, a.problem
}

func (a *fake) Backend() balancer.Backend {
	return balancer.Backend{URL: &url.URL{Scheme: "http", Host: "instance"}, Transport: a}
}

// RoundTrip answers a request without a network.
func (a *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if state, _ := a.State(); state != Running {
		return nil, io.ErrUnexpectedEOF
	}
	recorder := httptest.NewRecorder()
	a.handler.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// Crash ends the application.
func (a *fake) Crash() {
	a.mu.Lock()
	a.state, a.problem = Failed, errors.New("process web ended: signal: killed")
	a.mu.Unlock()
	a.changed()
}

func (a *fake) Stop(stopped func()) {
	a.mu.Lock()
	a.state = Stopped
	a.mu.Unlock()
	stopped()
}
