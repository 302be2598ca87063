package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// gatekeeper is a workflow that waits for people's answers: a run at its gates, a provisioning before a change.
type gatekeeper interface {
	// asked is the question that is open now; nil while there is none.
	asked() *approval
	// mayAnswer says why an answer cannot be taken now, as far as it can be told without asking anybody.
	mayAnswer(verb string, answer Answer) error
	// answered puts an answer on record that was taken.
	answered(ctx workflow.Context, verb string, answer Answer)
}

// listen lets people answer in both ways: by an update, which refuses a wrong answer at once and returns the status,
// and by a plain signal, which Temporal's web UI and command line can send.
func listen[Status any](ctx workflow.Context, to gatekeeper, status *Status, description string) error {
	for _, verb := range []string{ApproveUpdate, RejectUpdate} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, verb,
			func(ctx workflow.Context, answer Answer) (Status, error) {
				if err := take(ctx, to, verb, answer); err != nil {
					return *status, toTemporal(err, nil)
				}
				return *status, nil
			},
			workflow.UpdateHandlerOptions{
				Validator:   refusing(func(answer Answer) error { return to.mayAnswer(verb, answer) }),
				Description: verb + " " + description,
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
				if err := take(ctx, to, verb, answer); err != nil {
					workflow.GetLogger(ctx).Info("ignored a signal", "signal", verb, "reason", err.Error())
				}
			}
		})
	}
	return nil
}

// take takes an answer, if it may be given. Whether somebody belongs to a team is asked at this moment; meanwhile
// others may have answered, so that everything is looked at once more.
func take(ctx workflow.Context, to gatekeeper, verb string, answer Answer) error {
	if err := to.mayAnswer(verb, answer); err != nil {
		return err
	}
	asked := to.asked()
	if !asked.names(answer.By) {
		if err := asked.belongs(ctx, answer.By); err != nil {
			return err
		}
		if to.asked() != asked {
			return delivery.Errorf(delivery.InvalidInput, "%s had its answer meanwhile", asked.what)
		}
		if err := to.mayAnswer(verb, answer); err != nil {
			return err
		}
	}
	answer.Stage = asked.stage
	if verb == RejectUpdate {
		asked.rejected = &answer
	} else {
		asked.approved = append(asked.approved, answer)
	}
	to.answered(ctx, verb, answer)
	return nil
}
