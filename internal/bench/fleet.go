package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/workflow/v1"
	"golang.org/x/sync/errgroup"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
	"gravity/worker/process"
)

// The limits of what is promised of a fleet.
const (
	mostMemory = 1024.0 // MiB, of each worker
	mostLooks  = 1.5    // of those that one deployment alone makes in the same time, for each worker
)

const looks = "DescribeEnvironments"

type fleetFlags struct {
	fleetBench
	deployments int
	workers     []int
	speed       int
	rate        float64
	cache       int
}

func fleetCommand() *cobra.Command {
	f := &fleetFlags{}
	command := f.command("fleet", "a thousand deployments at once: memory, calls to AWS, time", 90*time.Minute, f.run)
	flags := command.Flags()
	flags.IntVar(&f.deployments, "deployments", 1000, "how many deployments go on at once, each to an environment of its own")
	flags.IntSliceVar(&f.workers, "workers", []int{1}, "by how many worker processes; several numbers are measured one after another")
	flags.IntVar(&f.speed, "speed", 5, "how many times as fast as on AWS the platform and the workers' looks go")
	flags.Float64Var(&f.rate, "platform-rate", process.PlatformRate, "the workers' own setting, of AWS's time: --speed times as much")
	flags.IntVar(&f.cache, "workflow-cache", process.WorkflowCache, "the workers' own setting")
	return command
}

func (f *fleetFlags) run(ctx context.Context) (measures []measure, err error) {
	if f.deployments < 1 || f.speed < 1 || len(f.workers) == 0 || slices.Min(f.workers) < 1 {
		return nil, fmt.Errorf("--deployments, --workers and --speed are at least 1")
	}
	alone := &passage{}
	for _, count := range f.workers {
		measured, err := f.measure(ctx, count, alone)
		if err != nil {
			return nil, err
		}
		measures = append(measures, measured...)
	}
	return measures, nil
}

// passage is what deployments cost from the first request to the last end.
type passage struct {
	took time.Duration
	// looks are the calls of DescribeEnvironments beyond one for each deployment, which looks a last time before
	// it sends its update, and shares that with nobody; calls are those of any operation.
	looks, calls int
	updates      int
	results      []delivery.Result
	deployments  []string
}

// rate is how often the platform is looked at, in looks a second.
func (p *passage) rate() float64 { return float64(p.looks) / p.took.Seconds() }

// measure lets one deployment go alone, if none has before, and then all of them at once.
func (f *fleetFlags) measure(ctx context.Context, count int, alone *passage) ([]measure, error) {
	platform, pace := lab.Compressed(f.speed)
	l, end, err := f.start(ctx, platform, pace)
	if err != nil {
		return nil, err
	}
	defer end()
	all, err := startWorkers(l, count, lab.WorkerOptions{PlatformRate: f.rate * float64(f.speed), WorkflowCache: f.cache})
	if err != nil {
		return nil, err
	}
	defer all.stop()
	if alone.took == 0 {
		f.say("one deployment alone")
		single, err := f.passage(ctx, l, []string{environment})
		if err != nil {
			return nil, err
		}
		if broken, first := failed(single.results, wanted); broken > 0 {
			return nil, fmt.Errorf("the deployment that went alone: %s", first)
		}
		*alone = *single
	}
	f.say("%d deployments at once, workers: %d", f.deployments, count)
	together, err := f.passage(ctx, l, numbered(f.deployments))
	if err != nil {
		return nil, err
	}
	peak, err := all.peak()
	if err != nil {
		return nil, err
	}
	lengths, events, err := lengthsOf(ctx, l, together.deployments)
	if err != nil {
		return nil, err
	}
	return f.measures(count, alone, together, peak, lengths, events), nil
}

// found and wanted are the versions of before and after.
const (
	found  = "good-1"
	wanted = "good-2"
)

// passage launches environments, and deploys to all of them at once.
func (f *fleetFlags) passage(ctx context.Context, l *lab.Lab, environments []string) (*passage, error) {
	versions, err := f.versions(l)
	if err != nil {
		return nil, err
	}
	f.say("launching environments: %d", len(environments))
	if err := l.CreateAll(ctx, environments, found, delivery.Immutable); err != nil {
		return nil, err
	}
	p := &passage{}
	before, began := l.Server.Calls(), time.Now()
	f.say("asking for deployments: %d", len(environments))
	p.deployments, err = deployAll(ctx, l, environments, versions, f.compressed)
	if err != nil {
		return nil, err
	}
	f.say("all of them were asked for in %.0f s", time.Since(began).Seconds())
	p.results = f.endings(ctx, l, p.deployments)
	p.took = time.Since(began)
	after := l.Server.Calls()
	p.calls = sum(after) - sum(before)
	p.updates = after["UpdateEnvironment"] - before["UpdateEnvironment"]
	p.looks = after[looks] - before[looks] - len(environments)
	return p, nil
}

// versions registers both, once a region.
func (f *fleetFlags) versions(l *lab.Lab) (delivery.Version, error) {
	if _, err := l.Version(found); err != nil && !lab.Exists(err) {
		return delivery.Version{}, err
	}
	version, err := l.Version(wanted)
	if lab.Exists(err) {
		err = nil
	}
	return version, err
}

func (f *fleetFlags) compressed(s *delivery.Stage) {
	s.Health.Steady = delivery.DefaultSteady / delivery.Duration(f.speed)
	s.Health.Settle = delivery.DefaultSettle / delivery.Duration(f.speed)
}

func (f *fleetFlags) measures(count int, alone, together *passage, peak int64, lengths, events []float64) []measure {
	of := fmt.Sprintf("%d deployments, %d workers: ", f.deployments, count)
	broken, first := failed(together.results, wanted)
	share := together.rate() / (alone.rate() * float64(count))
	return []measure{
		{Name: of + "did not succeed", Value: float64(broken), Unit: "deployments", None: true, How: first},
		{Name: of + "UpdateEnvironment more than once", Value: float64(max(0, together.updates-f.deployments)), Unit: "calls", None: true},
		{Name: of + "peak memory of a worker", Value: float64(peak) / mebibyte, Unit: "MiB", Limit: mostMemory, How: "VmHWM of its process, the most of any"},
		{Name: of + looks + " beside one deployment, for each worker", Value: share, Unit: "times as many", Limit: mostLooks,
			How: fmt.Sprintf("%d in %.0f s, beside %d in %.0f s; without the one look of each deployment right before its update", together.looks, together.took.Seconds(), alone.looks, alone.took.Seconds())},
		{Name: of + "all calls to AWS", Value: float64(together.calls) / float64(f.deployments), Unit: "calls a deployment", How: fmt.Sprintf("%d of the one alone", alone.calls)},
		{Name: of + "took", Value: together.took.Seconds(), Unit: "s", How: fmt.Sprintf("AWS's pace, %d times as fast; %.0f s of the one alone", f.speed, alone.took.Seconds())},
		{Name: of + "the same, each", Value: float64(f.deployments) / together.took.Seconds(), Unit: "deployments/s"},
		{Name: of + "length of a deployment, median", Value: median(lengths), Unit: "s", How: "from its workflow's start to its end"},
		{Name: of + "history events, median", Value: median(events), Unit: "events a deployment", How: "with the whole of its Environment's, whose first it is"},
	}
}

// lengthsOf is how long deployments took, in seconds, and how many events they left, with their Environment's.
func lengthsOf(ctx context.Context, l *lab.Lab, deployments []string) (lengths, events []float64, err error) {
	lengths, events = make([]float64, len(deployments)), make([]float64, len(deployments))
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(atOnce)
	for n, deployment := range deployments {
		looks.Go(func() error {
			own, err := l.Describe(ctx, deployment)
			if err != nil {
				return err
			}
			queue, err := l.Describe(ctx, own.GetParentExecution().GetWorkflowId())
			if err != nil {
				return err
			}
			lengths[n] = took(own).Seconds()
			events[n] = float64(own.GetHistoryLength() + queue.GetHistoryLength())
			return nil
		})
	}
	return lengths, events, looks.Wait()
}

// took is how long a workflow went on.
func took(w *workflow.WorkflowExecutionInfo) time.Duration {
	return w.GetCloseTime().AsTime().Sub(w.GetStartTime().AsTime())
}

// shortPace is a platform that takes a second for what AWS takes a quarter of an hour for, asked accordingly.
func shortPace() (aws.Pace, beanstalk.Pace) {
	return aws.TestPace(), beanstalk.Pace{Fast: 100 * time.Millisecond, Slow: 200 * time.Millisecond, Events: time.Second, Lag: 100 * time.Millisecond}
}

// shortly makes a stage's rules fit for it.
func shortly(s *delivery.Stage) {
	s.Health.Steady, s.Health.Settle = delivery.Duration(50*time.Millisecond), delivery.Duration(10*time.Second)
}
