package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// deploy puts a request into the environment's queue and waits for its result. When the run is
// aborted meanwhile, the request is withdrawn, and the result says what became of it: a run never
// ends while its deployment is still under way.
func (r *run) deploy(ctx workflow.Context, status *StageStatus, request delivery.Request) (delivery.Result, error) {
	result, err := r.ask(ctx, status, request, DeployUpdate, request)
	if !cancelled(ctx) {
		return result, err
	}
	outlasting, _ := workflow.NewDisconnectedContext(ctx)
	return r.ask(outlasting, status, request, WithdrawUpdate, Withdrawal{RequestID: request.ID, Answer: r.whyAborted()})
}

// request is what the environment is asked for in a round.
func (r *run) request(ctx workflow.Context, stage delivery.Stage, version delivery.Version, startBy time.Time, round int) delivery.Request {
	request := delivery.Request{
		ID:       requestID(ctx, stage, round),
		RunID:    r.status.RunID,
		Pipeline: r.input.Pipeline.Name,
		Stage:    stage,
		Version:  version,
		StartBy:  startBy,
	}
	if hotfix := r.input.Hotfix; hotfix != nil {
		request.JumpQueue, request.By, request.Reason = true, hotfix.who(), hotfix.Reason
	}
	return request
}

// requestID names the request after this execution of the run, since a run that is started
// again asks again, and so does one that comes back from its gate.
func requestID(ctx workflow.Context, stage delivery.Stage, round int) string {
	id := stage.Name + "/" + workflow.GetInfo(ctx).WorkflowExecution.RunID
	if round > 1 {
		id += fmt.Sprintf("/%d", round)
	}
	return id
}

// ask asks until the environment has answered. Asking again is harmless, since the request has an
// ID; and it brings back a result that never came, or an environment's workflow that someone terminated.
func (r *run) ask(ctx workflow.Context, status *StageStatus, request delivery.Request, update string, argument any) (delivery.Result, error) {
	var environments *activities.Environments
	answered := func() bool { _, ok := r.finished[request.ID]; return ok }
	for round := 1; !answered(); round++ {
		var receipt Receipt
		err := workflow.ExecuteActivity(requestOptions(ctx, update+": ask "+request.Stage.Environment), environments.Ask, activities.AskInput{
			Workflow:   EnvironmentWorkflow,
			TaskQueue:  Queue,
			WorkflowID: delivery.EnvironmentID(request.Version.Application, request.Stage.Environment),
			Priority:   EnvironmentPriority(request.Stage.Environment),
			Start:      EnvironmentInput{Application: request.Version.Application, Environment: request.Stage.Environment},
			Update:     update,
			UpdateID:   fmt.Sprintf("%s/%s/%d", update, request.ID, round),
			Argument:   argument,
		}).Get(ctx, &receipt)
		if err != nil {
			return delivery.Result{}, err
		}
		if receipt.Result != nil {
			return *receipt.Result, nil
		}
		r.explain(ctx, status, receipt)
		if _, err := awaitWithin(ctx, askAgain, "waits for the deployment to "+request.Stage.Environment, answered); err != nil {
			return delivery.Result{}, err
		}
	}
	return r.finished[request.ID], nil
}

// explain says in the run's status why its deployment does not start yet.
func (r *run) explain(ctx workflow.Context, status *StageStatus, receipt Receipt) {
	detail := "deploying to " + status.Environment
	if receipt.Ahead > 0 {
		detail = fmt.Sprintf("in the queue of %s, behind %d", status.Environment, receipt.Ahead)
	}
	if receipt.Frozen != "" {
		detail = fmt.Sprintf("%s is frozen: %s", status.Environment, receipt.Frozen)
	}
	r.enter(ctx, status, StateDeploying, detail)
}

// whyAborted is the answer that ended the run.
func (r *run) whyAborted() Answer {
	if r.aborted == nil {
		return Answer{By: "Temporal", Reason: "the run was cancelled"}
	}
	return *r.aborted
}

// onFinished collects the results that environments send.
func (r *run) onFinished(ctx workflow.Context) {
	listening, _ := workflow.NewDisconnectedContext(ctx)
	workflow.Go(listening, func(ctx workflow.Context) {
		results := signals(ctx, FinishedSignal)
		for {
			var result delivery.Result
			results.Receive(ctx, &result)
			r.finished[result.RequestID] = result
		}
	})
}
