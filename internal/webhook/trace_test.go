package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"gravity/internal/delivery"
)

func TestARequestsSpanLeadsItsSendersTraceOnAndSaysHowItEnded(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	runs := &runs{fails: map[string]error{}}
	receiver := receiver(runs)
	receiver.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	var started trace.SpanContext
	inner := receiver.Start
	receiver.Start = func(ctx context.Context, start Start) (Started, error) {
		started = trace.SpanContextFromContext(ctx)
		return inner(ctx, start)
	}
	var log bytes.Buffer
	receiver.Log = slog.New(slog.NewJSONHandler(&log, nil))
	ended := func() (sdktrace.ReadOnlySpan, map[attribute.Key]attribute.Value) {
		span := recorder.Ended()[len(recorder.Ended())-1]
		attributes := map[attribute.Key]attribute.Value{}
		for _, each := range span.Attributes() {
			attributes[each.Key] = each.Value
		}
		return span, attributes
	}

	pushed := request("push", sample(t, "push.json", nil))
	pushed.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	send(t, receiver, pushed)
	span, attributes := ended()
	assert.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
	assert.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
	assert.Equal(t, span.SpanContext(), started, "runs are started within the request's span")
	assert.Equal(t, "push", attributes["gravity.event"].AsString())
	assert.EqualValues(t, http.StatusAccepted, attributes["http.response.status_code"].AsInt64())
	assert.Equal(t, []string{"run/hello/" + sha, "run/docs/" + sha}, attributes["gravity.runs"].AsStringSlice())
	var line struct{ Trace string }
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	assert.Equal(t, "0af7651916cd43dd8448eb211c80319c", line.Trace)

	runs.fails["other"] = delivery.Errorf(delivery.Unavailable, "Temporal at temporal.internal is away")
	send(t, receiver, request("push", sample(t, "push.json", map[string]any{"repository.clone_url": "https://github.com/octocat/other"})))
	span, _ = ended()
	assert.False(t, span.Parent().IsValid(), "without a sender's trace it begins one")
	assert.Equal(t, codes.Error, span.Status().Code)
	assert.Equal(t, "Service Unavailable", span.Status().Description, "no word of what is inside")
}
