// Package faults is what a stand-in is told to do wrong, and the seeded dice that decide when: the
// same seed gives the same faults in the same order of calls.
package faults

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
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
	// CallRates throttle single operations, by name, beside that.
	CallRates map[string]Rate `json:"callRates,omitempty"`
	// ThrottleCalls is the share of calls that are throttled whatever the rate.
	ThrottleCalls float64 `json:"throttleCalls,omitempty"`
	// ThrottlingCode is the error code of calls that are throttled: Throttling, unless it says
	// otherwise. Other services of AWS have ThrottlingException, and clients have to know both.
	ThrottlingCode string `json:"throttlingCode,omitempty"`
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
	// NeverEnd names the environments whose updates make no progress, until they are aborted, and which
	// give their address away to no other; "*" stands for all.
	NeverEnd []string `json:"neverEnd,omitempty"`
	// Instances are faults of instances.
	Instances []Instance `json:"instances,omitempty"`
	// Stacks are resources of CloudFormation's that fail.
	Stacks []Stack `json:"stacks,omitempty"`
	// ManualChanges are deployments by hand, behind the back of every client.
	ManualChanges []ManualChange `json:"manualChanges,omitempty"`
}

// Rate is how many calls are answered.
type Rate struct {
	PerSecond float64 `json:"perSecond"`
	Burst     int     `json:"burst,omitempty"`
}

// ManualChange is somebody who deploys a version by hand some time after the faults were set, as
// soon as the environment takes it.
type ManualChange struct {
	Environment string   `json:"environment"`
	Version     string   `json:"version"`
	After       Duration `json:"after,omitempty"`
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
	for name, rate := range f.CallRates {
		if rate.PerSecond <= 0 || rate.Burst < 0 {
			return fmt.Errorf("callRates: %s has to have a number of calls perSecond, and a burst that is none or more", name)
		}
	}
	switch f.ThrottlingCode {
	case "", defaultThrottling, "ThrottlingException":
	default:
		return fmt.Errorf("throttlingCode is %s or ThrottlingException, not %q", defaultThrottling, f.ThrottlingCode)
	}
	for _, change := range f.ManualChanges {
		if change.Environment == "" || change.Version == "" {
			return errors.New("a manual change needs an environment and a version")
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

	seed uint64

	mu       sync.Mutex
	streams  map[string]*rand.Rand
	faults   Faults
	limiters map[string]*rate.Limiter // by service, and by operation
}

// NewInjector makes an injector with a seed. Whatever else happens meanwhile, the same seed gives
// the same fate to an operation's first call, to its second, and so on.
func NewInjector(c clock.Clock, seed uint64, f Faults) *Injector {
	i := &Injector{clock: c, seed: seed, streams: map[string]*rand.Rand{}}
	i.Set(f)
	return i
}

// stream is the randomness of one kind of thing that happens.
func (i *Injector) stream(name string) *rand.Rand {
	if i.streams[name] == nil {
		hash := fnv.New64a()
		_, _ = io.WriteString(hash, name) // a hash takes everything
		i.streams[name] = rand.New(rand.NewPCG(i.seed, hash.Sum64()))
	}
	return i.streams[name]
}

// Set changes the faults from now on.
func (i *Injector) Set(f Faults) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.limiters == nil || f.CallsPerSecond != i.faults.CallsPerSecond || f.Burst != i.faults.Burst || !maps.Equal(f.CallRates, i.faults.CallRates) {
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

// LosesRequest decides whether a load balancer drops a user's request.
func (i *Injector) LosesRequest() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stream("users' requests").Float64() < i.faults.LoseRequests
}

// Fate is what becomes of one call of the API.
type Fate struct {
	Throttled  string // the error code, when it is
	Failed     bool
	Dropped    bool
	AnswerLost bool
	Delay      time.Duration
}

const defaultThrottling = "Throttling"

// Call decides what becomes of a call. Each service has a rate of its own.
func (i *Injector) Call(service, operation string) Fate {
	i.mu.Lock()
	defer i.mu.Unlock()
	f, random := i.faults, i.stream(service+" "+operation)
	// Each kind of fault takes its share of the stream whether it is asked for or not, so that one
	// more changes nothing about the others.
	throttled, failed, dropped, lost, slow := random.Float64(), random.Float64(), random.Float64(), random.Float64(), random.Float64()
	fate := Fate{Failed: failed < f.FailCalls, Dropped: dropped < f.DropCalls, AnswerLost: lost < f.LoseAnswers}
	if slow < f.SlowCalls {
		fate.Delay = time.Duration(f.Delay)
	}
	exceeded := f.CallsPerSecond > 0 && !i.allows(service, Rate{f.CallsPerSecond, f.Burst})
	if own, limited := f.CallRates[operation]; limited && !i.allows(service+" "+operation, own) {
		exceeded = true
	}
	if exceeded || throttled < f.ThrottleCalls {
		fate.Throttled = cmp.Or(f.ThrottlingCode, defaultThrottling)
	}
	return fate
}

// allows takes a call into account at a rate, in real time as clients are.
func (i *Injector) allows(name string, r Rate) bool {
	if i.limiters[name] == nil {
		i.limiters[name] = rate.NewLimiter(rate.Limit(r.PerSecond), max(r.Burst, 1))
	}
	return i.limiters[name].AllowN(time.Now(), 1)
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
