package main

import (
	"bufio"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"gravity/internal/delivery"
	"gravity/internal/local/git"
	"gravity/workflows"
)

// tracedSpan is what the tests want of a span.
type tracedSpan struct {
	service, name     string
	trace, id, parent string
	attributes        map[string]string
	began, ended      time.Time
}

// traceCollector takes spans as OpenTelemetry's collector does.
type traceCollector struct {
	URL string

	mu    sync.Mutex
	sent  []byte // everything, as it came
	spans []tracedSpan
}

func newTraceCollector(t *testing.T) *traceCollector {
	c := &traceCollector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var export collector.ExportTraceServiceRequest
		if err != nil || request.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.take(body, &export)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *traceCollector) take(body []byte, export *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, body...)
	for _, resource := range export.GetResourceSpans() {
		service := ""
		for _, attribute := range resource.GetResource().GetAttributes() {
			if attribute.GetKey() == "service.name" {
				service = attribute.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				taken := tracedSpan{
					service: service, name: span.GetName(), attributes: map[string]string{},
					trace: hex.EncodeToString(span.GetTraceId()), id: hex.EncodeToString(span.GetSpanId()), parent: hex.EncodeToString(span.GetParentSpanId()),
					began: time.Unix(0, int64(span.GetStartTimeUnixNano())), ended: time.Unix(0, int64(span.GetEndTimeUnixNano())),
				}
				for _, attribute := range span.GetAttributes() {
					taken.attributes[attribute.GetKey()] = attribute.GetValue().GetStringValue()
				}
				c.spans = append(c.spans, taken)
			}
		}
	}
}

// find lists the spans of a name that a workflow had.
func (c *traceCollector) find(name, workflowID string) []tracedSpan {
	return c.where(func(s tracedSpan) bool { return s.name == name && s.attributes["temporalWorkflowID"] == workflowID })
}

func (c *traceCollector) where(wanted func(tracedSpan) bool) []tracedSpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(func(yield func(tracedSpan) bool) {
		for _, span := range c.spans {
			if wanted(span) && !yield(span) {
				return
			}
		}
	})
}

// environment sets a process's traces up, quick to be sent.
func (c *traceCollector) environment() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}
}

// serveProcess runs `starter serve` as a process of its own, and has the git host's webhooks sent there.
func (w *world) serveProcess(environment []string) {
	w.t.Helper()
	secretFile := filepath.Join(w.options.Directory, "webhook-secret")
	command := program(w.t, "serve", "--listen", "127.0.0.1:0", "--secret-file", secretFile, "--catch-up", "0",
		"--drain", "0s", "--address", w.temporal.Address(), "--config", w.configPath())
	command.Env = append(command.Env, environment...)
	log, err := command.StderrPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, command.Start())
	w.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	lines := bufio.NewScanner(log)
	address := logged(w.t, lines, "listening")["address"].(string)
	go func() { _, _ = io.Copy(io.Discard, log) }()
	secret, err := keptSecret(secretFile)
	require.NoError(w.t, err)
	w.git.SetWebhook("http://"+address+webhookPath, secret)
}

func TestTheTraceOfAPushLeadsThroughEveryWorkflowAndOverEveryWorker(t *testing.T) {
	c := newTraceCollector(t)
	w := newWorld(t, func(o *stackOptions) {
		slowly(o)
		o.NoWorker = true
	})
	w.serveProcess(c.environment())
	traced := func(settings *workerSettings) { settings.Environment = c.environment() }
	kill := w.startWorkerWith(traced)

	// The first push starts the environments' workflows. The second is a worker's death long.
	first := w.push("a first change", goodChange)
	w.approve(first)
	require.Equal(t, workflows.StateSucceeded, w.ended(first).State)
	w.stall() // so that no other step of the deployment ends on the first worker, and its span dies with that
	second := w.push("a second change", func(g *git.Working) error { return g.Replace("index.html", "<title>", "<title>Newer: ") })
	w.eventually("its health is waited for", func() bool { return w.pending("AwaitHealth") })
	// A killed process takes the spans along that it has not sent yet.
	w.eventually("its update is told of", func() bool {
		return len(c.find("RunActivity:Update", delivery.DeploymentID("site", "site-staging", 2))) == 1
	})
	kill()
	w.goOn()
	w.startWorkerWith(traced)
	w.approve(second)
	require.Equal(t, workflows.StateSucceeded, w.ended(second).State)

	traces := map[string]string{}
	for number, runID := range map[string]string{"1": first, "2": second} {
		w.eventually("the run is told of", func() bool { return len(c.find("RunWorkflow:Pipeline", runID)) == 1 })
		run := c.find("RunWorkflow:Pipeline", runID)[0]
		traces[number] = run.trace
		deployment := delivery.DeploymentID("site", "site-staging", map[string]int{"1": 1, "2": 2}[number])
		w.eventually("the deployment is told of", func() bool { return len(c.find("RunWorkflow:Deployment", deployment)) == 1 })
		deployed := c.find("RunWorkflow:Deployment", deployment)[0]

		// The receiver sends its spans by itself, the request's last.
		requests := func() []tracedSpan {
			return c.where(func(s tracedSpan) bool { return s.name == "webhook" && s.trace == run.trace })
		}
		w.eventually("the request is told of", func() bool { return len(requests()) > 0 })
		asked := requests()
		require.Len(t, asked, 1, "the request is the root of the trace")
		require.Empty(t, asked[0].parent)
		require.Equal(t, "gravity-receiver", asked[0].service)
		started := c.find("StartWorkflow:Pipeline", runID)
		require.Len(t, started, 1)
		require.Equal(t, asked[0].id, started[0].parent)
		require.Equal(t, started[0].id, run.parent)
		require.Equal(t, "site", run.attributes["gravity.pipeline"])
		require.Equal(t, strings.TrimPrefix(runID, "run/site/"), run.attributes["gravity.revision"])
		require.Equal(t, "succeeded", run.attributes["gravity.state"])

		updates := c.where(func(s tracedSpan) bool {
			return s.name == "HandleUpdate:deploy" && s.trace == run.trace && s.attributes["temporalWorkflowID"] == delivery.EnvironmentID("site", "site-staging")
		})
		require.Len(t, updates, 1, "the environment's update, once, though it was replayed")
		require.Equal(t, run.trace, deployed.trace, "the deployment belongs to the request that asked for it")
		require.Equal(t, updates[0].id, deployed.parent)
		require.Equal(t, "site-staging", deployed.attributes["gravity.environment"])
		for _, step := range []string{"RunActivity:Update", "RunActivity:AwaitHealth", "RunActivity:Check"} {
			steps := c.find(step, deployment)
			require.NotEmpty(t, steps, step)
			for _, each := range steps {
				require.Equal(t, run.trace, each.trace, step)
				require.Equal(t, deployed.id, each.parent, "%s belongs to the deployment, whichever worker ran it", step)
				require.Equal(t, []string{"site", "site-staging", run.attributes["gravity.revision"]},
					[]string{each.attributes["gravity.pipeline"], each.attributes["gravity.environment"], each.attributes["gravity.revision"]}, step)
			}
		}
		update := c.find("RunActivity:Update", deployment)[0]
		require.NotEmpty(t, c.where(func(s tracedSpan) bool {
			return s.name == "Elastic Beanstalk.UpdateEnvironment" && s.parent == update.id
		}), "calls to AWS belong to the step that made them")
		require.WithinRange(t, update.began, deployed.began, deployed.ended)
	}
	require.NotEqual(t, traces["1"], traces["2"])
	require.Empty(t, c.where(func(s tracedSpan) bool { return s.name == "RunWorkflow:Environment" }), "an environment lives for months")

	// A query on what has ended makes a worker replay it, which tells nothing again.
	_, err := w.runStatus(t.Context(), first)
	require.NoError(t, err)
	third := w.push("a change that is not let through", func(g *git.Working) error { return g.Replace("index.html", "<title>", "<title>No: ") })
	w.reaches(third, workflows.StateWaiting)
	require.Len(t, c.find("RunWorkflow:Pipeline", first), 1)

	c.mu.Lock()
	defer c.mu.Unlock()
	keys, err := w.platform.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	secret, err := keptSecret(filepath.Join(w.options.Directory, "webhook-secret"))
	require.NoError(t, err)
	for _, kept := range []string{keys.SecretAccessKey, keys.AccessKeyID, string(secret), "a second change", "GRAVITY_TEST_WORKER"} {
		require.NotContains(t, string(c.sent), kept)
	}
}

func TestWrongSettingsOfTracesAreExplained(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	_, err := newGlobals(io.Discard, io.Discard).connect(t.Context())
	require.ErrorContains(t, err, `not by "grpc"`)
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	t.Setenv("OTEL_SDK_DISABLED", "true")
	g := newGlobals(io.Discard, io.Discard)
	g.address = "127.0.0.1:1"
	_, err = g.connect(t.Context())
	require.ErrorContains(t, err, "no Temporal server", "where traces are off, nothing of their settings matters")
}
