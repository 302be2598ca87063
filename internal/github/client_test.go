package github

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	local "gravity/internal/local/github"
	"gravity/internal/local/github/openapi"
)

const (
	full = "octocat/hello"
	sha  = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"
)

// standIn starts GitHub's stand-in and a client of it. Every request is checked against GitHub's
// description of its API, where that is there.
func standIn(t *testing.T) (*local.Server, *Client) {
	t.Helper()
	var options local.Options
	checker, err := openapi.Load()
	if err == nil {
		options.Check = checker.Check
	} else {
		t.Logf("the requests are not checked: %v", err)
	}
	server, err := local.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Empty(t, server.Violations())
		require.Zero(t, server.Overlaps(), "writes go one after the other")
		require.NoError(t, server.Close())
	})
	server.Change(full, func(*local.Repository) {})
	client, err := New(Options{
		URL: server.URL(), Host: server.Host(), WriteGap: time.Millisecond,
		Token: func() (string, error) { return "a token", nil },
	})
	require.NoError(t, err)
	return server, client
}

func TestGitHubsDescriptionIsThereToCheckRequestsBy(t *testing.T) {
	checker, err := openapi.Load()
	if err != nil {
		t.Skipf("%v", err)
	}
	for name, c := range map[string]struct{ method, path, wrong string }{
		"what there is":          {http.MethodGet, "/repos/o/r/branches?per_page=100", ""},
		"a route that is not":    {http.MethodGet, "/repos/o/r/nothing", "no such route"},
		"an unknown parameter":   {http.MethodGet, "/repos/o/r/branches?pages=2", "takes no parameter pages"},
		"a method that is not":   {http.MethodPut, "/repos/o/r/deployments", "no such route"},
		"a parameter of letters": {http.MethodGet, "/repos/o/r/pulls/seven", "pull_number"},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1"+c.path, nil)
			require.NoError(t, err)
			if err := checker.Check(request); c.wrong == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.wrong)
			}
		})
	}
}

func TestAnActiveMemberIsOneAtTheMomentOfAsking(t *testing.T) {
	server, client := standIn(t)
	server.SetTeam("octo/deployers", "ana")
	member, err := client.MemberOf(t.Context(), "octo/deployers", "ana")
	require.NoError(t, err)
	require.True(t, member)

	server.SetTeam("octo/deployers")
	member, err = client.MemberOf(t.Context(), "octo/deployers", "ana")
	require.NoError(t, err)
	require.False(t, member, "who has left the team may no longer approve")
	for _, login := range []string{"", "../../user", "a b"} {
		member, err = client.MemberOf(t.Context(), "octo/deployers", login)
		require.NoError(t, err)
		require.False(t, member)
	}
}

func TestATeamThatIsNotThereIsAnErrorAndNotAnEmptyTeam(t *testing.T) {
	_, client := standIn(t)
	_, err := client.MemberOf(t.Context(), "octo/nobody", "ana")
	require.Equal(t, delivery.AccessDenied, delivery.TypeOf(err))
	require.ErrorContains(t, err, "look for team octo/nobody")
	_, err = client.MemberOf(t.Context(), "deployers", "ana")
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}

func TestWhoMayWriteMayCommand(t *testing.T) {
	server, client := standIn(t)
	server.Change(full, func(r *local.Repository) {
		r.Collaborators = map[string]string{"ada": "admin", "wim": "write", "tom": "triage", "rea": "read", "nil": "none"}
	})
	for login, may := range map[string]bool{"ada": true, "wim": true, "tom": false, "rea": false, "nil": false, "stranger": false, "?": false} {
		found, err := client.MayWrite(t.Context(), server.CloneURL(full), login)
		require.NoError(t, err, login)
		require.Equal(t, may, found, login)
	}
}

func TestChecksAreGreenWhenEveryNamedOneIs(t *testing.T) {
	server, client := standIn(t)
	completed := func(name, conclusion string) *github.CheckRun {
		return &github.CheckRun{Name: &name, HeadSHA: github.String(sha), Status: github.String("completed"), Conclusion: &conclusion}
	}
	status := func(name, state string) local.Status {
		return local.Status{SHA: sha, RepoStatus: github.RepoStatus{Context: &name, State: &state}}
	}
	server.Change(full, func(r *local.Repository) {
		r.CheckRuns = []*github.CheckRun{
			completed("unit", "success"), completed("docs", "skipped"), completed("lint", "failure"), completed(CheckNamePrefix+"site", "failure"),
			{Name: github.String("slow"), HeadSHA: github.String(sha), Status: github.String("in_progress")},
		}
		r.Statuses = []local.Status{
			status("ci/old", "failure"), status("ci/old", "success"), status("ci/wait", "pending"), status("ci/bad", "error"), status(CheckNamePrefix+"site/staging", "pending"),
		}
	})
	for name, c := range map[string]struct {
		names []string
		want  Checks
	}{
		"all of them":       {nil, Checks{Pending: []string{"ci/wait", "slow"}, Failed: []string{"ci/bad", "lint"}}},
		"green ones":        {[]string{"unit", "docs", "ci/old"}, Checks{Green: true}},
		"a failed one":      {[]string{"unit", "lint"}, Checks{Failed: []string{"lint"}}},
		"one that is going": {[]string{"unit", "slow"}, Checks{Pending: []string{"slow"}}},
		"one not there yet": {[]string{"unit", "e2e"}, Checks{Pending: []string{"e2e"}}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := client.ChecksGreen(t.Context(), server.CloneURL(full), sha, c.names)
			require.NoError(t, err)
			require.Equal(t, c.want, found)
		})
	}
}

func TestACommitWithoutAnyCheckIsNotGreen(t *testing.T) {
	server, client := standIn(t)
	found, err := client.ChecksGreen(t.Context(), server.CloneURL(full), sha, nil)
	require.NoError(t, err)
	require.Equal(t, Checks{}, found)
}

func TestTheChecksOfAllPagesCount(t *testing.T) {
	server, client := standIn(t)
	server.Change(full, func(r *local.Repository) {
		for i := range 230 {
			run := &github.CheckRun{Name: github.String(fmt.Sprintf("check %d", i)), HeadSHA: github.String(sha), Status: github.String("completed"), Conclusion: github.String("success")}
			if i == 229 {
				run.Conclusion = github.String("timed_out")
			}
			r.CheckRuns = append(r.CheckRuns, run)
		}
	})
	found, err := client.ChecksGreen(t.Context(), server.CloneURL(full), sha, nil)
	require.NoError(t, err)
	require.Equal(t, Checks{Failed: []string{"check 229"}}, found)
}

func TestTheWorstVerdictUnderANameCounts(t *testing.T) {
	found := map[string]verdict{"a": green}
	note(found, "a", failed)
	note(found, "a", green)
	require.Equal(t, failed, found["a"], "the worst under a name counts")
	note(found, "b", pending)
	note(found, "b", green)
	require.Equal(t, pending, found["b"])
}

func TestARepositoryElsewhereNeverSeesTheToken(t *testing.T) {
	server, client := standIn(t)
	for _, elsewhere := range []string{"https://gitlab.com/octocat/hello", "git@github.com:octocat/hello.git", "/srv/git/hello.git", server.CloneURL("octocat"), server.CloneURL("a/b/c")} {
		require.False(t, client.Hosts(elsewhere), elsewhere)
		_, err := client.ChecksGreen(t.Context(), elsewhere, sha, nil)
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err), elsewhere)
	}
	require.Empty(t, server.Calls())
}

func TestAllFormsOfARepositoryAreOne(t *testing.T) {
	client, err := New(Options{Token: func() (string, error) { return "t", nil }})
	require.NoError(t, err)
	for _, form := range []string{
		"https://github.com/Octocat/Hello", "https://github.com/Octocat/Hello.git", "git@github.com:Octocat/Hello.git",
		"ssh://git@github.com/Octocat/Hello", "ssh://git@ssh.github.com:443/Octocat/Hello.git",
	} {
		r, err := client.repository(form)
		require.NoError(t, err, form)
		require.Equal(t, repository{"Octocat", "Hello"}, r)
	}
}

func TestAnAppSpeaksWithTokensThatItRenewsInMemory(t *testing.T) {
	server, _ := standIn(t)
	server.SetTeam("octo/deployers", "ana")
	app, err := New(Options{URL: server.URL(), Host: server.Host(), AppID: 3, AppKey: testKey(t)})
	require.NoError(t, err)
	for range 3 {
		member, err := app.MemberOf(t.Context(), "octo/deployers", "ana")
		require.NoError(t, err)
		require.True(t, member)
	}
	require.Equal(t, 1, server.Calls()["POST /app/installations/{id}/access_tokens"])
	require.Equal(t, 1, server.Calls()["GET /orgs/{org}/installation"])

	token, err := app.GitToken(t.Context(), server.CloneURL(full))
	require.NoError(t, err)
	require.Equal(t, "ghs_standin", token)
	_, err = app.GitToken(t.Context(), "https://gitlab.com/octocat/hello")
	require.Error(t, err, "no other host gets to see it")
}

func TestThePrimaryLimitIsWaitedForUntilItsReset(t *testing.T) {
	server, client := standIn(t)
	reset := time.Now().Add(90 * time.Second)
	server.SetFaults(local.Faults{Quota: 2, Reset: reset})
	ask := func() error {
		_, err := client.ChecksGreen(t.Context(), server.CloneURL(full), sha, nil)
		return err
	}
	require.NoError(t, ask())
	for range 5 {
		err := ask()
		var typed *delivery.Error
		require.ErrorAs(t, err, &typed)
		require.Equal(t, delivery.Throttled, typed.Type)
		require.True(t, typed.Retryable())
		require.InDelta(t, time.Until(reset).Seconds(), typed.RetryAfter.Seconds(), 3)
	}
	require.Equal(t, 2, server.Spent(), "nothing is sent before the reset")
}

func TestTheSecondaryLimitIsWaitedForAsLongAsItSays(t *testing.T) {
	server, client := standIn(t)
	server.SetFaults(local.Faults{SecondaryEvery: 1, RetryAfter: 37 * time.Second})
	post := func() error {
		api, err := client.api(t.Context(), "octocat", "hello")
		require.NoError(t, err)
		_, _, err = api.Repositories.CreateStatus(t.Context(), "octocat", "hello", sha, &github.RepoStatus{State: github.String("success")})
		return classify(err, "tell")
	}
	began := time.Now()
	for range 3 {
		var typed *delivery.Error
		require.ErrorAs(t, post(), &typed)
		require.Equal(t, delivery.Throttled, typed.Type)
		require.InDelta(t, 37, typed.RetryAfter.Seconds(), 2+time.Since(began).Seconds())
	}
	require.Equal(t, 1, server.Calls()["POST /repos/{owner}/{repo}/statuses/{sha}"])
}

func TestWritesGoOneAfterTheOtherWithAGap(t *testing.T) {
	server, client := standIn(t)
	client.options.WriteGap = 30 * time.Millisecond
	server.SetFaults(local.Faults{Delay: 5 * time.Millisecond})
	began := time.Now()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			api, err := client.api(context.Background(), "octocat", "hello")
			if err == nil {
				_, _, err = api.Repositories.CreateStatus(context.Background(), "octocat", "hello", sha, &github.RepoStatus{State: github.String("success")})
			}
			require.NoError(t, err)
		})
	}
	all.Wait()
	require.GreaterOrEqual(t, time.Since(began), 4*30*time.Millisecond)
}

func TestTroubleIsToldFromRefusal(t *testing.T) {
	server, client := standIn(t)
	ask := func() error {
		_, err := client.ChecksGreen(t.Context(), server.CloneURL(full), sha, nil)
		return err
	}
	server.SetFaults(local.Faults{Down: true})
	require.Equal(t, delivery.Unavailable, delivery.TypeOf(ask()))
	server.SetFaults(local.Faults{})
	_, err := client.ChecksGreen(t.Context(), server.CloneURL("octocat/gone"), sha, nil)
	var typed *delivery.Error
	require.ErrorAs(t, err, &typed)
	require.Equal(t, delivery.AccessDenied, typed.Type)
	require.False(t, typed.Retryable(), "what is not there is not asked for again and again")
	require.NotContains(t, err.Error(), "a token")
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	token := func() (string, error) { return "t", nil }
	for name, o := range map[string]Options{
		"nobody":                  {},
		"two at once":             {Token: token, AppID: 1, AppKey: []byte("x")},
		"no address":              {Token: token, URL: "github.com"},
		"credentials in the URL":  {Token: token, URL: "https://a:b@github.example/"},
		"a key that is not a key": {AppID: 1, AppKey: []byte("x")},
	} {
		_, err := New(o)
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err), name)
	}
}
