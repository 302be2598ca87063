package main

import (
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/workflows"
)

// Answers that are lost after the change was made are the hard part: whoever repeats such a call
// blindly deploys twice.
func TestADeploymentSucceedsOnceThoughManyCallsToAWSFail(t *testing.T) {
	w := newWorld(t, slowly)
	w.release()
	before := w.starts("site-staging")
	require.NoError(t, w.platform.SetFaults(aws.Faults{
		ThrottleCalls: 0.05, FailCalls: 0.05, DropCalls: 0.05, LoseAnswers: 0.1, StaleReads: faults.Duration(50 * time.Millisecond),
	}))
	runID := w.push("a good change", goodChange)
	w.approve(runID)
	status := w.ended(runID)
	require.NoError(t, w.platform.SetFaults(aws.Faults{}))
	require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)
	require.Equal(t, status.Version, w.observe("site-staging").VersionLabel)
	require.Equal(t, before+1, w.starts("site-staging"), "the update was carried out once")
	require.Equal(t, before+1, w.starts("site-production"))
}

// starts counts the updates that an environment has begun, by the platform's own events.
func (w *world) starts(environment string) int {
	w.t.Helper()
	api := elasticbeanstalk.NewFromConfig(w.platform.Config())
	out, err := api.DescribeEvents(w.t.Context(), &elasticbeanstalk.DescribeEventsInput{EnvironmentName: sdk.String(environment), MaxRecords: sdk.Int32(1000)})
	require.NoError(w.t, err)
	count := 0
	for _, event := range out.Events {
		if sdk.ToString(event.Message) == "Environment update is starting." {
			count++
		}
	}
	return count
}
