package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/worker/connection"
	"gravity/workflows"
)

// askTimeout bounds one question to a workflow: a worker that lives answers in milliseconds.
const askTimeout = 10 * time.Second

// runView is everything that is known of a run at one moment.
type runView struct {
	workflows.RunStatus
	// Live is what the steps under way report while they last.
	Live []liveStep `json:"live,omitempty"`
}

// environmentView is everything that is known of an environment's queue.
type environmentView struct {
	workflows.EnvironmentStatus
	Live []liveStep `json:"live,omitempty"`
	// Trouble is why the queue could not be asked, if so.
	Trouble string `json:"trouble,omitempty"`
}

// liveStep is a step under way, as its last heartbeat told.
type liveStep struct {
	Workflow string `json:"workflow"`
	Step     string `json:"step"`
	// Attempt counts from 1.
	Attempt int32 `json:"attempt,omitempty"`
	// Progress is what a wait for an environment sees.
	Progress *beanstalk.Progress `json:"progress,omitempty"`
	// Line is what any other step reports: the last line of a command's output, for one.
	Line string `json:"line,omitempty"`
	// Output is the end of a command's output, which `starter logs` prints.
	Output *activities.CommandProgress `json:"-"`
	// Failure is why the attempt before failed.
	Failure string `json:"failure,omitempty"`
}

// String is the step in one line for people.
func (l liveStep) String() string {
	var parts []string
	if p := l.Progress; p != nil {
		parts = append(parts, p.Environment+" is "+p.Status)
		if p.Health != "" {
			parts = append(parts, "health "+p.Health)
		}
		if p.Version != "" {
			parts = append(parts, "on "+p.Version)
		}
		if p.Event != "" {
			parts = append(parts, p.Event)
		}
		if p.Trouble != "" {
			parts = append(parts, "the platform cannot be asked: "+p.Trouble)
		}
	}
	if l.Line != "" {
		parts = append(parts, l.Step+": "+l.Line)
	}
	if l.Failure != "" {
		parts = append(parts, fmt.Sprintf("%s, attempt %d, after: %s", l.Step, l.Attempt, l.Failure))
	}
	return clean(strings.Join(parts, ", "))
}

// observeRun asks a run where it stands. One that has ended is not asked: its result says it, even
// when there is no worker any more.
func (g *globals) observeRun(ctx context.Context, c client.Client, runID string) (runView, error) {
	described, err := c.DescribeWorkflowExecution(ctx, runID, "")
	if err != nil {
		return runView{}, err
	}
	if status := described.GetWorkflowExecutionInfo().GetStatus(); status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		view, err := endedRun(ctx, c, runID, described.GetWorkflowExecutionInfo())
		return view, err
	}
	var view runView
	if err := query(ctx, c, runID, &view.RunStatus); err != nil {
		return runView{}, err
	}
	view.Live = liveSteps(connection.DataOf(c), runID, described.GetPendingActivities())
	for _, stage := range view.Stages {
		if stage.State == workflows.StateDeploying {
			view.Live = append(view.Live, deploymentOf(ctx, c, view.RunStatus, stage)...)
		}
	}
	return view, nil
}

// endedRun reads the last status out of the run's result.
func endedRun(ctx context.Context, c client.Client, runID string, info *workflow.WorkflowExecutionInfo) (runView, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var view runView
	err := c.GetWorkflow(ctx, runID, info.GetExecution().GetRunId()).Get(ctx, &view.RunStatus)
	if err == nil {
		return view, nil
	}
	var failed *temporal.ApplicationError
	if errors.As(err, &failed) && failed.HasDetails() && failed.Details(&view.RunStatus) == nil && view.RunID != "" {
		return view, nil
	}
	if ctx.Err() != nil {
		return runView{}, err
	}
	// Ended from outside: terminated, or timed out. What it said last is no longer so.
	last := runOf(connection.DataOf(c), info)
	if asked := query(ctx, c, runID, &view.RunStatus); asked != nil || view.RunID == "" {
		view.RunStatus = workflows.RunStatus{
			RunID: runID, Pipeline: last.Pipeline, Version: last.Version,
			Revision:  delivery.Revision{SHA: last.Revision, Ref: last.Ref, Author: last.Author, Message: last.Message},
			StartedAt: last.StartedAt,
		}
	}
	view.State, view.EndedAt = last.State, last.EndedAt
	view.Detail = "ended through Temporal: " + strings.ToLower(info.GetStatus().String()) + "; its environment may be in the middle of a deployment"
	return view, nil
}

func query(ctx context.Context, c client.Client, workflowID string, status any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := c.QueryWorkflow(ctx, workflowID, "", workflows.StatusQuery)
	if err != nil {
		return err
	}
	return answer.Get(status)
}

// deploymentOf finds what the deployment of a run's stage reports. It only adds to what the run
// says; when it cannot be had, the rest is shown without it.
func deploymentOf(ctx context.Context, c client.Client, run workflows.RunStatus, stage workflows.StageStatus) []liveStep {
	var queue workflows.EnvironmentStatus
	if err := query(ctx, c, delivery.EnvironmentID(run.Application, stage.Environment), &queue); err != nil {
		return nil
	}
	if queue.Running == nil || queue.Running.RunID != run.RunID {
		return nil
	}
	return describeLive(ctx, c, queue.Running.Deployment)
}

func describeLive(ctx context.Context, c client.Client, workflowID string) []liveStep {
	described, err := c.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return nil
	}
	return liveSteps(connection.DataOf(c), workflowID, described.GetPendingActivities())
}

// observeEnvironment asks an environment's queue where it stands.
func (g *globals) observeEnvironment(ctx context.Context, c client.Client, id string) (environmentView, error) {
	var view environmentView
	if err := query(ctx, c, id, &view.EnvironmentStatus); err != nil {
		return environmentView{}, err
	}
	if view.Running != nil {
		view.Live = describeLive(ctx, c, view.Running.Deployment)
	}
	return view, nil
}

// liveSteps reads the heartbeats of the activities under way.
func liveSteps(data converter.DataConverter, workflowID string, pending []*workflow.PendingActivityInfo) []liveStep {
	var steps []liveStep
	for _, each := range pending {
		step := liveStep{Workflow: workflowID, Step: each.GetActivityType().GetName(), Attempt: each.GetAttempt()}
		if each.GetAttempt() > 1 {
			step.Failure = each.GetLastFailure().GetMessage()
		}
		if payloads := each.GetHeartbeatDetails().GetPayloads(); len(payloads) > 0 {
			step.read(data, payloads[0])
		}
		steps = append(steps, step)
	}
	return steps
}

// read takes what a heartbeat tells: of a wait, of a command, or a line of anything else.
func (l *liveStep) read(data converter.DataConverter, payload *common.Payload) {
	if l.Line = connection.Text(data, payload); l.Line != "" {
		return
	}
	var progress beanstalk.Progress
	if data.FromPayload(payload, &progress) == nil && progress.Environment != "" {
		l.Progress = &progress
		return
	}
	var output activities.CommandProgress
	if data.FromPayload(payload, &output) == nil && output.Command != "" {
		l.Step, l.Output, l.Line = output.Command, &output, lastLine(output.Text)
	}
}

// lastLine is the last line of an output that is not blank.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
