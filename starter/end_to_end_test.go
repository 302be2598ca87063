package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/git"
	"gravity/internal/proof/lab"
	"gravity/internal/webhook"
	"gravity/workflows"
)

func TestAPushBecomesAReleaseOrIsTakenBackWhileTheSiteKeepsAnswering(t *testing.T) {
	w := newWorld(t, nil)
	w.release()
	users := startLoad(t.Context(), []string{"http://" + w.observe("site-staging").Address, "http://" + w.observe("site-production").Address})
	defer users.stop()

	good := w.push("a good change", goodChange)
	w.approve(good)
	released := w.ended(good)
	require.Equal(t, workflows.StateSucceeded, released.State, released.Detail)
	for _, environment := range []string{"site-staging", "site-production"} {
		observed := w.observe(environment)
		require.Equal(t, released.Version, observed.VersionLabel)
		require.Len(t, observed.Instances, 2)
	}
	w.record(good, "Pipeline", "good")
	w.record(delivery.DeploymentID("site", "site-staging", 2), "Deployment", "good")

	sent := w.updates()
	broken := w.push("a change that breaks the test", func(g *git.Working) error {
		return g.Replace("index.html", "Automation for the people</h1>", "Automation for nobody</h1>")
	})
	status := w.ended(broken)
	require.Equal(t, workflows.StateFailed, status.State)
	require.Equal(t, workflows.StateFailed, status.Build)
	require.Equal(t, sent, w.updates(), "nothing was sent to the platform")
	w.record(broken, "Pipeline", "failing-test")

	before := w.observe("site-staging")
	ill := w.push("a change that fails its health check", func(g *git.Working) error {
		if err := g.Replace("index.html", "Automation for nobody</h1>", "Automation for the people</h1>"); err != nil {
			return err
		}
		return untestedChange(g)
	})
	status = w.ended(ill)
	require.Equal(t, workflows.StateFailed, status.State, status.Detail)
	require.Equal(t, workflows.StateSucceeded, status.Build)
	require.Equal(t, released.Version, status.Stages[0].LeftOn)
	require.NotEmpty(t, status.Stages[0].Evidence)
	after := w.observe("site-staging")
	require.Equal(t, released.Version, after.VersionLabel)
	require.ElementsMatch(t, instancesOf(before), instancesOf(after), "the old instances were never replaced")
	require.Equal(t, sent+1, w.updates(), "the platform took it back by itself, and nothing was sent again")
	w.record(ill, "Pipeline", "failing-health")
	w.record(delivery.DeploymentID("site", "site-staging", 3), "Deployment", "taken-back")
	w.record(delivery.EnvironmentID("site", "site-staging"), "Environment", "three-deployments")

	requests, failed, first := users.stop()
	require.Positive(t, requests)
	require.Zero(t, failed, first)
	w.keepsItsSecrets()
}

// keepsItsSecrets searches everything that Temporal stores of this test, and everything that was
// logged, for the secrets that were used.
func (w *world) keepsItsSecrets(planted ...string) {
	w.t.Helper()
	keys, err := w.platform.Config().Credentials.Retrieve(w.t.Context())
	require.NoError(w.t, err)
	webhookSecret, err := keptSecret(filepath.Join(w.options.Directory, "webhook-secret"))
	require.NoError(w.t, err)
	secrets := append([]string{keys.SecretAccessKey, string(webhookSecret)}, planted...)

	stored, workflows, err := lab.Stored(w.t.Context(), w.client)
	require.NoError(w.t, err)
	require.Greater(w.t, workflows, 2)
	require.Contains(w.t, string(stored), "site-staging", "the search would find what is there")
	logged, err := os.ReadFile(w.log)
	require.NoError(w.t, err)
	for _, secret := range secrets {
		require.NotContains(w.t, string(stored), secret)
		require.NotContains(w.t, string(logged), secret)
	}
}

// stall keeps updates from ending by themselves, so that what a test does during one comes during it on a slow
// machine too.
func (w *world) stall() {
	w.t.Helper()
	require.NoError(w.t, w.platform.SetFaults(aws.Faults{NeverEnd: []string{"*"}}))
}

// goOn ends what stall began.
func (w *world) goOn() {
	w.t.Helper()
	require.NoError(w.t, w.platform.SetFaults(aws.Faults{}))
}

// slowly is a platform that gives a test time to do something during an update.
func slowly(o *stackOptions) {
	o.Platform = aws.TestPace()
	o.Platform.Boot = time.Second
}

func TestAnAbortDuringTheUpdateLeavesTheEnvironmentOnItsLastGoodVersion(t *testing.T) {
	w := newWorld(t, slowly)
	w.release()
	before := w.observe("site-staging")
	w.stall()
	runID := w.push("a change of mind", goodChange)
	w.eventually("the update is under way", func() bool { return w.observe("site-staging").Status == "Updating" })

	// As Temporal's web UI sends it: by name, with a sentence.
	require.NoError(t, w.client.SignalWorkflow(t.Context(), runID, "", workflows.AbortSignal, "wrong day"))
	w.eventually("the update is aborted", func() bool { return w.platform.Calls()["AbortEnvironmentUpdate"] > 0 })
	w.goOn()
	status := w.ended(runID)
	require.Equal(t, workflows.StateAborted, status.State, status.Detail)
	require.Contains(t, status.Detail, "wrong day")
	after := w.observe("site-staging")
	require.True(t, after.Ready())
	require.Equal(t, before.VersionLabel, after.VersionLabel)
	require.ElementsMatch(t, instancesOf(before), instancesOf(after))
	require.Equal(t, 1, w.platform.Calls()["AbortEnvironmentUpdate"])
	w.record(runID, "Pipeline", "aborted")
	w.record(delivery.DeploymentID("site", "site-staging", 2), "Deployment", "aborted")

	// The environment's queue is not stuck: the next push is released.
	next := w.push("a better day", goodChange)
	w.approve(next)
	require.Equal(t, workflows.StateSucceeded, w.ended(next).State)
}

func TestAWorkerKilledDuringTheHealthWaitIsReplacedAndTheUpdateIsNotSentTwice(t *testing.T) {
	w := newWorld(t, func(o *stackOptions) {
		slowly(o)
		o.NoWorker = true
	})
	kill := w.startWorkerProcess()
	w.release()
	sent := w.updates()
	w.stall()
	runID := w.push("a good change", goodChange)
	w.eventually("the update is under way", func() bool { return w.observe("site-staging").Status == "Updating" })
	w.eventually("its health is waited for", func() bool { return w.pending("AwaitHealth") })
	kill()
	w.goOn()
	defer w.startWorkerProcess()()

	w.approve(runID)
	status := w.ended(runID)
	require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)
	require.Equal(t, sent+2, w.updates(), "one update for each stage, and not one more")
	w.record(delivery.DeploymentID("site", "site-staging", 2), "Deployment", "worker-killed")
}

// pending reports whether the second deployment on staging has such an activity under way.
func (w *world) pending(activity string) bool {
	described, err := w.client.DescribeWorkflowExecution(w.t.Context(), delivery.DeploymentID("site", "site-staging", 2), "")
	if err != nil {
		return false
	}
	for _, each := range described.GetPendingActivities() {
		if each.GetActivityType().GetName() == activity && each.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED {
			return true
		}
	}
	return false
}

func TestTheSameDeliveryFiveTimesIsOneRun(t *testing.T) {
	w := newWorld(t, nil)
	w.release()
	runID := w.push("a good change", goodChange)
	var last git.Delivery
	w.eventually("its delivery is answered, which is later than the run begins", func() bool {
		deliveries := w.git.Deliveries()
		last = deliveries[len(deliveries)-1]
		return last.Attempts > 0
	})
	for range 4 {
		again, err := w.git.Redeliver(t.Context(), last.ID)
		require.NoError(t, err)
		require.True(t, again.OK())
	}
	w.approve(runID)
	require.Equal(t, workflows.StateSucceeded, w.ended(runID).State)
	require.Equal(t, 2, w.updates()-2, "two stages, each updated once since the first release")
	w.record(runID, "Pipeline", "timers-end-with-their-wait")
}

func TestTheReceiverStartsNothingForWhatIsNotASignedPushOfABranchThatAStageNames(t *testing.T) {
	w := newWorld(t, nil)
	secret, err := os.ReadFile(filepath.Join(w.options.Directory, "webhook-secret"))
	require.NoError(t, err)
	secret = bytes.TrimSpace(secret)
	push := func(ref, more string) string {
		return fmt.Sprintf(`{"ref":%q,"after":%q,"repository":{"clone_url":%q}%s}`, ref, strings.Repeat("e", 40), w.config.Pipelines[0].Repository, more)
	}
	for name, c := range map[string]struct {
		event, body string
		secret      []byte
		code        int
		says        string
	}{
		"unsigned":                     {"push", push("refs/heads/main", ""), nil, http.StatusUnauthorized, "X-Hub-Signature-256"},
		"signed with another secret":   {"push", push("refs/heads/main", ""), []byte("other"), http.StatusUnauthorized, "signature"},
		"an event of no meaning":       {"star", `{}`, secret, http.StatusOK, "means nothing"},
		"a branch that no stage names": {"push", push("refs/heads/idea", ""), secret, http.StatusOK, "idea"},
		"a deleted branch":             {"push", push("refs/heads/main", `,"deleted":true`), secret, http.StatusOK, "deleted"},
		"a tag that no stage names":    {"push", push("refs/tags/v1", ""), secret, http.StatusOK, "no stage names"},
		"another repository":           {"push", strings.ReplaceAll(push("refs/heads/main", ""), "example", "other"), secret, http.StatusOK, "no pipeline"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.receiver, strings.NewReader(c.body))
		require.NoError(t, err)
		request.Header.Set("X-GitHub-Event", c.event)
		request.Header.Set("X-GitHub-Delivery", "d-1")
		request.Header.Set("Content-Type", "application/json")
		if c.secret != nil {
			request.Header.Set("X-Hub-Signature-256", webhook.Sign(c.secret, []byte(c.body)))
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, c.code, response.StatusCode, "%s: %s", name, answer)
		require.Contains(t, string(answer), c.says, name)
	}
	// Searches lag behind, so the one run that they would all have had is asked for by its name.
	_, err = w.client.DescribeWorkflowExecution(t.Context(), delivery.RunID("site", strings.Repeat("e", 40)), "")
	var missing *serviceerror.NotFound
	require.ErrorAs(t, err, &missing, "nothing was started")
}

func TestARevisionThatIsNotThereFailsWithThatSentenceAndTouchesNothing(t *testing.T) {
	w := newWorld(t, nil)
	missing := "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
	started, err := startRun(t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: missing, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	status := w.ended(started.RunID)
	require.Equal(t, workflows.StateFailed, status.State)
	require.Contains(t, status.Detail, missing[:12])
	require.Zero(t, w.updates())
}

func TestASecondStartContinuesWithWhatWasThere(t *testing.T) {
	w := newWorld(t, nil)
	w.release()
	before := w.observe("site-production")
	options := w.options
	w.Close()

	again, err := startStack(context.Background(), options)
	require.NoError(t, err)
	t.Cleanup(again.Close)
	w.stack = again
	// A push of which nobody told the receiver is not taken for a first release.
	working, err := git.Clone(t.Context(), again.git.CloneURL(siteRepository), filepath.Join(t.TempDir(), "clone"))
	require.NoError(t, err)
	require.NoError(t, goodChange(working))
	_, err = working.Commit(t.Context(), "pushed unseen")
	require.NoError(t, err)
	again.git.SetWebhook("", nil)
	require.NoError(t, working.Push(t.Context(), "main"))
	teller := &demo{stack: again, progress: newProgress(io.Discard, false)}
	require.NoError(t, teller.firstRelease(t.Context()))
	after := w.observe("site-production")
	require.Equal(t, before.VersionLabel, after.VersionLabel)
	require.Equal(t, before.Address, after.Address)
	w.eventually("the site answers at the same address", func() bool {
		return ask(t.Context(), http.DefaultClient, "http://"+after.Address+"/health") == nil
	})
	runs, err := listRuns(t.Context(), again.client, "")
	require.NoError(t, err)
	require.Len(t, runs, 1)
}

func TestABundleThatLeadsOutOfItsTreeIsRefusedByNameAndNothingIsUploaded(t *testing.T) {
	w := newWorld(t, nil)
	runID := w.push("a link to elsewhere", func(g *git.Working) error {
		return os.Symlink("../../etc/passwd", filepath.Join(g.Directory(), "users"))
	})
	status := w.ended(runID)
	require.Equal(t, workflows.StateFailed, status.State)
	require.Contains(t, status.Detail, `"users"`)
	require.Contains(t, status.Detail, "leads out of the tree")
	uploads, err := (&demo{stack: w.stack}).uploads(t.Context())
	require.NoError(t, err)
	require.Zero(t, uploads)
	require.Zero(t, w.updates())
}
