package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/git"
	"gravity/internal/local/temporal"
	"gravity/worker/connection"
	"gravity/workflows"
)

// bench is a real Temporal server with the real workflows over scripted steps, a git host, and a
// gravity.yaml: what the commands work with.
type bench struct {
	t       *testing.T
	client  client.Client
	steps   *scripted
	working *git.Working
	config  string
}

const benchConfig = `pipelines:
  - name: site
    repository: %URL%
    application: site
    test: {run: ./test}
    stages:
      - {name: staging, environment: web-staging}
      - {name: live, environment: web-live, gate: {approval: {timeout: 1h}}}
`

func newBench(t *testing.T) *bench { return newBenchWith(t, "") }

// newBenchWith encrypts with the keys in a file, if one is named.
func newBenchWith(t *testing.T, keysFile string) *bench {
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	server, err := temporal.Start(t.Context(), temporal.Options{Headless: true, SearchAttributes: attributes})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	t.Setenv("TEMPORAL_ADDRESS", server.Address())
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // mirrors of the repository
	options, err := connection.Settings{Address: server.Address(), EncryptionKeysFile: keysFile}.Options()
	require.NoError(t, err)
	connected, err := connection.Dial(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(connected.Close)
	t.Setenv("GRAVITY_ENCRYPTION_KEYS_FILE", keysFile)

	b := &bench{t: t, client: connected, steps: &scripted{arrived: make(chan string, 100)}, config: filepath.Join(t.TempDir(), "gravity.yaml")}
	b.startWorkers()
	b.startGit()
	return b
}

func (b *bench) startWorkers() {
	for _, queue := range []string{workflows.Queue, workflows.PlatformQueue, workflows.BuildQueue} {
		w := worker.New(b.client, queue, worker.Options{DefaultHeartbeatThrottleInterval: 10 * time.Millisecond, MaxHeartbeatThrottleInterval: 10 * time.Millisecond})
		if queue == workflows.Queue {
			workflows.Register(w)
			w.RegisterActivity(&activities.Environments{Temporal: b.client})
		}
		w.RegisterActivity(b.steps)
		require.NoError(b.t, w.Start())
		b.t.Cleanup(w.Stop)
	}
}

func (b *bench) startGit() {
	host, err := git.Start(b.t.Context(), git.Options{DataDir: b.t.TempDir(), Addr: "127.0.0.1:0"})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = host.Close() })
	require.NoError(b.t, host.Create(b.t.Context(), "example/site"))
	files := b.t.TempDir()
	require.NoError(b.t, os.WriteFile(filepath.Join(files, "index.html"), []byte("one"), 0o600))
	_, err = host.Fill(b.t.Context(), "example/site", files, "The first")
	require.NoError(b.t, err)
	b.working, err = git.Clone(b.t.Context(), host.CloneURL("example/site"), filepath.Join(b.t.TempDir(), "site"))
	require.NoError(b.t, err)
	text := strings.ReplaceAll(benchConfig, "%URL%", host.CloneURL("example/site"))
	require.NoError(b.t, os.WriteFile(b.config, []byte(text), 0o600))
	b.t.Setenv("GRAVITY_CONFIG", b.config)
}

// commit pushes a change, and answers with its hash.
func (b *bench) commit(message string) string {
	b.t.Helper()
	require.NoError(b.t, b.working.Write("index.html", message))
	sha, err := b.working.Commit(b.t.Context(), message)
	require.NoError(b.t, err)
	require.NoError(b.t, b.working.Push(b.t.Context(), "main"))
	return sha
}

// starter runs the whole program against the bench.
func (b *bench) starter(arguments ...string) ended {
	b.t.Helper()
	return b.starterWith(b.t.Context(), arguments...)
}

func (b *bench) starterWith(ctx context.Context, arguments ...string) ended {
	return b.starterTo(ctx, &transcript{}, arguments...)
}

func (b *bench) starterTo(ctx context.Context, stdout *transcript, arguments ...string) ended {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute) // what never ends fails as interrupted
	defer cancel()
	var stderr bytes.Buffer
	code := runAt(ctx, 20*time.Millisecond, arguments, stdout, &stderr)
	return ended{code, stdout.String(), stderr.String()}
}

// begin runs the program beside the test.
func (b *bench) begin(arguments ...string) <-chan ended {
	return b.beginTo(&transcript{}, arguments...)
}

// beginTo runs the program beside the test, which reads what it says meanwhile.
func (b *bench) beginTo(stdout *transcript, arguments ...string) <-chan ended {
	done := make(chan ended, 1)
	go func() { done <- b.starterTo(b.t.Context(), stdout, arguments...) }()
	return done
}

// as decodes what a command printed with -o json.
func as[T any](t *testing.T, printed string) T {
	t.Helper()
	var value T
	require.NoError(t, json.Unmarshal([]byte(printed), &value), printed)
	return value
}

// until waits for a step to begin.
func (b *bench) until(step string) {
	b.t.Helper()
	for {
		select {
		case began := <-b.steps.arrived:
			if began == step {
				return
			}
		case <-time.After(timeoutOfLive):
			require.FailNow(b.t, "step did not begin", step)
		}
	}
}

// waiting waits until a run waits at its gate.
func (b *bench) waiting(runID string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var status workflows.RunStatus
		return query(b.t.Context(), b.client, runID, &status) == nil && status.State == workflows.StateWaiting
	}, timeoutOfLive, pauseOfLive)
	b.listed(runID, workflows.StateWaiting, 1)
}

// listed waits until Temporal's visibility has a run in a state, and has seen it begin so many times. Commands that
// search for a run, as those without its full ID do, know it from then on; what it does itself is ahead of that.
func (b *bench) listed(runID string, state workflows.RunState, times int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		filter := "WorkflowId = '" + runID + "'"
		counted, err := b.client.CountWorkflow(b.t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: filter})
		if err != nil || counted.GetCount() != int64(times) {
			return false
		}
		runs, err := listRuns(b.t.Context(), b.client, filter)
		return err == nil && len(runs) == 1 && runs[0].State == state && runs[0].goingOn() == !state.Ended()
	}, timeoutOfLive, pauseOfLive, "%s is listed as %s", runID, state)
}

// scripted stands for everything that the workflows' steps touch. A commit whose message says so
// breaks its test; an environment can be held in the middle of an update.
type scripted struct {
	arrived chan string // "Step argument", as they begin

	mu       sync.Mutex
	held     chan struct{} // closed to go on; nil when nothing is held
	versions map[string]string
}

func (s *scripted) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.held = held
	return func() {
		s.mu.Lock()
		s.held = nil
		s.mu.Unlock()
		close(held)
	}
}

func (s *scripted) on(environment string) delivery.Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return delivery.Observation{Application: "site", Name: environment, Status: "Ready", HealthStatus: "Ok", VersionLabel: s.versions[environment], Address: "web.example"}
}

func (s *scripted) Checkout(_ context.Context, input activities.CheckoutInput) (activities.Workspace, error) {
	revision := input.Revision
	revision.CommittedAt = time.Unix(1700000000, 0)
	return activities.Workspace{TaskQueue: workflows.BuildQueue, Directory: "d", Revision: revision}, nil
}

func (s *scripted) Prune(context.Context, activities.PruneInput) (activities.Pruned, error) {
	return activities.Pruned{}, nil
}

func (s *scripted) FindExisting(_ context.Context, input activities.FindExistingInput) (activities.Existing, error) {
	return activities.Existing{Versions: input.Versions}, nil
}

func (s *scripted) FindVersion(_ context.Context, version delivery.Version) (activities.FoundVersion, error) {
	if strings.Contains(version.Revision.Message, "breaks") {
		return activities.FoundVersion{}, nil
	}
	return activities.FoundVersion{Version: &version}, nil
}

func (s *scripted) Run(context.Context, activities.RunInput) (activities.CommandResult, error) {
	return activities.CommandResult{Reason: "it ended with 1", Tail: "--- FAIL: the page\x1b[2J differs"}, nil
}

func (s *scripted) Remove(context.Context, activities.RemoveInput) error { return nil }

func (s *scripted) AwaitReady(_ context.Context, input activities.AwaitReadyInput) (delivery.Observation, error) {
	return s.on(input.Environment), nil
}

func (s *scripted) Precheck(_ context.Context, input activities.PrecheckInput) (activities.Prechecked, error) {
	return activities.Prechecked{Good: input.Good}, nil
}

func (s *scripted) Update(_ context.Context, input activities.UpdateInput) (activities.Update, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions == nil {
		s.versions = map[string]string{}
	}
	s.versions[input.Found.Name] = input.Version
	return activities.Update{Before: time.Unix(1, 0)}, nil
}

func (s *scripted) AwaitHealth(ctx context.Context, input activities.AwaitHealthInput) (delivery.Proof, error) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	launching := beanstalk.Progress{Environment: input.Environment, Status: "Updating", Health: "Info", Version: input.Version, Event: "Launched i-1"}
	activity.RecordHeartbeat(ctx, launching)
	s.arrived <- "AwaitHealth " + input.Environment
	for held != nil {
		select {
		case <-held:
			held = nil
		case <-ctx.Done():
			return delivery.Proof{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
			activity.RecordHeartbeat(ctx, launching)
		}
	}
	observed := s.on(input.Environment)
	if observed.VersionLabel != input.Version {
		return delivery.Proof{}, errors.New("asked for a version that was not deployed")
	}
	return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observed}, nil
}

func (s *scripted) Settle(_ context.Context, input activities.SettleInput) (delivery.Observation, error) {
	observed := s.on(input.Found.Name)
	observed.UpdatedAt = time.Unix(2, 0)
	return observed, nil
}
