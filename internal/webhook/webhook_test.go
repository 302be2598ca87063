package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"gravity/internal/config"
	"gravity/internal/delivery"
)

const (
	sha  = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"
	guid = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
)

var secret = []byte("It's a Secret to Everybody")

// sampled is a moment after the samples.
var sampled = time.Date(2026, 11, 23, 15, 10, 0, 0, time.UTC)

// runs keeps the runs that were started, as Temporal would: one for each pipeline and revision.
type runs struct {
	started   []string
	starts    []Start
	handed    []delivery.GitHubEvent
	revisions []delivery.Revision
	fails     map[string]error
}

func (s *runs) start(_ context.Context, start Start) (Started, error) {
	if err := s.fails[start.Pipeline.Name]; err != nil {
		return Started{}, err
	}
	id := delivery.RunID(start.Pipeline.Name, start.Revision.SHA)
	for _, run := range s.started {
		if run == id {
			return Started{RunID: id, Existing: true}, nil
		}
	}
	s.started, s.starts, s.revisions = append(s.started, id), append(s.starts, start), append(s.revisions, start.Revision)
	return Started{RunID: id}, nil
}

func (s *runs) hand(_ context.Context, event delivery.GitHubEvent) (Started, error) {
	if err := s.fails["hand"]; err != nil {
		return Started{}, err
	}
	started := Started{RunID: delivery.EventID(event)}
	for _, before := range s.handed {
		started.Existing = started.Existing || before.ID == event.ID
	}
	if !started.Existing {
		s.handed = append(s.handed, event)
	}
	return started, nil
}

func receiver(runs *runs) *Receiver {
	file := config.File{Pipelines: []delivery.Pipeline{
		{Name: "hello", Repository: "git@github.com:octocat/hello-world.git", Stages: []delivery.Stage{{Branches: []string{"main"}}}},
		{Name: "docs", Repository: "https://github.com/octocat/Hello-World", Path: "docs", Stages: []delivery.Stage{{Branches: []string{"main", "docs/*"}}}},
		{Name: "other", Repository: "https://github.com/octocat/other", Stages: []delivery.Stage{{Branches: []string{"*"}}}},
	}}
	return &Receiver{
		Secrets:  [][]byte{[]byte("the one before"), secret},
		Matching: file.Matching,
		Start:    runs.start,
		Hand:     runs.hand,
		Now:      func() time.Time { return sampled },
		RunURL:   func(runID string) string { return "http://127.0.0.1:8233/" + runID },
	}
}

// sample is a payload in GitHub's shape, with some of its fields replaced.
func sample(t testing.TB, name string, replace map[string]any) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	if replace == nil {
		return data
	}
	var payload map[string]any
	require.NoError(t, json.Unmarshal(data, &payload))
	for key, value := range replace {
		if outer, inner, nested := strings.Cut(key, "."); nested {
			payload[outer].(map[string]any)[inner] = value
		} else {
			payload[key] = value
		}
	}
	data, err = json.Marshal(payload)
	require.NoError(t, err)
	return data
}

// request is what GitHub sends for an event.
func request(event string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "GitHub-Hookshot/044aadd")
	r.Header.Set("X-GitHub-Event", event)
	r.Header.Set("X-GitHub-Delivery", guid)
	r.Header.Set("X-Hub-Signature-256", Sign(secret, body))
	return r
}

func send(t testing.TB, receiver *Receiver, r *http.Request) (int, Answer) {
	t.Helper()
	recorder := httptest.NewRecorder()
	receiver.ServeHTTP(recorder, r)
	var answer Answer
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &answer), recorder.Body.String())
	require.Equal(t, "application/json", recorder.Header().Get("Content-Type"))
	return recorder.Code, answer
}

func TestAPushStartsARunOfEveryPipelineOfItsRepository(t *testing.T) {
	runs := &runs{}
	code, answer := send(t, receiver(runs), request("push", sample(t, "push.json", nil)))
	require.Equal(t, http.StatusAccepted, code)
	require.Equal(t, StatusStarted, answer.Status)
	require.Equal(t, []Run{
		{Pipeline: "hello", Run: "run/hello/" + sha, URL: "http://127.0.0.1:8233/run/hello/" + sha},
		{Pipeline: "docs", Run: "run/docs/" + sha, URL: "http://127.0.0.1:8233/run/docs/" + sha},
	}, answer.Runs)
	require.Equal(t, delivery.Revision{SHA: sha, Ref: "refs/heads/main", Author: "The Octocat", People: []string{"octocat", "octocat@users.noreply.github.com"}, Message: "Say hello to the world"}, runs.revisions[0])
}

func TestTheSameDeliveryFiveTimesStartsOneRun(t *testing.T) {
	runs := &runs{}
	receiver := receiver(runs)
	body := sample(t, "push.json", nil)
	send(t, receiver, request("push", body))
	for range 4 {
		code, answer := send(t, receiver, request("push", body))
		require.Equal(t, http.StatusAccepted, code)
		require.Equal(t, StatusExisting, answer.Status)
		require.Contains(t, answer.Reason, "--again")
		require.Len(t, answer.Runs, 2)
	}
	require.Len(t, runs.started, 2)
}

func TestAFormCarriesThePayloadToo(t *testing.T) {
	runs := &runs{}
	body := []byte("payload=" + url.QueryEscape(string(sample(t, "push.json", nil))))
	r := request("push", body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	code, _ := send(t, receiver(runs), r)
	require.Equal(t, http.StatusAccepted, code)
	require.Len(t, runs.started, 2)
}

func TestARequestWithoutARightSignatureStartsNothing(t *testing.T) {
	body := sample(t, "push.json", nil)
	mac := hmac.New(sha1.New, secret)
	mac.Write(body)
	sha1Only := hex.EncodeToString(mac.Sum(nil)) // right, and still not enough
	for name, change := range map[string]func(*http.Request, *Receiver){
		"none": func(r *http.Request, _ *Receiver) { r.Header.Del("X-Hub-Signature-256") },
		"SHA-1 alone": func(r *http.Request, _ *Receiver) {
			r.Header.Del("X-Hub-Signature-256")
			r.Header.Set("X-Hub-Signature", "sha1="+sha1Only)
		},
		"SHA-1 in the place of SHA-256": func(r *http.Request, _ *Receiver) { r.Header.Set("X-Hub-Signature-256", "sha1="+sha1Only) },
		"another secret's":              func(r *http.Request, _ *Receiver) { r.Header.Set("X-Hub-Signature-256", Sign([]byte("x"), body)) },
		"another body's":                func(r *http.Request, _ *Receiver) { r.Header.Set("X-Hub-Signature-256", Sign(secret, body[1:])) },
		"cut short":                     func(r *http.Request, _ *Receiver) { r.Header.Set("X-Hub-Signature-256", Sign(secret, body)[:30]) },
		"no hexadecimal":                func(r *http.Request, _ *Receiver) { r.Header.Set("X-Hub-Signature-256", "sha256=xyz") },
		"of nothing":                    func(r *http.Request, _ *Receiver) { r.Header.Set("X-Hub-Signature-256", "sha256=") },
		"an empty secret's": func(r *http.Request, receiver *Receiver) {
			receiver.Secrets = append(receiver.Secrets, []byte{})
			r.Header.Set("X-Hub-Signature-256", Sign(nil, body))
		},
		"right, without a secret to compare": func(_ *http.Request, receiver *Receiver) { receiver.Secrets = nil },
		"right, with a byte added": func(r *http.Request, _ *Receiver) {
			r.Body = io.NopCloser(bytes.NewReader(append(bytes.Clone(body), '\n')))
		},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{}
			receiver := receiver(runs)
			r := request("push", body)
			change(r, receiver)
			code, answer := send(t, receiver, r)
			require.Equal(t, http.StatusUnauthorized, code)
			require.Equal(t, StatusError, answer.Status)
			require.Empty(t, runs.started)
		})
	}
}

func TestEverySecretCountsWhileOneIsReplaced(t *testing.T) {
	body := sample(t, "push.json", nil)
	r := request("push", body)
	r.Header.Set("X-Hub-Signature-256", Sign([]byte("the one before"), body))
	code, _ := send(t, receiver(&runs{}), r)
	require.Equal(t, http.StatusAccepted, code)
}

func TestTheSignatureIsGitHubsOwn(t *testing.T) {
	// The example in GitHub's documentation of webhook signatures.
	require.Equal(t, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", Sign(secret, []byte("Hello, World!")))
}

func TestWhatIsNothingToDeployIsIgnoredWithTheReason(t *testing.T) {
	zeros := strings.Repeat("0", 40)
	for name, c := range map[string]struct {
		event   string
		replace map[string]any
		code    int
		reason  string
	}{
		"a ping":                             {"ping", nil, http.StatusOK, "pong"},
		"another event":                      {"pull_request", nil, http.StatusOK, "means nothing here"},
		"a tag that no stage names":          {"push", map[string]any{"ref": "refs/tags/v1"}, http.StatusOK, `no stage names "v1"`},
		"a note":                             {"push", map[string]any{"ref": "refs/notes/x"}, http.StatusOK, "is neither a branch nor a tag"},
		"a deleted branch":                   {"push", map[string]any{"deleted": true, "after": zeros, "head_commit": nil}, http.StatusOK, `"main" was deleted`},
		"a branch that no stage names":       {"push", map[string]any{"ref": "refs/heads/feature"}, http.StatusOK, `no stage names "feature"`},
		"a repository that no pipeline has":  {"push", map[string]any{"repository.clone_url": "https://github.com/o/r.git", "repository.full_name": "o/r"}, http.StatusOK, `no pipeline in gravity.yaml has repository "o/r"`},
		"a fork":                             {"push", map[string]any{"repository.fork": true, "repository.clone_url": "https://github.com/x/Hello-World.git"}, http.StatusOK, "is a fork"},
		"another host with the same path":    {"push", map[string]any{"repository.clone_url": "https://github.example.com/octocat/Hello-World.git"}, http.StatusOK, "no pipeline"},
		"a full name that is another's lies": {"push", map[string]any{"repository.clone_url": "https://github.com/x/y.git"}, http.StatusOK, "no pipeline"},
	} {
		t.Run(name, func(t *testing.T) {
			file := "push.json"
			if c.event == "ping" {
				file = "ping.json"
			}
			runs := &runs{}
			code, answer := send(t, receiver(runs), request(c.event, sample(t, file, c.replace)))
			require.Equal(t, c.code, code)
			require.Equal(t, StatusIgnored, answer.Status)
			require.Contains(t, answer.Reason, c.reason)
			require.Empty(t, runs.started)
		})
	}
}

func TestABranchStartsOnlyThePipelinesWithAStageForIt(t *testing.T) {
	runs := &runs{}
	send(t, receiver(runs), request("push", sample(t, "push.json", map[string]any{"ref": "refs/heads/docs/typo"})))
	require.Equal(t, []string{"run/docs/" + sha}, runs.started)
}

func TestAMalformedPushIsRefused(t *testing.T) {
	for name, replace := range map[string]map[string]any{
		"a short hash":           {"after": "7fd1a60"},
		"an upper-case hash":     {"after": strings.ToUpper(sha)},
		"a hash with an option":  {"after": "--upload-pack=x"},
		"a hash of zeros":        {"after": strings.Repeat("0", 40)},
		"another head commit":    {"after": strings.Repeat("a", 40)},
		"no hash":                {"after": nil},
		"a number as hash":       {"after": 7},
		"no ref":                 {"ref": ""},
		"a ref with a line":      {"ref": "refs/heads/main\nx"},
		"an endless ref":         {"ref": "refs/heads/" + strings.Repeat("x", 2000)},
		"no repository":          {"repository": nil},
		"a repository as a text": {"repository": "octocat"},
		"no clone URL":           {"repository.clone_url": ""},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{}
			code, answer := send(t, receiver(runs), request("push", sample(t, "push.json", replace)))
			require.Equal(t, http.StatusBadRequest, code)
			require.Equal(t, StatusError, answer.Status)
			require.NotEmpty(t, answer.Reason)
			require.Empty(t, runs.started)
		})
	}
	for name, change := range map[string]func(*http.Request){
		"no delivery ID":       func(r *http.Request) { r.Header.Del("X-GitHub-Delivery") },
		"a delivery ID of any": func(r *http.Request) { r.Header.Set("X-GitHub-Delivery", "a b") },
		"no form, said to be":  func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
	} {
		t.Run(name, func(t *testing.T) {
			r := request("push", sample(t, "push.json", nil))
			change(r)
			code, _ := send(t, receiver(&runs{}), r)
			require.Equal(t, http.StatusBadRequest, code)
		})
	}
	code, _ := send(t, receiver(&runs{}), request("push", []byte("{")))
	require.Equal(t, http.StatusBadRequest, code)
}

func TestAPushOfASHA256RepositoryIsTaken(t *testing.T) {
	runs := &runs{}
	long := strings.Repeat("0f", 32)
	send(t, receiver(runs), request("push", sample(t, "push.json", map[string]any{"after": long, "head_commit": nil})))
	require.Equal(t, "run/hello/"+long, runs.started[0])
}

func TestOnlyPostsUpTo25MBAreRead(t *testing.T) {
	recorder := httptest.NewRecorder()
	receiver(&runs{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/webhook", nil))
	require.Equal(t, http.StatusMethodNotAllowed, recorder.Code)
	require.Equal(t, http.MethodPost, recorder.Header().Get("Allow"))

	code, answer := send(t, receiver(&runs{}), request("push", make([]byte, maxBody+1)))
	require.Equal(t, http.StatusRequestEntityTooLarge, code)
	require.Contains(t, answer.Reason, "25 MB")
}

func TestARunThatCannotBeStartedIsSaidSoThatItCanBeDeliveredAgain(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		code   int
		reason string
	}{
		"unavailable":  {delivery.Errorf(delivery.Unavailable, "temporal at 10.0.0.7 refuses"), http.StatusServiceUnavailable, "deliver it again"},
		"throttled":    {delivery.Errorf(delivery.Throttled, "slower"), http.StatusServiceUnavailable, "deliver it again"},
		"too slow":     {context.DeadlineExceeded, http.StatusServiceUnavailable, "deliver it again"},
		"wrong input":  {delivery.Errorf(delivery.InvalidInput, "pipeline docs has no such stage"), http.StatusInternalServerError, "no such stage"},
		"unclassified": {errors.New("secret inside"), http.StatusInternalServerError, "the receiver's log says why"},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{fails: map[string]error{"hello": c.err}}
			receiver := receiver(runs)
			code, answer := send(t, receiver, request("push", sample(t, "push.json", nil)))
			require.Equal(t, c.code, code)
			require.Equal(t, StatusError, answer.Status)
			require.Contains(t, answer.Reason, c.reason)
			require.NotContains(t, answer.Reason, "secret")
			require.NotContains(t, answer.Reason, "10.0.0.7")
			require.Equal(t, []string{"run/docs/" + sha}, runs.started, "the other pipeline's run starts all the same")

			runs.fails = nil
			code, answer = send(t, receiver, request("push", sample(t, "push.json", nil)))
			require.Equal(t, http.StatusAccepted, code)
			require.Equal(t, StatusStarted, answer.Status)
			require.Len(t, runs.started, 2)
		})
	}
}

func TestASenderThatHangsUpDoesNotStopARunFromStarting(t *testing.T) {
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	receiver := receiver(&runs{})
	receiver.Start = func(ctx context.Context, start Start) (Started, error) {
		deadline, bounded := ctx.Deadline()
		require.True(t, bounded && !deadline.IsZero())
		return Started{RunID: delivery.RunID(start.Pipeline.Name, start.Revision.SHA)}, ctx.Err()
	}
	code, _ := send(t, receiver, request("push", sample(t, "push.json", nil)).WithContext(ctx))
	require.Equal(t, http.StatusAccepted, code)
}

func TestOneLineIsLoggedWithoutBodyOrSignature(t *testing.T) {
	body := sample(t, "push.json", nil)
	forged := request("push\n"+strings.Repeat("x", 5000), body)
	forged.Header.Set("X-Hub-Signature-256", Sign([]byte("x"), body))
	for name, c := range map[string]struct {
		request *http.Request
		has     []string
		hasNot  string
	}{
		"a push":    {request("push", body), []string{`"delivery":"` + guid, `"repository":"octocat/Hello-World"`, `"outcome":"started"`, "run/docs/" + sha}, "Say hello"},
		"a forgery": {forged, []string{`"signed":false`, `"outcome":"error"`, `"level":"WARN"`}, "octocat"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			receiver := receiver(&runs{})
			receiver.Log = slog.New(slog.NewJSONHandler(&log, nil))
			send(t, receiver, c.request)
			require.Equal(t, 1, strings.Count(log.String(), "\n"))
			for _, part := range c.has {
				require.Contains(t, log.String(), part)
			}
			require.NotContains(t, log.String(), c.hasNot)
			require.NotContains(t, log.String(), strings.TrimPrefix(c.request.Header.Get("X-Hub-Signature-256"), "sha256="))
			require.Less(t, log.Len(), 1500)
		})
	}
}

func TestTheSampleIsAPushAsGitHubsLibraryReadsIt(t *testing.T) {
	// Custom properties with several values are what go-github's own type cannot read.
	body := sample(t, "push.json", map[string]any{"repository.custom_properties": nil})
	event, err := github.ParseWebHook("push", body)
	require.NoError(t, err)
	theirs := event.(*github.PushEvent)
	var ours push
	require.NoError(t, json.Unmarshal(body, &ours))
	require.Equal(t, theirs.GetRef(), ours.Ref)
	require.Equal(t, theirs.GetAfter(), ours.After)
	require.Equal(t, theirs.GetDeleted(), ours.Deleted)
	require.Equal(t, theirs.GetRepo().GetCloneURL(), ours.Repository.CloneURL)
	require.Equal(t, theirs.GetRepo().GetFullName(), ours.Repository.FullName)
	require.Equal(t, theirs.GetRepo().GetFork(), ours.Repository.Fork)
	require.Equal(t, theirs.GetHeadCommit().GetID(), ours.HeadCommit.ID)
	require.Equal(t, theirs.GetHeadCommit().GetMessage(), ours.HeadCommit.Message)
	require.Equal(t, theirs.GetHeadCommit().GetAuthor().GetName(), ours.HeadCommit.Author.Name)
}
