package tracing

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/baggage"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"gravity/workflows"
)

func recorded() (*Traces, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	return sending(sdktrace.WithSpanProcessor(recorder)), recorder
}

func TestTracesAreOffUnlessACollectorIsNamed(t *testing.T) {
	traces, err := Start(t.Context(), "gravity-worker", nil)
	require.NoError(t, err)
	require.Same(t, Off, traces)
	var options client.Options
	traces.Trace(&options)
	assert.Empty(t, options.Interceptors)
	require.NoError(t, traces.Stop())

	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/v1/traces")
	traces, err = Start(t.Context(), "gravity-worker", nil)
	require.NoError(t, err, "a collector that is away keeps nobody from work")
	traces.Trace(&options)
	assert.Len(t, options.Interceptors, 1)
	for variable, value := range map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "none"} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			traces, err := Start(t.Context(), "gravity-worker", nil)
			require.NoError(t, err)
			assert.Same(t, Off, traces)
		})
	}
}

func TestAProcessSaysWhatItIsUnlessItIsToldToBeAnother(t *testing.T) {
	names := func() map[string]string {
		described, err := describe(t.Context(), "gravity-worker")
		require.NoError(t, err)
		found := map[string]string{}
		for _, attribute := range described.Attributes() {
			found[string(attribute.Key)] = attribute.Value.String()
		}
		return found
	}
	assert.Equal(t, "gravity-worker", names()["service.name"])
	assert.NotEmpty(t, names()["service.version"])
	t.Setenv("OTEL_SERVICE_NAME", "gravity-eu")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team=web")
	assert.Equal(t, "gravity-eu", names()["service.name"])
	assert.Equal(t, "web", names()["team"])
}

func TestTheHeaderHoldsTheSpanAndNothingElse(t *testing.T) {
	traces, _ := recorded()
	member, err := baggage.NewMember("customer", "secret")
	require.NoError(t, err)
	bag, err := baggage.New(member)
	require.NoError(t, err)
	_, span := traces.Tracer().Start(baggage.ContextWithBaggage(t.Context(), bag), "root")

	header := map[string]*commonpb.Payload{}
	ask(header, format(span.SpanContext()))
	require.Len(t, header, 1)
	var fields map[string]string
	require.NoError(t, json.Unmarshal(header["_tracer-data"].GetData(), &fields))
	assert.Equal(t, map[string]string{
		"traceparent": "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01",
	}, fields)
	found := asked(header)
	assert.Equal(t, span.SpanContext().TraceID(), found.TraceID())
	assert.Equal(t, span.SpanContext().SpanID(), found.SpanID())

	for name, data := range map[string]string{"no JSON": "{", "another shape": "[1]", "no span": `{"traceparent":"00-0-0-00"}`, "nothing": "{}"} {
		header["_tracer-data"].Data = []byte(data)
		assert.False(t, asked(header).IsValid(), name)
	}
	assert.False(t, asked(nil).IsValid())
}

func TestWhatIsNotSampledIsLedOnAndNotTold(t *testing.T) {
	traces, recorder := recorded()
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true})
	own := spanOf(parent, "a run's ID")
	assert.Equal(t, own, spanOf(parent, "a run's ID"), "whoever replays names the same span")
	assert.NotEqual(t, own.SpanID(), spanOf(parent, "another's").SpanID())
	assert.False(t, own.IsSampled())
	_, span := traces.Tracer().Start(named(trace.ContextWithRemoteSpanContext(context.Background(), parent), own.SpanID()), "run")
	assert.Equal(t, own.SpanID(), span.SpanContext().SpanID())
	span.End()
	assert.Empty(t, recorder.Ended())
}

// Histories of before there were traces, and their headers, are run by workers that trace.
func TestRecordedHistoriesReplayWithTracesAndTellNothing(t *testing.T) {
	paths, err := filepath.Glob("../../workflows/testdata/histories/*/*.json.gz")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	traces, recorder := recorded()
	for _, path := range paths {
		replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
			Interceptors: []interceptor.WorkerInterceptor{&leading{tracer: traces.tracer}},
		})
		require.NoError(t, err)
		workflows.Register(replayer)
		file, err := os.Open(path)
		require.NoError(t, err)
		unzipped, err := gzip.NewReader(file)
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(unzipped, client.HistoryJSONOptions{})
		require.NoError(t, err)
		require.NoError(t, file.Close())
		// As of a workflow that was started within a trace.
		ask(startHeader(history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		require.NoError(t, replayer.ReplayWorkflowHistory(nil, history), path)
	}
	assert.Empty(t, recorder.Ended())
}

func startHeader(started *historypb.WorkflowExecutionStartedEventAttributes) map[string]*commonpb.Payload {
	if started.Header == nil {
		started.Header = &commonpb.Header{}
	}
	if started.Header.Fields == nil {
		started.Header.Fields = map[string]*commonpb.Payload{}
	}
	return started.Header.Fields
}
