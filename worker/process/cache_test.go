package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/internal/delivery"
	"gravity/worker/runs"
	"gravity/workflows"
)

// The number behind the default of --workflow-cache, which docs/fleet.md names.
func TestWhatAWorkflowInMemoryTakes(t *testing.T) {
	if os.Getenv("GRAVITY_PROOF") == "" {
		t.Skip("a measurement: set GRAVITY_PROOF=1 to run it")
	}
	const count = 400
	server := newServer(t)
	c := dial(t, server.Address(), "test")
	w := Options{Temporal: c, Log: slog.New(slog.DiscardHandler)}.withDefaults().workflowWorker()
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	platform := worker.New(c, workflows.PlatformQueue, worker.Options{DisableWorkflowWorker: true})
	version := delivery.Version{Application: "shop", Label: "v1", Bucket: "bundles", Key: "v1.zip"}
	platform.RegisterActivityWithOptions(func(context.Context, delivery.Version) (activities.FoundVersion, error) {
		return activities.FoundVersion{Version: &version}, nil
	}, activity.RegisterOptions{Name: "FindVersion"})
	require.NoError(t, platform.Start())
	t.Cleanup(platform.Stop)

	pipeline := delivery.Pipeline{Name: "shop", Application: "shop", Stages: []delivery.Stage{
		{Name: "live", Environment: "shop", Branches: []string{"main"}, Gate: delivery.Gate{Approval: &delivery.Approval{Timeout: delivery.Duration(time.Hour)}}},
	}}.WithDefaults()
	measure := func(what string, start func(number int), there func(number int) bool) {
		before := held()
		for number := range count {
			start(number)
		}
		for number := range count {
			require.Eventually(t, func() bool { return there(number) }, time.Minute, 20*time.Millisecond)
		}
		each := (held() - before) / count
		t.Logf("%s: %d kB in memory", what, each/1024)
		require.Positive(t, each)
		require.Less(t, each, int64(512<<10), "2000 of them fit into a gigabyte")
	}
	measure("a run that waits for an approval", func(number int) {
		_, err := runs.Start(t.Context(), c, runs.Request{
			Pipeline: pipeline, Revision: delivery.Revision{SHA: fmt.Sprintf("%040d", number), Ref: "refs/heads/main"},
			Retry: &workflows.Retry{Version: "v1", Answer: workflows.Answer{By: "ana", Reason: "again"}},
		})
		require.NoError(t, err)
	}, func(number int) bool {
		answer, err := c.QueryWorkflow(t.Context(), delivery.RunID("shop", fmt.Sprintf("%040d", number)), "", workflows.StatusQuery)
		var status workflows.RunStatus
		return err == nil && answer.Get(&status) == nil && status.State == workflows.StateWaiting
	})
	measure("an environment, and its deployment under way", func(number int) {
		require.NoError(t, ask(t.Context(), c, "shop", fmt.Sprintf("shop-%d", number), false, false))
	}, func(number int) bool {
		described, err := c.DescribeWorkflowExecution(t.Context(), delivery.DeploymentID("shop", fmt.Sprintf("shop-%d", number), 1), "")
		return err == nil && described.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING && len(described.GetPendingActivities()) > 0
	})
}

// held is what this process holds in memory.
func held() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}
