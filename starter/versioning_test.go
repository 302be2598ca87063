package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"gravity/internal/delivery"
	"gravity/workflows"
)

// The build's steps share a worker's disk by that worker's own queue. Pinned runs, which Worker
// Versioning brings, have to find their way there too.
func TestAPinnedRunBuildsOnOneWorkerByThatWorkersOwnQueue(t *testing.T) {
	version := worker.WorkerDeploymentVersion{DeploymentName: "gravity", BuildID: "1"}
	w := newWorld(t, func(o *stackOptions) {
		require.NoError(t, openGate(o.Site))
		o.Versioning = worker.DeploymentOptions{UseVersioning: true, Version: version}
	})
	deployment := w.client.WorkerDeploymentClient().GetHandle(version.DeploymentName)
	w.eventually("the version becomes the current one", func() bool {
		_, err := deployment.SetCurrentVersion(t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: version.BuildID})
		return err == nil
	})
	head, err := w.working.Head(t.Context())
	require.NoError(t, err)
	started, err := startRun(t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	status := w.ended(started.RunID)
	require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)

	for id, pinned := range map[string]bool{
		started.RunID: true,
		delivery.DeploymentID("site", "site-staging", 1): true,
		delivery.EnvironmentID("site", "site-staging"):   false,
	} {
		described, err := w.client.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		versioning := described.GetWorkflowExecutionInfo().GetVersioningInfo()
		require.Equal(t, version.BuildID, versioning.GetDeploymentVersion().GetBuildId(), id)
		behaviour := "AutoUpgrade"
		if pinned {
			behaviour = "Pinned"
		}
		require.Equal(t, behaviour, versioning.GetBehavior().String(), id)
	}
}
