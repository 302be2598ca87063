package webhook

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// trace begins a request's span: within the trace of a proxy that sends one along, or as the first of its own.
func (r *Receiver) trace(request *http.Request) (context.Context, trace.Span) {
	if r.Tracer == nil {
		return request.Context(), noop.Span{}
	}
	ctx := propagation.TraceContext{}.Extract(request.Context(), propagation.HeaderCarrier(request.Header))
	return r.Tracer.Start(ctx, "webhook", trace.WithSpanKind(trace.SpanKindServer))
}

// tell ends a request's span with what the log says of it.
func tell(span trace.Span, delivered delivered, answer Answer) {
	runs := make([]string, len(answer.Runs))
	for i, run := range answer.Runs {
		runs[i] = run.Run
	}
	span.SetAttributes(
		attribute.String("gravity.delivery", delivered.id), attribute.String("gravity.event", delivered.event),
		attribute.String("gravity.ref", bounded(delivered.ref)), attribute.StringSlice("gravity.runs", runs),
		attribute.String("gravity.outcome", string(answer.Status)), attribute.Int("http.response.status_code", answer.code),
	)
	if answer.code >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(answer.code))
	}
	span.End()
}
