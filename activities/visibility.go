package activities

import (
	"context"
	"encoding/json"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// visibilityPage is how many workflows one call to Temporal's visibility brings.
const visibilityPage = 500

// running calls see with every running workflow of a type. Visibility lags a moment behind.
func running(ctx context.Context, temporal client.Client, workflowType string, see func(*workflowpb.WorkflowExecutionInfo) error) error {
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflowType), PageSize: visibilityPage,
	}
	for {
		found, err := temporal.ListWorkflow(ctx, request)
		if err != nil {
			return fmt.Errorf("listing the running workflows of type %s: %w", workflowType, err)
		}
		for _, execution := range found.GetExecutions() {
			if err := see(execution); err != nil {
				return err
			}
		}
		if request.NextPageToken = found.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return nil
		}
	}
}

// keyword reads a search attribute that holds a text; "" where it is not set.
func keyword(execution *workflowpb.WorkflowExecutionInfo, name string) string {
	var value string
	payload := execution.GetSearchAttributes().GetIndexedFields()[name]
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &value) != nil {
		return ""
	}
	return value
}

// query asks a workflow, and decodes what is needed of its answer.
func query(ctx context.Context, temporal client.Client, execution *commonpb.WorkflowExecution, name string, answer any) error {
	encoded, err := temporal.QueryWorkflow(ctx, execution.GetWorkflowId(), execution.GetRunId(), name)
	if err != nil {
		return fmt.Errorf("asking %s: %w", execution.GetWorkflowId(), err)
	}
	var raw json.RawMessage
	if err := encoded.Get(&raw); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", execution.GetWorkflowId(), err)
	}
	return json.Unmarshal(raw, answer)
}
