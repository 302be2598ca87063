package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"gravity/activities"
	"gravity/internal/delivery"
	"gravity/internal/local/temporal"
	"gravity/workflows"
)

// burst is how many requests come at once. It is more than a queue holds, and more than Temporal takes as updates of
// one workflow at a time.
const burst = 1000

func TestAThousandRequestsAtOnceAreAllServedWithABoundedHistory(t *testing.T) {
	takesMinutes(t)
	c := emptyNamespace(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	stage := delivery.Stage{Name: "production", Environment: "shop-production", Queue: delivery.QueueAll}
	var senders errgroup.Group
	senders.SetLimit(16)
	for number := range burst {
		senders.Go(func() error { return askUntilTaken(ctx, c, stage, number) })
	}
	require.NoError(t, senders.Wait())

	id := delivery.EnvironmentID("shop", "shop-production")
	require.Eventually(t, func() bool {
		var status workflows.EnvironmentStatus
		return query(ctx, c, id, &status) == nil && len(status.Waiting) == 0 && status.Running == nil && len(status.Recent) > 0 &&
			strings.HasSuffix(status.Recent[len(status.Recent)-1].Deployment, fmt.Sprintf("/%d", burst))
	}, 6*time.Minute, 100*time.Millisecond, "all are deployed, each once, one after another")

	lives, longest := histories(ctx, t, c, id)
	t.Logf("%d requests: %d lives of the environment's workflow, the longest history of %d events", burst, lives, longest)
	require.Greater(t, lives, 10)
	require.Less(t, longest, int64(10_000), "Temporal warns from 10,240 events on")
}

// emptyNamespace is a real server with the real environment workflow, over deployments that succeed at once.
func emptyNamespace(t *testing.T) client.Client {
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	server, err := temporal.Start(t.Context(), temporal.Options{Headless: true, SearchAttributes: attributes})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	c, err := client.Dial(client.Options{HostPort: server.Address(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	w := worker.New(c, workflows.Queue, worker.Options{})
	w.RegisterWorkflowWithOptions(workflows.Environment, workflow.RegisterOptions{Name: workflows.EnvironmentWorkflow})
	w.RegisterWorkflowWithOptions(func(_ workflow.Context, in workflows.DeploymentInput) (delivery.Result, error) {
		version := in.Request.Version
		return delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeDeployed, LeftOn: version.Label, Good: &version}, nil
	}, workflow.RegisterOptions{Name: workflows.DeploymentWorkflow})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return c
}

// askUntilTaken asks as a run's activity does: again, while the queue or Temporal takes no more.
func askUntilTaken(ctx context.Context, c client.Client, stage delivery.Stage, number int) error {
	p := place{application: "shop", environment: stage.Environment}
	request := delivery.Request{
		ID: fmt.Sprint(number), Pipeline: "shop", Stage: stage,
		Version: delivery.Version{Application: "shop", Label: fmt.Sprintf("shop-%d", number)},
	}
	for attempt := 0; ; attempt++ {
		_, err := (&activities.Environments{Temporal: c}).Ask(ctx, activities.AskInput{
			Workflow: workflows.EnvironmentWorkflow, TaskQueue: workflows.Queue, WorkflowID: p.id(),
			Start:  workflows.EnvironmentInput{Application: p.application, Environment: p.environment},
			Update: workflows.DeployUpdate, UpdateID: fmt.Sprintf("%d/%d", number, attempt), Argument: request,
		})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("request %d was never taken: %w", number, err)
		case <-time.After(50 * time.Millisecond): // as a retry policy does
		}
	}
}

// histories counts the lives of a workflow that continues as new, and finds its longest history, in events.
func histories(ctx context.Context, t *testing.T, c client.Client, id string) (lives int, longest int64) {
	t.Helper()
	found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf("WorkflowId = '%s'", id), PageSize: 1000})
	require.NoError(t, err)
	for _, execution := range found.GetExecutions() {
		lives++
		if execution.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			longest = max(longest, execution.GetHistoryLength())
		}
	}
	return lives, longest
}
