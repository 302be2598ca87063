package lab

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"

	"gravity/workflows"
)

// Changed is workflow code of a newer version: a Deployment waits for a timer first of all. A deployment that began
// without it cannot go on with it: its history has a step where the timer would have to be.
type Changed struct {
	interceptor.InterceptorBase
}

// changedTimer is what tells a history of the newer code.
const changedTimer = "the newer code"

// InterceptWorkflow makes every workflow pass by.
func (c *Changed) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &changedWorkflow{}
	i.Next = next
	return i
}

type changedWorkflow struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (w *changedWorkflow) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	if workflow.GetInfo(ctx).WorkflowType.Name == workflows.DeploymentWorkflow {
		err := workflow.NewTimerWithOptions(ctx, time.Millisecond, workflow.TimerOptions{Summary: changedTimer}).Get(ctx, nil)
		if err != nil {
			return nil, err
		}
	}
	return w.Next.ExecuteWorkflow(ctx, in)
}

// IsChanged reports whether a deployment ran on the newer code, by its history. One that never began did not.
func (l *Lab) IsChanged(ctx context.Context, deployment string) (bool, error) {
	events := l.Client.GetWorkflowHistory(ctx, deployment, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		var missing *serviceerror.NotFound
		if errors.As(err, &missing) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		summary := ""
		if event.GetEventType() == enums.EVENT_TYPE_TIMER_STARTED &&
			converter.GetDefaultDataConverter().FromPayload(event.GetUserMetadata().GetSummary(), &summary) == nil && summary == changedTimer {
			return true, nil
		}
	}
	return false, nil
}
