package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
)

// fleetBench is what all commands have in common that measure a fleet.
type fleetBench struct {
	output  string
	server  string
	timeout time.Duration
	began   time.Time
}

// command makes a command that is given up at its timeout, and prints what it measured.
func (b *fleetBench) command(use, short string, timeout time.Duration, run func(context.Context) ([]measure, error)) *cobra.Command {
	command := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), b.timeout, fmt.Errorf("not done within --timeout %s", b.timeout))
			defer cancel()
			b.began = time.Now()
			measures, err := run(ctx)
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					err = errors.Join(cause, err)
				}
				return err
			}
			return report(os.Stdout, b.output, thisMachine(lab.Kind(b.server)), measures)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&b.output, "output", "o", "text", "text or json")
	flags.StringVar(&b.server, "server", string(lab.PostgreSQL), fmt.Sprintf("the Temporal server: %s or, to try things, %s", lab.PostgreSQL, lab.Development))
	flags.DurationVar(&b.timeout, "timeout", timeout, "after which it is given up")
	return command
}

// say tells on standard error how far it is.
func (b *fleetBench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// start starts a lab without workers in a directory of its own; end removes it.
func (b *fleetBench) start(ctx context.Context, platform aws.Pace, pace beanstalk.Pace) (_ *lab.Lab, end func(), err error) {
	return temporaryLab(ctx, lab.Options{
		Server: lab.Kind(b.server), NoWorker: true, AWS: aws.Options{Pace: platform}, Pace: pace,
		Progress: func(line string) { b.say("%s", line) },
	})
}

// temporaryLab starts a lab in a directory of its own; end closes it and removes that.
func temporaryLab(ctx context.Context, o lab.Options) (_ *lab.Lab, end func(), err error) {
	o.Directory, err = os.MkdirTemp("", "gravity-bench-")
	if err != nil {
		return nil, nil, err
	}
	l, err := lab.Start(ctx, o)
	if err != nil {
		_ = os.RemoveAll(o.Directory)
		return nil, nil, err
	}
	return l, func() {
		_ = l.Close()
		_ = os.RemoveAll(o.Directory)
	}, nil
}

// workers are worker processes.
type workers []*lab.Worker

// startWorkers starts as many of one kind.
func startWorkers(l *lab.Lab, count int, o lab.WorkerOptions) (all workers, err error) {
	for range count {
		w, err := l.StartWorker(o)
		if err != nil {
			all.stop()
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

// stop ends them all, at the same time.
func (all workers) stop() {
	var ends sync.WaitGroup
	for _, w := range all {
		ends.Go(w.Stop)
	}
	ends.Wait()
}

// peak is the most memory that any of them has held, in bytes.
func (all workers) peak() (most int64, err error) {
	for _, w := range all {
		peak, err := w.Peak()
		if err != nil {
			return 0, err
		}
		most = max(most, peak)
	}
	return most, nil
}

// numbered are names of environments.
func numbered(count int) []string {
	names := make([]string, count)
	for n := range names {
		names[n] = fmt.Sprintf("shop-%04d", n+1)
	}
	return names
}

// atOnce is how many of many things a bench asks for at the same time.
const atOnce = 32

// deployAll asks for a deployment of a version to every environment at once, and answers with their workflow IDs.
func deployAll(ctx context.Context, l *lab.Lab, environments []string, version delivery.Version, change func(*delivery.Stage)) ([]string, error) {
	deployments := make([]string, len(environments))
	requests, ctx := errgroup.WithContext(ctx)
	requests.SetLimit(atOnce)
	for n, name := range environments {
		requests.Go(func() (err error) {
			deployments[n], err = l.Deploy(ctx, lab.Stage(name, delivery.Immutable, change), version)
			return err
		})
	}
	return deployments, requests.Wait()
}

// endings waits for the ends of deployments, and answers with their results in the same order. One that never ends, as
// far as the context allows, has none.
func (b *fleetBench) endings(ctx context.Context, l *lab.Lab, deployments []string) []delivery.Result {
	results := make([]delivery.Result, len(deployments))
	var mu sync.Mutex
	ended, told := 0, time.Now()
	var all errgroup.Group
	all.SetLimit(atOnce)
	for n, deployment := range deployments {
		all.Go(func() error {
			result, err := l.Ended(ctx, deployment)
			if err != nil {
				return nil // it has no result
			}
			results[n] = result
			mu.Lock()
			defer mu.Unlock()
			if ended++; time.Since(told) > 10*time.Second || ended == len(deployments) {
				told = time.Now()
				b.say("%d of %d deployments have ended", ended, len(deployments))
			}
			return nil
		})
	}
	_ = all.Wait()
	return results
}

// failed counts the results that are not of a version deployed and proven, and says what became of the first one.
func failed(results []delivery.Result, label string) (count int, first string) {
	for _, result := range slices.Backward(results) {
		if result.Outcome == delivery.OutcomeDeployed && result.LeftOn == label {
			continue
		}
		count++
		first = string(result.Outcome) + ": " + result.Reason
		if result.Outcome == "" {
			first = "it never ended"
		}
	}
	if first != "" {
		first = "one of them: " + first
	}
	return count, first
}
