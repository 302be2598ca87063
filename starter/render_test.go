package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"

	"gravity/activities"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/workflows"
)

const hostile = "fix \x1b[31mred\x1b[0m \x1b]0;title\x07\r\nsecond\u202eline"

func failedView() runView {
	at := time.Date(2026, 11, 20, 10, 15, 0, 0, time.Local)
	return runView{RunStatus: workflows.RunStatus{
		RunID: delivery.RunID("site", shaA), Pipeline: "site", State: workflows.StateFailed, Build: workflows.StateSucceeded,
		Revision: delivery.Revision{SHA: shaA, Ref: "refs/heads/main", Author: "Ana\x1b[2J", Message: hostile},
		Version:  "site-1", Detail: "production: did not become healthy",
		StartedAt: at, EndedAt: at.Add(3*time.Minute + 400*time.Millisecond),
		Stages: []workflows.StageStatus{
			{Stage: "staging", Environment: "site-staging", State: workflows.StateSucceeded, Detail: "healthy on site-1"},
			{Stage: "production", Environment: "site-production", State: workflows.StateFailed, Detail: "taken back", Evidence: []string{"WARN 2 of 2 instances\x07 severe"}},
			{Stage: "eu", Environment: "site-eu", State: workflows.StatePending, Detail: "not shown"},
		},
		Answers: []workflows.RecordedAnswer{{Answer: workflows.Answer{By: "bo", Reason: "go", Stage: "production"}, Verb: "approve", At: at.Add(time.Minute)}},
		Output:  "--- FAIL\n\tline\x1b[K two\n",
	}}
}

const failedText = `run/site/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  fix red secondline
by Ana, pushed to main, started 20 Nov 10:15, took 3m0s
failed  production: did not become healthy

  STAGE       ENVIRONMENT      STATE
  build                        succeeded  site-1
  staging     site-staging     succeeded  healthy on site-1
  production  site-production  failed     taken back
  eu          site-eu          pending

answers
  20 Nov 10:16  approve by bo (production): go

evidence from site-production
  - WARN 2 of 2 instances severe

the failed command printed
  │ --- FAIL
  │     line two
`

func TestARunIsShownWholeAndHarmless(t *testing.T) {
	var text bytes.Buffer
	renderRun(&text, failedView(), style{})
	assert.Equal(t, failedText, text.String())
}

func TestWhatBecameOfTheTestsIsNamedAndNothingIsPassedSilently(t *testing.T) {
	view := failedView()
	view.Tests = &workflows.TestStatus{
		Tests: 12, Passed: 10, Failed: 1, Skipped: 1, Flaky: true,
		Jobs: []workflows.TestJob{
			{Name: "SHARD=1", State: workflows.StateSucceeded, Attempts: 2, Flaky: true},
			{Name: "SHARD=2", State: workflows.StateFailed, Reason: "failed with exit code 1"},
		},
		FailedTests: []workflows.NamedTest{{FailedTest: activities.FailedTest{Name: "shop.TestPrices\x1b[2J", Message: "12 instead of 13\n"}, Job: "SHARD=2"}},
		FlakyTests:  []workflows.NamedTest{{FailedTest: activities.FailedTest{Name: "shop.TestClock"}, Job: "SHARD=1"}},
		Problems:    []string{"out.xml: no XML"},
	}
	var text bytes.Buffer
	renderRun(&text, view, style{})
	assert.Contains(t, text.String(), `
tests  1 of 2 jobs passed, 1 failed (SHARD=2); 12 tests, 1 failed, 1 skipped; failed: shop.TestPrices; flaky: SHARD=1 passed at attempt 2 (shop.TestClock failed before)
  failed  SHARD=2  failed with exit code 1
  ✗ shop.TestPrices (SHARD=2)  12 instead of 13
  flaky shop.TestClock (SHARD=1)
  a report cannot be read: out.xml: no XML
`)
}

func TestALiveCommandShowsItsLastLine(t *testing.T) {
	payload, err := converter.GetDefaultDataConverter().ToPayload(activities.CommandProgress{
		CommandLog: activities.CommandLog{Command: "test SHARD=2", Key: "k"}, Text: "first\nok  \tsite 0.1s\n\n", End: 20,
	})
	require.NoError(t, err)
	var step liveStep
	step.read(converter.GetDefaultDataConverter(), payload)
	assert.Equal(t, "test SHARD=2: ok site 0.1s", step.String())
	assert.EqualValues(t, 20, step.Output.End)
}

func TestColoursAddNothingButColours(t *testing.T) {
	var painted bytes.Buffer
	renderRun(&painted, failedView(), style{colour: true})
	assert.Contains(t, painted.String(), "\x1b[31mfailed\x1b[0m")
	assert.Equal(t, failedText, cleanLines(painted.String())+"\n")
}

func TestNothingIsPaintedWhereNobodySeesIt(t *testing.T) {
	assert.False(t, styleOf(&bytes.Buffer{}).colour)
	assert.False(t, canRedraw(&bytes.Buffer{}))
}

func TestALiveStepSaysWhatItSees(t *testing.T) {
	for want, step := range map[string]liveStep{
		"web is Updating, health Info, on v2, Added instance i-1": {Step: "AwaitHealth", Attempt: 1, Progress: &beanstalk.Progress{Environment: "web", Status: "Updating", Health: "Info", Version: "v2", Event: "Added instance\n i-1"}},
		"web is Ready, the platform cannot be asked: throttled":   {Step: "AwaitHealth", Progress: &beanstalk.Progress{Environment: "web", Status: "Ready", Trouble: "throttled"}},
		"Run: ok site 0.1s": {Step: "Run", Line: "ok  \tsite 0.1s"},
		"Upload, attempt 3, after: the bucket is not there": {Step: "Upload", Attempt: 3, Failure: "the bucket is not there"},
		"": {Step: "Checkout", Attempt: 1},
	} {
		assert.Equal(t, want, step.String())
	}
}

func TestAnEnvironmentShowsItsQueueAndItsNewestDeploymentFirst(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 15, 0, 0, time.Local)
	older, newer := deployedRecord("v1", "r1", delivery.OutcomeDeployed), deployedRecord("v2", "r2", delivery.OutcomeRolledBack)
	older.At, newer.At = at, at.Add(time.Hour)
	view := environmentView{EnvironmentStatus: workflows.EnvironmentStatus{
		Application: "site", Environment: "web", LeftOn: "v1", Good: &older.Version,
		Running: &workflows.QueuedRequest{Request: delivery.Request{Version: delivery.Version{Label: "v3"}}, At: at, Deployment: "deployment/site/web/3"},
		Waiting: []workflows.QueuedRequest{{Request: delivery.Request{Version: delivery.Version{Label: "v4"}}, At: at}},
		Frozen:  &workflows.Freeze{By: "ana", Reason: "sale", At: at},
		Recent:  []workflows.DeploymentRecord{older, newer},
	}}
	var text bytes.Buffer
	renderEnvironment(&text, view, style{})
	assert.Equal(t, `site/web
  on         v1
  last good  v1
  frozen     by ana, 20 Nov 10:15: sale
  deploying  v3, since 20 Nov 10:15 (deployment/site/web/3)
  waiting    1. v4, since 20 Nov 10:15

last deployments
  20 Nov 11:15  v2  rolled back
  20 Nov 10:15  v1  deployed
`, text.String())
}

func TestAScreenDrawsOverItselfAndAppendsElsewhere(t *testing.T) {
	going := failedView()
	going.State, going.EndedAt, going.Detail = workflows.StateDeploying, time.Time{}, strings.Repeat("wide ", 40)
	var out bytes.Buffer
	s := &screen{out: &out, errors: &out, style: style{colour: true}, redraw: true, width: 40, height: 6}
	s.show(runSight{going})
	require.Equal(t, 5, strings.Count(out.String(), "\n"), "it fits the screen")
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, width(strings.TrimRight(line, "\n")), 40)
	}
	out.Reset()
	s.show(runSight{failedView()})
	assert.True(t, strings.HasPrefix(out.String(), "\x1b[5F\x1b[J"), "over the last drawing")
	assert.Contains(t, out.String(), "the failed command printed", "the last drawing is whole")

	out.Reset()
	s = &screen{out: &out, errors: &out, width: 40, height: 6}
	s.show(runSight{going})
	s.show(runSight{going})
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), "what did not change is not repeated: %s", out.String())
	s.trouble("no worker answers")
	s.trouble("no worker answers")
	assert.Equal(t, 1, strings.Count(out.String(), "no worker answers"))
}
