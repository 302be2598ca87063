// Package platform is the stand-in's Elastic Beanstalk: applications, versions, environments, and
// what happens to their instances.
//
// Each environment is a small state machine. An operation is a plan, a list of steps kept in one
// file a policy; the environment's turn (engine.go) takes it from step to step, driven by the
// clock and woken by what happens to processes. One lock guards everything, and nothing waits while
// holding it: what takes time runs elsewhere and wakes the environment when it is done.
package platform

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/local/aws/balancer"
	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/faults"
	"gravity/internal/local/aws/instance"
	"gravity/internal/local/aws/objects"
	"gravity/internal/local/aws/service"
)

// Options are what a platform stands on.
type Options struct {
	DataDir string
	Pace    Pace
	Clock   clock.Clock
	Log     *slog.Logger
	Objects *objects.Store
	Runner  instance.Runner
	Faults  *faults.Injector
	// Presign makes a URL by which an object can be read for a while.
	Presign func(bucket, key string, valid time.Duration) (string, error)
	Region  string
	Account string // 12 digits
	Seed    uint64 // of everything that is made up: IDs, zones
	// NewLabelWhileUpdating makes environments show an update's version label from its beginning.
	// Both behaviours are reported of AWS; without it the old label stays until the update is done.
	NewLabelWhileUpdating bool
}

// Platform holds everything of one account in one region.
type Platform struct {
	options Options
	rules   map[Option]optionRule
	sample  instance.Runner

	mu           sync.Mutex
	closed       bool
	random       *rand.Rand
	applications map[string]*Application
	environments map[string]*Environment // by ID
	events       *journal
	ending       sync.WaitGroup // instances whose processes are being ended
}

// Call is the request that asks for an operation.
type Call = service.Call

// Open reads the data folder and starts again what ran in it.
func Open(o Options) (*Platform, error) {
	p := &Platform{
		options: o, rules: rules(), sample: instance.Sample(o.Clock),
		applications: map[string]*Application{}, environments: map[string]*Environment{},
	}
	seed := o.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for _, folder := range []string{"applications", "environments", "instances"} {
		if err := os.MkdirAll(filepath.Join(o.DataDir, folder), 0o755); err != nil {
			return nil, fmt.Errorf("make the data folder of the platform: %w", err)
		}
	}
	starts, err := countStart(filepath.Join(o.DataDir, "starts"))
	if err != nil {
		return nil, err
	}
	// A stand-in that is started again with the same seed must not give the same IDs out again.
	p.random = rand.New(rand.NewPCG(seed, starts))
	if p.events, err = openJournal(filepath.Join(o.DataDir, "events.jsonl")); err != nil {
		return nil, err
	}
	if err := p.load(); err != nil {
		return nil, errors.Join(err, p.events.close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.environments {
		if err := p.resume(e); err != nil {
			return nil, err
		}
	}
	for _, a := range p.applications {
		for _, v := range a.Versions {
			if v.Status == processing {
				p.processLater(a, v)
			}
		}
	}
	p.removeLeftovers()
	return p, nil
}

// removeLeftovers clears the disks of instances that are no more, and forgets environments that
// were terminated too long ago to be described.
func (p *Platform) removeLeftovers() {
	known := map[string]bool{}
	now := p.options.Clock.Now()
	for id, e := range p.environments {
		for _, i := range e.Instances {
			known[i.ID] = true
		}
		if e.Status == types.EnvironmentStatusTerminated && now.Sub(e.Terminated) > terminatedVisible {
			delete(p.environments, id)
			_ = removeFile(p.environmentFile(e)) // tried again with the next start
		}
	}
	folder := filepath.Join(p.options.DataDir, "instances")
	entries, err := os.ReadDir(folder)
	if err != nil {
		p.options.Log.Warn("the disks of old instances could not be cleared", "error", err)
	}
	for _, entry := range entries {
		if !known[entry.Name()] {
			_ = os.RemoveAll(filepath.Join(folder, entry.Name())) // a leftover costs space and nothing else
		}
	}
}

// Close ends every instance and every load balancer. What they were is on disk.
func (p *Platform) Close() error {
	p.mu.Lock()
	p.closed = true
	var fronts []*balancer.Front
	for _, e := range p.environments {
		if e.timer != nil {
			e.timer.Stop()
		}
		if e.front != nil {
			fronts = append(fronts, e.front)
		}
	}
	p.mu.Unlock()

	// Requests in flight end before the instances that serve them.
	var wait sync.WaitGroup
	problems := make([]error, len(fronts))
	for n, front := range fronts {
		wait.Go(func() { problems[n] = front.Close() })
	}
	wait.Wait()

	p.mu.Lock()
	for _, e := range p.environments {
		if e.balancer != nil {
			e.balancer.Close()
		}
		for _, i := range e.Instances {
			p.endProcesses(i, func() {})
		}
	}
	p.mu.Unlock()
	p.ending.Wait()
	return errors.Join(append(problems, p.events.close())...)
}

// resume opens an environment's address and starts its instances again after a restart.
func (p *Platform) resume(e *Environment) error {
	if e.Status == types.EnvironmentStatusTerminated {
		return nil
	}
	if err := p.open(e); err != nil {
		return err
	}
	for _, i := range e.staying() {
		p.deploy(e, i)
	}
	for _, i := range e.Instances {
		i.gone = i.Leaving
	}
	if e.Update != nil {
		// Its instances were just started again: they get the whole time once more.
		(&turn{Platform: p, e: e, u: e.Update, now: p.now()}).startTimeout()
	}
	if e.Update != nil && e.Update.Weights != nil {
		e.balancer.SetWeights(e.Update.Weights)
	}
	p.wake(e)
	return nil
}

// New load balancers take ports below those that systems give to outgoing connections, so that the
// port is still free when the stand-in is started again.
const (
	firstPort = 20000
	lastPort  = 30999
)

// listen opens the address that the environment had, or a new one.
func (p *Platform) listen(e *Environment) (*balancer.Front, error) {
	if e.Port != 0 {
		front, err := balancer.Listen(e.Port)
		if err == nil {
			return front, nil
		}
		p.options.Log.Warn("an environment's address is taken by another program: it gets a new one",
			"environment", e.Name, "address", e.CNAME(), "error", err)
	}
	for range 20 { // not by the seed: stand-ins with the same one would be after the same ports
		if front, err := balancer.Listen(firstPort + rand.IntN(lastPort-firstPort+1)); err == nil {
			return front, nil
		}
	}
	return balancer.Listen(0)
}

// open gives an environment its load balancer.
func (p *Platform) open(e *Environment) error {
	front, err := p.listen(e)
	if err != nil {
		return fmt.Errorf("environment %s: %w", e.Name, err)
	}
	e.front, e.Port = front, front.Port()
	e.balancer = balancer.New(balancer.Options{
		Clock: p.options.Clock, Drop: p.options.Faults.LosesRequest,
		Log: p.options.Log.With("environment", e.Name),
	})
	p.applyCheck(e)
	front.Serve(e.balancer)
	return nil
}

// identifier makes up an ID of n characters out of those given.
func (p *Platform) identifier(prefix string, n int, alphabet string) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = alphabet[p.random.IntN(len(alphabet))]
	}
	return prefix + string(text)
}

const (
	lettersAndDigits = "abcdefghijkmnpqrstuvwxyz23456789"
	hexadecimal      = "0123456789abcdef"
	capitals         = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// NewRequestID makes up the ID of a request.
func (p *Platform) NewRequestID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var id [16]byte
	for i := range id {
		id[i] = byte(p.random.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
