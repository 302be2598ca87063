package webhook

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/config"
	"gravity/internal/delivery"
)

// eager has a pipeline for each thing that can start a run.
func eager(runs *runs) *Receiver {
	pipeline := func(name string, change func(*delivery.Pipeline)) delivery.Pipeline {
		p := delivery.Pipeline{Name: name, Repository: "https://github.com/octocat/Hello-World", Stages: []delivery.Stage{
			{Name: "staging", Environment: "hello-staging", Branches: []string{"main"}, Tags: []string{"v*"}, Requests: []string{"feature/*"}},
			{Name: "production", Environment: "hello-production", Branches: []string{"main"}, Tags: []string{"v*"}},
		}}
		change(&p)
		return p.WithDefaults()
	}
	on := func(events ...string) func(*delivery.Pipeline) {
		return func(p *delivery.Pipeline) { p.Trigger.On = events }
	}
	receiver := receiver(runs)
	receiver.Matching = config.File{Pipelines: []delivery.Pipeline{
		pipeline("hello", func(p *delivery.Pipeline) {
			p.Trigger.Bots, p.Trigger.Paths = delivery.BotsIgnore, []string{"**", "!docs/**"}
		}),
		pipeline("released", on(delivery.OnRelease)),
		pipeline("checked", on(delivery.OnChecks)),
		pipeline("asked", on(delivery.OnDeployment)),
	}}.Matching
	return receiver
}

func TestEachEventStartsWhatItMeans(t *testing.T) {
	main := delivery.Revision{SHA: sha, Ref: "refs/heads/main"}
	for name, c := range map[string]struct {
		event   string
		replace map[string]any
		starts  []Start
		handed  []delivery.GitHubEvent
	}{
		"a push to a branch": {event: "push", starts: []Start{{Revision: main, Pipeline: delivery.Pipeline{Name: "hello"}}}},
		"a push of a tag": {
			event: "push", replace: map[string]any{"ref": "refs/tags/v1.4.0", "after": strings.Repeat("b", 40)}, // the tag's own object
			starts: []Start{{Revision: delivery.Revision{SHA: sha, Ref: "refs/tags/v1.4.0"}, Pipeline: delivery.Pipeline{Name: "hello"}}},
		},
		"a release": {event: "release", handed: []delivery.GitHubEvent{{
			ID: "release/17372790", Kind: delivery.EventRelease, Revision: delivery.Revision{Ref: "refs/tags/v1.4.0"},
			Pipelines: []delivery.Pipeline{{Name: "released"}},
		}}},
		"a workflow that became green": {event: "workflow_run", handed: []delivery.GitHubEvent{{
			ID: "workflow-run/1589141559/1", Kind: delivery.EventChecks, Revision: main, Pipelines: []delivery.Pipeline{{Name: "checked"}},
		}}},
		"checks that became green": {event: "check_suite", handed: []delivery.GitHubEvent{{
			ID: "check-suite/118578147/1795446245", Kind: delivery.EventChecks, Revision: main, Pipelines: []delivery.Pipeline{{Name: "checked"}},
		}}},
		"a deployment": {event: "deployment", starts: []Start{{
			Revision: main, Pipeline: delivery.Pipeline{Name: "asked"}, Until: "staging", Request: "deployment/145988746",
		}}},
		"a deployment of a branch that only requests take": {
			event: "deployment", replace: map[string]any{"deployment.ref": "feature/x"},
			starts: []Start{{
				Revision: delivery.Revision{SHA: sha, Ref: "refs/heads/feature/x"}, Pipeline: delivery.Pipeline{Name: "asked"},
				Until: "staging", Request: "deployment/145988746",
			}},
		},
		"a deployment of a tag": {
			event: "deployment", replace: map[string]any{"deployment.ref": "v2", "deployment.environment": "hello-production"},
			starts: []Start{{
				Revision: delivery.Revision{SHA: sha, Ref: "refs/tags/v2"}, Pipeline: delivery.Pipeline{Name: "asked"},
				Until: "production", Request: "deployment/145988746",
			}},
		},
		"our check asked for again": {event: "check_run", starts: []Start{{
			Revision: main, Pipeline: delivery.Pipeline{Name: "hello"}, Request: "check-run/128620228",
		}}},
		"a command": {event: "issue_comment", handed: []delivery.GitHubEvent{{
			ID: "comment/492700400", Kind: delivery.EventCommand,
			Pipelines: []delivery.Pipeline{{Name: "hello"}, {Name: "released"}, {Name: "checked"}, {Name: "asked"}},
			Command: &delivery.Comment{
				ID: 492700400, Number: 12, PullRequest: true, Login: "octocat", Verb: "deploy", Target: "staging",
			},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{}
			receiver := eager(runs)
			body := sample(t, c.event+".json", c.replace)
			code, answer := send(t, receiver, request(c.event, body))
			require.Equal(t, http.StatusAccepted, code, answer.Reason)
			require.NotEmpty(t, answer.Runs[0].URL)
			require.Len(t, runs.starts, len(c.starts))
			for i, want := range c.starts {
				got := runs.starts[i]
				require.Equal(t, want.Pipeline.Name, got.Pipeline.Name)
				require.Equal(t, want.Revision.SHA, got.Revision.SHA)
				require.Equal(t, want.Revision.Ref, got.Revision.Ref)
				require.Equal(t, want.Until, got.Until)
				require.Equal(t, want.Request, got.Request)
			}
			require.Len(t, runs.handed, len(c.handed))
			for i, want := range c.handed {
				got := runs.handed[i]
				require.Equal(t, want.ID, got.ID)
				require.Equal(t, want.Kind, got.Kind)
				require.Equal(t, want.Revision.Ref, got.Revision.Ref)
				require.Equal(t, want.Revision.SHA, got.Revision.SHA)
				require.Equal(t, want.Command, got.Command)
				require.Equal(t, "https://github.com/octocat/Hello-World.git", got.Repository)
				require.Len(t, got.Pipelines, len(want.Pipelines))
				for j := range want.Pipelines {
					require.Equal(t, want.Pipelines[j].Name, got.Pipelines[j].Name)
				}
			}
			code, answer = send(t, receiver, request(c.event, body))
			require.Equal(t, http.StatusAccepted, code)
			require.Equal(t, StatusExisting, answer.Status, "the same once more is nothing new")
			require.Len(t, runs.starts, len(c.starts))
			require.Len(t, runs.handed, len(c.handed))
		})
	}
}

func TestWhatMeansNothingIsIgnoredWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		event   string
		replace map[string]any
		reason  string
	}{
		"a push by a bot":                    {"push", map[string]any{"sender.type": "Bot"}, "pipeline hello: a bot pushed it"},
		"a push with a marker":               {"push", map[string]any{"head_commit.message": "typo\n\n[skip ci]"}, "[skip ci]"},
		"a push to other paths":              {"push", map[string]any{"commits": []any{map[string]any{"modified": []string{"docs/a.md"}}}}, "changes none"},
		"a draft of a release":               {"release", map[string]any{"release.draft": true}, "published"},
		"a release that was changed":         {"release", map[string]any{"action": "edited"}, "published"},
		"a release of another tag":           {"release", map[string]any{"release.tag_name": "nightly"}, `no stage names tag "nightly"`},
		"a workflow that failed":             {"workflow_run", map[string]any{"workflow_run.conclusion": "failure"}, "ended well"},
		"a workflow that began":              {"workflow_run", map[string]any{"action": "requested"}, "ended well"},
		"a workflow of a fork":               {"workflow_run", map[string]any{"workflow_run.head_repository": map[string]any{"full_name": "mallory/Hello-World", "fork": true}}, "is a fork"},
		"a workflow of a pull request":       {"workflow_run", map[string]any{"workflow_run.event": "pull_request_target"}, "pull request"},
		"a workflow of another branch":       {"workflow_run", map[string]any{"workflow_run.head_branch": "feature/x"}, `no stage names "feature/x"`},
		"a workflow with a marker":           {"workflow_run", map[string]any{"workflow_run.head_commit": map[string]any{"id": sha, "message": "x [skip ci]"}}, "to skip it"},
		"checks that failed":                 {"check_suite", map[string]any{"check_suite.conclusion": "timed_out"}, "ended well"},
		"checks of a fork's commit":          {"check_suite", map[string]any{"check_suite.head_branch": nil}, "fork"},
		"a check run that ended":             {"check_run", map[string]any{"action": "completed"}, "asked for again"},
		"another App's check":                {"check_run", map[string]any{"check_run.external_id": "42"}, "none of Gravity's"},
		"another commit's check":             {"check_run", map[string]any{"check_run.head_sha": strings.Repeat("c", 40)}, "none of Gravity's"},
		"our own deployment":                 {"deployment", map[string]any{"deployment.payload": delivery.OwnDeployment("run/hello/" + sha)}, "its own deployment"},
		"our own deployment, as a text":      {"deployment", map[string]any{"deployment.payload": `{"gravity":"run/hello/x"}`}, "its own deployment"},
		"a deployment to elsewhere":          {"deployment", map[string]any{"deployment.environment": "github-pages"}, "no stage is called"},
		"a deployment of a branch not taken": {"deployment", map[string]any{"deployment.ref": "feature/x", "deployment.environment": "production"}, "no stage is called"},
		"a deployment of a bare commit":      {"deployment", map[string]any{"deployment.ref": sha}, "no stage is called"},
		"a comment that is none":             {"issue_comment", map[string]any{"comment.body": "please /deploy staging"}, "is no command"},
		"a comment that was edited":          {"issue_comment", map[string]any{"action": "edited"}, "only a new comment"},
		"a bot's command":                    {"issue_comment", map[string]any{"comment.user": map[string]any{"login": "x[bot]"}}, "bots command nothing"},
		"a repository that is not known":     {"release", map[string]any{"repository.clone_url": "https://github.com/x/y.git", "repository.full_name": "x/y"}, `no pipeline in gravity.yaml has repository "x/y"`},
		"a fork that is not known":           {"release", map[string]any{"repository.clone_url": "https://github.com/x/y.git", "repository.fork": true}, "is a fork"},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{}
			code, answer := send(t, eager(runs), request(c.event, sample(t, c.event+".json", c.replace)))
			require.Equal(t, http.StatusOK, code)
			require.Equal(t, StatusIgnored, answer.Status)
			require.Contains(t, answer.Reason, c.reason)
			require.Empty(t, runs.starts)
			require.Empty(t, runs.handed)
		})
	}
}

func TestAnEventWithoutWhatItNeedsIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		event   string
		replace map[string]any
	}{
		"a release without a tag":           {"release", map[string]any{"release.tag_name": ""}},
		"a release with a bad tag":          {"release", map[string]any{"release.tag_name": "v1\x00"}},
		"a workflow without a branch":       {"workflow_run", map[string]any{"workflow_run.head_branch": ""}},
		"a workflow without a commit":       {"workflow_run", map[string]any{"workflow_run.head_sha": "7fd1a60"}},
		"checks without a commit":           {"check_suite", map[string]any{"check_suite.head_sha": nil}},
		"a check run without a commit":      {"check_run", map[string]any{"check_run.head_sha": "--upload-pack"}},
		"a deployment without a ref":        {"deployment", map[string]any{"deployment.ref": ""}},
		"a deployment out of bounds":        {"deployment", map[string]any{"deployment.ref": "../../x"}},
		"a comment by nobody":               {"issue_comment", map[string]any{"comment.user": map[string]any{}}},
		"a comment without a time":          {"issue_comment", map[string]any{"comment.created_at": nil}},
		"a time that is none":               {"issue_comment", map[string]any{"comment.created_at": "soon"}},
		"a list where an object belongs":    {"deployment", map[string]any{"deployment": []int{1}}},
		"a repository without an address":   {"deployment", map[string]any{"repository.clone_url": ""}},
		"a check run of no clone URL":       {"check_run", map[string]any{"repository.clone_url": ""}},
		"a number that is larger than any":  {"check_run", map[string]any{"check_run.id": json.Number("1e400")}},
		"a command with a negative number":  {"issue_comment", map[string]any{"issue.number": -1}},
		"a push whose repository is a list": {"push", map[string]any{"repository": []any{}}},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{}
			code, answer := send(t, eager(runs), request(c.event, sample(t, c.event+".json", c.replace)))
			require.Equal(t, http.StatusBadRequest, code, answer.Reason)
			require.Empty(t, runs.starts)
			require.Empty(t, runs.handed)
		})
	}
}

func TestAnOldEventThatComesAgainStartsNothing(t *testing.T) {
	for event, age := range map[string]time.Duration{
		"push": maxAge, "release": maxAge, "workflow_run": maxAge, "check_suite": maxAge, "deployment": maxAge, "issue_comment": maxCommandAge,
	} {
		t.Run(event, func(t *testing.T) {
			happened := time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC)
			runs := &runs{}
			receiver := eager(runs)
			receiver.Now = func() time.Time { return happened.Add(age + time.Second) }
			code, answer := send(t, receiver, request(event, sample(t, event+".json", nil)))
			require.Equal(t, http.StatusGone, code)
			require.Equal(t, StatusError, answer.Status)
			require.Empty(t, runs.starts)
			require.Empty(t, runs.handed)

			receiver.Now = func() time.Time { return happened.Add(age) }
			code, answer = send(t, receiver, request(event, sample(t, event+".json", nil)))
			require.Equal(t, http.StatusAccepted, code, answer.Reason)
		})
	}
}

func TestACommandIsTheFirstLineOfAComment(t *testing.T) {
	for body, want := range map[string]*delivery.Comment{
		"/deploy staging":                       {Verb: "deploy", Target: "staging"},
		"  /deploy staging now \r\nthank you":   {Verb: "deploy", Target: "staging", Text: "now"},
		"/approve":                              {Verb: "approve"},
		"/approve looks good":                   {Verb: "approve", Text: "looks good"},
		"/abort wrong branch":                   {Verb: "abort", Text: "wrong branch"},
		"/rollback production orders are lost":  {Verb: "rollback", Target: "production", Text: "orders are lost"},
		"/deploy":                               nil,
		"/rollback  ":                           nil,
		"/approved":                             nil,
		"/Approve":                              nil,
		"> /approve":                            nil,
		"LGTM\n/approve":                        nil,
		"":                                      nil,
		"/reject x":                             nil,
		"/deploy " + strings.Repeat("x", 10000): {Verb: "deploy", Target: strings.Repeat("x", 97) + "…"},
	} {
		got, ok := parseCommand(body)
		if require.Equal(t, want != nil, ok, body); ok {
			require.Equal(t, *want, got)
		}
	}
}

func TestWhatCannotBeHandedOnIsSaidSoThatItCanBeDeliveredAgain(t *testing.T) {
	runs := &runs{fails: map[string]error{"hand": delivery.Errorf(delivery.Unavailable, "temporal at 10.0.0.7")}}
	receiver := eager(runs)
	code, answer := send(t, receiver, request("release", sample(t, "release.json", nil)))
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.NotContains(t, answer.Reason, "10.0.0.7")
	runs.fails = nil
	code, _ = send(t, receiver, request("release", sample(t, "release.json", nil)))
	require.Equal(t, http.StatusAccepted, code)
}
