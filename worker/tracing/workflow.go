package tracing

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"

	"gravity/workflows"
)

// workflowInbound tells of workflows and of the updates that they were asked for, when they have ended and once
// each: a replay names their spans, so that what they start belongs to them, and tells nothing.
type workflowInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	tracer trace.Tracer
}

// InterceptWorkflow implements interceptor.WorkerInterceptor.
func (l *leading) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &workflowInbound{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, tracer: l.tracer}
}

// Init puts the outbound half into its place.
func (w *workflowInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return w.Next.Init(&workflowOutbound{interceptor.WorkflowOutboundInterceptorBase{Next: next}})
}

// ExecuteWorkflow runs a workflow within the trace of whoever started it. An environment's workflow works for
// one request after the other, and says for which.
func (w *workflowInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	info := workflow.GetInfo(ctx)
	parent := asked(interceptor.WorkflowHeader(ctx))
	if !parent.IsValid() || info.WorkflowType.Name == workflows.EnvironmentWorkflow {
		return w.Next.ExecuteWorkflow(ctx, in)
	}
	own := spanOf(parent, info.WorkflowExecution.RunID)
	result, err := w.Next.ExecuteWorkflow(workflows.WithTrace(ctx, format(own)), in)
	// Not deferred: a workflow that leaves a worker's cache, and goes on elsewhere, has not ended.
	w.tell(ctx, "RunWorkflow:"+info.WorkflowType.Name, parent, own, info.WorkflowStartTime, err)
	return result, err
}

// ExecuteUpdate runs the handler of an update within the trace of whoever asked.
func (w *workflowInbound) ExecuteUpdate(ctx workflow.Context, in *interceptor.UpdateInput) (any, error) {
	parent := asked(interceptor.WorkflowHeader(ctx))
	if !parent.IsValid() {
		return w.Next.ExecuteUpdate(ctx, in)
	}
	began, id := workflow.Now(ctx), workflow.GetCurrentUpdateInfo(ctx).ID
	own := spanOf(parent, workflow.GetInfo(ctx).WorkflowExecution.RunID+"/update/"+id)
	result, err := w.Next.ExecuteUpdate(workflows.WithTrace(ctx, format(own)), in)
	w.tell(ctx, "HandleUpdate:"+in.Name, parent, own, began, err, updateIDKey.String(id))
	return result, err
}

// tell sends the span of what has ended, unless that is long ago.
func (w *workflowInbound) tell(
	ctx workflow.Context, name string, parent, own trace.SpanContext, began time.Time, err error, more ...attribute.KeyValue,
) {
	if workflow.IsReplaying(ctx) {
		return
	}
	info := workflow.GetInfo(ctx)
	attributes := append(attributesOf(workflow.GetTypedSearchAttributes(ctx)), more...)
	attributes = append(attributes, workflowIDKey.String(info.WorkflowExecution.ID), runIDKey.String(info.WorkflowExecution.RunID))
	within := named(trace.ContextWithRemoteSpanContext(context.Background(), parent), own.SpanID())
	_, span := w.tracer.Start(within, name,
		trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
	var continued *workflow.ContinueAsNewError
	if errors.As(err, &continued) {
		err = nil
	}
	end(span, err)
}

// workflowOutbound tells what a workflow starts for which span it is. The header of a command plays no part
// in a replay.
type workflowOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
}

// ExecuteActivity starts a step within the trace.
func (w *workflowOutbound) ExecuteActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	ask(interceptor.WorkflowHeader(ctx), workflows.TraceOf(ctx))
	return w.Next.ExecuteActivity(ctx, activityType, args...)
}

// ExecuteChildWorkflow starts a child within the trace.
func (w *workflowOutbound) ExecuteChildWorkflow(ctx workflow.Context, childWorkflowType string, args ...any) workflow.ChildWorkflowFuture {
	ask(interceptor.WorkflowHeader(ctx), workflows.TraceOf(ctx))
	return w.Next.ExecuteChildWorkflow(ctx, childWorkflowType, args...)
}

// NewContinueAsNewError goes on within the trace.
func (w *workflowOutbound) NewContinueAsNewError(ctx workflow.Context, wfn any, args ...any) error {
	ask(interceptor.WorkflowHeader(ctx), workflows.TraceOf(ctx))
	return w.Next.NewContinueAsNewError(ctx, wfn, args...)
}
