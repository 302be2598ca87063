// Package faults is what a stand-in is told to do wrong, and the seeded dice that decide when: the
// same seed gives the same faults in the same order of calls.
package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"gravity/internal/local/aws/clock"
)

// Faults say what is to go wrong. The zero value lets everything go right. Shares are between 0,
// never, and 1, always.
type Faults struct {
	// CallsPerSecond throttles each service's API to a rate, with Burst calls at once. AWS publishes
	// no rates; clients that asked every 5 seconds from several places were seen to be throttled.
	CallsPerSecond float64 `json:"callsPerSecond,omitempty"`
	Burst          int     `json:"burst,omitempty"`
	// ThrottleCalls is the share of calls that are throttled whatever the rate.
	ThrottleCalls float64 `json:"throttleCalls,omitempty"`
	// FailCalls is the share of calls that are answered with 503 and change nothing.
	FailCalls float64 `json:"failCalls,omitempty"`
	// DropCalls is the share of calls whose connection is closed before anything has happened.
	DropCalls float64 `json:"dropCalls,omitempty"`
	// LoseAnswers is the share of calls that are carried out, but whose answer never arrives.
	LoseAnswers float64 `json:"loseAnswers,omitempty"`
	// SlowCalls is the share of calls that are answered late, by Delay (real time).
	SlowCalls float64  `json:"slowCalls,omitempty"`
	Delay     Duration `json:"delay,omitempty"`
	// StaleReads is for how long after a change DescribeEnvironments still answers as before it.
	StaleReads Duration `json:"staleReads,omitempty"`

	// LoseRequests is the share of users' requests that load balancers drop without an answer.
	LoseRequests float64 `json:"loseRequests,omitempty"`
	// SkipRollback keeps immutable updates that failed, and ends the old instances all the same.
	SkipRollback bool `json:"skipRollback,omitempty"`
	// NeverEnd names the environments whose updates make no progress, until they are aborted; "*"
	// stands for all.
	NeverEnd []string `json:"neverEnd,omitempty"`
	// Instances are faults of instances.
	Instances []Instance `json:"instances,omitempty"`
	// Stacks are resources of CloudFormation's that fail.
	Stacks []Stack `json:"stacks,omitempty"`
}

// Stack is a resource that fails when its stack's operation comes to it. A selector left empty selects all.
type Stack struct {
	Stack    string `json:"stack,omitempty"`    // by name
	Resource string `json:"resource,omitempty"` // by logical ID
	Action   string `json:"action,omitempty"`   // create, update or delete
	Reason   string `json:"reason"`             // in the words that AWS has for it
}

// Kind of an instance's fault.
type Kind string

// The kinds of faults of instances.
const (
	Crash      Kind = "crash"       // ends as soon as it runs
	Hang       Kind = "hang"        // answers neither users nor health checks
	Flap       Kind = "flap"        // answers for half of each Period, and fails for the other half
	Slow       Kind = "slow"        // answers after Delay (real time)
	Broken     Kind = "broken"      // is healthy to the load balancer, and fails users' requests
	NeverBoots Kind = "never-boots" // is launched and never gets as far as its deployment
)

// Instance is a fault of the instances that it selects. A selector left empty selects all.
type Instance struct {
	Kind        Kind     `json:"kind"`
	Environment string   `json:"environment,omitempty"`
	Version     string   `json:"version,omitempty"`
	ID          string   `json:"id,omitempty"`
	Zone        string   `json:"zone,omitempty"`
	Delay       Duration `json:"delay,omitempty"`
	Period      Duration `json:"period,omitempty"` // a minute when empty
}

// Duration is a duration that JSON has as text: "1m30s".
type Duration time.Duration

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is no duration such as 30s", text)
	}
	*d = Duration(parsed)
	return nil
}

// Check says what is wrong with the faults, or nothing.
func (f Faults) Check() error {
	for name, share := range map[string]float64{
		"throttleCalls": f.ThrottleCalls, "failCalls": f.FailCalls, "dropCalls": f.DropCalls, "loseAnswers": f.LoseAnswers,
		"slowCalls": f.SlowCalls, "loseRequests": f.LoseRequests,
	} {
		if share < 0 || share > 1 {
			return fmt.Errorf("%s is a share between 0 and 1, not %g", name, share)
		}
	}
	for _, i := range f.Instances {
		switch i.Kind {
		case Crash, Hang, Flap, Slow, Broken, NeverBoots:
		default:
			return fmt.Errorf("there is no kind of instance fault %q", i.Kind)
		}
	}
	for _, s := range f.Stacks {
		if s.Reason == "" {
			return errors.New("a fault of a stack needs the reason that is given for it")
		}
	}
	return nil
}

// Subject is an instance that a fault may be meant for.
type Subject struct {
	Environment, Version, ID, Zone string
}

func (i Instance) selects(s Subject) bool {
	matches := func(wanted, actual string) bool { return wanted == "" || wanted == actual }
	return matches(i.Environment, s.Environment) && matches(i.Version, s.Version) && matches(i.ID, s.ID) && matches(i.Zone, s.Zone)
}

// Injector decides, case by case, what goes wrong.
type Injector struct {
	clock clock.Clock

	mu       sync.Mutex
	random   *rand.Rand
	faults   Faults
	limiters map[string]*rate.Limiter // by service
}

// NewInjector makes an injector with a seed.
func NewInjector(c clock.Clock, seed uint64, f Faults) *Injector {
	i := &Injector{clock: c, random: rand.New(rand.NewPCG(seed, 2))}
	i.Set(f)
	return i
}

// Set changes the faults from now on.
func (i *Injector) Set(f Faults) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.limiters == nil || f.CallsPerSecond != i.faults.CallsPerSecond || f.Burst != i.faults.Burst {
		i.limiters = map[string]*rate.Limiter{}
	}
	i.faults = f
}

// Get returns the present faults.
func (i *Injector) Get() Faults {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.faults
}

func (i *Injector) happens(share float64) bool { return share > 0 && i.random.Float64() < share }

// LosesRequest decides whether a load balancer drops a user's request.
func (i *Injector) LosesRequest() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.happens(i.faults.LoseRequests)
}

// Fate is what becomes of one call of the API.
type Fate struct {
	Throttled  bool
	Failed     bool
	Dropped    bool
	AnswerLost bool
	Delay      time.Duration
}

// Call decides what becomes of a call of a service. Each service has a rate of its own.
func (i *Injector) Call(service string) Fate {
	i.mu.Lock()
	defer i.mu.Unlock()
	f := i.faults
	fate := Fate{
		Throttled: i.happens(f.ThrottleCalls), Failed: i.happens(f.FailCalls),
		Dropped: i.happens(f.DropCalls), AnswerLost: i.happens(f.LoseAnswers),
	}
	if i.happens(f.SlowCalls) {
		fate.Delay = time.Duration(f.Delay)
	}
	if f.CallsPerSecond > 0 {
		if i.limiters[service] == nil {
			i.limiters[service] = rate.NewLimiter(rate.Limit(f.CallsPerSecond), max(f.Burst, 1))
		}
		fate.Throttled = !i.limiters[service].AllowN(time.Now(), 1) || fate.Throttled
	}
	return fate
}

// NeverEnds tells whether updates of an environment make no progress.
func (i *Injector) NeverEnds(environment string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, name := range i.faults.NeverEnd {
		if name == environment || name == "*" {
			return true
		}
	}
	return false
}

// Suffers tells whether an instance has a fault of that kind.
func (i *Injector) Suffers(kind Kind, s Subject) bool {
	_, found := i.find(s, kind)
	return found
}

func (i *Injector) find(s Subject, kinds ...Kind) (Instance, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, fault := range i.faults.Instances {
		for _, kind := range kinds {
			if fault.Kind == kind && fault.selects(s) {
				return fault, true
			}
		}
	}
	return Instance{}, false
}

// Transport is the way to an instance, with its faults.
func (i *Injector) Transport(s Subject, way http.RoundTripper) http.RoundTripper {
	return transport{injector: i, subject: s, way: way}
}

type transport struct {
	injector *Injector
	subject  Subject
	way      http.RoundTripper
}

// RoundTrip sends a request to the instance, or does what its fault says.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	fault, found := t.injector.find(t.subject, Hang, Flap, Slow, Broken)
	if !found {
		return t.way.RoundTrip(r)
	}
	switch fault.Kind { //nolint:exhaustive // those that find was asked for
	case Hang:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case Flap:
		if t.injector.down(time.Duration(fault.Period)) {
			return failed(r), nil
		}
	case Slow:
		select {
		case <-time.After(time.Duration(fault.Delay)):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	case Broken:
		if !isCheck(r) {
			return failed(r), nil
		}
	}
	return t.way.RoundTrip(r)
}

// down tells whether now is in the failing half of a period.
func (i *Injector) down(period time.Duration) bool {
	if period <= 0 {
		period = time.Minute
	}
	return i.clock.Now().UnixNano()%int64(period) >= int64(period)/2
}

func isCheck(r *http.Request) bool { return r.Header.Get("User-Agent") == "ELB-HealthChecker/2.0" }

func failed(r *http.Request) *http.Response {
	return &http.Response{StatusCode: http.StatusInternalServerError, Status: "500 Internal Server Error", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r}
}

// StackFault is the reason for which a resource is to fail now, or nothing.
func (i *Injector) StackFault(stack, resource, action string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	matches := func(wanted, actual string) bool { return wanted == "" || wanted == actual }
	for _, fault := range i.faults.Stacks {
		if matches(fault.Stack, stack) && matches(fault.Resource, resource) && matches(fault.Action, action) {
			return fault.Reason
		}
	}
	return ""
}
