package main

import (
	"context"

	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/webhook"
	"gravity/worker/runs"
	"gravity/workflows"
)

// startRun starts the run of a revision through a pipeline, or finds the one that there was. With
// again, one that has ended is no hindrance; one that still goes on is, with an InvalidInput.
func startRun(ctx context.Context, c client.Client, pipeline delivery.Pipeline, revision delivery.Revision, again bool) (webhook.Started, error) {
	return startInput(ctx, c, workflows.PipelineInput{Pipeline: pipeline, Revision: revision}, again)
}

// startInput is startRun for whoever wants more of a run than a push does.
func startInput(ctx context.Context, c client.Client, input workflows.PipelineInput, again bool) (webhook.Started, error) {
	started, err := runs.Start(ctx, c, runs.Request{
		Pipeline: input.Pipeline, Revision: input.Revision, Until: input.Until, Retry: input.Retry, Hotfix: input.Hotfix, Again: again,
	})
	return webhook.Started(started), err
}
