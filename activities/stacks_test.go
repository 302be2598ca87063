package activities

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"gravity/cloudformation"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/internal/stacks"
)

// onStacks gives the steps on stacks a stand-in to work on, and the last events that their heartbeats showed.
func onStacks(t *testing.T) (*testsuite.TestActivityEnvironment, *Stacks, *aws.Server, func() []delivery.StackEvent) {
	t.Helper()
	server, err := aws.Start(t.Context(), aws.Options{DataDir: t.TempDir(), Pace: aws.TestPace(), Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	steps := &Stacks{Client: stacks.New(server.Config(), 5*time.Millisecond, beanstalk.New(server.Config(), beanstalk.DefaultPace).Bucket)}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(steps)
	var mu sync.Mutex
	var shown []delivery.StackEvent
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var progress StackProgress
		if details.Get(&progress) == nil {
			mu.Lock()
			defer mu.Unlock()
			shown = progress.Events
		}
	})
	return env, steps, server, func() []delivery.StackEvent {
		mu.Lock()
		defer mu.Unlock()
		return shown
	}
}

func pipelineStack(t *testing.T) delivery.Stack {
	t.Helper()
	body, err := cloudformation.Template("pipeline")
	require.NoError(t, err)
	return delivery.Stack{Name: "gravity-shop", Body: string(body), Parameters: map[string]string{"ApplicationName": "shop"}}
}

func TestAStackIsProposedExecutedAndDeletedInSteps(t *testing.T) {
	env, steps, _, shown := onStacks(t)
	var plan delivery.StackPlan
	got, err := env.ExecuteActivity(steps.ProposeChange, ProposeInput{Stack: pipelineStack(t), Name: "one"})
	require.NoError(t, err)
	require.NoError(t, got.Get(&plan))
	require.True(t, plan.Create)

	var result delivery.StackResult
	got, err = env.ExecuteActivity(steps.ExecuteChange, plan)
	require.NoError(t, err)
	require.NoError(t, got.Get(&result))
	require.NotEmpty(t, result.Outputs["Bucket"])
	require.LessOrEqual(t, len(shown()), shownEvents, "a heartbeat stays small")

	var drift delivery.StackDrift
	got, err = env.ExecuteActivity(steps.DetectDrift, DriftInput{Stack: "gravity-shop"})
	require.NoError(t, err)
	require.NoError(t, got.Get(&drift))
	require.Equal(t, "IN_SYNC", drift.Status)

	_, err = env.ExecuteActivity(steps.DeleteStack, DeleteInput{Stack: "gravity-shop", Role: "${nowhere.Role}"})
	var refused *temporal.ApplicationError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, string(delivery.InvalidInput), refused.Type())
	_, err = env.ExecuteActivity(steps.DeleteStack, DeleteInput{Stack: "gravity-shop"})
	require.NoError(t, err)
}

func TestAStackThatFailsIsNotTriedAgain(t *testing.T) {
	env, steps, server, _ := onStacks(t)
	var plan delivery.StackPlan
	got, err := env.ExecuteActivity(steps.ProposeChange, ProposeInput{Stack: pipelineStack(t), Name: "one"})
	require.NoError(t, err)
	require.NoError(t, got.Get(&plan))
	require.NoError(t, server.SetFaults(aws.Faults{Stacks: []faults.Stack{{Resource: "Bucket", Action: "create", Reason: "the name is reserved"}}}))
	_, err = env.ExecuteActivity(steps.ExecuteChange, plan)
	var failed *temporal.ApplicationError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, string(delivery.StackFailed), failed.Type())
	require.True(t, failed.NonRetryable())
	require.Contains(t, failed.Message(), "Bucket (AWS::S3::Bucket) failed: the name is reserved")
}
