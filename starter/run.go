package main

import (
	"context"

	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/webhook"
	"gravity/worker/runs"
)

// startRun starts the run of a revision through a pipeline, or finds the one that there was. With
// again, one that has ended is no hindrance; one that still goes on is, with an InvalidInput.
func startRun(ctx context.Context, c client.Client, pipeline delivery.Pipeline, revision delivery.Revision, again bool) (webhook.Started, error) {
	started, err := runs.Start(ctx, c, runs.Request{Pipeline: pipeline, Revision: revision, Again: again})
	return webhook.Started(started), err
}
