package lab

import (
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// Hurry divides the times after which Temporal takes a step or a task for lost, so that a kill costs seconds.
type Hurry struct {
	interceptor.InterceptorBase
	By time.Duration
}

// InterceptWorkflow makes everything that a workflow starts pass by.
func (h *Hurry) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &hurriedWorkflow{by: h.By}
	i.Next = next
	return i
}

type hurriedWorkflow struct {
	interceptor.WorkflowInboundInterceptorBase
	by time.Duration
}

func (w *hurriedWorkflow) Init(next interceptor.WorkflowOutboundInterceptor) error {
	o := &hurriedOutbound{by: w.by}
	o.Next = next
	return w.Next.Init(o)
}

type hurriedOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	by time.Duration
}

func (o *hurriedOutbound) ExecuteActivity(ctx workflow.Context, step string, args ...any) workflow.Future {
	options := workflow.GetActivityOptions(ctx)
	if options.HeartbeatTimeout > 0 {
		options.HeartbeatTimeout /= o.by
	} else {
		options.StartToCloseTimeout /= o.by
	}
	if options.RetryPolicy != nil {
		policy := *options.RetryPolicy
		policy.InitialInterval /= o.by
		options.RetryPolicy = &policy
	}
	return o.Next.ExecuteActivity(workflow.WithActivityOptions(ctx, options), step, args...)
}

func (o *hurriedOutbound) ExecuteChildWorkflow(ctx workflow.Context, child string, args ...any) workflow.ChildWorkflowFuture {
	options := workflow.GetChildWorkflowOptions(ctx)
	options.WorkflowTaskTimeout = 10 * time.Second / o.by
	return o.Next.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), child, args...)
}
