// Package chaos kills workers, Temporal and its database at random, while deployments of good and bad versions go on
// at environments of every strategy; and says what did not end as it is promised.
package chaos

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
)

// Options say how long chaos goes on, and how bad it is. The same seed gives the same kills and versions, though not the
// same moments of the deployments.
type Options struct {
	// Lab has no workers, and a platform of Pace.
	Lab  *lab.Lab
	Seed uint64
	For  time.Duration
	// Workers is how many worker processes there are.
	Workers int
	// Between is the time between two strikes, on average.
	Between time.Duration
	// Hurry divides the times after which a step counts as lost; 0 leaves them.
	Hurry int
	// Patience is how long a deployment may take, however often it is struck.
	Patience time.Duration
	// Say is told how it goes.
	Say func(format string, args ...any)
}

// Pace is a platform for chaos, and how workers ask it: short, and with time to be struck in.
func Pace() (aws.Pace, beanstalk.Pace) {
	platform := aws.TestPace()
	platform.Boot = 200 * time.Millisecond
	return platform, beanstalk.Pace{Fast: 100 * time.Millisecond, Slow: 200 * time.Millisecond, Events: time.Second, Lag: 100 * time.Millisecond}
}

// Report is what came of it.
type Report struct {
	// Kills counts what was killed, Ended how deployments ended.
	Kills map[string]int
	Ended map[delivery.Outcome]int
	// Longest is how long the longest deployment took.
	Longest time.Duration
	// Broken lists everything that is not as promised.
	Broken []string
}

// Deployments is how many there were.
func (r *Report) Deployments() (count int) {
	for ended := range maps.Values(r.Ended) {
		count += ended
	}
	return count
}

// storm is chaos under way.
type storm struct {
	Options
	workers []*lab.Worker

	mu     sync.Mutex
	report Report
}

// Run lets chaos happen, and ends soon after its time is over: when what was asked for until then has ended, and one
// last good version has shown at each environment that nothing is stuck.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := &storm{Options: o, report: Report{Kills: map[string]int{}, Ended: map[delivery.Outcome]int{}}}
	for range o.Workers {
		w, err := o.Lab.StartWorker(s.worker())
		if err != nil {
			s.end()
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	defer s.end()
	return &s.report, s.rage(ctx)
}

func (s *storm) worker() lab.WorkerOptions { return lab.WorkerOptions{Hurry: s.Hurry} }

func (s *storm) end() {
	for _, w := range s.workers {
		w.Stop()
	}
}

func (s *storm) rage(ctx context.Context) error {
	places, err := s.places(ctx)
	if err != nil {
		return err
	}
	s.Say("chaos for %s, seed %d", s.For, s.Seed)
	over, calm := context.WithTimeout(ctx, s.For)
	defer calm()
	var strikes, deployments sync.WaitGroup
	var struck error
	strikes.Go(func() { struck = s.strikeOn(ctx, over) })
	for _, p := range places {
		deployments.Go(func() { p.deployOnAndOn(ctx, over) })
	}
	strikes.Wait()
	if struck != nil {
		return struck
	}
	s.Say("the time is over: what is under way comes to its end")
	deployments.Wait()
	return ctx.Err()
}

// broken puts something on record that is not as promised.
func (s *storm) broken(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Broken = append(s.report.Broken, fmt.Sprintf(format, args...))
	s.Say("broken: "+format, args...)
}

// places launches an environment for each strategy.
func (s *storm) places(ctx context.Context) ([]*place, error) {
	version, err := s.Lab.Version("good-0")
	if err != nil {
		return nil, err
	}
	var all []*place
	for n, strategy := range delivery.Strategies() {
		p := newPlace(s, n, strategy, version)
		s.Say("launching %s", p.stage.Environment)
		if err := s.Lab.CreateAll(ctx, []string{p.stage.Environment}, version.Label, strategy); err != nil {
			return nil, err
		}
		p.began = time.Now()
		all = append(all, p)
	}
	return all, nil
}
