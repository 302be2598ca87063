package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"gravity/worker/subject"
	"gravity/workflows"
)

// The names under which Temporal's SDKs tell which workflow and activity it was.
const (
	workflowIDKey = attribute.Key("temporalWorkflowID")
	runIDKey      = attribute.Key("temporalRunID")
	activityIDKey = attribute.Key("temporalActivityID")
	updateIDKey   = attribute.Key("temporalUpdateID")
)

// The names of what a span is about.
const (
	pipelineKey    = attribute.Key("gravity.pipeline")
	environmentKey = attribute.Key("gravity.environment")
	revisionKey    = attribute.Key("gravity.revision")
)

// searched are the search attributes that spans have as well.
var searched = map[temporal.SearchAttributeKeyKeyword]attribute.Key{
	workflows.PipelineAttribute:    pipelineKey,
	workflows.EnvironmentAttribute: environmentKey,
	workflows.RevisionAttribute:    revisionKey,
	workflows.VersionAttribute:     "gravity.version",
	workflows.StateAttribute:       "gravity.state",
}

func attributesOf(found temporal.SearchAttributes) []attribute.KeyValue {
	var attributes []attribute.KeyValue
	for key, name := range searched {
		if value, ok := found.GetKeyword(key); ok {
			attributes = append(attributes, name.String(value))
		}
	}
	return attributes
}

// attributesOfStep are those of the search attributes of its workflow that do not change.
func attributesOfStep(about subject.Subject) []attribute.KeyValue {
	var attributes []attribute.KeyValue
	for _, each := range []attribute.KeyValue{
		pipelineKey.String(about.Pipeline), environmentKey.String(about.Environment), revisionKey.String(about.Revision),
	} {
		if each.Value.AsString() != "" {
			attributes = append(attributes, each)
		}
	}
	return attributes
}

// end ends a span. Of an error it tells the type alone: its words may be meant to be stored encrypted.
func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, typeOf(err))
	}
	span.End()
}

func typeOf(err error) string {
	var application *temporal.ApplicationError
	var timeout *temporal.TimeoutError
	var existing *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case temporal.IsCanceledError(err), errors.Is(err, context.Canceled):
		return "Canceled"
	case errors.As(err, &application):
		return application.Type()
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return "Timeout"
	case errors.As(err, &existing):
		return "AlreadyStarted"
	default:
		return "Error"
	}
}
