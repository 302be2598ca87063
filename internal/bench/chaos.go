package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"gravity/internal/proof/chaos"
)

type chaosFlags struct {
	fleetBench
	length  time.Duration
	between time.Duration
	workers int
	hurry   int
	seed    uint64
}

func chaosCommand() *cobra.Command {
	f := &chaosFlags{}
	command := f.command("chaos", "workers, Temporal and its database killed at random under deployments", 2*time.Hour, f.run)
	flags := command.Flags()
	flags.DurationVar(&f.length, "for", 20*time.Minute, "for how long; what is under way then comes to its end")
	flags.DurationVar(&f.between, "between", 8*time.Second, "the time between two kills, on average")
	flags.IntVar(&f.workers, "workers", 3, "how many worker processes there are")
	flags.IntVar(&f.hurry, "hurry", 4, "what the times are divided by after which a step counts as lost; 1 leaves them")
	flags.Uint64Var(&f.seed, "seed", 0, "of all that is random; a random one when 0")
	return command
}

func (f *chaosFlags) run(ctx context.Context) ([]measure, error) {
	if f.length < time.Second || f.between < time.Millisecond || f.workers < 1 || f.hurry < 1 {
		return nil, fmt.Errorf("--for is at least a second, --between a millisecond, and --workers and --hurry 1")
	}
	if f.seed == 0 {
		f.seed = rand.Uint64()
	}
	platform, pace := chaos.Pace()
	l, end, err := f.start(ctx, platform, pace)
	if err != nil {
		return nil, err
	}
	defer end()
	report, err := chaos.Run(ctx, chaos.Options{
		Lab: l, Seed: f.seed, For: f.length, Workers: f.workers, Between: f.between, Hurry: f.hurry, Patience: 10 * time.Minute, Say: f.say,
	})
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("seed %d, for %s", f.seed, f.length)
	if len(report.Broken) > 0 {
		how = "one of them: " + report.Broken[0]
	}
	measures := []measure{{Name: "not as promised", Value: float64(len(report.Broken)), Unit: "findings", None: true, How: how}}
	for _, what := range sortedKeys(report.Kills) {
		measures = append(measures, measure{Name: "killed: " + what, Value: float64(report.Kills[what]), Unit: "times"})
	}
	for _, outcome := range sortedKeys(report.Ended) {
		measures = append(measures, measure{Name: "deployments: " + string(outcome), Value: float64(report.Ended[outcome]), Unit: "of them"})
	}
	return append(measures, measure{Name: "the longest deployment", Value: report.Longest.Seconds(), Unit: "s"}), nil
}

func sortedKeys[K ~string](counts map[K]int) []K {
	keys := make([]K, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
