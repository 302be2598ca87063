package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"gravity/worker/subject"
)

// activityInbound tells of each attempt at a step that belongs to a trace.
type activityInbound struct {
	interceptor.ActivityInboundInterceptorBase
	tracer trace.Tracer
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (l *leading) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &activityInbound{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, tracer: l.tracer}
}

// ExecuteActivity runs an attempt. What schedules do by themselves has no trace, and begins none.
func (a *activityInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	parent := asked(interceptor.Header(ctx))
	if !parent.IsValid() {
		return a.Next.ExecuteActivity(ctx, in)
	}
	info := activity.GetInfo(ctx)
	ctx, span := a.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, parent), "RunActivity:"+info.ActivityType.Name,
		trace.WithTimestamp(info.StartedTime), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attributesOfStep(subject.Of(ctx))...), trace.WithAttributes(
			workflowIDKey.String(info.WorkflowExecution.ID), runIDKey.String(info.WorkflowExecution.RunID), activityIDKey.String(info.ActivityID),
			attribute.Int("temporal.attempt", int(info.Attempt)), attribute.String("temporal.task_queue", info.TaskQueue),
		))
	result, err := a.Next.ExecuteActivity(ctx, in)
	end(span, err)
	return result, err
}
