package workflows

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Histories are recorded by the end-to-end tests from a real server (see docs/development.md), one
// folder a workflow. They are never edited: one that no longer replays means that a change would
// break runs under way, and has to go behind workflow.GetVersion.
func TestRecordedHistoriesReplay(t *testing.T) {
	recorded, err := filepath.Glob("testdata/histories/*/*.json.gz")
	require.NoError(t, err)
	workflows := map[string]bool{}
	for _, path := range recorded {
		name := filepath.Base(filepath.Dir(path))
		workflows[name] = true
		t.Run(name+"/"+strings.TrimSuffix(filepath.Base(path), ".json.gz"), func(t *testing.T) {
			replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{})
			require.NoError(t, err)
			registerForReplay(replayer)
			file, err := os.Open(path)
			require.NoError(t, err)
			defer file.Close()
			unzipped, err := gzip.NewReader(file)
			require.NoError(t, err)
			history, err := client.HistoryFromJSON(unzipped, client.HistoryJSONOptions{})
			require.NoError(t, err)
			require.NoError(t, replayer.ReplayWorkflowHistory(nil, history))
		})
	}
	for _, name := range []string{
		PipelineWorkflow, EnvironmentWorkflow, DeploymentWorkflow, TellingWorkflow, GitHubEventWorkflow, CatchUpWorkflow,
		ProvisionWorkflow, StackDriftWorkflow, FreezeReportWorkflow,
	} {
		require.True(t, workflows[name], "workflow %s has a recorded history", name)
	}
}

func registerForReplay(replayer worker.WorkflowReplayer) {
	replayer.RegisterWorkflowWithOptions(Pipeline, workflow.RegisterOptions{Name: PipelineWorkflow})
	replayer.RegisterWorkflowWithOptions(Environment, workflow.RegisterOptions{Name: EnvironmentWorkflow})
	replayer.RegisterWorkflowWithOptions(Telling, workflow.RegisterOptions{Name: TellingWorkflow})
	replayer.RegisterWorkflowWithOptions(GitHubEvent, workflow.RegisterOptions{Name: GitHubEventWorkflow})
	replayer.RegisterWorkflowWithOptions(CatchUp, workflow.RegisterOptions{Name: CatchUpWorkflow})
	replayer.RegisterWorkflowWithOptions(Deployment, workflow.RegisterOptions{Name: DeploymentWorkflow})
	replayer.RegisterWorkflowWithOptions(Provision, workflow.RegisterOptions{Name: ProvisionWorkflow})
	replayer.RegisterWorkflowWithOptions(StackDrift, workflow.RegisterOptions{Name: StackDriftWorkflow})
	replayer.RegisterWorkflowWithOptions(FreezeReport, workflow.RegisterOptions{Name: FreezeReportWorkflow})
}
