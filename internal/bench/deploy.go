package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/interceptor"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
)

// The limits of what is promised.
const (
	mostPush    = 3.0 // seconds
	mostNoticed = 1.0 // seconds, the median
	mostCalls   = 1.0 // of what a call every ten seconds comes to
	mostEvents  = 60
)

type deployFlags struct {
	output      string
	speed       int
	deployments int
	pushes      int
	bakes       int
}

func deployCommand() *cobra.Command {
	f := &deployFlags{}
	command := &cobra.Command{
		Use: "deploy", Short: "from a push to a proven deployment: times, calls to AWS, events", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	flags := command.Flags()
	flags.StringVarP(&f.output, "output", "o", "text", "text or json")
	flags.IntVar(&f.speed, "speed", 5, "how many times as fast as on AWS the platform and the worker's looks go; 1 takes three quarters of an hour")
	flags.IntVar(&f.deployments, "deployments", 3, "how many deployments are watched, after the first one")
	flags.IntVar(&f.pushes, "pushes", 5, "how many pushes are measured; 0 leaves them out")
	flags.IntVar(&f.bakes, "bakes", 3, "how many bakes are measured; 0 leaves them out")
	return command
}

func (f *deployFlags) run(ctx context.Context) error {
	if f.speed < 1 || f.deployments < 1 {
		return fmt.Errorf("--speed and --deployments are at least 1")
	}
	var measures []measure
	if f.pushes > 0 {
		pushed, err := measurePushes(ctx, f.pushes)
		if err != nil {
			return err
		}
		measures = append(measures, pushed...)
	}
	watched, err := f.watch(ctx)
	if err != nil {
		return err
	}
	measures = append(measures, watched...)
	if f.bakes > 0 {
		taken, err := f.measureBakes(ctx)
		if err != nil {
			return err
		}
		measures = append(measures, taken...)
	}
	return report(os.Stdout, f.output, thisMachine(lab.Development), measures)
}

const environment = "shop-production"

// watch deploys again and again to one environment at AWS's pace, compressed, and measures how soon Gravity knows
// that the platform is done, what that costs in calls, and how many events it leaves.
func (f *deployFlags) watch(ctx context.Context) ([]measure, error) {
	seen := &knowing{}
	l, end, err := f.startLab(ctx, seen.interceptors())
	if err != nil {
		return nil, err
	}
	defer end()
	stage := lab.Stage(environment, delivery.Immutable, func(s *delivery.Stage) {
		s.Health.Steady = delivery.DefaultSteady / delivery.Duration(f.speed)
		s.Health.Settle = delivery.DefaultSettle / delivery.Duration(f.speed)
	})
	w := &watched{speed: f.speed, lab: l, seen: seen}
	for n := range f.deployments + 1 {
		if err := w.deploy(ctx, stage, fmt.Sprintf("good-%d", n+1), n > 0); err != nil {
			return nil, err
		}
	}
	return w.measures(), nil
}

// startLab starts a lab at AWS's pace, compressed, with an environment on a good version.
func (f *deployFlags) startLab(ctx context.Context, interceptors []interceptor.ClientInterceptor) (_ *lab.Lab, end func(), err error) {
	platform, pace := lab.Compressed(f.speed)
	l, end, err := temporaryLab(ctx, lab.Options{AWS: aws.Options{Pace: platform}, Pace: pace, Interceptors: interceptors})
	if err != nil {
		return nil, nil, err
	}
	first, err := l.Version("good-0")
	if err == nil {
		err = l.Create(environment, first.Label, delivery.Immutable, 50*time.Millisecond)
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return l, end, nil
}

// watched is what was measured of some deployments, in seconds of the platform's time.
type watched struct {
	speed             int
	lab               *lab.Lab
	seen              *knowing
	late              []float64
	calls, length     []float64
	last              map[string]int // the calls of the last one, by operation
	deployment, queue int
}

func (w *watched) deploy(ctx context.Context, stage delivery.Stage, label string, counts bool) error {
	version, err := w.lab.Version(label)
	if err != nil {
		return err
	}
	queueBefore, _ := w.lab.QueueLength(ctx, environment) // there is none before the first deployment
	before, began := w.lab.Server.Calls(), time.Now()
	w.seen.forget(label)
	deployment, err := w.lab.Deploy(ctx, stage, version)
	if err != nil {
		return err
	}
	record, _, err := w.lab.Await(ctx, environment, deployment)
	if err != nil {
		return err
	}
	calls, took := w.lab.Server.Calls(), time.Since(began)
	for operation, count := range before {
		calls[operation] -= count
	}
	if record.Result.Outcome != delivery.OutcomeDeployed {
		return fmt.Errorf("%s: %s", record.Result.Outcome, record.Result.Reason)
	}
	ended, err := w.ended()
	if err != nil {
		return err
	}
	if !counts {
		return nil // the environment had no update to learn from: its launch went otherwise
	}
	own, _, err := w.lab.HistoryLength(ctx, deployment)
	if err != nil {
		return err
	}
	queue, err := w.lab.QueueLength(ctx, environment)
	if err != nil {
		return err
	}
	w.deployment, w.queue = max(w.deployment, own), max(w.queue, queue-queueBefore)
	w.late = append(w.late, w.seen.ready().Sub(ended).Seconds()*float64(w.speed))
	w.calls, w.last = append(w.calls, float64(sum(calls))), calls
	w.length = append(w.length, took.Seconds()*float64(w.speed))
	return nil
}

// ended is when the platform was done with the last update, by its own word.
func (w *watched) ended() (time.Time, error) {
	events, err := w.lab.Events(environment)
	if err != nil {
		return time.Time{}, err
	}
	for _, event := range slices.Backward(events) {
		if event.Message == "Environment update completed successfully." {
			return event.At, nil
		}
	}
	return time.Time{}, fmt.Errorf("no update of %s was completed", environment)
}

func (w *watched) measures() []measure {
	share := make([]float64, len(w.calls))
	for i := range share {
		share[i] = w.calls[i] / (w.length[i] / 10)
	}
	how := fmt.Sprintf("%d immutable updates of two instances at AWS's pace, %d times as fast", len(w.late), w.speed)
	return []measure{
		{Name: "the platform is done → the workflow knows, median", Value: median(w.late), Unit: "s", Limit: mostNoticed, How: how},
		{Name: "the same, the longest", Value: slices.Max(w.late), Unit: "s"},
		{Name: "length of a deployment", Value: median(w.length), Unit: "s"},
		{Name: "calls to AWS of a deployment, all of them", Value: median(w.calls), Unit: "calls", How: "of the last one: " + byOperation(w.last)},
		{Name: "the same, beside one every 10 s", Value: slices.Max(share), Unit: "of them", Limit: mostCalls, How: "the most of any deployment"},
		{Name: "history events of a good deployment", Value: float64(w.deployment + w.queue), Unit: "events", Limit: mostEvents,
			How: fmt.Sprintf("%d of Deployment, %d of Environment", w.deployment, w.queue)},
	}
}

// byOperation lists counts, the largest first.
func byOperation(counts map[string]int) string {
	var parts []string
	for _, operation := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	}) {
		if counts[operation] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[operation], operation))
		}
	}
	return strings.Join(parts, ", ")
}

func sum(counts map[string]int) (total int) {
	for _, count := range counts {
		total += count
	}
	return total
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted)%2 == 1 {
		return sorted[len(sorted)/2]
	}
	return (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
}
