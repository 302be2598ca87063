package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/internal/proof/lab"
	"gravity/workflows"
)

// mostTakingBack is the time from failed health to the rollback's update that is allowed beyond the stage's own
// rule of steadiness, in seconds.
const mostTakingBack = 2.0

// measureBakes lets versions fall ill while they bake, and measures how soon each is taken back.
func (f *deployFlags) measureBakes(ctx context.Context) ([]measure, error) {
	l, end, err := f.startLab(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end()
	b := &bakes{speed: f.speed, lab: l, steady: delivery.DefaultSteady.Std() / time.Duration(f.speed)}
	for n := range f.bakes {
		if err := b.fallIll(ctx, fmt.Sprintf("good-%d", n+1)); err != nil {
			return nil, err
		}
	}
	return []measure{
		{Name: "health fails in the bake → UpdateEnvironment of the rollback, beyond steady, median", Value: median(b.late), Unit: "s", Limit: mostTakingBack,
			How: fmt.Sprintf("%d bakes, steady for %s, %d times as fast", len(b.late), delivery.DefaultSteady, f.speed)},
		{Name: "the same, the longest", Value: slices.Max(b.late), Unit: "s"},
	}, nil
}

// bakes are what was measured of some bakes, in seconds of the platform's time.
type bakes struct {
	speed  int
	lab    *lab.Lab
	steady time.Duration
	late   []float64
}

// fallIll deploys a version that stops to answer while it bakes.
func (b *bakes) fallIll(ctx context.Context, label string) error {
	version, err := b.lab.Version(label)
	if err != nil {
		return err
	}
	stage := lab.Stage(environment, delivery.Immutable, func(s *delivery.Stage) {
		s.Health.Steady = delivery.Duration(b.steady)
		s.Health.Settle = delivery.DefaultSettle / delivery.Duration(b.speed)
		s.Health.Check = nil // it would see the illness before the platform does, from whose word the time is taken
		s.Bake = delivery.Duration(time.Hour)
	})
	deployment, err := b.lab.Deploy(ctx, stage, version)
	if err != nil {
		return err
	}
	if err := b.baking(ctx, deployment); err != nil {
		return err
	}
	ill := time.Now()
	hanging := aws.Faults{Instances: []faults.Instance{{Kind: faults.Hang, Version: label}}}
	if err := b.lab.Server.SetFaults(hanging); err != nil {
		return err
	}
	record, _, err := b.lab.Await(ctx, environment, deployment)
	if err != nil {
		return err
	}
	if record.Result.Outcome != delivery.OutcomeRolledBack {
		return fmt.Errorf("%s: %s", record.Result.Outcome, record.Result.Reason)
	}
	failed, err := b.said(ill, "Environment health has transitioned from Ok to ")
	if err != nil {
		return err
	}
	sent, err := b.said(ill, "Environment update is starting.")
	if err != nil {
		return err
	}
	b.late = append(b.late, max(0, (sent.Sub(failed)-b.steady).Seconds()*float64(b.speed)))
	return b.lab.Server.SetFaults(aws.Faults{})
}

// baking waits until a deployment bakes.
func (b *bakes) baking(ctx context.Context, deployment string) error {
	for {
		var status workflows.DeploymentStatus
		answer, err := b.lab.Client.QueryWorkflow(ctx, deployment, "", workflows.StatusQuery)
		if err == nil && answer.Get(&status) == nil && status.Phase == workflows.PhaseBake {
			return nil
		}
		if err == nil && status.Phase == workflows.PhaseEnded {
			return fmt.Errorf("%s ended before it baked: %s", deployment, status.Result.Reason)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// said is when the platform first said something after a moment.
func (b *bakes) said(after time.Time, message string) (time.Time, error) {
	events, err := b.lab.Events(environment)
	if err != nil {
		return time.Time{}, err
	}
	for _, event := range events {
		if event.At.After(after) && strings.HasPrefix(event.Message, message) {
			return event.At, nil
		}
	}
	return time.Time{}, fmt.Errorf("the platform never said %q", message)
}
