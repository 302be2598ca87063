package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/internal/webhook"
	"gravity/worker/runs"
)

const (
	// webhookPath is where GitHub's webhook points to.
	webhookPath = "/webhook"
	// healthPath tells an orchestrator that the process lives, readyPath a load balancer that it takes requests.
	healthPath = "/healthz"
	readyPath  = "/readyz"
	// readyTimeout bounds the question to Temporal behind readyPath.
	readyTimeout = 3 * time.Second
)

// receiverOptions are what the webhook receiver works with.
type receiverOptions struct {
	temporal client.Client
	file     config.File
	secrets  [][]byte                  // any of them will do
	runURL   func(runID string) string // optional
	log      *slog.Logger
	observe  func(webhook.Observation) // optional
	tracer   trace.Tracer              // optional
	stopping *atomic.Bool              // optional
}

// newReceiver makes the handler of the webhook receiver: signed events become runs of the file's pipelines.
func newReceiver(o receiverOptions) http.Handler {
	routes := http.NewServeMux()
	routes.Handle(webhookPath, &webhook.Receiver{
		Secrets:  o.secrets,
		Matching: o.file.Matching,
		Start: func(ctx context.Context, s webhook.Start) (webhook.Started, error) {
			started, err := runs.Start(ctx, o.temporal, runs.Request{Pipeline: s.Pipeline, Revision: s.Revision, Until: s.Until, Name: s.Request})
			return webhook.Started(started), err
		},
		Hand: func(ctx context.Context, event delivery.GitHubEvent) (webhook.Started, error) {
			started, err := runs.Hand(ctx, o.temporal, event)
			return webhook.Started(started), err
		},
		RunURL:  o.runURL,
		Log:     o.log,
		Observe: o.observe,
		Tracer:  o.tracer,
	})
	routes.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	routes.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, request *http.Request) {
		if o.stopping != nil && o.stopping.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(request.Context(), readyTimeout)
		defer cancel()
		if _, err := o.temporal.CheckHealth(ctx, nil); err != nil {
			http.Error(w, "Temporal does not answer", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return routes
}

// workflowURL is where a workflow is seen in Temporal's web UI.
func workflowURL(ui, namespace, workflowID string) string {
	return strings.TrimSuffix(ui, "/") + "/namespaces/" + url.PathEscape(namespace) + "/workflows/" + url.PathEscape(workflowID)
}
