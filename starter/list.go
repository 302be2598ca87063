package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"gravity/worker/connection"
	"gravity/worker/runs"
	"gravity/workflows"
)

// listed is what Temporal's visibility knows of a run, without asking it.
type listed struct {
	RunID    string             `json:"run"`
	Pipeline string             `json:"pipeline"`
	Revision string             `json:"revision"`
	State    workflows.RunState `json:"state"`
	Version  string             `json:"version,omitempty"`
	// Message, Author and Ref come from the commit.
	Message   string    `json:"message,omitempty"`
	Author    string    `json:"author,omitempty"`
	Ref       string    `json:"ref,omitempty"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
}

// goingOn reports whether the run has not ended.
func (l listed) goingOn() bool { return l.EndedAt.IsZero() }

// page is how many executions one call to the visibility brings.
const page = 100

// listRuns lists at most a page of runs that match: first those that go on, then those that ended
// last. A run that was started again is listed once, as it is now.
func listRuns(ctx context.Context, c client.Client, filter string) ([]listed, error) {
	query := fmt.Sprintf("WorkflowType = '%s'", workflows.PipelineWorkflow)
	if filter != "" {
		query += " AND " + filter
	}
	found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: page})
	if err != nil {
		return nil, err
	}
	runs := []listed{}
	at := map[string]int{}
	for _, execution := range found.GetExecutions() {
		run := runOf(connection.DataOf(c), execution)
		if i, ok := at[run.RunID]; ok {
			if run.StartedAt.After(runs[i].StartedAt) {
				runs[i] = run
			}
			continue
		}
		at[run.RunID] = len(runs)
		runs = append(runs, run)
	}
	return runs, nil
}

func runOf(data converter.DataConverter, execution *workflow.WorkflowExecutionInfo) listed {
	run := listed{
		RunID:     execution.GetExecution().GetWorkflowId(),
		State:     workflows.RunState(attribute(execution, workflows.StateAttribute.GetName())),
		Version:   attribute(execution, workflows.VersionAttribute.GetName()),
		Message:   connection.Text(data, execution.GetMemo().GetFields()[runs.MemoMessage]),
		Author:    connection.Text(data, execution.GetMemo().GetFields()[runs.MemoAuthor]),
		Ref:       connection.Text(data, execution.GetMemo().GetFields()[runs.MemoRef]),
		StartedAt: execution.GetStartTime().AsTime(),
	}
	run.Pipeline, run.Revision, _ = strings.Cut(strings.TrimPrefix(run.RunID, runPrefix), "/")
	if execution.GetCloseTime() != nil {
		run.EndedAt = execution.GetCloseTime().AsTime()
		if !run.State.Ended() { // it was ended from outside, and could not say so any more
			run.State = endedState(execution.GetStatus())
		}
	}
	return run
}

// endedState is the state of a run that Temporal closed without the run's own doing.
func endedState(status enums.WorkflowExecutionStatus) workflows.RunState {
	if status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		return workflows.StateSucceeded
	}
	return workflows.StateFailed
}

// listEnvironments lists the IDs of the environments that have a queue.
func listEnvironments(ctx context.Context, c client.Client) ([]string, error) {
	var ids []string
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.EnvironmentWorkflow), PageSize: page,
	}
	for {
		found, err := c.ListWorkflow(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, execution := range found.GetExecutions() {
			ids = append(ids, execution.GetExecution().GetWorkflowId())
		}
		if request.NextPageToken = found.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return ids, nil
		}
	}
}

func attribute(execution *workflow.WorkflowExecutionInfo, name string) string {
	// What is searched for is never encrypted.
	return connection.Text(converter.GetDefaultDataConverter(), execution.GetSearchAttributes().GetIndexedFields()[name])
}
