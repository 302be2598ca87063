package activities

import (
	"context"
	"encoding/json"
	"errors"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
)

// Runs starts runs and speaks with workflows that go on. Its steps talk to Temporal itself.
type Runs struct {
	Temporal client.Client
	// Begin starts a run, or finds it; the worker fills it in, since what a run is belongs to the workflows.
	Begin func(context.Context, StartRunInput) (StartedRun, error)
}

// StartRunInput says which run is to start.
type StartRunInput struct {
	Pipeline delivery.Pipeline `json:"pipeline"`
	Revision delivery.Revision `json:"revision"`
	// Until is the stage after which the run ends; empty: it passes all that its ref reaches.
	Until string `json:"until,omitempty"`
	// Name names what somebody asked for: it runs a revision once more that had its run, and does so once.
	Name string `json:"name,omitempty"`
}

// StartedRun is a run, and whether it was there before.
type StartedRun struct {
	RunID    string `json:"runId"`
	Existing bool   `json:"existing,omitempty"`
}

// StartRun starts a run, or finds the one that there is. Starting twice finds the first.
func (r *Runs) StartRun(ctx context.Context, input StartRunInput) (StartedRun, error) {
	started, err := r.Begin(ctx, input)
	return started, toTemporal(err)
}

// FindRunInput names a workflow.
type FindRunInput struct {
	RunID string `json:"runId"`
}

// FoundRun says whether a workflow is known, and whether it goes on.
type FoundRun struct {
	Found   bool `json:"found"`
	Running bool `json:"running,omitempty"`
}

// FindRun looks whether a run was ever started, as far back as Temporal remembers.
func (r *Runs) FindRun(ctx context.Context, input FindRunInput) (FoundRun, error) {
	described, err := r.Temporal.DescribeWorkflowExecution(ctx, input.RunID, "")
	var missing *serviceerror.NotFound
	switch {
	case err == nil:
		running := described.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
		return FoundRun{Found: true, Running: running}, nil
	case errors.As(err, &missing):
		return FoundRun{}, nil
	default:
		return FoundRun{}, toTemporal(delivery.Errorf(delivery.Unavailable, "looking for %s: %w", input.RunID, err))
	}
}

// TellRunInput is an update for a workflow that goes on.
type TellRunInput struct {
	RunID    string `json:"runId"`
	Update   string `json:"update"`
	UpdateID string `json:"updateId"`
	Argument any    `json:"argument"`
}

// TellRun sends an update and waits for its answer. The same UpdateID is told once. A refusal comes back with its type.
func (r *Runs) TellRun(ctx context.Context, input TellRunInput) error {
	handle, err := r.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: input.RunID, UpdateID: input.UpdateID, UpdateName: input.Update, Args: []any{input.Argument},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	var missing *serviceerror.NotFound
	var refused *temporal.ApplicationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return toTemporal(delivery.Errorf(delivery.InvalidInput, "%s is not going on", input.RunID))
	case errors.As(err, &refused):
		return toTemporal(delivery.Errorf(delivery.ErrorType(refused.Type()), "%s", refused.Message()))
	default:
		return toTemporal(delivery.Errorf(delivery.Unavailable, "asking %s: %w", input.RunID, err))
	}
}

// StatusInput is a query for a workflow.
type StatusInput struct {
	WorkflowID string `json:"workflowId"`
	Query      string `json:"query"`
}

// Status asks a workflow how it stands, and returns its answer as it came; null when there is no such workflow.
func (r *Runs) Status(ctx context.Context, input StatusInput) (json.RawMessage, error) {
	value, err := r.Temporal.QueryWorkflow(ctx, input.WorkflowID, "", input.Query)
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return json.RawMessage("null"), nil
	}
	var answer json.RawMessage
	if err == nil {
		err = value.Get(&answer)
	}
	if err != nil {
		return nil, toTemporal(delivery.Errorf(delivery.Unavailable, "asking %s how it stands: %w", input.WorkflowID, err))
	}
	return answer, nil
}
