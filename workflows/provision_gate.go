package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// stackGate is where a stack's change waits for a person.
type stackGate struct {
	stack    string
	approved *Answer
	rejected *Answer
}

func (g *stackGate) answered() bool { return g.approved != nil || g.rejected != nil }

// setupGate lets people answer as at a run's gates: by an update, which refuses a wrong answer at once, and by a
// signal. The stack is the Stage of the answer.
func (p *provisioning) setupGate(ctx workflow.Context) error {
	for _, verb := range []string{ApproveUpdate, RejectUpdate} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, verb,
			func(ctx workflow.Context, answer Answer) (ProvisionStatus, error) {
				// Another answer may have come between the validator and now.
				if err := p.mayAnswer(answer); err != nil {
					return p.status, toTemporal(err, nil)
				}
				p.answer(ctx, verb, answer)
				return p.status, nil
			},
			workflow.UpdateHandlerOptions{Validator: refusing(p.mayAnswer), Description: verb + " the change of the stack that waits"})
		if err != nil {
			return err
		}
	}
	listening, _ := workflow.NewDisconnectedContext(ctx)
	for _, verb := range []string{ApproveSignal, RejectSignal} {
		workflow.Go(listening, func(ctx workflow.Context) {
			answers := workflow.GetSignalChannel(ctx, verb)
			for {
				var answer Answer
				answers.Receive(ctx, &answer)
				if err := p.mayAnswer(answer); err != nil {
					workflow.GetLogger(ctx).Info("ignored a signal", "signal", verb, "reason", err.Error())
					continue
				}
				p.answer(ctx, verb, answer)
			}
		})
	}
	return nil
}

// mayAnswer says why an answer cannot be taken now, if it can't.
func (p *provisioning) mayAnswer(answer Answer) error {
	switch {
	case !p.status.EndedAt.IsZero():
		return delivery.Errorf(delivery.InvalidInput, "the provisioning has ended: %s", p.status.State)
	case p.gate == nil:
		return delivery.Errorf(delivery.InvalidInput, "no stack waits for an answer now: it is %s", p.status.State)
	case answer.Stage != "" && answer.Stage != p.gate.stack:
		return delivery.Errorf(delivery.InvalidInput, "stack %s waits for an answer, not %s", p.gate.stack, answer.Stage)
	case p.gate.answered():
		return delivery.Errorf(delivery.InvalidInput, "the change of stack %s has its answer already", p.gate.stack)
	default:
		return nil
	}
}

func (p *provisioning) answer(ctx workflow.Context, verb string, answer Answer) {
	answer.Stage = p.gate.stack
	if verb == ApproveUpdate {
		p.gate.approved = &answer
	} else {
		p.gate.rejected = &answer
	}
	p.record(ctx, verb, answer)
	p.show(ctx)
}
