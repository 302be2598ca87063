package tracing

import (
	"context"
	"crypto/sha256"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// headerKey is where Temporal's SDKs keep the span that something was asked for by. It is never encrypted: it
// holds random numbers, and has to be read by workers that lack the key.
const headerKey = "_tracer-data"

// traceparent is the one field of the header that is used: tracestate and baggage could hold anything.
const traceparent = "traceparent"

// asked is the span in a header; an invalid one where there is none, or none that can be read.
func asked(header map[string]*commonpb.Payload) trace.SpanContext {
	fields := map[string]string{}
	if payload := header[headerKey]; payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &fields) != nil {
		return trace.SpanContext{}
	}
	return parse(fields[traceparent])
}

// ask puts a span into a header.
func ask(header map[string]*commonpb.Payload, span string) {
	if header == nil || span == "" {
		return
	}
	if payload, err := converter.GetDefaultDataConverter().ToPayload(map[string]string{traceparent: span}); err == nil {
		header[headerKey] = payload
	}
}

func parse(span string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: span})
	return trace.SpanContextFromContext(ctx)
}

func format(span trace.SpanContext) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), carrier)
	return carrier[traceparent]
}

// spanOf is the span of something in a workflow, made of its name: whichever worker replays the workflow names
// the same one.
func spanOf(parent trace.SpanContext, name string) trace.SpanContext {
	sum := sha256.Sum256([]byte(name))
	return parent.WithSpanID(trace.SpanID(sum[:8]))
}
