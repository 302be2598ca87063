package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// baking is what a deployment knows of its bake.
type baking struct {
	// begun is true from the moment in which the version was proven and is only watched.
	begun bool
	// early is set when a newer request wants the environment, which may be before the bake began.
	early *Answer
	// stop ends the watching; nil when there is none.
	stop workflow.CancelFunc
	// settled is the environment as the bake saw it fail, Ready at that moment.
	settled *delivery.Observation
	// taken is true when somebody took the environment to another version meanwhile.
	taken bool
}

// ended completes the sentence of a success.
func (b baking) ended() string {
	switch {
	case !b.begun || b.early == nil:
		return ""
	case b.early.Reason == "":
		return "; bake ended early"
	default:
		return "; bake ended early: " + b.early.Reason
	}
}

// whenBakeEnds listens for EndBakeSignal for as long as the deployment lives.
func (d *deployment) whenBakeEnds(ctx workflow.Context) {
	listening, _ := workflow.NewDisconnectedContext(ctx)
	workflow.Go(listening, func(ctx workflow.Context) {
		var answer Answer
		workflow.GetSignalChannel(ctx, EndBakeSignal).Receive(ctx, &answer)
		d.baking.early = &answer
		if d.baking.stop != nil {
			d.baking.stop()
		}
	})
}

// bake goes on watching a version that was proven good, by the same rules, for as long as the stage wants. A
// failure takes it back like any other. The end is set here, once, so that whoever takes the watching over
// does not begin anew.
func (d *deployment) bake(ctx workflow.Context) error {
	if d.stage().Bake <= 0 {
		return nil
	}
	d.baking.begun = true
	if d.baking.early != nil {
		return nil
	}
	until := workflow.Now(ctx).Add(d.stage().Bake.Std())
	d.enter(ctx, PhaseBake, "watches over "+d.wanted().Label+" until "+until.UTC().Format(time.DateTime))
	watching, stop := workflow.WithCancel(ctx)
	d.baking.stop = stop
	proof, err := d.watch(watching, until)
	d.baking.stop = nil
	if err != nil && d.baking.early != nil && temporal.IsCanceledError(err) && !cancelled(ctx) {
		return nil
	}
	if err != nil {
		return err
	}
	d.evidence = append(d.evidence, proof.Evidence...)
	if proof.Observed.Ready() {
		d.baking.settled = &proof.Observed
	}
	d.baking.taken = proof.Cause == delivery.Drift
	return failureOfProof(proof)
}

func (d *deployment) watch(ctx workflow.Context, until time.Time) (delivery.Proof, error) {
	var bake *activities.Bake
	var proof delivery.Proof
	err := workflow.ExecuteActivity(bakeOptions(ctx, d.stage().Bake.Std(), "watch over "+d.wanted().Label), bake.Bake, activities.BakeInput{
		Application: d.application(), Environment: d.proven.Name, EnvironmentID: d.proven.ID, Address: d.proven.Address,
		Version: d.wanted(), Health: d.stage().Health, Until: until, Patience: d.stage().Deadline,
	}).Get(ctx, &proof)
	return proof, err
}
