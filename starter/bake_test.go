package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"

	"gravity/activities"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/workflows"
)

// oneStage gives the pipeline staging alone, with more keys.
func oneStage(t *testing.T, keys ...string) func(*stackOptions) {
	return func(o *stackOptions) {
		config := siteConfig[:strings.Index(siteConfig, "        health: {check: {path: /health}}")]
		for _, key := range keys {
			config += "        " + key + "\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(o.Site, "gravity.yaml"), []byte(config), 0o644))
	}
}

// start starts the run of the newest revision.
func (w *world) start() string {
	w.t.Helper()
	head, err := w.working.Head(w.t.Context())
	require.NoError(w.t, err)
	started, err := startRun(w.t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(w.t, err)
	return started.RunID
}

// baking waits until a deployment on staging is in its bake, and answers with its ID.
func (w *world) baking(number int) string {
	w.t.Helper()
	id := delivery.DeploymentID("site", "site-staging", number)
	w.eventually(id+" bakes", func() bool { return w.phase(number) == workflows.PhaseBake })
	return id
}

// phase is where a deployment on staging stands; empty where it cannot be asked.
func (w *world) phase(number int) workflows.Phase {
	var status workflows.DeploymentStatus
	if query(w.t.Context(), w.client, delivery.DeploymentID("site", "site-staging", number), &status) != nil {
		return ""
	}
	return status.Phase
}

// endBake ends a deployment's bake as its environment does when a newer request comes.
func (w *world) endBake(deployment string) {
	w.t.Helper()
	require.NoError(w.t, w.client.SignalWorkflow(w.t.Context(), deployment, "", workflows.EndBakeSignal,
		workflows.Answer{By: "Environment", Reason: "a newer request: site-3"}))
}

// eventAt is when the platform last said something of staging that matches.
func (w *world) eventAt(says string) time.Time {
	w.t.Helper()
	api := elasticbeanstalk.NewFromConfig(w.platform.Config())
	out, err := api.DescribeEvents(w.t.Context(), &elasticbeanstalk.DescribeEventsInput{EnvironmentName: sdk.String("site-staging")})
	require.NoError(w.t, err)
	for _, event := range out.Events { // newest first
		if regexp.MustCompile(says).MatchString(sdk.ToString(event.Message)) {
			return *event.EventDate
		}
	}
	require.Fail(w.t, "no such event: "+says)
	return time.Time{}
}

func TestAVersionThatFallsIllDuringItsBakeIsTakenBackAndANewerRequestEndsABakeEarly(t *testing.T) {
	w := newWorld(t, oneStage(t, "bake: 1h", `health: {check: {path: /health}, probe: {run: 'test -n "$GRAVITY_URL"'}}`))
	first := w.start()
	w.endBake(w.baking(1))
	released := w.ended(first)
	require.Equal(t, workflows.StateSucceeded, released.State, released.Detail)
	require.Contains(t, released.Stages[0].Detail, "bake ended early: a newer request: site-3")

	runID := w.push("a change that is good at first", goodChange)
	deployment := w.baking(2)
	ill := w.observe("site-staging")
	require.NotEqual(t, released.Version, ill.VersionLabel)
	require.NoError(t, w.platform.SetFaults(aws.Faults{Instances: []faults.Instance{{Kind: faults.Hang, Version: ill.VersionLabel}}}))
	status := w.ended(runID)
	require.Equal(t, workflows.StateFailed, status.State, status.Detail)
	require.Equal(t, released.Version, status.Stages[0].LeftOn, status.Detail)
	require.Contains(t, status.Detail, "did not stay healthy")
	require.NotEmpty(t, status.Stages[0].Evidence)
	w.provenOn(released.Version)
	took := w.eventAt("Environment update is starting.").Sub(w.eventAt("Environment health has transitioned from (Ok|Info) to (Warning|Degraded|Severe)"))
	t.Logf("from failed health to the rollback's update: %s, of which %s is the steady time", took, 50*time.Millisecond)
	require.Less(t, took, time.Minute, "an hour of bake is left; how soon it is on a machine that does nothing else is what internal/bench measures")
	w.record(deployment, "Deployment", "bake-failed")
	w.record(delivery.DeploymentID("site", "site-staging", 1), "Deployment", "bake-ended-early")
}

func TestABakeThatNothingHappensInEndsGoodAndAnAbortDuringItTakesBack(t *testing.T) {
	w := newWorld(t, oneStage(t, "bake: 2s", "health: {check: {path: /health}}"))
	released := w.ended(w.start())
	require.Equal(t, workflows.StateSucceeded, released.State, released.Detail)
	deployment := delivery.DeploymentID("site", "site-staging", 1)
	count, byType := w.events(deployment)
	t.Logf("%d events: %v", count, byType)
	w.record(deployment, "Deployment", "baked")

	// The bake that is aborted does not end by itself meanwhile.
	w.git.SetWebhook("", nil)
	require.NoError(t, goodChange(w.working))
	sha, err := w.working.Commit(t.Context(), "a change of mind")
	require.NoError(t, err)
	require.NoError(t, w.working.Push(t.Context(), "main"))
	pipeline := w.config.Pipelines[0]
	stage := pipeline.Stages[0]
	stage.Bake = delivery.Duration(time.Hour)
	pipeline.Stages = []delivery.Stage{stage}
	started, err := startRun(t.Context(), w.client, pipeline, delivery.Revision{SHA: sha, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	w.baking(2)
	require.NoError(t, w.client.SignalWorkflow(t.Context(), started.RunID, "", workflows.AbortSignal, workflows.Answer{By: "ana", Reason: "the numbers look odd"}))
	aborted := w.ended(started.RunID)
	require.Equal(t, workflows.StateAborted, aborted.State, aborted.Detail)
	require.Contains(t, aborted.Detail, "the numbers look odd")
	require.Equal(t, released.Version, aborted.Stages[0].LeftOn)
	w.provenOn(released.Version)
}

func TestAlarmsHaveToExistAndOneThatIsRaisedDuringTheBakeTakesBack(t *testing.T) {
	w := newWorld(t, oneStage(t, "bake: 1h", "health: {alarms: [site-errors]}"))
	refused := w.ended(w.start())
	require.Equal(t, workflows.StateFailed, refused.State)
	require.Contains(t, refused.Detail, "site-errors")
	require.Zero(t, w.updates(), "nothing was changed")

	require.NoError(t, w.platform.SetAlarm("site-errors", "OK", "Quiet."))
	first := w.push("a good change", goodChange)
	w.endBake(w.baking(2))
	released := w.ended(first)
	require.Equal(t, workflows.StateSucceeded, released.State, released.Detail)

	second := w.push("another good change", goodChange)
	w.baking(3)
	require.NoError(t, w.platform.SetAlarm("site-errors", "ALARM", "Threshold Crossed: 1 datapoint was greater than the threshold (1.0)."))
	status := w.ended(second)
	require.Equal(t, workflows.StateFailed, status.State, status.Detail)
	require.Contains(t, status.Detail, "alarm site-errors is raised: Threshold Crossed")
	require.Equal(t, released.Version, status.Stages[0].LeftOn)
	w.provenOn(released.Version)
}

func TestAVersionThatIsSlowerThanTheOldOneIsTakenBackBeforeItGetsAllTheTraffic(t *testing.T) {
	w := newWorld(t, func(o *stackOptions) {
		oneStage(t, "strategy: traffic-splitting", "health: {check: {path: /health}, compare: {latency: 2, least: 2}}")(o)
		o.Platform.HealthInterval = 300 * time.Millisecond
		o.Platform.OptionScale = 1.0 / 20 // the evaluation takes a quarter of a minute
		o.Platform.ConsecutiveChecks = 2
	})
	released := w.ended(w.start())
	require.Equal(t, workflows.StateSucceeded, released.State, released.Detail)
	address := "http://" + w.observe("site-staging").Address
	users := startLoad(t.Context(), slices.Repeat([]string{address}, 6))
	defer users.stop()
	next := w.push("a change that is slow", goodChange)
	var version string
	w.eventually("the version is known", func() bool {
		status, err := w.runStatus(t.Context(), next)
		version = status.Version
		return err == nil && version != ""
	})
	// Twice as slow as the old one is even on a busy machine, and quick enough for the load balancer's checks, which wait a second.
	require.NoError(t, w.platform.SetFaults(aws.Faults{Instances: []faults.Instance{
		{Kind: faults.Slow, Version: version, Delay: faults.Duration(300 * time.Millisecond)},
	}}))
	status := w.ended(next)
	require.Equal(t, workflows.StateFailed, status.State, status.Detail)
	require.Contains(t, status.Detail, "does worse on "+version)
	require.Equal(t, released.Version, status.Stages[0].LeftOn)
	require.Equal(t, 1, w.platform.Calls()["AbortEnvironmentUpdate"])
	w.provenOn(released.Version)
	_, failed, why := users.stop()
	require.Zero(t, failed, why)
}

func TestABakeGoesOnWhereItWasAfterItsWorkerDied(t *testing.T) {
	const bake = 30 * time.Second
	w := newWorld(t, func(o *stackOptions) {
		oneStage(t, "bake: "+bake.String(), "health: {check: {path: /health}}")(o)
		o.NoWorker = true
	})
	kill := w.startWorkerProcess()
	runID := w.start()
	deployment := w.baking(1)
	kill()
	defer w.startWorkerProcess()()
	status := w.ended(runID)
	require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)
	input, ended, last := w.baked(deployment)
	require.Greater(t, last.Attempt, int32(1))
	require.False(t, ended.Before(input.Until), "it lasted until the end that was set when it began")
	// A heartbeat had to be missed for 20 s first. A bake that began anew would take all of its time after that.
	t.Logf("attempt %d lasted %s", last.Attempt, ended.Sub(last.Started))
	require.Less(t, ended.Sub(last.Started), bake)
	_, byType := w.events(deployment)
	require.Equal(t, 6, byType[enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED], "the bake is one step, whoever does it")
	require.Equal(t, 6, byType[enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED])
}

// attempt is one attempt of a step.
type attempt struct {
	Attempt int32
	Started time.Time
}

// baked is what a deployment's bake was told, when it ended, and its last attempt.
func (w *world) baked(deployment string) (input activities.BakeInput, ended time.Time, last attempt) {
	w.t.Helper()
	var scheduled int64
	events := w.client.GetWorkflowHistory(w.t.Context(), deployment, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(w.t, err)
		if step := event.GetActivityTaskScheduledEventAttributes(); step.GetActivityType().GetName() == "Bake" {
			scheduled = event.GetEventId()
			require.NoError(w.t, converter.GetDefaultDataConverter().FromPayloads(step.GetInput(), &input))
		}
		if step := event.GetActivityTaskStartedEventAttributes(); step != nil && step.GetScheduledEventId() == scheduled {
			last = attempt{step.GetAttempt(), event.GetEventTime().AsTime()}
		}
		if step := event.GetActivityTaskCompletedEventAttributes(); step != nil && step.GetScheduledEventId() == scheduled {
			ended = event.GetEventTime().AsTime()
		}
	}
	require.NotZero(w.t, ended, "it baked")
	return input, ended, last
}

// events counts the events of a workflow's history, by type.
func (w *world) events(workflowID string) (count int, byType map[enums.EventType]int) {
	w.t.Helper()
	byType = map[enums.EventType]int{}
	events := w.client.GetWorkflowHistory(w.t.Context(), workflowID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(w.t, err)
		count++
		byType[event.GetEventType()]++
	}
	return count, byType
}

// atRest waits until a workflow has nothing left to do of what has happened: a run ends a moment before the environment
// has noted the end of its deployment.
func (w *world) atRest(workflowID string) {
	w.t.Helper()
	w.eventually(workflowID+" is at rest", func() bool {
		described, err := w.client.DescribeWorkflowExecution(w.t.Context(), workflowID, "")
		return err == nil && described.GetPendingWorkflowTask() == nil && len(described.GetPendingChildren()) == 0
	})
}

// onTime counts without the workflow tasks that a machine with other things to do let time out.
func onTime(count int, byType map[enums.EventType]int) int {
	completed := byType[enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
	return count - byType[enums.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT] -
		(byType[enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED] - completed) - (byType[enums.EVENT_TYPE_WORKFLOW_TASK_STARTED] - completed)
}

// A plain deployment that goes well has to stay short, whatever else a stage can ask for. The second one is
// counted: what an environment's history begins with, once in fifty deployments, is not part of any.
func TestADeploymentThatGoesWellHasFewEvents(t *testing.T) {
	w := newWorld(t, oneStage(t, "health: {check: {path: /health}}"))
	require.Equal(t, workflows.StateSucceeded, w.ended(w.start()).State)
	w.atRest(delivery.EnvironmentID("site", "site-staging"))
	before := onTime(w.events(delivery.EnvironmentID("site", "site-staging")))
	require.Equal(t, workflows.StateSucceeded, w.ended(w.push("the next change", goodChange)).State)
	w.atRest(delivery.EnvironmentID("site", "site-staging"))
	after := onTime(w.events(delivery.EnvironmentID("site", "site-staging")))
	deployment, byType := w.events(delivery.DeploymentID("site", "site-staging", 2))
	deployment = onTime(deployment, byType)
	t.Logf("%d events of the environment, %d of the deployment: %v", after-before, deployment, byType)
	require.LessOrEqual(t, after-before+deployment, 60)
}
