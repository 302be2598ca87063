package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/workflows"
)

const blue, green = "site-staging", "site-staging-green"

// newPairWorld is a world with one stage, which deploys by blue-green.
func newPairWorld(t *testing.T, change func(*stackOptions)) *world {
	t.Helper()
	w := newWorld(t, func(o *stackOptions) {
		oneStage := siteConfig[:strings.Index(siteConfig, "      - name: production")]
		require.NoError(t, os.WriteFile(filepath.Join(o.Site, "gravity.yaml"), []byte(oneStage+"        strategy: blue-green\n"), 0o644))
		if change != nil {
			change(o)
		}
	})
	return w
}

// first brings the first revision to the pair, which is then live on green.
func (w *world) first() workflows.RunStatus {
	w.t.Helper()
	head, err := w.working.Head(w.t.Context())
	require.NoError(w.t, err)
	started, err := startRun(w.t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(w.t, err)
	status := w.ended(started.RunID)
	require.Equal(w.t, workflows.StateSucceeded, status.State, status.Detail)
	return status
}

// changes counts what was asked of the platform that makes, moves or ends anything.
func (w *world) changes() map[string]int {
	calls, counted := w.platform.Calls(), map[string]int{}
	for _, operation := range []string{
		"CreateConfigurationTemplate", "CreateEnvironment", "SwapEnvironmentCNAMEs", "TerminateEnvironment", "DeleteConfigurationTemplate", "UpdateEnvironment",
	} {
		counted[operation] = calls[operation]
	}
	return counted
}

// since is how often something was asked for after before was counted.
func (w *world) since(before map[string]int) map[string]int {
	since := w.changes()
	for operation, count := range before {
		if since[operation] -= count; since[operation] == 0 {
			delete(since, operation)
		}
	}
	return since
}

// onceEach is what a pair's deployment asks for, with its swaps.
func onceEach(swaps int) map[string]int {
	asked := map[string]int{
		"CreateConfigurationTemplate": 1, "CreateEnvironment": 1, "SwapEnvironmentCNAMEs": swaps, "TerminateEnvironment": 1, "DeleteConfigurationTemplate": 1,
	}
	if swaps == 0 {
		delete(asked, "SwapEnvironmentCNAMEs")
	}
	return asked
}

// standing are the names of the pair's environments that are not being ended.
func (w *world) standing() []string {
	w.t.Helper()
	out, err := elasticbeanstalk.NewFromConfig(w.platform.Config()).DescribeEnvironments(w.t.Context(), &elasticbeanstalk.DescribeEnvironmentsInput{})
	require.NoError(w.t, err)
	var names []string
	for _, environment := range out.Environments {
		if environment.Status != "Terminating" && environment.Status != "Terminated" {
			names = append(names, sdk.ToString(environment.EnvironmentName))
		}
	}
	return names
}

// alone checks that the live environment is the only one, on a version that is proven, at an address.
func (w *world) alone(name, version, address string) {
	w.t.Helper()
	w.provenOn(version)
	live := w.observe(blue)
	require.Equal(w.t, name, live.Name)
	require.Equal(w.t, address, live.Address)
	require.Equal(w.t, []string{name}, w.standing())
}

// load asks the pair's public address, and finds at the end of the test that every request was answered well.
func (w *world) load() (check func()) {
	w.t.Helper()
	users := startLoad(w.t.Context(), []string{"http://" + w.observe(blue).Address})
	w.t.Cleanup(func() { users.stop() })
	return func() {
		w.t.Helper()
		requests, failed, first := users.stop()
		require.Positive(w.t, requests)
		require.Zero(w.t, failed, first)
	}
}

func TestBlueGreenProvesANewEnvironmentBesideTheLiveOneBeforeUsersGetIt(t *testing.T) {
	w := newPairWorld(t, nil)
	address := w.observe(blue).Address
	before := w.changes()
	first := w.first()
	require.Equal(t, onceEach(1), w.since(before))
	w.alone(green, first.Version, address)
	answered := w.load()

	before = w.changes()
	good := w.ended(w.push("a good change", goodChange))
	require.Equal(t, workflows.StateSucceeded, good.State, good.Detail)
	require.Equal(t, onceEach(1), w.since(before))
	w.alone(blue, good.Version, address)
	w.record(delivery.DeploymentID("site", blue, 2), "Deployment", "blue-green-good")

	before = w.changes()
	ill := w.ended(w.push("a change that fails its health check", untestedChange))
	require.Equal(t, workflows.StateFailed, ill.State)
	require.Contains(t, ill.Stages[0].Detail, "which its users never left")
	require.NotEmpty(t, ill.Stages[0].Evidence)
	require.Equal(t, good.Version, ill.Stages[0].LeftOn)
	require.Equal(t, onceEach(0), w.since(before), "users' address was not moved")
	w.alone(blue, good.Version, address)
	w.record(delivery.DeploymentID("site", blue, 3), "Deployment", "blue-green-ill")
	answered()
}

// launchesLong is a platform on which an environment launches for a quarter of a minute, once its instances hang: long
// enough for what a test does meanwhile.
func launchesLong(o *stackOptions) { o.Platform.MinimumTimeout = 15 * time.Second }

// hang lets the instances of the environment that the next deployment makes answer nobody.
func (w *world) hang(environment string) {
	w.t.Helper()
	require.NoError(w.t, w.platform.SetFaults(aws.Faults{Instances: []faults.Instance{{Kind: faults.Hang, Environment: environment}}}))
}

func TestBlueGreenAbortedWhileTheNewEnvironmentLaunchesEndsItAndMovesNothing(t *testing.T) {
	w := newPairWorld(t, launchesLong)
	first := w.first()
	address := w.observe(blue).Address
	answered := w.load()
	before := w.changes()
	w.hang(blue)
	runID := w.push("a change of mind", goodChange)
	w.eventually("the new environment is made", func() bool { return len(w.standing()) == 2 })
	w.eventually("its health is waited for", func() bool { return w.pending("AwaitHealth") })
	require.NoError(t, w.client.SignalWorkflow(t.Context(), runID, "", workflows.AbortSignal, workflows.Answer{By: "ana"}))
	aborted := w.ended(runID)
	require.Equal(t, workflows.StateAborted, aborted.State, aborted.Detail)
	require.Equal(t, onceEach(0), w.since(before))
	w.alone(green, first.Version, address)
	w.record(delivery.DeploymentID("site", blue, 2), "Deployment", "blue-green-aborted")
	answered()
}

func TestBlueGreenAbortedAfterTheSwapSwapsBack(t *testing.T) {
	w := newPairWorld(t, func(o *stackOptions) { o.Worker.Drain = 10 * time.Second })
	first := w.first()
	address := w.observe(blue).Address
	answered := w.load()
	before := w.changes()
	runID := w.push("a change of mind", goodChange)
	w.eventually("users have the new environment", func() bool { return w.pending("Retire") })
	require.Equal(t, blue, w.observe(blue).Name)
	require.Equal(t, address, w.observe(blue).Address)
	require.NoError(t, w.client.SignalWorkflow(t.Context(), runID, "", workflows.AbortSignal, workflows.Answer{By: "ana"}))
	aborted := w.ended(runID)
	require.Equal(t, workflows.StateAborted, aborted.State, aborted.Detail)
	require.Contains(t, aborted.Stages[0].Detail, "users are back on "+green)
	require.Equal(t, onceEach(2), w.since(before))
	w.alone(green, first.Version, address)
	w.record(delivery.DeploymentID("site", blue, 2), "Deployment", "blue-green-swapped-back")
	answered()
}

func TestBlueGreenWhoseUsersSomebodyMovedBackIsNoSuccess(t *testing.T) {
	w := newPairWorld(t, func(o *stackOptions) { o.Worker.Drain = 10 * time.Second })
	first := w.first()
	address := w.observe(blue).Address
	answered := w.load()
	before := w.changes()
	runID := w.push("a change that somebody sees through", goodChange)
	w.eventually("users have the new environment", func() bool { return w.pending("Retire") })
	_, err := elasticbeanstalk.NewFromConfig(w.platform.Config()).SwapEnvironmentCNAMEs(t.Context(), &elasticbeanstalk.SwapEnvironmentCNAMEsInput{
		SourceEnvironmentName: sdk.String(blue), DestinationEnvironmentName: sdk.String(green),
	})
	require.NoError(t, err)
	failed := w.ended(runID)
	require.Equal(t, workflows.StateFailed, failed.State, failed.Detail)
	require.Contains(t, failed.Stages[0].Detail, "to which somebody moved its users back")
	require.Equal(t, onceEach(2), w.since(before))
	w.alone(green, first.Version, address)
	w.record(delivery.DeploymentID("site", blue, 2), "Deployment", "blue-green-swapped-by-hand")
	answered()
}

func TestBlueGreenKeepsTheNewEnvironmentWhenSomebodyEndsTheLiveOne(t *testing.T) {
	w := newPairWorld(t, launchesLong)
	w.first()
	w.hang(blue)
	runID := w.push("a change that is all that is left", goodChange)
	w.eventually("its health is waited for", func() bool { return w.pending("AwaitHealth") })
	_, err := elasticbeanstalk.NewFromConfig(w.platform.Config()).TerminateEnvironment(t.Context(), &elasticbeanstalk.TerminateEnvironmentInput{
		EnvironmentName: sdk.String(green),
	})
	require.NoError(t, err)
	w.goOn()
	left := w.ended(runID)
	require.Equal(t, workflows.StateNeedsAttention, left.State, left.Detail)
	require.Equal(t, []string{blue}, w.standing())
	w.record(delivery.DeploymentID("site", blue, 2), "Deployment", "blue-green-live-ended")
}

func TestBlueGreenSwapsBackWhenTheCheckFailsAtTheUsersAddressAlone(t *testing.T) {
	w := newPairWorld(t, nil)
	first := w.first()
	address := w.observe(blue).Address
	// The users' own domain, which shows the new version as something else.
	front := &http.Server{ReadHeaderTimeout: time.Second}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	front.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if w.observe(blue).Name == blue {
			http.Error(rw, "no such host", http.StatusNotFound)
		}
	})
	go func() { _ = front.Serve(listener) }()
	t.Cleanup(func() { _ = front.Close() })

	before := w.changes()
	pipeline := w.config.Pipelines[0]
	stage := pipeline.Stages[0]
	check := *stage.Health.Check
	check.URL = "http://" + listener.Addr().String()
	stage.Health.Check = &check
	pipeline.Stages = []delivery.Stage{stage}
	require.NoError(t, goodChange(w.working))
	var sha string
	sha, err = w.working.Commit(t.Context(), "a change that its users' domain does not know")
	require.NoError(t, err)
	w.git.SetWebhook("", nil)
	require.NoError(t, w.working.Push(t.Context(), "main"))
	started, err := startRun(t.Context(), w.client, pipeline, delivery.Revision{SHA: sha, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	failed := w.ended(started.RunID)
	require.Equal(t, workflows.StateFailed, failed.State, failed.Detail)
	require.Contains(t, failed.Stages[0].Detail, "404 instead of 200")
	require.Equal(t, first.Version, failed.Stages[0].LeftOn)
	require.Equal(t, onceEach(2), w.since(before))
	w.alone(green, first.Version, address)
}

func TestBlueGreenGoesOnWhereAKilledWorkerWasWithoutDoingAnythingTwice(t *testing.T) {
	for _, activity := range []string{"MakeBeside", "AwaitHealth", "Swap", "Retire"} {
		t.Run(activity, func(t *testing.T) {
			w := newPairWorld(t, func(o *stackOptions) {
				slowly(o)
				o.Platform.Step = 300 * time.Millisecond
				o.NoWorker = true
			})
			kill := w.startWorkerProcess()
			w.first()
			address := w.observe(blue).Address
			answered := w.load()
			before := w.changes()
			runID := w.push("a good change", goodChange)
			w.eventually(activity+" is under way", func() bool { return w.pending(activity) || w.past(activity) })
			kill()
			defer w.startWorkerProcess()()
			status := w.ended(runID)
			require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)
			// A saved configuration has the request's own name: whoever died between the call and its end asks again, and
			// finds it made, or gone.
			asked := w.since(before)
			for _, again := range []string{"CreateConfigurationTemplate", "DeleteConfigurationTemplate"} {
				require.Contains(t, []int{1, 2}, asked[again], again)
				asked[again] = 1
			}
			require.Equal(t, onceEach(1), asked)
			w.alone(blue, status.Version, address)
			if activity == "Swap" {
				w.record(delivery.DeploymentID("site", blue, 2), "Deployment", "blue-green-worker-killed")
			}
			answered()
		})
	}
}

// past reports whether the second deployment has begun such an activity, and maybe ended it.
func (w *world) past(activity string) bool {
	events := w.client.GetWorkflowHistory(w.t.Context(), delivery.DeploymentID("site", blue, 2), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return false
		}
		if event.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == activity {
			return true
		}
	}
	return false
}

func TestARollbackByHandGoesThroughBlueGreenToo(t *testing.T) {
	w := newPairWorld(t, nil)
	first := w.first()
	address := w.observe(blue).Address
	good := w.ended(w.push("a good change", goodChange))
	require.Equal(t, workflows.StateSucceeded, good.State, good.Detail)
	before := w.changes()
	require.NoError(t, w.rollBack(first.Version))
	require.Equal(t, onceEach(1), w.since(before))
	w.alone(green, first.Version, address)
}

func TestBlueGreenLeavesSomebodyElsesEnvironmentAlone(t *testing.T) {
	w := newPairWorld(t, nil)
	api := elasticbeanstalk.NewFromConfig(w.platform.Config())
	stacks, err := api.ListAvailableSolutionStacks(t.Context(), &elasticbeanstalk.ListAvailableSolutionStacksInput{})
	require.NoError(t, err)
	_, err = api.CreateEnvironment(t.Context(), &elasticbeanstalk.CreateEnvironmentInput{
		ApplicationName: sdk.String("site"), EnvironmentName: sdk.String(green), SolutionStackName: sdk.String(goStack(stacks.SolutionStacks)),
	})
	require.NoError(t, err)
	before := w.changes()
	head, err := w.working.Head(t.Context())
	require.NoError(t, err)
	started, err := startRun(t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	status := w.ended(started.RunID)
	require.Equal(t, workflows.StateFailed, status.State)
	require.Contains(t, status.Stages[0].Detail, green+", beside the live "+blue+", is in the way")
	changed := w.since(before)
	delete(changed, "DeleteConfigurationTemplate") // of none
	require.Empty(t, changed)
	require.Equal(t, []string{blue, green}, w.standing())
}

// rollBack asks for an earlier version as `starter rollback` does, and waits for its end.
func (w *world) rollBack(version string) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	stage := w.config.Pipelines[0].Stages[0]
	request := rollbackRequest(place{application: "site", environment: blue, pipeline: "site", stage: &stage}, delivery.Version{Application: "site", Label: version}, workflows.Answer{By: "ana", Reason: "a test"})
	var receipt workflows.Receipt
	p := place{application: "site", environment: blue, pipeline: "site", stage: &stage}
	if err := askQueue(ctx, w.client, p, workflows.DeployUpdate, request.ID, request, &receipt); err != nil {
		return err
	}
	for {
		var status workflows.EnvironmentStatus
		if err := query(ctx, w.client, p.id(), &status); err != nil {
			return err
		}
		for _, record := range status.Recent {
			if record.Result.RequestID == request.ID {
				if record.Result.Outcome != delivery.OutcomeDeployed {
					return fmt.Errorf("%s: %s", record.Result.Outcome, record.Result.Reason)
				}
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// begun counts, by the platform's own events, what was begun on the application's environments.
func (w *world) begun() map[string]int {
	w.t.Helper()
	api := elasticbeanstalk.NewFromConfig(w.platform.Config())
	out, err := api.DescribeEvents(w.t.Context(), &elasticbeanstalk.DescribeEventsInput{ApplicationName: sdk.String("site"), MaxRecords: sdk.Int32(1000)})
	require.NoError(w.t, err)
	counted := map[string]int{}
	for _, event := range out.Events {
		if operation, starting := strings.CutSuffix(sdk.ToString(event.Message), " is starting."); starting {
			counted[operation]++
		}
	}
	return counted
}

func TestBlueGreenHappensOnceThoughManyCallsToAWSFail(t *testing.T) {
	w := newPairWorld(t, slowly)
	first := w.first()
	address := w.observe(blue).Address
	answered := w.load()
	before := w.begun()
	require.NoError(t, w.platform.SetFaults(aws.Faults{
		ThrottleCalls: 0.05, FailCalls: 0.05, DropCalls: 0.05, LoseAnswers: 0.15, StaleReads: faults.Duration(50 * time.Millisecond),
	}))
	good := w.ended(w.push("a good change", goodChange))
	ill := w.ended(w.push("a change that fails its health check", untestedChange))
	require.NoError(t, w.platform.SetFaults(aws.Faults{}))
	require.Equal(t, workflows.StateSucceeded, good.State, good.Detail)
	require.Equal(t, workflows.StateFailed, ill.State, ill.Detail)
	require.NotEqual(t, first.Version, good.Version)
	w.alone(blue, good.Version, address)
	after := w.begun()
	for operation, times := range map[string]int{"createEnvironment": 2, "swapEnvironmentCNAMEs": 2 /* one swap, told on both sides */, "terminateEnvironment": 2} {
		require.Equal(t, times, after[operation]-before[operation], operation)
	}
	templates, err := elasticbeanstalk.NewFromConfig(w.platform.Config()).DescribeApplications(t.Context(), &elasticbeanstalk.DescribeApplicationsInput{})
	require.NoError(t, err)
	require.Empty(t, templates.Applications[0].ConfigurationTemplates)
	answered()
}

func TestASecondStartFindsThePairAsItWas(t *testing.T) {
	w := newPairWorld(t, nil)
	first := w.first()
	address := w.observe(blue).Address
	options := w.options
	w.Close()
	again, err := startStack(context.Background(), options)
	require.NoError(t, err)
	t.Cleanup(again.Close)
	w.stack = again
	w.alone(green, first.Version, address)
}
