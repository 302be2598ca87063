package notice

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/internal/github"
	local "gravity/internal/local/github"
	"gravity/internal/local/github/openapi"
)

const (
	full = "octocat/hello"
	sha  = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"
)

// gitHub starts GitHub's stand-in, which checks every request by GitHub's description where that is there.
func gitHub(t *testing.T) (*local.Server, *GitHub) {
	t.Helper()
	var options local.Options
	if checker, err := openapi.Load(); err == nil {
		options.Check = checker.Check
	} else {
		t.Logf("the requests are not checked: %v", err)
	}
	server, err := local.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Empty(t, server.Violations())
		require.Zero(t, server.Overlaps())
		require.NoError(t, server.Close())
	})
	server.Change(full, func(r *local.Repository) {
		r.Pulls[12] = local.Pull{HeadRef: "feature", HeadSHA: sha, HeadRepository: full}
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	client, err := github.New(github.Options{
		URL: server.URL(), Host: server.Host(), WriteGap: time.Microsecond, AppID: 3,
		AppKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	})
	require.NoError(t, err)
	return server, &GitHub{client}
}

// story is a run that is told five times.
func story(repository string) []Message {
	stage := func(name, state, detail string) delivery.NoticeStage {
		return delivery.NoticeStage{Stage: name, Environment: "hello-" + name, State: state, Detail: detail}
	}
	began := time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)
	base := delivery.Notice{
		RunID: "run/hello/" + sha, Execution: "e-1", Pipeline: "hello", Repository: repository,
		Revision: delivery.Revision{SHA: sha, Message: "Say hello <!here> @octocat"}, StartedAt: began,
	}
	next := func(number int, change func(*delivery.Notice)) Message {
		n := base
		n.Number, n.At = number, began.Add(time.Duration(number)*time.Minute)
		change(&n)
		return Message{Notice: n, URL: "https://temporal.example.com/run", Target: "C024BE91L"}
	}
	return []Message{
		next(1, func(n *delivery.Notice) {
			n.State, n.Build, n.Detail = "building", "building", "test: go test ./..."
			n.Stages = []delivery.NoticeStage{stage("staging", "pending", ""), stage("production", "pending", "")}
		}),
		next(2, func(n *delivery.Notice) {
			n.State, n.Build, n.Version, n.Detail = "deploying", "succeeded", "hello-1", "staging: in the queue"
			n.Stages = []delivery.NoticeStage{stage("staging", "deploying", "in the queue"), stage("production", "pending", "")}
		}),
		next(3, func(n *delivery.Notice) {
			n.State, n.Build, n.Version, n.Detail = "waiting", "succeeded", "hello-1", "production: for an approval"
			n.Stages = []delivery.NoticeStage{stage("staging", "succeeded", "healthy"), stage("production", "waiting", "for an approval")}
			n.Stages[0].URL = "http://hello-staging.example.com"
		}),
		next(4, func(n *delivery.Notice) {
			n.State, n.Build, n.Version, n.Detail = "deploying", "succeeded", "hello-1", "production: in the queue"
			n.Stages = []delivery.NoticeStage{stage("staging", "succeeded", "healthy"), stage("production", "deploying", "in the queue")}
			n.Stages[0].URL = "http://hello-staging.example.com"
		}),
		next(5, func(n *delivery.Notice) {
			n.State, n.Ended, n.Build, n.Version, n.Detail = "failed", true, "succeeded", "hello-1", "production: unhealthy; taken back"
			n.Stages = []delivery.NoticeStage{stage("staging", "succeeded", "healthy"), stage("production", "failed", "unhealthy; taken back")}
			n.Stages[0].URL = "http://hello-staging.example.com"
			n.Stages[1].Evidence = []string{"15:03 ERROR Instance i-1 did not pass health checks"}
		}),
	}
}

// tell tells a message until it is told, as the workflow does, and answers with how often that was tried.
func tell(t *testing.T, receivers Receivers, to string, m Message, memory Memory) (Memory, int) {
	t.Helper()
	for attempt := 1; attempt < 100; attempt++ {
		var err error
		if memory, err = receivers.Tell(t.Context(), to, m, memory); err == nil {
			return memory, attempt
		}
	}
	require.FailNow(t, "never told")
	return nil, 0
}

func TestARunIsToldAtTheCommitAsItGoesOn(t *testing.T) {
	server, receiver := gitHub(t)
	memory := Memory{}
	for _, message := range story(server.CloneURL(full)) {
		memory, _ = tell(t, Receivers{"github": receiver}, "github", message, memory)
	}
	server.Read(full, func(r *local.Repository) {
		said := map[string][]string{}
		for _, status := range r.Statuses {
			require.Equal(t, "https://temporal.example.com/run", status.GetTargetURL())
			said[status.GetContext()] = append(said[status.GetContext()], status.GetState()+": "+status.GetDescription())
		}
		require.Equal(t, map[string][]string{
			"gravity/hello/build":      {"pending: building: test: go test ./...", "success: succeeded: hello-1"},
			"gravity/hello/staging":    {"pending: pending:", "pending: deploying: in the queue", "success: succeeded: healthy"},
			"gravity/hello/production": {"pending: pending:", "pending: waiting: for an approval", "pending: deploying: in the queue", "failure: failed: unhealthy; taken back"},
		}, said)

		require.Len(t, r.Deployments, 2)
		staging, production := r.Deployments[0], r.Deployments[1]
		require.Equal(t, "hello-staging", staging.GetEnvironment())
		require.True(t, delivery.IsOwnDeployment(staging.Payload), "so that it starts nothing when it comes back as an event")
		require.Equal(t, "in_progress", staging.Statuses[0].GetState())
		last := staging.Statuses[len(staging.Statuses)-1]
		require.Equal(t, "success http://hello-staging.example.com", last.GetState()+" "+last.GetEnvironmentURL())
		var states []string
		for _, status := range production.Statuses {
			states = append(states, status.GetState())
		}
		require.Equal(t, []string{"queued", "in_progress", "failure"}, states)

		require.Len(t, r.CheckRuns, 1)
		check := r.CheckRuns[0]
		require.Equal(t, "gravity/hello completed failure run/hello/"+sha, check.GetName()+" "+check.GetStatus()+" "+check.GetConclusion()+" "+check.GetExternalID())
		require.Len(t, check.Output.Annotations, 1)
		require.Equal(t, "production: failed", check.Output.Annotations[0].GetTitle())
		require.Contains(t, check.Output.Annotations[0].GetMessage(), "i-1 did not pass health checks")
		require.Contains(t, check.Output.GetSummary(), "i-1 did not pass health checks")

		require.Len(t, r.Comments, 1, "one, kept current")
		require.Equal(t, 12, r.Comments[0].Issue)
		require.Contains(t, r.Comments[0].GetBody(), "| production | failed | unhealthy; taken back |")
		require.Contains(t, r.Comments[0].GetBody(), "[staging](http://hello-staging.example.com)")
	})
}

func TestWhatWasToldIsNotToldAgain(t *testing.T) {
	server, receiver := gitHub(t)
	memory := Memory{}
	message := story(server.CloneURL(full))[2]
	memory, _ = tell(t, Receivers{"github": receiver}, "github", message, memory)
	before := server.Calls()
	memory, _ = tell(t, Receivers{"github": receiver}, "github", message, memory)
	require.Equal(t, before, server.Calls())
	tell(t, Receivers{"github": receiver}, "github", message, Memory{})
	server.Read(full, func(r *local.Repository) {
		require.Len(t, r.Deployments, 2, "also when the memory is lost")
		require.Len(t, r.Comments, 1)
		require.Len(t, r.CheckRuns, 1)
	})
	_ = memory
}

func TestAFlakyGitHubIsToldAllTheSameInOrderAndOnce(t *testing.T) {
	server, receiver := gitHub(t)
	server.SetFaults(local.Faults{FailEvery: 5, LoseEvery: 7})
	memory, attempts := Memory{}, 0
	for _, message := range story(server.CloneURL(full)) {
		var tries int
		memory, tries = tell(t, Receivers{"github": receiver}, "github", message, memory)
		attempts += tries
	}
	require.Greater(t, attempts, 5, "the faults were met")
	server.Read(full, func(r *local.Repository) {
		require.Len(t, r.Deployments, 2)
		require.Len(t, r.CheckRuns, 1)
		require.Len(t, r.Comments, 1)
		last := map[string]string{}
		for _, status := range r.Statuses {
			require.NotContains(t, []string{"success", "failure"}, last[status.GetContext()+status.GetState()], "nothing comes after the end")
			last[status.GetContext()] = status.GetState()
		}
		require.Equal(t, map[string]string{"gravity/hello/build": "success", "gravity/hello/staging": "success", "gravity/hello/production": "failure"}, last)
		require.Equal(t, "completed", r.CheckRuns[0].GetStatus())
	})
}

func TestWhatTheCredentialsDoNotAllowIsLeftOutAndTheRestIsTold(t *testing.T) {
	server, receiver := gitHub(t)
	server.Change(full, func(r *local.Repository) { r.Forbidden = []string{"/check-runs", "/deployments"} })
	memory := Memory{}
	for _, message := range story(server.CloneURL(full)) {
		var tries int
		memory, tries = tell(t, Receivers{"github": receiver}, "github", message, memory)
		require.Equal(t, 1, tries)
	}
	require.Contains(t, memory["off/check"], "create check")
	require.Equal(t, 1, server.Calls()["POST /repos/{owner}/{repo}/check-runs"], "it is not tried again and again")
	server.Read(full, func(r *local.Repository) {
		require.Len(t, r.Comments, 1)
		require.NotEmpty(t, r.Statuses)
	})
}

func TestTheTimeToWaitReachesWhoeverTriesAgain(t *testing.T) {
	server, receiver := gitHub(t)
	server.SetFaults(local.Faults{SecondaryEvery: 3, RetryAfter: 40 * time.Second})
	began := time.Now()
	memory, err := Receivers{"github": receiver}.Tell(t.Context(), "github", story(server.CloneURL(full))[1], Memory{})
	wait, ok := retryAfter(err)
	require.True(t, ok)
	require.InDelta(t, 40, wait.Seconds(), 2+time.Since(began).Seconds())
	require.NotEmpty(t, memory["status/build"], "what was told before is kept")
}

func TestAnOlderRunLeavesTheCommentOfANewerOneAlone(t *testing.T) {
	server, receiver := gitHub(t)
	older := story(server.CloneURL(full))[4]
	newer := story(server.CloneURL(full))[1]
	newer.Execution, newer.StartedAt = "e-2", older.StartedAt.Add(time.Hour)
	tell(t, Receivers{"github": receiver}, "github", newer, Memory{})
	tell(t, Receivers{"github": receiver}, "github", older, Memory{})
	server.Read(full, func(r *local.Repository) {
		require.Len(t, r.Comments, 1)
		require.Contains(t, r.Comments[0].GetBody(), "| staging | deploying |")
		require.Len(t, r.CheckRuns, 2, "each passage has its check")
	})
}

func TestACommentThatSomebodyDeletedStaysDeleted(t *testing.T) {
	server, receiver := gitHub(t)
	messages := story(server.CloneURL(full))
	memory, _ := tell(t, Receivers{"github": receiver}, "github", messages[0], Memory{})
	server.Change(full, func(r *local.Repository) { r.Comments = nil })
	tell(t, Receivers{"github": receiver}, "github", messages[4], memory)
	server.Read(full, func(r *local.Repository) { require.Empty(t, r.Comments) })
}

func TestFailedTestsAreAnnotatedWhereTheyAre(t *testing.T) {
	n := delivery.Notice{
		Pipeline: "hello", Path: "services/hello", State: "failed", Build: "failed", Ended: true, Detail: "test: failed",
		Output: "=== RUN TestMoon\n--- FAIL: TestMoon (0.00s)\n    moon_test.go:12: the moon is missing\n" +
			"web/app.ts:7:3: error TS2304: no such name\n/etc/passwd:1: x\n../../x.go:3: y\nhttp://a.b:80: z\nFAIL\n",
	}
	found := annotations(n)
	require.Equal(t, []github.Annotation{
		{Path: "services/hello/moon_test.go", Line: 12, Title: "TestMoon", Message: "the moon is missing"},
		{Path: "services/hello/web/app.ts", Line: 7, Title: "TestMoon", Message: "error TS2304: no such name"},
	}, found)
	n.FailedTests = []delivery.NoticeTest{{Name: "hello.TestMoon"}, {Name: "hello.TestSun", Message: "too bright"}}
	n.FlakyTests = []delivery.NoticeTest{{Name: "hello.TestRain"}}
	require.Equal(t, []github.Annotation{
		{Path: "services/hello", Title: "failed: hello.TestSun", Message: "too bright"},
		{Path: "services/hello", Title: "flaky: hello.TestRain", Message: "passed when it was tried again"},
	}, annotations(n)[2:], "what the output has given a place is not said twice")
	n.FailedTests, n.FlakyTests = nil, nil
	n.Output = strings.Repeat("a_test.go:1: x\n", 200)
	server, receiver := gitHub(t)
	message := story(server.CloneURL(full))[0]
	n.RunID, n.Execution, n.Repository, n.Revision, n.StartedAt = message.RunID, "e-1", message.Repository, message.Revision, message.StartedAt
	tell(t, Receivers{"github": receiver}, "github", Message{Notice: n}, Memory{})
	server.Read(full, func(r *local.Repository) {
		require.Len(t, r.CheckRuns[0].Output.Annotations, 50, "as many as GitHub takes")
	})
	n.Output = ""
	require.Equal(t, []github.Annotation{{Path: "services/hello", Title: "build: failed", Message: "test: failed"}}, annotations(n))
}

func TestTextFromOutsideStaysText(t *testing.T) {
	for _, text := range []string{"[x](http://evil)", "![x](http://evil)", "<img src=x>", "a | b", "@octocat", "# x", "`x`", "line\nline"} {
		out := plain(text)
		for _, structure := range []string{"](", "<img", " | ", "@o", "`", "\n"} {
			require.NotContains(t, strings.ReplaceAll(strings.ReplaceAll(out, "\\]", ""), "\\|", ""), structure, fmt.Sprintf("%q", text))
		}
	}
	require.NotContains(t, fenced("a\n```\n# b"), "```")
}
