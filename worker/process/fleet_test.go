package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
	"gravity/internal/local/cluster"
	"gravity/internal/local/temporal"
	"gravity/worker/runs"
	"gravity/workflows"
)

// newServer is Temporal's development server, as `starter up` has it.
func newServer(t *testing.T) *temporal.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	server, err := temporal.Start(t.Context(), temporal.Options{Headless: true, SearchAttributes: searchAttributes()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// onEachServer runs a test with `starter up`'s server, and with the one on PostgreSQL that compose has.
func onEachServer(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("development", func(t *testing.T) { test(t, newServer(t).Address()) })
	t.Run("PostgreSQL", func(t *testing.T) {
		if testing.Short() {
			t.Skip("starts PostgreSQL and Temporal's server")
		}
		server, err := cluster.Start(t.Context(), cluster.Options{Directory: t.TempDir(), SearchAttributes: searchAttributes()})
		if errors.Is(err, cluster.ErrNoPostgreSQL) {
			t.Skip(err)
		}
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		test(t, server.Address())
	})
}

func searchAttributes() map[string]string {
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	return attributes
}

func dial(t *testing.T, address, identity string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: address, Identity: identity, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestTheWorkersOfAFleetKeepOneRateTogether(t *testing.T) {
	const rate, steps = 10, 60
	address := newServer(t).Address()
	for _, name := range []string{"one", "two"} {
		p, err := Start(Options{
			Temporal: dial(t, address, name), AWS: aws.Config{Region: "eu-central-1"}, Directory: t.TempDir(), PlatformRate: rate,
			Grace: time.Second, CommandsAsWorker: true, Log: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		t.Cleanup(p.Stop)
	}
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(site.Close)
	c := dial(t, address, "test")
	w := worker.New(c, "checks", worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: workflows.PlatformQueue, StartToCloseTimeout: time.Minute})
		check := delivery.Check{Path: "/", URL: site.URL, Status: http.StatusOK, Times: 1, Timeout: delivery.Duration(30 * time.Second)}
		var asked []workflow.Future
		for range steps {
			asked = append(asked, workflow.ExecuteActivity(ctx, "Check", activities.CheckInput{Check: check}))
		}
		for _, one := range asked {
			if err := one.Get(ctx, nil); err != nil {
				return err
			}
		}
		return nil
	}, workflow.RegisterOptions{Name: "Checks"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "checks", TaskQueue: "checks"}, "Checks")
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))

	var began []time.Time
	by := map[string]int{}
	for events := c.GetWorkflowHistory(t.Context(), "checks", "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		require.NoError(t, err)
		if started := event.GetActivityTaskStartedEventAttributes(); started != nil {
			began = append(began, event.GetEventTime().AsTime())
			by[started.GetIdentity()]++
		}
	}
	require.Len(t, began, steps)
	require.Positive(t, by["one"])
	require.Positive(t, by["two"])
	slices.SortFunc(began, time.Time.Compare)
	most, steady := 0, 0
	for i, from := range began {
		within := slices.IndexFunc(began[i:], func(at time.Time) bool { return at.Sub(from) >= 2*time.Second })
		if within < 0 {
			within = len(began) - i
		}
		most = max(most, within)
		if i >= rate {
			steady = max(steady, within)
		}
	}
	took := began[steps-1].Sub(began[0])
	t.Logf("%d steps took %s, at most %d of them began within 2 s; by worker: %v", steps, took, most, by)
	// After a quiet moment, the steps of one second may begin at once.
	require.LessOrEqual(t, most, 3*rate+rate/2)
	require.GreaterOrEqual(t, took, (steps-rate)*time.Second/rate*8/10)
	// A busy machine is slower now and then, so that it is the best two seconds that count.
	require.Greater(t, steady, rate, "the rate is used")
}

// sequence notes in which order something begins.
type sequence struct {
	interceptor.WorkerInterceptorBase
	mu    sync.Mutex
	names []string
}

func (s *sequence) note(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.names, name) {
		s.names = append(s.names, name)
	}
}

func (s *sequence) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

func (s *sequence) InterceptWorkflow(ctx workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	s.note(workflow.GetInfo(ctx).WorkflowExecution.ID)
	return next
}

const busy = 20 // what the busy pipeline has in a queue

// The queue of workflows is as full as it gets where no worker was there for a while.
func TestARollbackAndAHotfixComeBeforeRunsAndPipelinesTakeTurns(t *testing.T) {
	onEachServer(t, queueOfWorkflows)
}

func queueOfWorkflows(t *testing.T, address string) {
	c := dial(t, address, "test")
	start := func(pipeline string, number int, hotfix *workflows.Answer) string {
		started, err := runs.Start(t.Context(), c, runs.Request{
			Pipeline: delivery.Pipeline{Name: pipeline, Application: pipeline},
			Revision: delivery.Revision{SHA: fmt.Sprintf("%040d", number), Ref: "refs/heads/main"}, Hotfix: hotfix,
		})
		require.NoError(t, err)
		return started.RunID
	}
	for number := range busy {
		start("busy", number, nil)
	}
	calm := start("calm", 0, nil)
	hotfix := start("busy", busy, &workflows.Answer{By: "ana", Reason: "the shop is closed"})
	answered := make(chan error, 1)
	go func() { answered <- ask(t.Context(), c, "busy", "shop", true, false) }()
	waiting(t, c, workflows.Queue, enums.TASK_QUEUE_TYPE_WORKFLOW, busy+3)

	order := &sequence{}
	w := worker.New(c, workflows.Queue, worker.Options{
		// One task at a time; the second slot is for the workflows that this worker has in memory.
		MaxConcurrentWorkflowTaskExecutionSize: 2, MaxConcurrentWorkflowTaskPollers: 2,
		Interceptors: []interceptor.WorkerInterceptor{order},
	})
	workflows.Register(w)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	require.Eventually(t, func() bool { return len(order.seen()) >= busy+3 }, time.Minute, 20*time.Millisecond)
	require.NoError(t, <-answered)
	names := order.seen()
	t.Log(names)
	require.Equal(t, delivery.EnvironmentID("shop", "shop"), names[0], "the rollback waits at the environment's queue")
	require.Less(t, slices.Index(names, hotfix), 3)
	require.Less(t, slices.Index(names, calm), 8)
}

// The queue of steps that call AWS is full when many deployments go on, or its rate is low.
func TestStepsOfARollbackComeFirstAndThoseOfPipelinesInTurns(t *testing.T) {
	onEachServer(t, queueOfSteps)
}

func queueOfSteps(t *testing.T, address string) {
	c := dial(t, address, "test")
	w := Options{Temporal: c, Log: slog.New(slog.DiscardHandler)}.withDefaults().workflowWorker()
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	for number := range busy {
		require.NoError(t, ask(t.Context(), c, "busy", fmt.Sprintf("busy-%d", number), false, false))
	}
	waiting(t, c, workflows.PlatformQueue, enums.TASK_QUEUE_TYPE_ACTIVITY, busy)
	require.NoError(t, ask(t.Context(), c, "calm", "calm", false, false))
	require.NoError(t, ask(t.Context(), c, "busy", "hotfix", false, true))
	require.NoError(t, ask(t.Context(), c, "busy", "rollback", true, false))
	waiting(t, c, workflows.PlatformQueue, enums.TASK_QUEUE_TYPE_ACTIVITY, busy+3)

	order := &sequence{}
	platform := worker.New(c, workflows.PlatformQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: 1, MaxConcurrentActivityTaskPollers: 1, DisableWorkflowWorker: true,
	})
	platform.RegisterActivityWithOptions(func(_ context.Context, in activities.AwaitReadyInput) (delivery.Observation, error) {
		order.note(in.Environment)
		return delivery.Observation{}, sdktemporal.NewNonRetryableApplicationError("there is none", string(delivery.EnvironmentNotFound), nil)
	}, activity.RegisterOptions{Name: "AwaitReady"})
	require.NoError(t, platform.Start())
	t.Cleanup(platform.Stop)
	require.Eventually(t, func() bool { return len(order.seen()) == busy+3 }, time.Minute, 20*time.Millisecond)
	names := order.seen()
	t.Log(names)
	require.Equal(t, []string{"rollback", "hotfix"}, names[:2])
	require.Less(t, slices.Index(names, "calm"), 6)
}

// What a deployment does is as urgent as the deployment, until it is to be taken back.
func TestTheWayBackOfADeploymentIsUrgent(t *testing.T) {
	address := newServer(t).Address()
	c := dial(t, address, "test")
	w := Options{Temporal: c, Log: slog.New(slog.DiscardHandler)}.withDefaults().workflowWorker()
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	platform := worker.New(c, workflows.PlatformQueue, worker.Options{DisableWorkflowWorker: true})
	step := func(name string, does any) {
		platform.RegisterActivityWithOptions(does, activity.RegisterOptions{Name: name})
	}
	found := delivery.Observation{Application: "shop", Name: "shop", Status: "Ready", HealthStatus: "Ok", VersionLabel: "v0"}
	step("AwaitReady", func(context.Context, activities.AwaitReadyInput) (delivery.Observation, error) { return found, nil })
	step("Precheck", func(context.Context, activities.PrecheckInput) (activities.Prechecked, error) {
		return activities.Prechecked{Good: &delivery.Version{Application: "shop", Label: "v0"}}, nil
	})
	step("Update", func(context.Context, activities.UpdateInput) (activities.Update, error) {
		return activities.Update{}, nil
	})
	step("AwaitHealth", func(context.Context, activities.AwaitHealthInput) (delivery.Proof, error) {
		return delivery.Proof{Verdict: delivery.VerdictUnhealthy, Reason: "it is Severe", Observed: found}, nil
	})
	step("Settle", func(context.Context, activities.SettleInput) (delivery.Observation, error) {
		return delivery.Observation{}, sdktemporal.NewNonRetryableApplicationError("there is none", string(delivery.EnvironmentNotFound), nil)
	})
	require.NoError(t, platform.Start())
	t.Cleanup(platform.Stop)
	require.NoError(t, ask(t.Context(), c, "busy", "shop", false, false))

	deployment := delivery.DeploymentID("shop", "shop", 1)
	var result delivery.Result
	require.Eventually(t, func() bool {
		described, err := c.DescribeWorkflowExecution(t.Context(), deployment, "")
		return err == nil && described.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	}, time.Minute, 50*time.Millisecond)
	require.Error(t, c.GetWorkflow(t.Context(), deployment, "").Get(t.Context(), &result))
	own := map[string]int32{}
	for events := c.GetWorkflowHistory(t.Context(), deployment, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		require.NoError(t, err)
		if started := event.GetWorkflowExecutionStartedEventAttributes(); started != nil {
			require.EqualValues(t, 3, started.GetPriority().GetPriorityKey())
			require.Equal(t, "busy", started.GetPriority().GetFairnessKey())
		}
		if scheduled := event.GetActivityTaskScheduledEventAttributes(); scheduled != nil {
			own[scheduled.GetActivityType().GetName()] = scheduled.GetPriority().GetPriorityKey()
		}
	}
	require.Equal(t, map[string]int32{"AwaitReady": 0, "Precheck": 0, "Update": 0, "AwaitHealth": 0, "Settle": 1}, own, "0 is the deployment's own")
}

// ask asks an environment's queue for a deployment, as runs and the command line do.
func ask(ctx context.Context, c client.Client, pipeline, environment string, rollback, hotfix bool) error {
	request := delivery.Request{
		ID: "request/" + environment, Pipeline: pipeline, Rollback: rollback, JumpQueue: hotfix, By: "ana", Reason: "the shop is closed",
		Stage:   delivery.Pipeline{Stages: []delivery.Stage{{Name: "live", Environment: environment}}}.WithDefaults().Stages[0],
		Version: delivery.Version{Application: "shop", Label: "v1"},
	}
	_, err := (&activities.Environments{Temporal: c}).Ask(ctx, activities.AskInput{
		Workflow: workflows.EnvironmentWorkflow, TaskQueue: workflows.Queue, WorkflowID: delivery.EnvironmentID("shop", environment),
		Priority: workflows.EnvironmentPriority(environment),
		Start:    workflows.EnvironmentInput{Application: "shop", Environment: environment},
		Update:   workflows.DeployUpdate, UpdateID: request.ID, Argument: request,
	})
	return err
}

// waiting returns when so many tasks wait in a queue.
func waiting(t *testing.T, c client.Client, queue string, kind enums.TaskQueueType, tasks int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		described, err := c.WorkflowService().DescribeTaskQueue(t.Context(), &workflowservice.DescribeTaskQueueRequest{
			Namespace: "default", TaskQueue: &taskqueue.TaskQueue{Name: queue}, TaskQueueType: kind, ReportStats: true,
		})
		return err == nil && described.GetStats().GetApproximateBacklogCount() >= tasks
	}, time.Minute, 50*time.Millisecond, "%d tasks wait", tasks)
}
