package workflows

import "go.temporal.io/sdk/workflow"

// traceKey is where a workflow's context keeps the span that it works for.
type traceKey struct{}

// WithTrace makes what a workflow starts from here on, steps and children, part of a trace. The span is
// named as by the header traceparent of https://www.w3.org/TR/trace-context/; "" is none. It changes
// headers alone, of which a replay takes no notice.
func WithTrace(ctx workflow.Context, span string) workflow.Context {
	return workflow.WithValue(ctx, traceKey{}, span)
}

// TraceOf is the span that a workflow works for here; "" where nobody traces it.
func TraceOf(ctx workflow.Context) string {
	span, _ := ctx.Value(traceKey{}).(string)
	return span
}
