package proof

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/alarms"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
	"gravity/workflows"
)

const environment = "shop-production"

// tick is how often a story looks whether its moment has come, and its users ask for a page.
const tick = time.Second

// patience bounds a story in the bubble's time.
const patience = 4 * time.Hour

// story is one deployment from its request to its result, in a bubble, with what goes wrong meanwhile.
type story struct {
	testing.TB
	region   *lab.Region
	strategy delivery.Strategy
	// old is what the environment is on and was proven on, new what is asked for, next what is asked for after it.
	old, new, next delivery.Version
	stage          delivery.Stage
	address        string // that users have
	// reached reports whether the moment has come; act is what happens then, once.
	reached func(*story) bool
	act     func(*story, workflow.Context)
	// also checks what a row alone promises.
	also func(*story, delivery.Result)

	// askNow asks for the next version before the first deployment has ended.
	askNow bool
	// later is set where the next version is asked for when the first deployment has ended, or by act.
	later bool

	acted   bool
	actedAt time.Time
	endedAt time.Time // when the first result came
	asked   time.Time // when the next version was asked for
	began   time.Time // when the deployment was asked for
	ready   time.Time // when the update to the new version was over
	results []delivery.Result
	// proven is what kept the users' environment from being well when the first result came, and live the label that it was on.
	proven, live string
	// updatesAtResult are the environment's updates until then, and changes all that was begun since the story was prepared.
	updatesAtResult int
	changes         lab.Changes
	prepared        time.Time
	status          workflows.EnvironmentStatus
	users           users

	faults sync.Mutex // held while the stand-in's faults are changed

	mu    sync.Mutex
	steps []begunStep
	hold  string // step that is held up for a moment when it begins
}

// begunStep is a step that has begun.
type begunStep struct {
	name string
	at   time.Time
}

// users ask for a page now and then, from the beginning of a story to the end of its deployment.
type users struct {
	requests, failed int
	first            string
}

func (s *story) begins(step string) {
	s.mu.Lock()
	s.steps = append(s.steps, begunStep{step, time.Now()})
	held := s.hold == step
	s.mu.Unlock()
	if held {
		time.Sleep(12 * tick) // the platform looks after its instances every ten seconds
	}
}

// begunStep reports whether a step has begun.
func (s *story) begunStep(step string) bool { return len(s.begun(step)) > 0 }

// begun is when a step has begun, each time.
func (s *story) begun(step string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []time.Time
	for _, each := range s.steps {
		if each.name == step {
			times = append(times, each.at)
		}
	}
	return times
}

// play runs a story in the bubble that it is called in, and answers when all of it has ended.
func (s *story) play() {
	s.Helper()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	server := newServer(s.begins)
	env.SetWorkerOptions(worker.Options{
		Interceptors: []interceptor.WorkerInterceptor{server},
		// What happens in a story's moment may take a while of the bubble's time.
		DeadlockDetectionTimeout: time.Hour,
	})
	workflows.Register(env)
	site := activities.NewSite()
	site.HTTP = s.region.Server.HTTPClient()
	platform, pace := beanstalk.New(s.region.Server.Config(), beanstalk.DefaultPace), beanstalk.DefaultPace
	watched := alarms.New(s.region.Server.Config(), pace.Slow)
	env.RegisterActivity(&activities.Beanstalk{Client: platform, Alarms: watched})
	env.RegisterActivity(&activities.Bake{
		Platform: platform, Alarms: watched, Site: site, Calm: pace.Events, Hurry: pace.Fast, Attentive: pace.Slow,
	})
	env.RegisterActivity(site)
	over := make(chan struct{})
	env.RegisterActivityWithOptions(metronome(over), activity.RegisterOptions{Name: "Metronome"})
	env.RegisterWorkflowWithOptions(s.tell(env, over), workflow.RegisterOptions{Name: "Story"})
	env.SetOnChildWorkflowCompletedListener(func(info *workflow.Info, value converter.EncodedValue, err error) {
		if info.WorkflowType.Name == workflows.DeploymentWorkflow {
			result := resultOf(s, value, err)
			s.mu.Lock()
			s.results = append(s.results, result)
			s.mu.Unlock()
			if len(s.results) == 1 {
				s.endedAt = time.Now()
				s.inspect(s.results[0])
			}
		}
	})
	var around sync.WaitGroup
	around.Go(func() { s.every(over, s.visit) })
	around.Go(func() { s.every(over, s.look) })
	env.ExecuteWorkflow("Story")
	around.Wait()
	require.True(s, env.IsWorkflowCompleted())
	require.NoError(s, env.GetWorkflowError())
	status, err := env.QueryWorkflowByID(queueID, workflows.StatusQuery)
	require.NoError(s, err)
	require.NoError(s, status.Get(&s.status))
}

// inspect looks at the environment in the moment of the first result, whatever goes wrong with the calls of others.
func (s *story) inspect(result delivery.Result) {
	s.unfaulted(func() {
		var err error
		s.updatesAtResult, err = s.region.Updates(environment)
		require.NoError(s, err)
		s.changes, err = s.region.Changes(s.prepared)
		require.NoError(s, err)
		s.proven = s.whyNotWell(result.LeftOn)
		if live, err := s.region.Live(s.stage); err == nil {
			s.live = live.VersionLabel
		}
	})
}

// whyNotWell says what keeps the users' environment from being well on a version.
func (s *story) whyNotWell(label string) string {
	live, err := s.region.Live(s.stage)
	if err != nil {
		return err.Error()
	}
	return s.region.WhyNotWell(live.Name, label)
}

// updated is the name of the environment that the new version is brought to.
func (s *story) updated() string {
	if s.strategy == delivery.BlueGreen {
		return delivery.Green(environment)
	}
	return environment
}

// queueID is the environment's workflow.
var queueID = delivery.EnvironmentID(lab.Application, environment)

// resultOf reads the result that a deployment ends with, whether it succeeds or fails.
func resultOf(t require.TestingT, value converter.EncodedValue, err error) delivery.Result {
	var result delivery.Result
	if err == nil {
		require.NoError(t, value.Get(&result))
		return result
	}
	var failure *temporal.ApplicationError
	require.True(t, errors.As(err, &failure), "a deployment fails with its result: %v", err)
	require.NoError(t, failure.Details(&result))
	return result
}

// tell is the workflow around a story: it asks the environment's queue for the two deployments,
// makes happen what is to happen, and ends the queue when they have ended.
func (s *story) tell(env *testsuite.TestWorkflowEnvironment, over chan struct{}) func(workflow.Context) error {
	return func(ctx workflow.Context) error {
		defer close(over)
		activityContext := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * patience})
		workflow.ExecuteActivity(activityContext, "Metronome")
		queueContext, endQueue := workflow.WithCancel(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: queueID}))
		s.began = time.Now()
		waiting := []workflows.QueuedRequest{{Request: s.request(1, s.new), At: s.began}}
		if !s.later {
			s.asked = s.began
			waiting = append(waiting, workflows.QueuedRequest{Request: s.request(2, s.next), At: s.began})
		}
		queue := workflow.ExecuteChildWorkflow(queueContext, workflows.EnvironmentWorkflow, workflows.EnvironmentInput{
			Application: lab.Application, Environment: environment, LeftOn: s.old.Label, Good: &s.old, Waiting: waiting,
		})
		for !s.ended() {
			if err := workflow.Sleep(ctx, tick); err != nil {
				return err
			}
			s.pass(ctx)
			if s.asked.IsZero() && (s.askNow || len(s.results) > 0) {
				s.asked = time.Now()
				s.ask(env)
			}
		}
		endQueue()
		err := queue.Get(ctx, nil)
		if temporal.IsCanceledError(err) {
			return nil
		}
		return err
	}
}

// ended reports whether nothing more will happen: both deployments have ended, or the first one needs
// a person and the second one waits.
func (s *story) ended() bool {
	if len(s.results) == 1 {
		return s.results[0].Outcome == delivery.OutcomeNeedsAttention && !s.asked.IsZero() && time.Since(s.asked) > tick
	}
	return len(s.results) > 1 || time.Since(s.began) > patience
}

// request asks for a version.
func (s *story) request(n int, version delivery.Version) delivery.Request {
	return delivery.Request{ID: fmt.Sprintf("production/%d", n), Pipeline: lab.Application, Stage: s.stage, Version: version}
}

// ask puts the next version into the queue, as its run does.
func (s *story) ask(env *testsuite.TestWorkflowEnvironment) {
	refused := func(err error) { assert.NoError(s, err, "the queue takes the next request") }
	require.NoError(s, env.UpdateWorkflowByID(queueID, workflows.DeployUpdate, "production/2", &testsuite.TestUpdateCallback{
		OnAccept: func() {}, OnReject: refused, OnComplete: func(_ any, err error) { refused(err) },
	}, s.request(2, s.next)))
}

// pass is one tick.
func (s *story) pass(ctx workflow.Context) {
	if s.act != nil && !s.acted && s.reached(s) {
		s.acted, s.actedAt = true, time.Now()
		s.act(s, ctx)
	}
}

// every does something once a tick until a story is over.
func (s *story) every(over <-chan struct{}, do func()) {
	for {
		select {
		case <-over:
			return
		case <-time.After(tick):
			do()
		}
	}
}

// look notes when the update to the new version is over.
func (s *story) look() {
	if s.isReady() {
		return
	}
	var observed delivery.Observation
	var err error
	s.unfaulted(func() { observed, err = s.region.Look(s.updated()) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && observed.Ready() && observed.VersionLabel == s.new.Label {
		s.ready = time.Now()
	}
}

// isReady reports whether the update to the new version is over.
func (s *story) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ready.IsZero()
}

// unfaulted asks the platform what it would say if nothing went wrong with its answers.
func (s *story) unfaulted(ask func()) {
	s.faults.Lock()
	defer s.faults.Unlock()
	suffered := s.region.Server.Faults()
	require.NoError(s, s.region.Server.SetFaults(aws.Faults{Instances: suffered.Instances, NeverEnd: suffered.NeverEnd}))
	ask()
	require.NoError(s, s.region.Server.SetFaults(suffered))
}

// suffer sets what goes wrong at the stand-in from now on.
func (s *story) suffer(f aws.Faults) {
	s.faults.Lock()
	defer s.faults.Unlock()
	require.NoError(s, s.region.Server.SetFaults(f))
}

// visit is what users do, until the deployment has ended.
func (s *story) visit() {
	s.mu.Lock()
	ended := len(s.results) > 0
	s.mu.Unlock()
	if ended {
		return
	}
	client := s.region.Server.HTTPClient()
	for range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/", nil)
		require.NoError(s, err)
		s.users.requests++
		response, err := client.Do(request)
		cancel()
		if err == nil {
			require.NoError(s, response.Body.Close())
		}
		problem := ""
		switch {
		case err != nil:
			problem = err.Error()
		case response.StatusCode != http.StatusOK:
			problem = response.Status
		}
		if problem != "" {
			s.users.failed++
			if s.users.first == "" {
				s.users.first = time.Since(s.began).String() + ": " + problem
			}
		}
	}
}

// inBubble starts a region in a bubble of its own, at AWS's pace, and ends everything after the tale.
func inBubble(t *testing.T, tell func(t *testing.T, region *lab.Region)) {
	t.Helper()
	directory := t.TempDir() // outside of the bubble, whose test ends before its last file is written
	synctest.Test(t, func(t *testing.T) {
		region, err := lab.NewRegion(aws.Options{DataDir: directory, Seed: 1, Pace: aws.RealPace(), InProcess: true})
		require.NoError(t, err)
		defer func() { require.NoError(t, region.Close()) }()
		tell(t, region)
		time.Sleep(time.Hour) // of the bubble's time: what was begun, and nobody waits for, comes to its end
	})
}
