// Package awscalls watches the calls to AWS: each is counted and timed, and shows in the trace of the
// step that made it. What the SDK tries again by itself is seen attempt by attempt, since AWS counts
// attempts too when it throttles.
package awscalls

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"gravity/internal/delivery"
	"gravity/internal/refusal"
)

// Outcome is how an attempt ended.
type Outcome string

// The ways an attempt ends.
const (
	Answered  Outcome = "answered"
	Throttled Outcome = "throttled" // AWS asks for fewer calls
	Refused   Outcome = "refused"   // AWS says that the request is wrong or not allowed
	Failed    Outcome = "failed"    // AWS's fault, or the network's
	GivenUp   Outcome = "given up"  // whoever asked wants no answer any more
)

// Options say where calls are told. Both are optional.
type Options struct {
	Registerer prometheus.Registerer
	Tracer     trace.Tracer
}

// watcher is the middleware, in every client's stack.
type watcher struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	tracer   trace.Tracer
}

// Watch watches the calls of all clients that are made of a configuration from here on.
func Watch(config *aws.Config, o Options) {
	w := &watcher{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gravity_aws_calls_total", Help: "Attempts to call AWS, by service, operation and outcome.",
		}, []string{"service", "operation", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gravity_aws_call_duration_seconds", Help: "Time from an attempt to call AWS to its answer.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"service", "operation"}),
		tracer: o.Tracer,
	}
	if w.tracer == nil {
		w.tracer = noop.Tracer{}
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(w.calls, w.duration)
	}
	config.APIOptions = append(config.APIOptions, func(stack *middleware.Stack) error {
		// Inside the SDK's retries: they call what comes after them for every attempt.
		return stack.Finalize.Insert(w, (&retry.Attempt{}).ID(), middleware.After)
	})
}

// ID implements middleware.FinalizeMiddleware.
func (*watcher) ID() string { return "GravityCalls" }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (w *watcher) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
	ctx, span := w.span(ctx, service, operation)
	began := time.Now()
	out, metadata, err := next.HandleFinalize(ctx, in)
	outcome := outcomeOf(ctx, err)
	w.calls.WithLabelValues(service, operation, string(outcome)).Inc()
	w.duration.WithLabelValues(service, operation).Observe(time.Since(began).Seconds())
	tell(span, outcome, metadata, err)
	return out, metadata, err
}

// span begins the span of an attempt, where a step is traced. What is asked for all steps at once, as the
// shared watcher does, belongs to none of their traces.
func (w *watcher) span(ctx context.Context, service, operation string) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, noop.Span{}
	}
	return w.tracer.Start(ctx, service+"."+operation, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("rpc.system", "aws-api"), attribute.String("rpc.service", service), attribute.String("rpc.method", operation),
	))
}

// tell ends a span. The words of an error stay out of it, since nobody knows what AWS quotes in them.
func tell(span trace.Span, outcome Outcome, metadata middleware.Metadata, err error) {
	span.SetAttributes(attribute.String("gravity.outcome", string(outcome)))
	if id, ok := awsmiddleware.GetRequestIDMetadata(metadata); ok {
		span.SetAttributes(attribute.String("aws.request_id", id))
	}
	if err != nil {
		code := "no answer"
		var refused smithy.APIError
		if errors.As(err, &refused) {
			code = refused.ErrorCode()
		}
		span.SetStatus(codes.Error, code)
	}
	span.End()
}

func outcomeOf(ctx context.Context, err error) Outcome {
	if err == nil {
		return Answered
	}
	switch kind := refusal.TypeOf(err, nil); {
	case kind == delivery.Throttled:
		return Throttled
	case kind != delivery.Unavailable:
		return Refused
	case ctx.Err() != nil:
		return GivenUp
	default:
		return Failed
	}
}
