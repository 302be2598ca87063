package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
)

// clientOutbound tells what a client starts, and what it asks for by an update. Signals and queries
// are left out: they lead to nothing that is waited for, and whoever watches a run asks every second.
type clientOutbound struct {
	interceptor.ClientOutboundInterceptorBase
	tracer trace.Tracer
}

// InterceptClient implements interceptor.ClientInterceptor.
func (l *leading) InterceptClient(next interceptor.ClientOutboundInterceptor) interceptor.ClientOutboundInterceptor {
	return &clientOutbound{ClientOutboundInterceptorBase: interceptor.ClientOutboundInterceptorBase{Next: next}, tracer: l.tracer}
}

// ExecuteWorkflow starts a workflow within the trace.
func (c *clientOutbound) ExecuteWorkflow(ctx context.Context, in *interceptor.ClientExecuteWorkflowInput) (client.WorkflowRun, error) {
	ctx, span := c.begin(ctx, "StartWorkflow:"+in.WorkflowType, in.Options.ID, attributesOf(in.Options.TypedSearchAttributes)...)
	run, err := c.Next.ExecuteWorkflow(ctx, in)
	end(span, err)
	return run, err
}

// UpdateWorkflow asks a workflow within the trace.
func (c *clientOutbound) UpdateWorkflow(ctx context.Context, in *interceptor.ClientUpdateWorkflowInput) (client.WorkflowUpdateHandle, error) {
	ctx, span := c.begin(ctx, "UpdateWorkflow:"+in.UpdateName, in.WorkflowID)
	handle, err := c.Next.UpdateWorkflow(ctx, in)
	end(span, err)
	return handle, err
}

// UpdateWithStartWorkflow asks a workflow within the trace, and starts it where it does not run.
func (c *clientOutbound) UpdateWithStartWorkflow(
	ctx context.Context, in *interceptor.ClientUpdateWithStartWorkflowInput,
) (client.WorkflowUpdateHandle, error) {
	ctx, span := c.begin(ctx, "UpdateWithStartWorkflow:"+in.UpdateOptions.UpdateName, in.UpdateOptions.WorkflowID)
	handle, err := c.Next.UpdateWithStartWorkflow(ctx, in)
	end(span, err)
	return handle, err
}

func (c *clientOutbound) begin(ctx context.Context, name, workflowID string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if workflowID != "" {
		attributes = append(attributes, workflowIDKey.String(workflowID))
	}
	ctx, span := c.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	ask(interceptor.Header(ctx), format(span.SpanContext()))
	return ctx, span
}
