package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

func (p *provisioning) asked() *approval { return p.approval }

func (p *provisioning) answered(ctx workflow.Context, verb string, answer Answer) {
	p.record(ctx, verb, answer)
	p.show(ctx)
}

// mayAnswer says why an answer cannot be taken now, as at a run's gates. The stack is the Stage of the answer.
func (p *provisioning) mayAnswer(verb string, answer Answer) error {
	switch {
	case !p.status.EndedAt.IsZero():
		return delivery.Errorf(delivery.InvalidInput, "the provisioning has ended: %s", p.status.State)
	case p.approval == nil:
		return delivery.Errorf(delivery.InvalidInput, "no stack waits for an answer now: it is %s", p.status.State)
	case answer.Stage != "" && answer.Stage != p.approval.stage:
		return delivery.Errorf(delivery.InvalidInput, "stack %s waits for an answer, not %s", p.approval.stage, answer.Stage)
	case p.approval.answered():
		return delivery.Errorf(delivery.InvalidInput, "%s has its answer already", p.approval.what)
	case verb == ApproveUpdate:
		return p.approval.mayApprove(answer)
	default:
		return p.approval.mayBe(answer.By)
	}
}
