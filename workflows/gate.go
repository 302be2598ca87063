package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// gate is a stage's gate at which the run waits for a person.
type gate struct {
	stage    string
	approved *Answer
	rejected *Answer
}

func (g *gate) answered() bool { return g.approved != nil || g.rejected != nil }

// passGate waits until the stage's gate is open. Nobody's answer is an answer too: at the timeout
// the run ends as rejected, so that a forgotten run never deploys an old version weeks later.
func (r *run) passGate(ctx workflow.Context, status *StageStatus, stage delivery.Stage) error {
	approval := stage.Gate.Approval
	if approval == nil {
		return nil
	}
	waiting := &gate{stage: stage.Name}
	r.gate = waiting
	defer func() { r.gate = nil }()
	r.enter(ctx, status, StateWaiting, fmt.Sprintf("for an approval, until %s",
		workflow.Now(ctx).Add(approval.Timeout.Std()).UTC().Format("2 Jan 15:04 MST")))

	inTime, err := awaitWithin(ctx, approval.Timeout.Std(), stage.Name+" waits for an approval", waiting.answered)
	switch {
	case err != nil:
		return err
	case !inTime:
		return delivery.Errorf(delivery.Rejected, "%s: nobody approved within %s", stage.Name, approval.Timeout)
	case waiting.rejected != nil:
		return &delivery.Error{Type: delivery.Rejected, Message: waiting.rejected.because(
			fmt.Sprintf("%s: rejected by %s", stage.Name, waiting.rejected.who()))}
	default:
		return nil
	}
}

// setupGate lets people answer in both ways: by an update, which refuses a wrong answer at once,
// and by a plain signal, which Temporal's web UI and command line can send.
func (r *run) setupGate(ctx workflow.Context) error {
	for _, verb := range []string{ApproveUpdate, RejectUpdate} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, verb,
			func(ctx workflow.Context, answer Answer) (RunStatus, error) {
				// Another answer may have come between the validator and now.
				if err := r.mayAnswer(answer); err != nil {
					return r.status, toTemporal(err, nil)
				}
				r.answer(ctx, verb, answer)
				return r.status, nil
			},
			workflow.UpdateHandlerOptions{
				Validator:   refusing(r.mayAnswer),
				Description: verb + " the version at the gate where the run waits",
			})
		if err != nil {
			return err
		}
	}
	listening, _ := workflow.NewDisconnectedContext(ctx)
	for _, verb := range []string{ApproveSignal, RejectSignal} {
		workflow.Go(listening, func(ctx workflow.Context) {
			answers := signals(ctx, verb)
			for {
				var answer Answer
				answers.Receive(ctx, &answer)
				if err := r.mayAnswer(answer); err != nil {
					workflow.GetLogger(ctx).Info("ignored a signal", "signal", verb, "reason", err.Error())
					continue
				}
				r.answer(ctx, verb, answer)
			}
		})
	}
	return nil
}

// mayAnswer says why an answer cannot be taken now, if it can't.
func (r *run) mayAnswer(answer Answer) error {
	switch {
	case r.status.State.Ended():
		return delivery.Errorf(delivery.InvalidInput, "the run has ended: %s", r.status.State)
	case r.gate == nil:
		return delivery.Errorf(delivery.InvalidInput, "the run waits at no gate now: it is %s", r.status.State)
	case answer.Stage != "" && answer.Stage != r.gate.stage:
		return delivery.Errorf(delivery.InvalidInput, "the run waits at the gate of %s, not of %s", r.gate.stage, answer.Stage)
	case r.gate.answered():
		return delivery.Errorf(delivery.InvalidInput, "the gate of %s has its answer already", r.gate.stage)
	default:
		return nil
	}
}

func (r *run) answer(ctx workflow.Context, verb string, answer Answer) {
	answer.Stage = r.gate.stage
	if verb == ApproveUpdate {
		r.gate.approved = &answer
	} else {
		r.gate.rejected = &answer
	}
	r.record(ctx, verb, answer)
	r.show(ctx)
}
