package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/internal/webhook"
	"gravity/worker/runs"
)

const (
	// webhookPath is where GitHub's webhook points to.
	webhookPath = "/webhook"
	// healthPath is for load balancers and orchestrators.
	healthPath = "/healthz"
	// healthTimeout bounds the question to Temporal behind healthPath.
	healthTimeout = 3 * time.Second
)

// newReceiver makes the handler of the webhook receiver: signed pushes become runs of the file's
// pipelines. Any of the secrets will do. The runURL may be nil.
func newReceiver(c client.Client, file config.File, secrets [][]byte, runURL func(runID string) string, log *slog.Logger) http.Handler {
	routes := http.NewServeMux()
	routes.Handle(webhookPath, &webhook.Receiver{
		Secrets:  secrets,
		Matching: file.Matching,
		Start: func(ctx context.Context, s webhook.Start) (webhook.Started, error) {
			started, err := runs.Start(ctx, c, runs.Request{Pipeline: s.Pipeline, Revision: s.Revision, Until: s.Until, Name: s.Request})
			return webhook.Started(started), err
		},
		Hand: func(ctx context.Context, event delivery.GitHubEvent) (webhook.Started, error) {
			started, err := runs.Hand(ctx, c, event)
			return webhook.Started(started), err
		},
		RunURL: runURL,
		Log:    log,
	})
	routes.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), healthTimeout)
		defer cancel()
		if _, err := c.CheckHealth(ctx, nil); err != nil {
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
