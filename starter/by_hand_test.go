package main

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/worker/process"
	"gravity/workflows"
)

// byHand: somebody brings staging to another version behind Gravity's back.
func (w *world) byHand(label string) {
	w.t.Helper()
	platform := elasticbeanstalk.NewFromConfig(w.platform.Config())
	_, err := platform.UpdateEnvironment(w.t.Context(), &elasticbeanstalk.UpdateEnvironmentInput{
		EnvironmentName: sdk.String("site-staging"), VersionLabel: sdk.String(label),
	})
	require.NoError(w.t, err)
	w.eventually("somebody's update is over", func() bool {
		observed := w.observe("site-staging")
		return observed.Ready() && observed.VersionLabel == label
	})
}

func (w *world) environment(name string) workflows.EnvironmentStatus {
	w.t.Helper()
	var status workflows.EnvironmentStatus
	w.eventually("the queue of "+name+" answers", func() bool {
		return query(w.t.Context(), w.client, delivery.EnvironmentID("site", name), &status) == nil
	})
	return status
}

func TestWhatSomebodyChangedByHandIsSeenAndStopsAPushUntilSomebodyDecides(t *testing.T) {
	w := newWorld(t, func(o *stackOptions) { require.NoError(t, openGate(o.Site)) })
	head, err := w.working.Head(t.Context())
	require.NoError(t, err)
	first, err := startRun(t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	before := w.ended(first.RunID)
	require.Equal(t, workflows.StateSucceeded, before.State, before.Detail)
	good := w.ended(w.push("a good change", goodChange))
	require.Equal(t, workflows.StateSucceeded, good.State, good.Detail)

	w.byHand(before.Version)
	schedule := w.client.ScheduleClient().GetHandle(t.Context(), process.DriftSchedule)
	w.eventually("the change is noticed", func() bool {
		// Visibility, by which environments are found, lags a moment behind.
		require.NoError(t, schedule.Trigger(t.Context(), client.ScheduleTriggerOptions{}))
		return w.environment("site-staging").Drift != nil
	})
	require.Contains(t, w.starter("status").stdout, "drift: site-staging is on version")

	stopped := w.ended(w.push("a change that meets the drift", goodChange))
	require.Equal(t, workflows.StateFailed, stopped.State, stopped.Detail)
	require.Contains(t, stopped.Detail, "somebody deployed by hand")
	w.provenOn(before.Version)

	listed := w.starter("rollback", "site-staging", "--list")
	require.Zero(t, listed.code, listed.stderr)
	require.Contains(t, listed.stdout, good.Version)
	refused := w.starter("rollback", "site-staging", "--to", "site-19990101T000000Z-abcdefabcdef", "--reason", "no")
	require.Equal(t, 2, refused.code)
	require.Contains(t, refused.stderr, "was never proven good on site-staging")
	back := w.starter("rollback", "site-staging", "--to", good.Version, "--reason", "back to what was tested")
	require.Zero(t, back.code, back.stderr)
	w.provenOn(good.Version)

	w.eventually("a search finds that the stopped one has ended", func() bool {
		runs, err := listRuns(t.Context(), w.client, "WorkflowId = '"+stopped.RunID+"'")
		return err == nil && len(runs) == 1 && !runs[0].goingOn()
	})
	retried := w.starter("retry", strings.TrimPrefix(stopped.RunID, runPrefix)[:len("site/")+7], "--reason", "the drift is gone", "--wait")
	require.Zero(t, retried.code, retried.stderr+retried.stdout)
	again := w.ended(stopped.RunID)
	require.Equal(t, workflows.StateSkipped, again.Build, "nothing was built")
	require.Equal(t, stopped.Version, again.Version)
	w.provenOn(again.Version)
	w.record(again.RunID, workflows.PipelineWorkflow, "retried")
	w.record(delivery.EnvironmentID("site", "site-staging"), workflows.EnvironmentWorkflow, "drifted")
}
