package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// strategy is how a deployment brings a version to its users, and how it takes it back. What is the same
// for all of them is the deployment's: the precheck, the proof, the result.
type strategy interface {
	// attempt is the way forward, until the version is proven where its users have it: every step must succeed.
	attempt(ctx workflow.Context) error
	// finish gives up what was kept for the way back, when the version needs it no more.
	finish(ctx workflow.Context) error
	// takeBack leaves the environment on its last good version, proven healthy, after an attempt that failed or
	// was aborted; or it says in the result why that cannot be. Its context outlasts an abort.
	takeBack(ctx workflow.Context, result delivery.Result) delivery.Result
}

// strategies knows them all. A new one is a file with its implementation, and a line here.
var strategies = map[delivery.Strategy]func(*deployment) strategy{
	delivery.Immutable:                  byPolicy,
	delivery.TrafficSplitting:           byPolicy,
	delivery.RollingWithAdditionalBatch: byPolicy,
	delivery.Rolling:                    byPolicy,
	delivery.AllAtOnce:                  byPolicy,
	delivery.BlueGreen:                  byPair,
}

func (d *deployment) strategy() (strategy, error) {
	of, known := strategies[d.stage().Strategy]
	if !known {
		return nil, delivery.Errorf(delivery.InvalidInput,
			"the stage's strategy is %q, which this worker does not know; correct gravity.yaml, or upgrade the worker", d.stage().Strategy)
	}
	return of(d), nil
}

// takenBack is the end of a deployment that failed, or was aborted.
func (d *deployment) takenBack(ctx workflow.Context, s strategy, failure error) delivery.Result {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	result := delivery.Result{
		Outcome: delivery.OutcomeUntouched, Cause: d.cause(failure), Reason: d.reason(failure), LeftOn: d.found.VersionLabel, Good: d.good,
	}
	if result.LeftOn == "" {
		result.LeftOn = d.input.LeftOn // it was never seen: nobody knows better
	}
	if s == nil {
		return result
	}
	return s.takeBack(ctx, result)
}
