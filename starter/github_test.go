package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/github"
	local "gravity/internal/local/github"
	"gravity/internal/webhook"
	"gravity/workflows"
)

// atGitHub starts the stack with a stand-in for GitHub's API, and with receivers of notices.
func atGitHub(t *testing.T, notify ...delivery.Receiver) (*world, *local.Server) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	server, err := local.Start(t.Context(), local.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	server.Change(siteRepository, func(r *local.Repository) { r.Collaborators["ana"] = "write" })
	w := newWorld(t, func(o *stackOptions) {
		o.Notify = notify
		o.GitHub = func(host string) (*github.Client, error) {
			return github.New(github.Options{
				URL: server.URL(), Host: host, WriteGap: time.Millisecond, Token: func() (string, error) { return "a token", nil },
			})
		}
	})
	return w, server
}

// comments sends a comment as GitHub's webhook would, and waits for what it came to.
func (w *world) comments(id int64, pull int, body string) workflows.EventResult {
	w.t.Helper()
	text := fmt.Sprintf(`{"action":"created","issue":{"number":%d,"pull_request":{}},
		"comment":{"id":%d,"body":%q,"created_at":%q,"user":{"login":"ana","type":"User"}},
		"repository":{"full_name":%q,"clone_url":%q}}`, pull, id, body, time.Now().UTC().Format(time.RFC3339), siteRepository, w.git.CloneURL(siteRepository))
	event := fmt.Sprintf("github/comment/%d", id)
	require.Equal(w.t, http.StatusAccepted, w.sends("issue_comment", text))
	var result workflows.EventResult
	require.NoError(w.t, w.client.GetWorkflow(w.t.Context(), event, "").Get(w.t.Context(), &result))
	require.Equal(w.t, http.StatusAccepted, w.sends("issue_comment", text), "once more")
	return result
}

// sends posts an event to the receiver, signed as GitHub signs.
func (w *world) sends(event, body string) int {
	w.t.Helper()
	secret, err := keptSecret(w.options.Directory + "/webhook-secret")
	require.NoError(w.t, err)
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.receiver, strings.NewReader(body))
	require.NoError(w.t, err)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": webhook.Sign(secret, []byte(body)),
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	require.NoError(w.t, response.Body.Close())
	return response.StatusCode
}

// statusesOf are the commit statuses of a revision as they stand.
func statusesOf(server *local.Server, sha string) map[string]string {
	found := map[string]string{}
	server.Read(siteRepository, func(r *local.Repository) {
		for _, status := range r.Statuses {
			if status.SHA == sha {
				found[strings.TrimPrefix(status.GetContext(), github.CheckNamePrefix+"site/")] = status.GetState()
			}
		}
	})
	return found
}

func TestACommitShowsWhatBecameOfItAndItsPullRequestCommandsIt(t *testing.T) {
	w, server := atGitHub(t, delivery.Receiver{To: delivery.ToGitHub})
	w.release()
	runID := w.push("Say something new", goodChange)
	sha := strings.TrimPrefix(runID, "run/site/")
	server.Change(siteRepository, func(r *local.Repository) {
		r.Pulls[7] = local.Pull{HeadRef: "feature", HeadSHA: "f", HeadRepository: siteRepository, BaseRef: "main", Closed: true, MergeSHA: sha}
	})
	w.reaches(runID, workflows.StateWaiting)
	w.eventually("GitHub shows the gate", func() bool { return statusesOf(server, sha)["staging"] == "success" })

	server.Change(siteRepository, func(r *local.Repository) { r.Collaborators["ana"] = "read" })
	require.Contains(t, w.comments(1, 7, "/approve").Text, "may not write")
	server.Change(siteRepository, func(r *local.Repository) { r.Collaborators["ana"] = "write" })
	approval := w.comments(2, 7, "/approve looks good")
	require.True(t, approval.Done, approval.Text)

	status := w.ended(runID)
	require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)
	require.Equal(t, "ana", status.Answers[0].By)
	var told workflows.TellingResult
	require.NoError(t, w.client.GetWorkflow(t.Context(), delivery.TellingID(runID), "").Get(t.Context(), &told))
	require.Empty(t, told.Untold)
	require.Equal(t, map[string]string{"build": "success", "staging": "success", "production": "success"}, statusesOf(server, sha))
	server.Read(siteRepository, func(r *local.Repository) {
		var environments []string
		for _, deployment := range r.Deployments {
			if deployment.GetSHA() == sha {
				last := deployment.Statuses[len(deployment.Statuses)-1]
				environments = append(environments, deployment.GetEnvironment()+" "+last.GetState())
				require.Regexp(t, `^http://127\.0\.0\.1:`, last.GetEnvironmentURL())
			}
		}
		require.ElementsMatch(t, []string{"site-staging success", "site-production success"}, environments)
		require.Equal(t, 7, r.Comments[len(r.Comments)-1].Issue)
	})
	rollback := w.comments(3, 7, "/rollback production it is too new")
	require.True(t, rollback.Done, rollback.Text)
	w.eventually("production is back", func() bool {
		return w.observe("site-production").VersionLabel != status.Version && w.observe("site-production").Ready()
	})
	w.record(runID, workflows.PipelineWorkflow, "told")
	w.record(delivery.TellingID(runID), workflows.TellingWorkflow, "good")
	w.record("github/comment/2", workflows.GitHubEventWorkflow, "approve")
	w.record("github/comment/3", workflows.GitHubEventWorkflow, "rollback")
}

func TestAReleaseIsNeitherSlowedNorFailedByAGitHubThatIs(t *testing.T) {
	w, server := atGitHub(t, delivery.Receiver{To: delivery.ToGitHub})
	const quota = 3
	server.SetFaults(local.Faults{Quota: quota, Reset: time.Now().Add(time.Hour), Delay: 200 * time.Millisecond})
	w.release()
	// What is told comes after what it is told of, so that nothing is left for the next run from here on.
	w.eventually("the first release has used the quota up", func() bool { return server.Spent() >= quota })
	runID := w.push("Say something new", goodChange)
	w.approve(runID)
	slowed := w.ended(runID)
	require.Equal(t, workflows.StateSucceeded, slowed.State, slowed.Detail)

	sha := strings.TrimPrefix(runID, "run/site/")
	description, err := w.client.DescribeWorkflowExecution(t.Context(), delivery.TellingID(runID), "")
	require.NoError(t, err)
	require.Nil(t, description.GetWorkflowExecutionInfo().GetCloseTime(), "the telling waits for the reset, and the run does not")
	require.Empty(t, statusesOf(server, sha))
	server.SetFaults(local.Faults{})

	// The same without anybody to tell takes as long, within what a busy machine makes of it.
	server.SetFaults(local.Faults{FailEvery: 4, LoseEvery: 9})
	other := w.push("Say something newer", goodChange)
	w.approve(other)
	flaky := w.ended(other)
	require.Equal(t, workflows.StateSucceeded, flaky.State)
	t.Logf("rate-limited: %s; flaky: %s", slowed.EndedAt.Sub(slowed.StartedAt), flaky.EndedAt.Sub(flaky.StartedAt))
}

func TestAPushWhoseWebhookNeverCameIsFound(t *testing.T) {
	w, server := atGitHub(t) // nobody is told, so that nothing else costs of the quota
	head, err := w.working.Head(t.Context())
	require.NoError(t, err)
	server.Change(siteRepository, func(r *local.Repository) { r.Branches["main"] = head })
	// It is triggered at once, and then by the test alone: intervals begin at the same moments for everybody
	// (https://docs.temporal.io/schedule), and at the full hour one of an hour would look once more.
	require.NoError(t, scheduleCatchUp(t.Context(), w.client, w.config, 10*365*24*time.Hour, w.options.Log))
	var ids []string // of the searches, in the order of running
	caught := func(number int) workflows.CatchUpResult {
		var results []workflows.CatchUpResult
		w.eventually("the search has run", func() bool {
			description, err := w.client.ScheduleClient().GetHandle(t.Context(), workflows.CatchUpID).Describe(t.Context())
			if err != nil || len(description.Info.RecentActions) < number {
				return false
			}
			results, ids = nil, nil
			for _, action := range description.Info.RecentActions {
				var result workflows.CatchUpResult
				execution := action.StartWorkflowResult
				if w.client.GetWorkflow(t.Context(), execution.WorkflowID, execution.FirstExecutionRunID).Get(t.Context(), &result) != nil {
					return false
				}
				results, ids = append(results, result), append(ids, execution.WorkflowID)
			}
			return true
		})
		return results[number-1]
	}
	first := caught(1)
	require.Empty(t, first.Started, "what was there before Gravity is only remembered")
	require.Empty(t, first.Problems)

	w.git.SetWebhook("", nil) // from now on no webhook comes
	require.NoError(t, goodChange(w.working))
	sha, err := w.working.Commit(t.Context(), "Say something new")
	require.NoError(t, err)
	require.NoError(t, w.working.Push(t.Context(), "main"))
	server.Change(siteRepository, func(r *local.Repository) {
		r.Branches["main"], r.Commits[sha] = sha, local.Commit{Message: "Say something new", Login: "ana", Files: []string{"index.html"}}
	})
	trigger := func() {
		require.NoError(t, w.client.ScheduleClient().GetHandle(t.Context(), workflows.CatchUpID).Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	}
	trigger()
	second := caught(2)
	require.Equal(t, []string{delivery.RunID("site", sha)}, second.Started)
	w.reaches(delivery.RunID("site", sha), workflows.StateWaiting)

	spent := server.Spent()
	trigger()
	third := caught(3)
	require.Empty(t, third.Started)
	require.Equal(t, second.Repositories, third.Repositories)
	require.Equal(t, spent, server.Spent(), "an idle look costs nothing of the quota")
	for i, scenario := range []string{"first", "found", "idle"} {
		w.record(ids[i], workflows.CatchUpWorkflow, scenario)
	}
}
