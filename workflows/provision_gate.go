package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// setupGate lets people answer as at a run's gates: by an update, which refuses a wrong answer at once, and by a
// signal. The stack is the Stage of the answer.
func (p *provisioning) setupGate(ctx workflow.Context) error {
	for _, verb := range []string{ApproveUpdate, RejectUpdate} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, verb,
			func(ctx workflow.Context, answer Answer) (ProvisionStatus, error) {
				if err := p.take(ctx, verb, answer); err != nil {
					return p.status, toTemporal(err, nil)
				}
				return p.status, nil
			},
			workflow.UpdateHandlerOptions{
				Validator:   refusing(func(answer Answer) error { return p.mayAnswer(verb, answer) }),
				Description: verb + " the change of the stack that waits",
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
				if err := p.take(ctx, verb, answer); err != nil {
					workflow.GetLogger(ctx).Info("ignored a signal", "signal", verb, "reason", err.Error())
				}
			}
		})
	}
	return nil
}

// mayAnswer says why an answer cannot be taken now, as far as it can be told without asking anybody.
func (p *provisioning) mayAnswer(verb string, answer Answer) error {
	switch {
	case !p.status.EndedAt.IsZero():
		return delivery.Errorf(delivery.InvalidInput, "the provisioning has ended: %s", p.status.State)
	case p.approval == nil:
		return delivery.Errorf(delivery.InvalidInput, "no stack waits for an answer now: it is %s", p.status.State)
	case answer.Stage != "" && answer.Stage != p.approval.stage:
		return delivery.Errorf(delivery.InvalidInput, "stack %s waits for an answer, not %s", p.approval.stage, answer.Stage)
	case p.approval.answered():
		return delivery.Errorf(delivery.InvalidInput, "the change of stack %s has its answer already", p.approval.stage)
	case verb == ApproveUpdate:
		return p.approval.mayApprove(answer)
	default:
		return p.approval.mayBe(answer.By)
	}
}

// take puts an answer on record, if it may be given. While a team is asked for its members others may have
// answered, so that everything is looked at once more.
func (p *provisioning) take(ctx workflow.Context, verb string, answer Answer) error {
	if err := p.mayAnswer(verb, answer); err != nil {
		return err
	}
	if asked := p.approval; !asked.names(answer.By) {
		if err := asked.belongs(ctx, answer.By); err != nil {
			return err
		}
		if p.approval != asked {
			return delivery.Errorf(delivery.InvalidInput, "the change of stack %s had its answer meanwhile", asked.stage)
		}
		if err := p.mayAnswer(verb, answer); err != nil {
			return err
		}
	}
	answer.Stage = p.approval.stage
	if verb == RejectUpdate {
		p.approval.rejected = &answer
	} else {
		p.approval.approved = append(p.approval.approved, answer)
	}
	p.record(ctx, verb, answer)
	p.show(ctx)
	return nil
}
