package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/internal/measures"
	"gravity/workflows"
)

// One server serves all of this; the parts build on what the parts before left.
func TestTheCommandsOnARealServer(t *testing.T) {
	b := newBench(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"nothing is there yet", nothingYet},
		{"a revision is deployed once, watched, approved, and ends with 0", deployedOnce},
		{"a run whose test fails ends with 1 and shows the output", testFails},
		{"a deployment under way is seen live, and aborted", seenLiveAndAborted},
		{"what a rejection ends ends with 1", rejectedRun},
		{"an environment is frozen and thawed", frozenAndThawed},
		{"a rollback goes back to the version before", rolledBack},
		{"everything is in the overview", inTheOverview},
		{"what was deployed is history, and measured", inTheHistory},
		{"a watch that is interrupted is no verdict", interruptedWatch},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, b.of(t)) }) {
			return
		}
	}
}

// of is the bench for a part of the test. What arrived in the parts before is forgotten.
func (b *bench) of(t *testing.T) *bench {
	for len(b.steps.arrived) > 0 {
		<-b.steps.arrived
	}
	part := *b
	part.t = t
	return &part
}

func nothingYet(t *testing.T, b *bench) {
	got := b.starter("status")
	assert.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Contains(t, got.stdout, "no runs yet; `starter deploy PIPELINE` starts one")
	all := as[overview](t, b.starter("status", "-o", "json").stdout)
	assert.NotNil(t, all.Runs)
	assert.Empty(t, all.Runs)

	for _, c := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"watch"}, "no run is going on"},
		{[]string{"watch", "run/site/" + shaA}, "there is no run run/site/" + shaA},
		{[]string{"approve", "site"}, "there is no run site"},
		{[]string{"deploy", "siet"}, `did you mean "site"?`},
		{[]string{"deploy", "site", "--revision", shaA}, "revision " + shaA + " is not in "},
		{[]string{"deploy", "site", "--branch", "other"}, "other is no branch"},
		{[]string{"thaw", "wbe"}, `there is no environment "wbe": there is site/web-staging, site/web-live`},
		{[]string{"thaw", "web-live"}, "web-live is not frozen"},
	} {
		got := b.starter(c.arguments...)
		assert.Equal(t, exitUsage, got.code, c.arguments)
		assert.Contains(t, got.stderr, c.says, c.arguments)
	}
}

func deployedOnce(t *testing.T, b *bench) {
	sha := b.commit("Version one")
	got := b.starter("deploy", "site", "-o", "json")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	first := as[deployed](t, got.stdout)
	assert.Equal(t, "run/site/"+sha, first.RunID)
	assert.False(t, first.Existing)
	assert.Equal(t, "Version one", first.Revision.Message)
	b.waiting(first.RunID)

	got = b.starter("deploy", "site", "--revision", sha[:8])
	assert.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Contains(t, got.stdout, "this revision has its run already")
	got = b.starter("deploy", "site", "--again")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "is running already: watch it, or abort it first")

	got = b.starter("approve", "site", "--stage", "staging")
	assert.Equal(t, exitUsage, got.code)
	assert.Equal(t, "starter: approve "+shortID(first.RunID)+": the run waits at the gate of live, not of staging\n", got.stderr)

	watched := b.begin("watch", "site")
	printed := b.begin("watch", first.RunID, "-o", "json")
	got = b.starter("approve", "--by", "ana", "--reason", "looks good")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Equal(t, shortID(first.RunID)+": approve by ana (live): looks good\n", got.stdout)

	text := <-watched
	assert.Equal(t, exitSuccess, text.code, text.stderr)
	assert.Contains(t, text.stdout, "approve by ana (live): looks good")
	assert.Contains(t, text.stdout, "succeeded  every stage is on site-")
	lines := strings.Split(strings.TrimSpace((<-printed).stdout), "\n")
	for _, line := range lines {
		assert.True(t, json.Valid([]byte(line)), line)
	}
	assert.Equal(t, workflows.StateSucceeded, as[runView](t, lines[len(lines)-1]).State)

	b.listed(first.RunID, workflows.StateSucceeded, 1)
	got = b.starter("approve", "site")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "the run has ended: succeeded")
}

func testFails(t *testing.T, b *bench) {
	sha := b.commit("This breaks the test")
	got := b.starter("deploy", "site", "--wait")
	assert.Equal(t, exitFailed, got.code, got.stderr)
	assert.Contains(t, got.stdout, "│ --- FAIL: the page differs")
	assert.Contains(t, got.stderr, "ended as failed: test: it ended with 1: ./test")

	b.listed("run/site/"+sha, workflows.StateFailed, 1)
	got = b.starter("status", "site/"+sha[:7])
	assert.Equal(t, exitSuccess, got.code, "to be told of a failure is a success")
	assert.Contains(t, got.stdout, "│ --- FAIL: the page differs")
	assert.NotContains(t, got.stdout, "\x1b")
	view := as[runView](t, b.starter("status", "run/site/"+sha, "-o", "json").stdout)
	assert.Equal(t, workflows.StateFailed, view.State)

	got = b.starter("watch", "run/site/"+sha)
	assert.Equal(t, exitFailed, got.code)
	got = b.starter("deploy", "site", "--again", "--wait", "-o", "json")
	assert.Equal(t, exitFailed, got.code, "run again, it fails again")
	assert.Contains(t, got.stderr, `"error":"run/site/`)
	b.listed("run/site/"+sha, workflows.StateFailed, 2) // from here on no search takes it for the one that goes on
}

func seenLiveAndAborted(t *testing.T, b *bench) {
	before := as[environmentView](t, b.starter("status", "-e", "web-staging", "-o", "json").stdout).LeftOn
	release := b.steps.hold()
	sha := b.commit("A wrong one")
	require.Equal(t, exitSuccess, b.starter("deploy", "site").code)
	b.until("AwaitHealth web-staging")
	b.listed("run/site/"+sha, workflows.StateDeploying, 1)
	var view runView
	require.Eventually(t, func() bool {
		view = as[runView](t, b.starter("status", "run/site/"+sha, "-o", "json").stdout)
		return len(view.Live) > 0 && view.Live[len(view.Live)-1].Progress != nil && view.Live[len(view.Live)-1].Progress.Event == "Launched i-1"
	}, timeoutOfLive, pauseOfLive, "the deployment's heartbeat is in the run's status")
	live := "web-staging is Updating, health Info, on " + view.Version + ", Launched i-1"
	assert.Contains(t, b.starter("status", "site").stdout, "→ "+live)
	got := b.starter("status", "-e", "site/staging")
	assert.Contains(t, got.stdout, "→ "+live, got.stderr)

	said := &transcript{}
	aborting := b.beginTo(said, "abort", "--reason", "wrong branch", "--by", "bo", "--wait")
	b.until("AwaitHealth web-staging") // the rollback's
	require.Eventually(t, func() bool {
		return strings.Contains(said.String(), "web-staging is Updating, health Info, on "+before+", Launched i-1")
	},
		timeoutOfLive, pauseOfLive, "the rollback is seen live too")
	release()
	done := <-aborting
	assert.Equal(t, exitSuccess, done.code, done.stderr)
	assert.Contains(t, done.stdout, "abort by bo: wrong branch")
	b.listed("run/site/"+sha, workflows.StateAborted, 1)
	got = b.starter("abort", "site/"+sha[:7], "--reason", "again")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "the run has ended: aborted")
	assert.Equal(t, exitFailed, b.starter("watch", "run/site/"+sha).code)
}

func rejectedRun(t *testing.T, b *bench) {
	sha := b.commit("Version two")
	watched := b.begin("deploy", "site", "--wait")
	b.until("AwaitHealth web-staging")
	require.Eventually(t, func() bool { return b.starter("reject", "--reason", "not now").code == exitSuccess }, timeoutOfLive, pauseOfLive)
	done := <-watched
	assert.Equal(t, exitFailed, done.code)
	assert.Contains(t, done.stderr, "ended as rejected: live: rejected by "+person()+": not now")
	b.listed("run/site/"+sha, workflows.StateRejected, 1)
}

func frozenAndThawed(t *testing.T, b *bench) {
	got := b.starter("freeze", "web-live", "--reason", "sale", "--by", "ana")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Contains(t, got.stdout, "frozen     by ana")
	got = b.starter("freeze", "site/live", "--reason", "sale")
	assert.Equal(t, exitUsage, got.code)
	assert.Equal(t, "starter: freeze web-live: web-live is frozen already: sale\n", got.stderr)
	view := as[environmentView](t, b.starter("thaw", "site/web-live", "-o", "json").stdout)
	assert.Nil(t, view.Frozen)
	assert.Equal(t, "web-live", view.Environment)
}

func rolledBack(t *testing.T, b *bench) {
	view := as[environmentView](t, b.starter("status", "-e", "web-staging", "-o", "json").stdout)
	on := view.LeftOn
	before := view.Recent[0].Version.Label
	require.NotEqual(t, on, before)

	got := b.starter("rollback", "web-staging", "--reason", "broken for guests", "--by", "ana")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Contains(t, got.stdout, "rolling back web-staging to "+before)
	assert.Contains(t, got.stdout, "deployed: healthy on "+before)
	view = as[environmentView](t, b.starter("status", "-e", "web-staging", "-o", "json").stdout)
	assert.Equal(t, before, view.LeftOn)

	got = b.starter("rollback", "web-staging", "--reason", "further")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "name one with --to")
	got = b.starter("rollback", "web-staging", "--reason", "forth after all", "--to", on, "--detach", "-o", "json")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Equal(t, on, as[requested](t, got.stdout).Version.Label)
}

func inTheOverview(t *testing.T, b *bench) {
	all := as[overview](t, b.starter("status", "-o", "json").stdout)
	states := map[string]workflows.RunState{}
	for _, run := range all.Runs {
		states[run.Message] = run.State
	}
	assert.Equal(t, map[string]workflows.RunState{
		"Version one": workflows.StateSucceeded, "This breaks the test": workflows.StateFailed,
		"A wrong one": workflows.StateAborted, "Version two": workflows.StateRejected,
	}, states)
	require.Len(t, all.Environments, 2)
	assert.Equal(t, []string{"web-live", "web-staging"}, []string{all.Environments[0].Environment, all.Environments[1].Environment})

	got := b.starter("status")
	assert.Regexp(t, `site/[0-9a-f]{12}  rejected   .*  Version two`, got.stdout)
	assert.Regexp(t, `site/web-staging  site-`, got.stdout)
}

func inTheHistory(t *testing.T, b *bench) {
	var all []measures.Deployment
	require.Eventually(t, func() bool { // visibility lags a moment behind
		all = as[[]measures.Deployment](t, b.starter("history", "-o", "json", "--environment", "web-staging").stdout)
		return len(all) >= 4
	}, timeoutOfLive, pauseOfLive, "two deployments, an aborted one, and two rollbacks of which one may still go on")
	assert.Equal(t, "site", all[0].Pipeline)
	assert.Equal(t, 2023, all[0].CommittedAt.Year())
	assert.Contains(t, b.starter("history", "--pipeline", "site").stdout, "web-staging")
	assert.Equal(t, exitUsage, b.starter("history", "--pipeline", "x' OR '1'='1").code)

	report := filepath.Join(t.TempDir(), "delivery.html")
	got := b.starter("stats", "--html", report)
	require.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Regexp(t, `site +web-staging +[0-9]+ +`, got.stdout)
	page, err := os.ReadFile(report)
	require.NoError(t, err)
	assert.Contains(t, string(page), "site on web-staging")
	assert.NotEmpty(t, as[measured](t, b.starter("stats", "-o", "json").stdout).Measures)
}

func interruptedWatch(t *testing.T, b *bench) {
	release := b.steps.hold()
	defer release()
	sha := b.commit("Version three")
	require.Equal(t, exitSuccess, b.starter("deploy", "site").code)
	b.until("AwaitHealth web-staging")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := b.starterWith(ctx, "watch", "run/site/"+sha)
	assert.Equal(t, exitInterrupted, got.code, got.stderr)

	require.NoError(t, b.client.TerminateWorkflow(t.Context(), delivery.RunID("site", sha), "", "by an operator"))
	got = b.starter("watch", "run/site/"+sha)
	assert.Equal(t, exitFailed, got.code, "a run that was ended from outside is no success")
	assert.Contains(t, got.stderr, "ended through Temporal: terminated")
}

// How long something that Temporal shows a moment later may take to show.
const (
	timeoutOfLive = 2 * time.Minute
	pauseOfLive   = 50 * time.Millisecond
)
