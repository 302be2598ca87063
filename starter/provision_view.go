package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
	"gravity/workflows"
)

// provisionView is everything that is known of a provisioning at one moment.
type provisionView struct {
	ID string `json:"id"`
	workflows.ProvisionStatus
	// Live are the last events of the stack that changes.
	Live []delivery.StackEvent `json:"live,omitempty"`
}

// followProvision watches a provisioning until it ends. One that goes on may be of the other kind, which nobody asked for.
func (g *globals) followProvision(ctx context.Context, c client.Client, id string, destroy bool) (provisionView, error) {
	var last provisionView
	err := g.follow(ctx, "asking "+id, func(ctx context.Context) (sight, error) {
		view, err := observeProvision(ctx, c, id)
		if err == nil && view.Destroy != destroy {
			err = wrongUse("%s does the opposite and is %s: wait for its end, or abort it with starter abort %s", id, view.State, id)
		}
		if err == nil {
			last = view
		}
		return provisionSight{view}, err
	})
	return last, err
}

// observeProvision asks a provisioning where it stands; one that has ended says it by its result.
func observeProvision(ctx context.Context, c client.Client, id string) (provisionView, error) {
	view := provisionView{ID: id}
	described, err := c.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return view, err
	}
	info := described.GetWorkflowExecutionInfo()
	if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return endedProvision(ctx, c, view, info.GetExecution().GetRunId())
	}
	if err := query(ctx, c, id, &view.ProvisionStatus); err != nil {
		return view, err
	}
	for _, step := range described.GetPendingActivities() {
		var progress activities.StackProgress
		if payloads := step.GetHeartbeatDetails().GetPayloads(); len(payloads) > 0 &&
			converter.GetDefaultDataConverter().FromPayload(payloads[0], &progress) == nil {
			view.Live = append(view.Live, progress.Events...)
		}
		if step.GetAttempt() > 1 && step.GetLastFailure() != nil {
			view.Live = append(view.Live, delivery.StackEvent{Resource: step.GetActivityType().GetName(), Status: "is tried again",
				Reason: step.GetLastFailure().GetMessage()})
		}
	}
	return view, nil
}

func endedProvision(ctx context.Context, c client.Client, view provisionView, runID string) (provisionView, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := c.GetWorkflow(ctx, view.ID, runID).Get(ctx, &view.ProvisionStatus)
	var failed *temporal.ApplicationError
	if err == nil || errors.As(err, &failed) && failed.HasDetails() && failed.Details(&view.ProvisionStatus) == nil && view.State != "" {
		return view, nil
	}
	if ctx.Err() != nil {
		return view, err
	}
	view.State, view.Detail = workflows.ProvisionFailed, "ended through Temporal; a stack may be in the middle of a change: "+err.Error()
	return view, nil
}

type provisionSight struct{ provisionView }

func (p provisionSight) ended() bool {
	return !p.EndedAt.IsZero() || p.State == workflows.ProvisionFailed
}

func (p provisionSight) document() any { return p.provisionView }

func (p provisionSight) headlines() []string {
	lines := []string{string(p.State) + "  " + clean(p.Detail)}
	for _, stack := range p.Stacks {
		if stack.Plan == nil || stack.State == workflows.ProvisionUnchanged {
			continue
		}
		for _, change := range stack.Plan.Changes {
			lines = append(lines, clean(stack.Stack+": "+change.Text))
		}
	}
	for _, event := range p.Live {
		lines = append(lines, clean(event.String()))
	}
	for _, answer := range p.Answers {
		lines = append(lines, answered(answer))
	}
	return lines
}

func (p provisionSight) render(w io.Writer, s style) {
	printf(w, "%s  %s\n%s  %s\n\n", s.bold(p.ID), "", s.provision(p.State), clean(p.Detail))
	rows := [][]string{{s.dim("STACK"), s.dim("STATE"), ""}}
	for _, stack := range p.Stacks {
		rows = append(rows, []string{clean(stack.Stack), s.provision(stack.State), clean(stack.Detail)})
	}
	table(w, "  ", rows)
	for _, event := range p.Live {
		printf(w, "  %s\n", s.dim("→ "+clean(event.String())))
	}
	for _, stack := range p.Stacks {
		renderPlan(w, stack, s)
	}
	renderAnswers(w, p.Answers, s)
	for _, stack := range p.Stacks {
		if stack.State == workflows.ProvisionWaiting {
			printf(w, "\nanswer with: starter approve %s, or starter reject %s\n", p.ID, p.ID)
		}
	}
	renderOutputs(w, p.ProvisionStatus, s)
}

// renderPlan writes what would change in a stack. A replacement and a loss stand out.
func renderPlan(w io.Writer, stack workflows.StackStatus, s style) {
	if stack.Plan == nil || stack.Plan.Empty() {
		return
	}
	printf(w, "\n%s\n", s.bold("changes of "+clean(stack.Stack)))
	for _, change := range stack.Plan.Changes {
		line := "  - " + clean(change.Text)
		if change.Replaces || change.Loss != "" {
			line = s.red("  ! " + clean(change.Text))
		}
		printf(w, "%s\n", line)
	}
	if stack.Plan.Unknown != "" {
		printf(w, "  cannot be told yet: %s\n", clean(stack.Plan.Unknown))
	}
}

// renderOutputs writes what the stacks tell, once all is done.
func renderOutputs(w io.Writer, status workflows.ProvisionStatus, s style) {
	if status.State != workflows.ProvisionSucceeded || status.Destroy {
		return
	}
	rows := [][]string{}
	for _, stack := range status.Stacks {
		if stack.Result == nil {
			continue
		}
		for _, name := range sortedKeys(stack.Result.Outputs) {
			rows = append(rows, []string{"${" + stack.Stack + "." + name + "}", clean(stack.Result.Outputs[name])})
		}
	}
	if len(rows) > 0 {
		printf(w, "\n%s\n", s.bold("outputs"))
		table(w, "  ", rows)
	}
}

// provision paints a state by what it means.
func (s style) provision(state workflows.ProvisionState) string {
	switch state {
	case workflows.ProvisionSucceeded, workflows.ProvisionUnchanged, workflows.ProvisionPlanned:
		return s.green(string(state))
	case workflows.ProvisionFailed, workflows.ProvisionRejected, workflows.ProvisionAborted:
		return s.red(string(state))
	case workflows.ProvisionWaiting:
		return s.paint("33", string(state))
	case workflows.ProvisionPending:
		return s.dim(string(state))
	default:
		return s.paint("36", string(state))
	}
}

// provisionOf is the workflow ID that an argument such as provision/gravity-site names.
func provisionOf(argument string) (string, bool) {
	return argument, strings.HasPrefix(argument, provisionPrefix)
}

// answerProvision carries a person's answer to a provisioning.
func (g *globals) answerProvision(ctx context.Context, c client.Client, id, verb string, answer workflows.Answer) error {
	var status workflows.ProvisionStatus
	if err := update(ctx, c, id, verb, answer, &status); err != nil {
		return g.explainAsked(err, verb+" "+id)
	}
	view := provisionView{ID: id, ProvisionStatus: status}
	return g.show(view, func(w io.Writer) {
		printf(w, "%s: %s\n", id, answered(status.Answers[len(status.Answers)-1]))
	})
}

// abortProvision ends a provisioning; what CloudFormation has begun is seen through first.
func (g *globals) abortProvision(ctx context.Context, c client.Client, id string, answer workflows.Answer) error {
	if err := c.SignalWorkflow(ctx, id, "", workflows.AbortSignal, answer); err != nil {
		return g.explain(err, "abort "+id)
	}
	return g.show(aborted{id}, func(w io.Writer) {
		printf(w, "aborting %s; a change that CloudFormation has begun is seen through first\n", id)
	})
}
