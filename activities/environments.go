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

// Environments asks environments' workflows, starting the one that does not run yet. It is an activity because
// a workflow can signal another one, but neither start-and-ask it in one step nor get an answer.
type Environments struct {
	Temporal client.Client
}

// AskInput names the workflow and the update. The names and types belong to the workflows, which
// is why they are passed along.
type AskInput struct {
	Workflow   string `json:"workflow"`
	TaskQueue  string `json:"taskQueue"`
	WorkflowID string `json:"workflowId"`
	Start      any    `json:"start"`
	Update     string `json:"update"`
	UpdateID   string `json:"updateId"`
	Argument   any    `json:"argument"`
	// Priority is that of a workflow that is started.
	Priority temporal.Priority `json:"priority,omitzero"`
}

// Ask sends an update to an environment's workflow and returns its answer as it came. The same
// UpdateID is asked once, however often this is tried.
func (e *Environments) Ask(ctx context.Context, input AskInput) (json.RawMessage, error) {
	start := e.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       input.WorkflowID,
		TaskQueue:                input.TaskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		Priority:                 input.Priority,
		StaticSummary:            "the queue of " + input.WorkflowID,
	}, input.Workflow, input.Start)
	handle, err := e.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateName:   input.Update,
			UpdateID:     input.UpdateID,
			Args:         []any{input.Argument},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err != nil {
		return nil, askError(input.WorkflowID, err)
	}
	var answer json.RawMessage
	if err := handle.Get(ctx, &answer); err != nil {
		return nil, askError(input.WorkflowID, err)
	}
	return answer, nil
}

// TellEnvironmentInput names the workflow of an environment, and the update.
type TellEnvironmentInput struct {
	WorkflowID string `json:"workflowId"`
	Update     string `json:"update"`
	UpdateID   string `json:"updateId"`
	Argument   any    `json:"argument"`
}

// TellEnvironment sends an update to an environment's workflow if there is one: what never was deployed to has nothing to
// remember. It answers whether there is. The same UpdateID is told once, however often this is tried.
func (e *Environments) TellEnvironment(ctx context.Context, input TellEnvironmentInput) (bool, error) {
	handle, err := e.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: input.WorkflowID, UpdateName: input.Update, UpdateID: input.UpdateID, Args: []any{input.Argument},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		// Or it continues as new in this moment, and is asked again.
		described, lookErr := e.Temporal.DescribeWorkflowExecution(ctx, input.WorkflowID, "")
		if errors.As(lookErr, &missing) || lookErr == nil && described.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return false, nil
		}
	}
	return err == nil, askError(input.WorkflowID, err)
}

// askError tells a refusal by the environment, which stays one, from trouble with Temporal, which passes.
func askError(workflowID string, err error) error {
	if err == nil {
		return nil
	}
	kind := delivery.Unavailable
	var invalid *serviceerror.InvalidArgument
	var refused *temporal.ApplicationError
	switch {
	case errors.As(err, &refused):
		kind = delivery.ErrorType(refused.Type())
	case errors.As(err, &invalid):
		kind = delivery.InvalidInput
	}
	return toTemporal(delivery.Errorf(kind, "asking %s: %w", workflowID, err))
}
