// Package tracing leads OpenTelemetry's traces through workflows: from the request that asked for a run
// to the last proof of health, over every worker that had a part in it.
//
// It stands in for the interceptor of go.temporal.io/sdk/contrib/opentelemetry, which begins the span of a
// workflow anew whenever a worker replays it, and puts everything that a workflow starts into the trace
// of its own start. An environment's workflow lives for months and works for one request after the other.
// The header is the one that all of Temporal's SDKs use.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"gravity/internal/delivery"
)

// flushTimeout bounds the wait for a collector when a process ends.
const flushTimeout = 5 * time.Second

// Traces are what a process tells of what it does. They are off, and cost nothing, unless the environment names
// a collector.
type Traces struct {
	provider *sdktrace.TracerProvider // nil when off
	tracer   trace.Tracer
}

// Off traces nothing.
var Off = &Traces{tracer: noop.Tracer{}}

// Start reads OpenTelemetry's own environment variables:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. The service's name holds
// unless OTEL_SERVICE_NAME says otherwise. What is wrong with the settings is of type InvalidInput; a collector
// that does not answer is logged, and stops nothing.
func Start(ctx context.Context, service string, log *slog.Logger) (*Traces, error) {
	if !wanted() {
		return Off, nil
	}
	if protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return nil, delivery.Errorf(delivery.InvalidInput,
			"traces are sent by http/protobuf, not by %q: leave OTEL_EXPORTER_OTLP_PROTOCOL out, and name the collector's port for HTTP, usually 4318", protocol)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "the settings for traces are wrong: %w; look at the OTEL_ variables", err)
	}
	described, err := describe(ctx, service)
	if err != nil {
		return nil, err
	}
	if log != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "error", err) }))
	}
	// The sampler and the batches are set by OTEL_TRACES_SAMPLER and OTEL_BSP_….
	return sending(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described)), nil
}

func sending(options ...sdktrace.TracerProviderOption) *Traces {
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithIDGenerator(ids{}))...)
	return &Traces{provider: provider, tracer: provider.Tracer("gravity")}
}

// wanted reports whether the environment asks for traces.
func wanted() bool {
	switch {
	case strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true"), strings.EqualFold(os.Getenv("OTEL_TRACES_EXPORTER"), "none"):
		return false
	default:
		return first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") != ""
	}
}

// first is the value of the first variable that has one.
func first(variables ...string) string {
	for _, variable := range variables {
		if value := os.Getenv(variable); value != "" {
			return value
		}
	}
	return ""
}

// describe says which process it is; OTEL_RESOURCE_ATTRIBUTES may say more. Nothing is told of its command
// line and environment.
func describe(ctx context.Context, service string) (*resource.Resource, error) {
	version := "unknown"
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		version = build.Main.Version
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv(), // the last one wins
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, delivery.Errorf(delivery.InvalidInput, "OTEL_RESOURCE_ATTRIBUTES cannot be read: %w", err)
	}
	return described, nil
}

// Tracer begins spans; where traces are off it does nothing.
func (t *Traces) Tracer() trace.Tracer { return t.tracer }

// Trace makes a client, and the workers that are made of it, lead traces on.
func (t *Traces) Trace(options *client.Options) {
	if t.provider != nil {
		options.Interceptors = append(options.Interceptors, &leading{tracer: t.tracer})
	}
}

// Stop sends what was not sent yet.
func (t *Traces) Stop() error {
	if t.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// leading is the interceptor of clients and workers.
type leading struct {
	interceptor.InterceptorBase
	tracer trace.Tracer
}
