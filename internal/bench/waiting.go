package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"gravity/internal/delivery"
	"gravity/internal/proof/lab"
	"gravity/worker/process"
	"gravity/worker/runs"
	"gravity/workflows"
)

// The limits of what is promised of runs that wait.
const (
	mostGrowth  = 1.2 // of a worker's memory, from a tenth of the runs to all of them
	mostApprove = 1.0 // seconds, 99 of 100
)

type waitingFlags struct {
	fleetBench
	runs    int
	workers int
	sample  int
	people  int
	cache   int
	seed    uint64
}

func waitingCommand() *cobra.Command {
	f := &waitingFlags{}
	command := f.command("waiting", "ten thousand runs that wait for an approval: memory, and how soon one is taken", time.Hour, f.run)
	flags := command.Flags()
	flags.IntVar(&f.runs, "runs", 10_000, "how many runs wait")
	flags.IntVar(&f.workers, "workers", 1, "by how many worker processes")
	flags.IntVar(&f.sample, "sample", 500, "how many of them are approved, chosen at random")
	flags.IntVar(&f.people, "people", 2, "how many people approve at the same time, each one run after another")
	flags.IntVar(&f.cache, "workflow-cache", process.WorkflowCache, "the workers' own setting")
	flags.Uint64Var(&f.seed, "seed", 1, "of the choice")
	return command
}

func (f *waitingFlags) run(ctx context.Context) ([]measure, error) {
	if f.runs < 10 || f.workers < 1 || f.people < 1 || f.sample < 1 || f.sample > f.runs {
		return nil, fmt.Errorf("--runs is at least 10, --workers and --people 1, and --sample no more than there are runs")
	}
	platform, pace := shortPace()
	l, end, err := f.start(ctx, platform, pace)
	if err != nil {
		return nil, err
	}
	defer end()
	all, err := startWorkers(l, f.workers, lab.WorkerOptions{WorkflowCache: f.cache})
	if err != nil {
		return nil, err
	}
	defer all.stop()
	if _, err := l.Version(wanted); err != nil {
		return nil, err
	}
	// What was approved goes on to the environment's queue, and waits there.
	if err := freeze(ctx, l); err != nil {
		return nil, err
	}
	few := f.runs / 10
	before, err := f.waitFor(ctx, l, all, 0, few)
	if err != nil {
		return nil, err
	}
	after, err := f.waitFor(ctx, l, all, few, f.runs)
	if err != nil {
		return nil, err
	}
	f.say("approving %d of them", f.sample)
	seconds, err := f.approve(ctx, l)
	if err != nil {
		return nil, err
	}
	return f.measures(before, after, seconds), nil
}

func (f *waitingFlags) measures(before, after held, seconds []float64) []measure {
	slices.Sort(seconds)
	from, to := f.runs/10, f.runs
	return []measure{
		{Name: fmt.Sprintf("a worker's memory with %d runs waiting, beside %d", to, from), Value: after.heap / before.heap, Unit: "times", Limit: mostGrowth,
			How: "heap and stacks after a collection, of all workers"},
		{Name: fmt.Sprintf("heap and stacks with %d", from), Value: before.heap, Unit: "MiB"},
		{Name: fmt.Sprintf("heap and stacks with %d", to), Value: after.heap, Unit: "MiB"},
		{Name: fmt.Sprintf("resident memory with %d", from), Value: before.resident, Unit: "MiB"},
		{Name: fmt.Sprintf("resident memory with %d", to), Value: after.resident, Unit: "MiB"},
		{Name: "an approval is answered, 99 of 100", Value: seconds[(len(seconds)*99+99)/100-1], Unit: "s", Limit: mostApprove,
			How: fmt.Sprintf("%d of %d runs at random, seed %d, by %d people; each goes on to its environment's queue", f.sample, to, f.seed, f.people)},
		{Name: "the same, median", Value: median(seconds), Unit: "s"},
		{Name: "the same, the longest", Value: seconds[len(seconds)-1], Unit: "s"},
	}
}

// gated is a pipeline whose only stage waits for an approval.
func gated() delivery.Pipeline {
	return delivery.Pipeline{
		Name: "shop", Repository: "https://github.com/example/shop.git", Application: lab.Application,
		Stages: []delivery.Stage{{Name: "production", Environment: environment, Gate: delivery.Gate{Approval: &delivery.Approval{}}}},
	}.WithDefaults()
}

// sha is the revision of the run of a number.
func sha(number int) string { return fmt.Sprintf("%040x", number) }

// freeze keeps deployments from starting.
func freeze(ctx context.Context, l *lab.Lab) error {
	id := delivery.EnvironmentID(lab.Application, environment)
	_, err := l.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: workflows.Queue},
		workflows.EnvironmentWorkflow, workflows.EnvironmentInput{Application: lab.Application, Environment: environment})
	if err != nil {
		return err
	}
	handle, err := l.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: workflows.FreezeUpdate, Args: []any{workflows.Answer{By: "ana", Reason: "only approvals are measured"}},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

// startsAtOnce is how many runs are started at the same time: more would only wait in line at a server on a machine
// that has the workers and the platform to carry as well.
const startsAtOnce = 8

// held is what the workers hold together, in MiB.
type held struct{ heap, resident float64 }

// waitFor starts runs until so many wait at their gate, and measures what that takes. They begin with a version that
// is made, as those of `starter retry` do.
func (f *waitingFlags) waitFor(ctx context.Context, l *lab.Lab, all workers, from, to int) (held, error) {
	f.say("starting runs %d to %d", from+1, to)
	retry := &workflows.Retry{Version: wanted, Answer: workflows.Answer{By: "ana"}}
	starts, starting := errgroup.WithContext(ctx)
	starts.SetLimit(startsAtOnce)
	for n := from; n < to; n++ {
		starts.Go(func() error {
			for {
				_, err := runs.Start(starting, l.Client, runs.Request{
					Pipeline: gated(), Revision: delivery.Revision{SHA: sha(n), Ref: "refs/heads/main", Message: "Change something"}, Retry: retry,
				})
				if delivery.TypeOf(err) != delivery.Unavailable || starting.Err() != nil {
					return err
				}
			}
		})
	}
	if err := starts.Wait(); err != nil {
		return held{}, err
	}
	if err := f.areWaiting(ctx, l, to); err != nil {
		return held{}, err
	}
	var total held
	for _, w := range all {
		heap, err := w.Heap()
		if err != nil {
			return held{}, err
		}
		resident, err := w.Resident()
		if err != nil {
			return held{}, err
		}
		total.heap += float64(heap) / mebibyte
		total.resident += float64(resident) / mebibyte
	}
	return total, nil
}

// areWaiting returns when so many runs say that they wait.
func (f *waitingFlags) areWaiting(ctx context.Context, l *lab.Lab, count int) error {
	query := fmt.Sprintf("WorkflowType = '%s' AND %s = '%s'", workflows.PipelineWorkflow, workflows.StateAttribute.GetName(), workflows.StateWaiting)
	for told := time.Now(); ; {
		counted, err := l.Client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		if err == nil && counted.GetCount() >= int64(count) {
			return nil
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			f.say("%d of %d runs wait", counted.GetCount(), count)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d runs wait: %w", counted.GetCount(), count, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// approve answers at the gates of some of the runs, and measures how long each answer took to be taken.
func (f *waitingFlags) approve(ctx context.Context, l *lab.Lab) ([]float64, error) {
	chosen := rand.New(rand.NewPCG(f.seed, 0)).Perm(f.runs)[:f.sample]
	seconds := make([]float64, len(chosen))
	approvals, ctx := errgroup.WithContext(ctx)
	approvals.SetLimit(f.people)
	for n, number := range chosen {
		approvals.Go(func() error {
			began := time.Now()
			handle, err := l.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
				WorkflowID: delivery.RunID(gated().Name, sha(number)), UpdateName: workflows.ApproveUpdate,
				Args: []any{workflows.Answer{By: "bo", Reason: "looks good"}}, WaitForStage: client.WorkflowUpdateStageCompleted,
			})
			if err == nil {
				err = handle.Get(ctx, nil)
			}
			seconds[n] = time.Since(began).Seconds()
			return err
		})
	}
	return seconds, approvals.Wait()
}
