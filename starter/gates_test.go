package main

import (
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/stretchr/testify/require"

	"gravity/workflows"
)

// raise sets the state of an alarm that watches over nothing.
func (w *world) raise(alarm string, state types.StateValue) {
	w.t.Helper()
	api := cloudwatch.NewFromConfig(w.platform.Config())
	_, err := api.PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: sdk.String(alarm), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: sdk.Int32(1),
		MetricName: sdk.String("Errors"), Namespace: sdk.String("Shop"), Period: sdk.Int32(60), Statistic: types.StatisticSum, Threshold: sdk.Float64(1),
	})
	require.NoError(w.t, err)
	_, err = api.SetAlarmState(w.t.Context(), &cloudwatch.SetAlarmStateInput{
		AlarmName: sdk.String(alarm), StateValue: state, StateReason: sdk.String("by the test"),
	})
	require.NoError(w.t, err)
}

func TestARunWaitsForItsAlarmsAndAFreezeAndANewerOneEndsABake(t *testing.T) {
	w := newWorld(t, oneStage(t, "bake: 1h", "gate: {alarms: [shop errors]}", "health: {check: {path: /health}}"))
	w.raise("shop errors", types.StateValueAlarm)
	first := w.start()
	w.reaches(first, workflows.StateWaiting)
	w.raise("shop errors", types.StateValueOk)
	w.baking(1)

	second := w.push("a good change", goodChange)
	released := w.ended(first)
	require.Equal(t, workflows.StateSucceeded, released.State, released.Detail)
	require.Contains(t, released.Stages[0].Detail, "bake ended early: a newer deployment waits: site-")
	w.baking(2)

	frozen := w.starter("freeze", "--all", "--reason", "the database moves", "--by", "ana")
	require.Zero(t, frozen.code, frozen.stderr)
	third := w.push("another good change", goodChange)
	w.eventually("it waits for the thaw", func() bool { return len(w.environment("site-staging").Waiting) == 1 })
	status, err := w.runStatus(t.Context(), second)
	require.NoError(t, err)
	require.False(t, status.State.Ended(), "nothing can come after it, so it goes on baking")
	again := w.starter("freeze", "--all", "--reason", "still")
	require.Zero(t, again.code, "frozen already is frozen")
	require.Equal(t, "the database moves", w.environment("site-staging").Frozen.Reason)

	thawed := w.starter("thaw", "--all")
	require.Zero(t, thawed.code, thawed.stderr)
	require.Equal(t, workflows.StateSucceeded, w.ended(second).State)
	w.baking(3)
	w.endBake("deployment/site/site-staging/3")
	require.Equal(t, workflows.StateSucceeded, w.ended(third).State)
	w.record(first, workflows.PipelineWorkflow, "waited-for-alarms")
}
