package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gravity/internal/delivery"
	"gravity/internal/proof/lab"
)

type sustainedFlags struct {
	fleetBench
	workers      int
	environments int
	length       time.Duration
}

func sustainedCommand() *cobra.Command {
	f := &sustainedFlags{}
	command := f.command("sustained", "deployments a second that a fleet sustains", 20*time.Minute, f.run)
	flags := command.Flags()
	flags.IntVar(&f.workers, "workers", 2, "by how many worker processes")
	flags.IntVar(&f.environments, "environments", 100, "to how many environments, each of which has a deployment under way all the time")
	flags.DurationVar(&f.length, "for", 2*time.Minute, "for how long, after a sixth of that in which everything warms up")
	return command
}

func (f *sustainedFlags) run(ctx context.Context) ([]measure, error) {
	if f.workers < 1 || f.environments < 1 || f.length < time.Second {
		return nil, fmt.Errorf("--workers and --environments are at least 1, and --for a second")
	}
	platform, pace := shortPace()
	l, end, err := f.start(ctx, platform, pace)
	if err != nil {
		return nil, err
	}
	defer end()
	all, err := startWorkers(l, f.workers, lab.WorkerOptions{})
	if err != nil {
		return nil, err
	}
	defer all.stop()
	versions := [2]delivery.Version{}
	for n := range versions {
		if versions[n], err = l.Version(fmt.Sprintf("good-%d", n+1)); err != nil {
			return nil, err
		}
	}
	names := numbered(f.environments)
	f.say("launching environments: %d", len(names))
	if err := l.CreateAll(ctx, names, versions[0].Label, delivery.Immutable); err != nil {
		return nil, err
	}
	s := &sustained{bench: f, lab: l, versions: versions}
	if err := s.deployOnAndOn(ctx, names); err != nil {
		return nil, err
	}
	lengths, events, err := lengthsOf(ctx, l, s.deployments)
	if err != nil {
		return nil, err
	}
	own, err := s.ownEvents(ctx)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("%d environments, one deployment under way in each, %d workers, %s", f.environments, f.workers, f.length)
	return []measure{
		{Name: "deployments that a fleet sustains", Value: float64(len(s.deployments)) / f.length.Seconds(), Unit: "deployments/s", How: how},
		{Name: "did not succeed", Value: float64(s.broken), Unit: "deployments", None: true, How: s.first},
		{Name: "length of a deployment, median", Value: median(lengths), Unit: "s", How: "from its workflow's start to its end"},
		{Name: "history events, median", Value: median(own), Unit: "events", Limit: mostEvents, How: "of its Deployment alone"},
		{Name: "the same, with its Environment's so far", Value: median(events), Unit: "events", How: "which continues as new after 50 deployments"},
	}, nil
}

// sustained is what a fleet does in the time that is measured.
type sustained struct {
	bench    *sustainedFlags
	lab      *lab.Lab
	versions [2]delivery.Version

	mu          sync.Mutex
	deployments []string // that ended in that time
	broken      int
	first       string
}

// deployOnAndOn deploys to every environment again as soon as the last deployment has ended there, with the two versions in turn.
func (s *sustained) deployOnAndOn(ctx context.Context, environments []string) error {
	warm := time.Now().Add(s.bench.length / 6)
	over := warm.Add(s.bench.length)
	s.bench.say("deploying on and on for %s", time.Until(over).Round(time.Second))
	loops, ctx := errgroup.WithContext(ctx)
	for _, name := range environments {
		loops.Go(func() error {
			for n := 1; time.Now().Before(over); n++ {
				version := s.versions[n%2]
				deployment, err := s.lab.Deploy(ctx, lab.Stage(name, delivery.Immutable, shortly), version)
				if err != nil {
					return err
				}
				result, err := s.lab.Ended(ctx, deployment)
				if err != nil {
					return err
				}
				if now := time.Now(); now.After(warm) && now.Before(over) {
					s.note(deployment, result, version.Label)
				}
			}
			return nil
		})
	}
	return loops.Wait()
}

func (s *sustained) note(deployment string, result delivery.Result, label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deployments = append(s.deployments, deployment)
	if broken, what := failed([]delivery.Result{result}, label); broken > 0 {
		s.broken++
		s.first = what
	}
}

// ownEvents is how long the histories of the deployments are.
func (s *sustained) ownEvents(ctx context.Context) ([]float64, error) {
	events := make([]float64, len(s.deployments))
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(atOnce)
	for n, deployment := range s.deployments {
		looks.Go(func() error {
			described, err := s.lab.Describe(ctx, deployment)
			events[n] = float64(described.GetHistoryLength())
			return err
		})
	}
	return events, looks.Wait()
}
