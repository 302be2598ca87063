package github

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	local "gravity/internal/local/github"
	"gravity/internal/trigger"
)

func TestAnIdleLookAtBranchesCostsNothingOfTheRateLimit(t *testing.T) {
	for _, branches := range []int{1, 99, 100, 250} {
		t.Run(fmt.Sprint(branches), func(t *testing.T) {
			server, client := standIn(t)
			server.Change(full, func(r *local.Repository) {
				for i := range branches {
					r.Branches[fmt.Sprintf("b%03d", i)] = fmt.Sprint(i)
				}
			})
			first, err := client.Heads(t.Context(), server.CloneURL(full), nil)
			require.NoError(t, err)
			require.Len(t, first.Heads, branches)
			spent := server.Spent()
			for range 3 {
				again, err := client.Heads(t.Context(), server.CloneURL(full), first.Tags)
				require.NoError(t, err)
				require.Equal(t, Heads{Unchanged: true, Tags: first.Tags}, again)
			}
			require.Equal(t, spent, server.Spent())

			server.Change(full, func(r *local.Repository) { r.Branches["zz"] = sha })
			changed, err := client.Heads(t.Context(), server.CloneURL(full), first.Tags)
			require.NoError(t, err)
			require.False(t, changed.Unchanged)
			require.Equal(t, Head{"zz", sha}, changed.Heads[branches])
			require.NotEqual(t, first.Tags, changed.Tags)
		})
	}
}

func TestALostPushSaysWhatItsWebhookWouldHaveSaid(t *testing.T) {
	server, client := standIn(t)
	server.Change(full, func(r *local.Repository) {
		r.Commits[sha] = local.Commit{Message: "Mend it\n\n[skip ci]", Login: "renovate[bot]", Type: "Bot", Files: []string{"go.mod"}}
	})
	revision := delivery.Revision{SHA: sha, Ref: "refs/heads/main", Author: "renovate[bot]", Message: "Mend it"}
	pushed, err := client.Pushed(t.Context(), server.CloneURL(full), "main", strings.Repeat("a", 40), sha)
	require.NoError(t, err)
	require.Equal(t, Pushed{revision, trigger.Push{Message: "Mend it\n\n[skip ci]", Bot: true, Paths: []string{"go.mod"}, Complete: true}}, pushed)
	pushed, err = client.Pushed(t.Context(), server.CloneURL(full), "main", "", sha)
	require.NoError(t, err)
	require.False(t, pushed.Changes.Complete, "of a new branch nobody knows what it changes")
}

func TestDeliveriesOfWhichNoAttemptGotThroughAreFailed(t *testing.T) {
	server, client := standIn(t)
	now := time.Now().UTC().Truncate(time.Second)
	sent := func(id int64, guid string, ago time.Duration, code int) *github.HookDelivery {
		return &github.HookDelivery{
			ID: &id, GUID: &guid, DeliveredAt: &github.Timestamp{Time: now.Add(-ago)}, StatusCode: &code, Event: github.String("push"),
			Status: github.String(fmt.Sprint(code)),
		}
	}
	server.Change(full, func(r *local.Repository) { // newest first, as GitHub lists them
		r.Deliveries = []*github.HookDelivery{
			sent(9, "mended", time.Minute, 202), sent(8, "lost", 2*time.Minute, 504), sent(7, "lost", 3*time.Minute, 503),
			sent(6, "mended", 4*time.Minute, 503), sent(5, "fine", 5*time.Minute, 200), sent(4, "silent", 6*time.Minute, 0), sent(3, "old", time.Hour, 500),
		}
	})
	hook := Hook{Repository: server.CloneURL(full), ID: 42}
	failed, err := client.Failed(t.Context(), hook, now.Add(-30*time.Minute))
	require.NoError(t, err)
	require.Equal(t, []FailedDelivery{
		{ID: 4, GUID: "silent", Event: "push", At: now.Add(-6 * time.Minute), Status: "0"},
		{ID: 8, GUID: "lost", Event: "push", At: now.Add(-2 * time.Minute), Status: "504"},
	}, failed)
	again := make(chan string, 1)
	server.OnRedeliver(func(hook string, id int64) { again <- fmt.Sprint(hook, " ", id) })
	require.NoError(t, client.Redeliver(t.Context(), hook, 8))
	require.Equal(t, full+"/42 8", <-again)
	_, err = client.Failed(t.Context(), Hook{}, now)
	require.ErrorContains(t, err, "GitHub App")
	_, err = client.Failed(t.Context(), Hook{Repository: server.CloneURL(full)}, now)
	require.ErrorContains(t, err, "number is missing")
}

func TestAnAppsOwnWebhookIsAskedAsTheApp(t *testing.T) {
	server, _ := standIn(t)
	server.Change(full, func(r *local.Repository) {
		r.Deliveries = []*github.HookDelivery{{ID: github.Int64(1), GUID: github.String("g"), StatusCode: github.Int(500), DeliveredAt: &github.Timestamp{Time: time.Now()}}}
	})
	app, err := New(Options{URL: server.URL(), Host: server.Host(), AppID: 3, AppKey: testKey(t), WriteGap: time.Millisecond})
	require.NoError(t, err)
	failed, err := app.Failed(t.Context(), Hook{}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Len(t, failed, 1)
	again := make(chan string, 1)
	server.OnRedeliver(func(hook string, id int64) { again <- fmt.Sprint(hook, " ", id) })
	require.NoError(t, app.Redeliver(t.Context(), Hook{}, failed[0].ID))
	require.Equal(t, "app 1", <-again)
}
