package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// maxWaiting bounds an environment's queue: its state must fit into one Temporal payload.
const maxWaiting = 500

// setupUpdates registers what an environment can be asked. No handler that changes anything blocks, so
// that what a validator saw is still so when its handler runs.
func (e *environment) setupUpdates(ctx workflow.Context) error {
	updates := []struct {
		name, description string
		handler, validate any
	}{
		{DeployUpdate, "queue a deployment", e.accept, refusing(e.mayAccept)},
		{WithdrawUpdate, "take a request out of the queue, or abort its deployment", e.withdraw, nil},
		{FreezeUpdate, "start no deployment until thawed", e.freeze, refusing(e.mayFreeze)},
		{ThawUpdate, "start deployments again", e.thaw, refusing(e.mayThaw)},
		{TargetsUpdate, "say what the environment can be rolled back to", e.targets, nil},
		{DriftUpdate, "say what was found between deployments", e.noteDrift, nil},
		{ForgetConfigurationUpdate, "take the configuration that a stack gives as intended", e.forgetConfiguration, refusing(mayReconfigure)},
	}
	for _, update := range updates {
		err := workflow.SetUpdateHandlerWithOptions(ctx, update.name, update.handler, workflow.UpdateHandlerOptions{
			Description: update.description, Validator: update.validate,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *environment) mayAccept(request delivery.Request) error {
	switch {
	case request.ID == "" || request.Version.Label == "" || request.Stage.Environment != e.Environment:
		return delivery.Errorf(delivery.InvalidInput, "a request names itself, its version, and environment %s", e.Environment)
	case len(e.Waiting) >= maxWaiting && !e.knows(request.ID):
		return delivery.Errorf(delivery.EnvironmentBusy, "%d requests wait for %s; try again later", maxWaiting, e.Environment)
	default:
		return nil
	}
}

// accept puts a request into the queue; the same request again is answered with where it stands.
func (e *environment) accept(ctx workflow.Context, request delivery.Request) (Receipt, error) {
	if result := e.answered(request.ID); result != nil {
		return Receipt{Result: result}, nil
	}
	if !e.knows(request.ID) {
		if request.Stage.Queue == delivery.QueueLatest && !byHand(request) {
			if newer := e.overtaken(request); newer != nil {
				e.reply("", e.superseded(ctx, request, *newer))
				return Receipt{Result: e.answered(request.ID)}, nil
			}
		}
		if request.Stage.Queue == delivery.QueueLatest && !request.Rollback {
			e.supersede(ctx, request)
		}
		e.Waiting = slices.Insert(e.Waiting, e.place(request), QueuedRequest{Request: request, At: workflow.Now(ctx), Trace: TraceOf(ctx)})
		e.endBake(ctx)
		e.show(ctx)
	}
	return e.receipt(request.ID), nil
}

// byHand reports whether a person asked for this very deployment: such a request is neither replaced by a
// newer one nor overtaken.
func byHand(request delivery.Request) bool { return request.Rollback || request.JumpQueue }

// place is where a request goes in the queue: somebody saw that the version is bad, so nothing goes
// before a rollback; then hotfixes; then everything else, in the order in which it came.
func (e *environment) place(request delivery.Request) int {
	urgency := func(r delivery.Request) int {
		switch {
		case r.Rollback:
			return 2
		case r.JumpQueue:
			return 1
		default:
			return 0
		}
	}
	for i := range e.Waiting {
		// The newest rollback first: who asks for another one has seen what the first would do.
		if urgent := urgency(request); urgent > urgency(e.Waiting[i].Request) || request.Rollback && e.Waiting[i].Rollback {
			return i
		}
	}
	return len(e.Waiting)
}

// endBake lets the deployment under way know that others wait: what still bakes then ends its bake.
func (e *environment) endBake(ctx workflow.Context) {
	if e.running == nil || e.child == nil || e.running.Stage.Bake == 0 || len(e.Waiting) == 0 || e.Frozen != nil {
		return
	}
	next := e.Waiting[0]
	e.child.SignalChildWorkflow(ctx, EndBakeSignal, Answer{By: "Gravity", Reason: "a newer deployment waits: " + next.Version.Label})
}

// supersede takes the requests that the newer one replaces out of the queue: those of the same
// pipeline that nobody asked for by hand.
func (e *environment) supersede(ctx workflow.Context, newer delivery.Request) {
	e.Waiting = slices.DeleteFunc(e.Waiting, func(waiting QueuedRequest) bool {
		if waiting.Pipeline != newer.Pipeline || byHand(waiting.Request) {
			return false
		}
		e.reply(waiting.RunID, e.superseded(ctx, waiting.Request, newer))
		return true
	})
}

// overtaken finds a request in the queue that replaces the one that comes now, because its commit is
// newer: builds overtake one another, and approvals are given late.
func (e *environment) overtaken(request delivery.Request) *delivery.Request {
	for i := range e.Waiting {
		waiting := &e.Waiting[i].Request
		if waiting.Pipeline == request.Pipeline && !waiting.Rollback &&
			waiting.Version.Revision.CommittedAt.After(request.Version.Revision.CommittedAt) {
			return waiting
		}
	}
	return nil
}

func (e *environment) superseded(ctx workflow.Context, older, newer delivery.Request) delivery.Result {
	e.Superseded = lastOf(append(e.Superseded, SupersededRequest{
		Version: older.Version.Label, RunID: older.RunID, By: newer.Version.Label, ByRunID: newer.RunID, At: workflow.Now(ctx),
	}), keptSuperseded)
	return delivery.Result{
		RequestID: older.ID,
		Outcome:   delivery.OutcomeSuperseded,
		Cause:     delivery.Superseded,
		Reason:    fmt.Sprintf("superseded by version %s (%s) in the queue of %s", newer.Version.Label, newer.RunID, e.Environment),
		LeftOn:    e.LeftOn,
		Good:      e.Good,
	}
}

// withdraw ends a request wherever it stands. One that never arrived is remembered too: it may still be
// on its way, and must not be queued after its run has given it up.
func (e *environment) withdraw(ctx workflow.Context, withdrawal Withdrawal) (Receipt, error) {
	if result := e.answered(withdrawal.RequestID); result != nil {
		return Receipt{Result: result}, nil
	}
	if e.running != nil && e.running.ID == withdrawal.RequestID {
		// The deployment takes back what it did; its result follows by FinishedSignal.
		e.child.SignalChildWorkflow(ctx, AbortSignal, withdrawal.Answer)
		return Receipt{}, nil
	}
	e.Waiting = slices.DeleteFunc(e.Waiting, func(waiting QueuedRequest) bool { return waiting.ID == withdrawal.RequestID })
	e.reply("", delivery.Result{
		RequestID: withdrawal.RequestID,
		Outcome:   delivery.OutcomeUntouched,
		Cause:     delivery.Aborted,
		Reason:    fmt.Sprintf("%s; nothing was changed on %s", withdrawal.Answer.aborted(), e.Environment),
		LeftOn:    e.LeftOn,
		Good:      e.Good,
	})
	e.show(ctx)
	return Receipt{Result: e.answered(withdrawal.RequestID)}, nil
}

func (e *environment) mayFreeze(answer Answer) error {
	if e.Frozen != nil {
		return delivery.Errorf(delivery.EnvironmentFrozen, "%s is frozen already: %s", e.Environment, e.Frozen.Reason)
	}
	if answer.Reason == "" {
		return delivery.Errorf(delivery.InvalidInput, "say why %s is frozen", e.Environment)
	}
	return nil
}

// freeze keeps deployments from starting; the one that runs is seen through.
func (e *environment) freeze(ctx workflow.Context, answer Answer) (EnvironmentStatus, error) {
	e.Frozen = &Freeze{By: answer.who(), Reason: answer.Reason, At: workflow.Now(ctx)}
	e.show(ctx)
	return e.status(), nil
}

func (e *environment) mayThaw(Answer) error {
	if e.Frozen == nil {
		return delivery.Errorf(delivery.InvalidInput, "%s is not frozen", e.Environment)
	}
	return nil
}

// thaw ends a freeze. Whoever thaws has looked at the environment, so what it is on now is no
// drift: the next deployment takes it as found.
func (e *environment) thaw(ctx workflow.Context, answer Answer) (EnvironmentStatus, error) {
	workflow.GetLogger(ctx).Info("thawed", "environment", e.Environment, "by", answer.who(), "reason", answer.Reason)
	e.Frozen, e.LeftOn, e.Configuration, e.Drift = nil, "", "", nil
	e.endBake(ctx)
	e.show(ctx)
	return e.status(), nil
}

// knows reports whether a request runs or waits.
func (e *environment) knows(id string) bool {
	return e.running != nil && e.running.ID == id || e.ahead(id) >= 0
}

// ahead is how many requests wait before this one; -1 when it does not wait.
func (e *environment) ahead(id string) int {
	return slices.IndexFunc(e.Waiting, func(waiting QueuedRequest) bool { return waiting.ID == id })
}

// answered finds the result of a request, with its evidence where that is still there.
func (e *environment) answered(id string) *delivery.Result {
	for i := range e.Recent {
		if e.Recent[i].Result.RequestID == id {
			return &e.Recent[i].Result
		}
	}
	for i := range e.Answered {
		if e.Answered[i].RequestID == id {
			return &e.Answered[i]
		}
	}
	return nil
}

func (e *environment) receipt(id string) Receipt {
	receipt := Receipt{Ahead: max(0, e.ahead(id))}
	if e.running != nil && e.running.ID != id {
		receipt.Ahead++
	}
	if e.Frozen != nil && e.ahead(id) >= 0 {
		receipt.Frozen = e.Frozen.Reason
	}
	return receipt
}
