package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
)

// asWorker makes the test binary the worker, so that it gets its signals as one.
const asWorker = "GRAVITY_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		main()
	}
	os.Exit(m.Run())
}

// startWorker starts a worker as a process of its own. It ends with the test, if not before.
func startWorker(t *testing.T, l *lab.Lab) *exec.Cmd {
	t.Helper()
	config := l.Server.Config()
	keys, err := config.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	w := exec.Command(os.Args[0], "--commands-as-worker", "--directory", t.TempDir(), "--log-format", "text")
	w.Env = append(os.Environ(), asWorker+"=1", "TEMPORAL_ADDRESS="+l.Temporal.Address(),
		"AWS_ENDPOINT_URL="+l.Server.URL(), "AWS_REGION="+config.Region, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_ACCESS_KEY_ID="+keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+keys.SecretAccessKey)
	w.Stderr = t.Output()
	require.NoError(t, w.Start())
	t.Cleanup(func() {
		if w.ProcessState == nil {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
	})
	return w
}

// The longest step of a deployment waits for health. The grace of a worker that stops and the heartbeats that another one
// would have to miss are 20 s each.
func TestAWaitGoesOnAtOnceOnAnotherWorkerWhenItsOwnIsStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	pace, _ := lab.Compressed(12)
	l, err := lab.Start(t.Context(), lab.Options{Directory: t.TempDir(), NoWorker: true, AWS: aws.Options{Pace: pace}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	workers := map[int]*exec.Cmd{}
	for range 2 {
		w := startWorker(t, l)
		workers[w.Process.Pid] = w
	}
	_, err = l.Version("good-1")
	require.NoError(t, err)
	next, err := l.Version("good-2")
	require.NoError(t, err)
	require.NoError(t, l.Create("live", "good-1", delivery.Immutable, 100*time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	deployment, err := l.Deploy(ctx, lab.Stage("live", delivery.Immutable, func(s *delivery.Stage) {
		s.Health.Steady = delivery.Duration(time.Second)
	}), next)
	require.NoError(t, err)

	wait := awaitStep(ctx, t, l, deployment, "AwaitHealth", 0)
	require.EqualValues(t, 1, wait.GetAttempt())
	held := pidOf(t, wait)
	stopped := time.Now()
	require.NoError(t, workers[held].Process.Signal(syscall.SIGTERM))
	wait = awaitStep(ctx, t, l, deployment, "AwaitHealth", held)
	tookOver := time.Since(stopped)
	require.Equal(t, "HandedOver", wait.GetLastFailure().GetApplicationFailureInfo().GetType(), "no heartbeat was missed: %s", wait.GetLastFailure())
	require.NoError(t, workers[held].Wait(), "it ends in order")
	ended := time.Since(stopped)
	t.Logf("another worker goes on %s after the signal, attempt %d; the first one ended after %s", tookOver, wait.GetAttempt(), ended)
	require.Less(t, tookOver, 15*time.Second)
	require.Less(t, ended, 18*time.Second, "nothing holds it up until the end of its grace")
	require.EqualValues(t, 2, wait.GetAttempt())
	require.Zero(t, wait.GetMaximumAttempts(), "no number of stops ends a wait")

	record, _, err := l.Await(ctx, "live", deployment)
	require.NoError(t, err)
	require.Equal(t, delivery.OutcomeDeployed, record.Result.Outcome, record.Result.Reason)
	updates, err := l.Updates("live")
	require.NoError(t, err)
	require.Equal(t, 1, updates, "nothing was sent twice")
}

// awaitStep waits until a worker other than one has begun a step of a workflow.
func awaitStep(ctx context.Context, t *testing.T, l *lab.Lab, workflowID, step string, other int) (found *workflow.PendingActivityInfo) {
	t.Helper()
	require.Eventually(t, func() bool {
		described, err := l.Client.DescribeWorkflowExecution(ctx, workflowID, "")
		if err != nil {
			return false
		}
		for _, pending := range described.GetPendingActivities() {
			if pending.GetActivityType().GetName() == step && pending.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED && pidOf(t, pending) != other {
				found = pending
				return true
			}
		}
		return false
	}, 2*time.Minute, 50*time.Millisecond, "%s began on another worker", step)
	return found
}

// pidOf is the process of the worker that began a step; its identity begins with it.
func pidOf(t *testing.T, step *workflow.PendingActivityInfo) int {
	pid, _, _ := strings.Cut(step.GetLastWorkerIdentity(), "@")
	number, err := strconv.Atoi(pid)
	require.NoError(t, err)
	return number
}
