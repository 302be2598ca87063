package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	platformclock "gravity/internal/local/aws/clock"
	"gravity/internal/webhook"
	"gravity/workflows"
)

// hooks is the part of GitHub's API that webhooks are registered by. Its pings are real ones, signed with the
// secret that was registered.
type hooks struct {
	mu     sync.Mutex
	next   int64
	all    map[int64]map[string]any
	looked func() // when somebody looks at a webhook
}

func gitHub(t *testing.T) (*hooks, string) {
	h := &hooks{all: map[int64]map[string]any{}}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /repos/example/site/hooks", func(w http.ResponseWriter, _ *http.Request) { h.list(w) })
	routes.HandleFunc("POST /repos/example/site/hooks", h.create)
	routes.HandleFunc("GET /repos/example/site/hooks/{id}", h.one(h.show))
	routes.HandleFunc("PATCH /repos/example/site/hooks/{id}", h.one(h.edit))
	routes.HandleFunc("POST /repos/example/site/hooks/{id}/pings", h.one(h.ping))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hook-token" {
			answer(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
			return
		}
		routes.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return h, server.URL
}

func answer(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document)
}

func (h *hooks) list(w http.ResponseWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := []map[string]any{}
	for _, hook := range h.all {
		list = append(list, hook)
	}
	answer(w, http.StatusOK, list)
}

func (h *hooks) create(w http.ResponseWriter, r *http.Request) {
	var hook map[string]any
	if json.NewDecoder(r.Body).Decode(&hook) != nil {
		answer(w, http.StatusUnprocessableEntity, map[string]string{"message": "Validation Failed"})
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	hook["id"] = h.next
	h.all[h.next] = hook
	answer(w, http.StatusCreated, hook)
}

func (h *hooks) one(do func(http.ResponseWriter, *http.Request, map[string]any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
		hook, there := h.all[id]
		if !there {
			answer(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
			return
		}
		do(w, r, hook)
	}
}

func (h *hooks) show(w http.ResponseWriter, _ *http.Request, hook map[string]any) {
	if h.looked != nil {
		h.looked()
	}
	answer(w, http.StatusOK, hook)
}

func (h *hooks) edit(w http.ResponseWriter, r *http.Request, hook map[string]any) {
	if json.NewDecoder(r.Body).Decode(&hook) != nil {
		answer(w, http.StatusUnprocessableEntity, map[string]string{"message": "Validation Failed"})
		return
	}
	answer(w, http.StatusOK, hook)
}

func (h *hooks) ping(w http.ResponseWriter, r *http.Request, hook map[string]any) {
	config := hook["config"].(map[string]any)
	body := []byte(`{"zen": "Keep it logically awesome.", "hook_id": 1}`)
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, config["url"].(string), bytes.NewReader(body))
	if err == nil {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("X-GitHub-Event", "ping")
		request.Header.Set("X-GitHub-Delivery", "ping-1")
		request.Header.Set("X-Hub-Signature-256", webhook.Sign([]byte(config["secret"].(string)), body))
		var response *http.Response
		if response, err = http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			hook["last_response"] = map[string]any{"code": response.StatusCode, "message": response.Status}
		}
	}
	if err != nil {
		hook["last_response"] = map[string]any{"code": 0, "message": "failed to connect to host"}
	}
	w.WriteHeader(http.StatusNoContent)
}

// bootstrapArguments are those of a bootstrap of the world, whose secrets lie in files.
func (w *world) bootstrapArguments(api string) []string {
	w.t.Helper()
	token := filepath.Join(w.t.TempDir(), "token")
	require.NoError(w.t, os.WriteFile(token, []byte("hook-token\n"), 0o600))
	return []string{"bootstrap", "--webhook-url", strings.TrimSuffix(w.receiver, webhookPath), "--secret-file", filepath.Join(w.options.Directory, "webhook-secret"),
		"--github-url", api, "--github-token-file", token}
}

// serving is what both environments serve.
func (w *world) serving() map[string]string {
	w.t.Helper()
	served := map[string]string{}
	for _, environment := range []string{"site-staging", "site-production"} {
		observed := w.observe(environment)
		response, err := http.Get("http://" + observed.Address + "/")
		require.NoError(w.t, err)
		page, err := io.ReadAll(response.Body)
		require.NoError(w.t, err)
		require.NoError(w.t, response.Body.Close())
		require.Equal(w.t, http.StatusOK, response.StatusCode)
		served[environment] = observed.VersionLabel + " " + string(page)
	}
	return served
}

const everyStack = "gravity-site gravity-site-staging gravity-site-production gravity-site-alarms"

func TestOneCommandGoesFromNothingToServingAndAgainAfterADestruction(t *testing.T) {
	w := freshAccount(t, nil)
	registered, api := gitHub(t)
	arguments := w.bootstrapArguments(api)
	got := w.starter(arguments...)
	require.Equal(t, exitSuccess, got.code, got.stdout+got.stderr)
	first := w.serving()
	assert.Contains(t, first["site-production"], "<h1>Automation for the people</h1>")
	assert.Contains(t, got.stdout, "site-production is on site-")
	assert.Contains(t, got.stdout, "GitHub's ping arrived at "+w.receiver)
	stacks := w.stackNames()

	again := w.starter(append(arguments, "-o", "json")...)
	require.Equal(t, exitSuccess, again.code, again.stderr)
	done := as[bootstrapped](t, again.stdout)
	for _, stack := range done.Stacks.Stacks {
		assert.Equal(t, workflows.ProvisionUnchanged, stack.State, stack.Stack)
	}
	assert.Len(t, registered.all, 1, "a webhook is not registered twice")
	assert.Equal(t, 2, w.updates(), "and nothing is deployed twice")

	gone := w.starter("destroy", "--all", "--confirm", everyStack)
	require.Equal(t, exitSuccess, gone.code, gone.stdout+gone.stderr)
	assert.Empty(t, w.stackNames())
	left, err := s3.NewFromConfig(w.platform.Config(), func(o *s3.Options) { o.UsePathStyle = true }).ListBuckets(t.Context(), &s3.ListBucketsInput{})
	require.NoError(t, err)
	for _, bucket := range left.Buckets { // of which the pipeline's held the bundle
		assert.NotContains(t, *bucket.Name, "gravity-site", "it was emptied, and is gone")
	}

	rebuilt := w.starter(arguments...)
	require.Equal(t, exitSuccess, rebuilt.code, rebuilt.stdout+rebuilt.stderr)
	assert.Equal(t, first, w.serving(), "the same version, and the same page")
	assert.Equal(t, stacks, w.stackNames())
}

func TestABootstrapThatIsKilledAtTenPointsGetsThereAllTheSame(t *testing.T) {
	takesMinutes(t)
	w := freshAccount(t, func(o *stackOptions) { o.NoWorker = true })
	_, api := gitHub(t)
	arguments := append(w.bootstrapArguments(api), "--address", w.temporal.Address(), "--config", w.configPath())
	for n, point := range []struct {
		call  string
		count int
	}{
		{"cloudformation CreateChangeSet", 1}, {"cloudformation ExecuteChangeSet", 1}, {"cloudformation CreateChangeSet", 2},
		{"CreateEnvironment", 1}, {"cloudformation ExecuteChangeSet", 3}, {"CreateEnvironment", 2}, {"cloudformation ExecuteChangeSet", 4},
		{"CreateApplicationVersion", 1}, {"UpdateEnvironment", 1}, {"UpdateEnvironment", 2},
	} {
		killWorker := w.startWorkerProcess()
		command := program(t, arguments...)
		var said bytes.Buffer
		command.Stdout, command.Stderr = &said, &said
		require.NoError(t, command.Start())
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(said.String())
			}
		})
		require.Eventually(t, func() bool { return w.platform.Calls()[point.call] >= point.count }, 4*time.Minute, 5*time.Millisecond,
			"point %d: %s %d", n+1, point.call, point.count)
		require.NoError(t, command.Process.Kill())
		_ = command.Wait()
		killWorker()
		if t.Failed() {
			t.Log(said.String())
		}
	}
	w.startWorkerProcess()
	got := w.starter(arguments[:len(arguments)-4]...)
	require.Equal(t, exitSuccess, got.code, got.stdout+got.stderr)
	assert.Len(t, w.serving(), 2)
	calls := w.platform.Calls()
	for call, once := range map[string]int{"CreateEnvironment": 2, "UpdateEnvironment": 2, "CreateApplication": 1, "cloudformation DeleteStack": 0} {
		assert.Equal(t, once, calls[call], "%s: nothing is done twice, and nothing had to be begun anew", call)
	}
}

// clockFactor is how much faster than AWS the stand-in's clock runs where durations are summed up. The processes of
// instances run at their own speed, and so does this machine, so that a second of theirs counts as half a minute.
const clockFactor = 30

func TestWithAWSsDurationsTheWholeTakesUnderAnHour(t *testing.T) {
	steady := 30 * time.Second
	w := freshAccount(t, func(o *stackOptions) {
		o.Platform, o.Clock = aws.RealPace(), platformclock.Scaled(clockFactor)
		o.Steady = delivery.Duration(steady / clockFactor)
		o.Settle = delivery.Duration(20 * time.Second)
	})
	_, api := gitHub(t)
	got := w.starter(append(w.bootstrapArguments(api), "-o", "json")...)
	require.Equal(t, exitSuccess, got.code, got.stdout+got.stderr)
	done := as[bootstrapped](t, got.stdout)
	var sum time.Duration
	for _, part := range done.Took {
		duration := part.Took.Std()
		if strings.HasPrefix(part.What, "run ") { // told by this machine's clock, which waits for the platform's
			duration *= clockFactor
		}
		sum += duration
		t.Logf("%-40s %s", part.What, duration.Round(time.Second))
	}
	t.Logf("%-40s %s", "together", sum.Round(time.Second))
	assert.Less(t, sum, time.Hour)
	assert.Greater(t, sum, 20*time.Minute, "these are AWS's durations")
	assert.Len(t, w.serving(), 2)
}

func TestABootstrapSaysWhatItNeedsBeforeItMakesAnything(t *testing.T) {
	for name, c := range map[string]struct {
		flags bootstrapFlags
		says  string
	}{
		"no receiver":     {bootstrapFlags{}, "--no-webhook registers none"},
		"a path":          {bootstrapFlags{webhookURL: "https://g.example.com/webhook", secretFile: "s", tokenFile: "t"}, "without a path"},
		"no encryption":   {bootstrapFlags{webhookURL: "http://g.example.com", secretFile: "s", tokenFile: "t"}, "a webhook goes over https"},
		"with a password": {bootstrapFlags{webhookURL: "https://a:b@g.example.com", secretFile: "s", tokenFile: "t"}, "without a path"},
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorContains(t, c.flags.check(), c.says) })
	}
}

func TestAWebhookIsRegisteredOnceAndItsPingHasToArrive(t *testing.T) {
	var secret string
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Hub-Signature-256") != webhook.Sign([]byte(secret), body) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(receiver.Close)
	registered, api := gitHub(t)
	request := hookRequest{API: api, Token: "hook-token", Repository: "git@github.com:example/site.git", Address: receiver.URL + webhookPath, Secret: "first", Pace: time.Millisecond}
	for _, request.Secret = range []string{"first", "second"} {
		secret = request.Secret
		said, err := registerWebhook(t.Context(), request)
		require.NoError(t, err)
		assert.Contains(t, said, "GitHub's ping arrived at "+receiver.URL)
	}
	require.Len(t, registered.all, 1)
	assert.Equal(t, []any{"push"}, registered.all[1]["events"])

	secret = "another"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looks := 0
	registered.mu.Lock()
	registered.looked = func() {
		if looks++; looks == 2 { // what the first look showed was read
			cancel()
		}
	}
	registered.mu.Unlock()
	_, err := registerWebhook(ctx, request)
	assert.ErrorContains(t, err, "401 Unauthorized")

	request.Token = "wrong"
	_, err = registerWebhook(t.Context(), request)
	assert.Equal(t, delivery.AccessDenied, delivery.TypeOf(err))
	assert.ErrorContains(t, err, "admin:repo_hook")
	assert.NotContains(t, err.Error(), "wrong")

	request.Repository = "https://example.com/a/b/c"
	_, err = registerWebhook(t.Context(), request)
	assert.ErrorContains(t, err, "no repository of GitHub")
}
