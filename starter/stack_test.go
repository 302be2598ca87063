package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"gravity/internal/awscalls"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/git"
	"gravity/worker/process"
	"gravity/worker/subject"
	"gravity/worker/tracing"
	"gravity/workflows"
)

// testPace asks the stand-in as often as its own test pace deserves.
var testPace = quickAsking

// world is the whole stack with a small site, for one test.
type world struct {
	*stack
	t       *testing.T
	working *git.Working
	log     string
}

// siteBinary is the sample site, compiled once for all tests, so that their revisions need no build step.
var siteBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(testFiles, "site")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join("..", "site")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the site: %w: %s", err, output)
	}
	return path, nil
})

// siteConfig has a gate at production, and a test that looks for the page's words.
const siteConfig = `
pipelines:
  - name: site
    repository: https://github.com/example/site
    application: site
    test:
      run: grep -q "<h1>Automation for the people</h1>" index.html
    stages:
      - name: staging
        environment: site-staging
        health: {check: {path: /health}}
      - name: production
        environment: site-production
        gate: {approval: {timeout: 1h}}
        health: {check: {path: /health}}
`

// openGate takes the approval out of the small site's pipeline.
func openGate(site string) error {
	path := filepath.Join(site, "gravity.yaml")
	return os.WriteFile(path, []byte(strings.ReplaceAll(siteConfig, "        gate: {approval: {timeout: 1h}}\n", "")), 0o644)
}

// smallSite is the sample site without a build step, in a directory of the test's.
func smallSite(t *testing.T) string {
	t.Helper()
	site := filepath.Join(t.TempDir(), "site")
	require.NoError(t, os.CopyFS(site, os.DirFS("../site")))
	binary, err := siteBinary()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(site, "Procfile"), []byte("web: "+binary+" --page index.html\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(site, "gravity.yaml"), []byte(siteConfig), 0o644))
	return site
}

// newWorld starts a stack on free ports in a directory of the test's, and ends it with the test.
func newWorld(t *testing.T, change func(*stackOptions)) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	t.Parallel() // these tests wait for others' processes most of the time
	site := smallSite(t)
	logs, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	options := stackOptions{
		Directory: filepath.Join(t.TempDir(), "data"), Site: site,
		Platform: aws.TestPace(), Worker: testPace,
		Steady: quickSteady, Settle: quickSettle,
		Progress: func(string) {}, Log: slog.New(slog.NewJSONHandler(logs, nil)),
	}
	require.NoError(t, os.MkdirAll(options.Directory, 0o755))
	if change != nil {
		change(&options)
	}
	stack, err := startStack(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		stack.Close()
		if t.Failed() {
			text, _ := os.ReadFile(logs.Name())
			t.Logf("log:\n%s", text[max(0, len(text)-20_000):])
		}
	})
	w := &world{stack: stack, t: t, log: logs.Name()}
	w.working, err = git.Clone(t.Context(), stack.git.CloneURL(siteRepository), filepath.Join(t.TempDir(), "clone"))
	require.NoError(t, err)
	return w
}

// release brings the first revision to both stages.
func (w *world) release() {
	head, err := w.working.Head(w.t.Context())
	require.NoError(w.t, err)
	started, err := startRun(w.t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(w.t, err)
	w.approve(started.RunID)
	status := w.ended(started.RunID)
	require.Equal(w.t, workflows.StateSucceeded, status.State, status.Detail)
}

// starter runs the whole program against the world.
func (w *world) starter(arguments ...string) ended {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 4*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := runAt(ctx, 20*time.Millisecond, append(arguments, "--address", w.temporal.Address(), "--config", w.configPath()), &stdout, &stderr)
	return ended{code, stdout.String(), stderr.String()}
}

// push commits a change and pushes it; the webhook starts the run, whose ID it gives.
func (w *world) push(message string, change func(*git.Working) error) string {
	w.t.Helper()
	require.NoError(w.t, change(w.working))
	sha, err := w.working.Commit(w.t.Context(), message)
	require.NoError(w.t, err)
	require.NoError(w.t, w.working.Push(w.t.Context(), "main"))
	runID := delivery.RunID("site", sha)
	w.eventually("the webhook starts "+runID, func() bool {
		_, err := w.client.DescribeWorkflowExecution(w.t.Context(), runID, "")
		return err == nil
	})
	return runID
}

func goodChange(w *git.Working) error {
	return w.Replace("index.html", "<title>", "<title>New: ")
}

func untestedChange(w *git.Working) error {
	return w.Replace("Procfile", "--page index.html", "--page indx.html")
}

// approve waits for the gate and opens it.
func (w *world) approve(runID string) {
	w.t.Helper()
	w.reaches(runID, workflows.StateWaiting)
	handle, err := w.client.UpdateWorkflow(w.t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: runID, UpdateName: workflows.ApproveUpdate, Args: []any{workflows.Answer{By: "ana"}},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	require.NoError(w.t, err)
	require.NoError(w.t, handle.Get(w.t.Context(), nil))
}

// reaches waits until a run is in a state.
func (w *world) reaches(runID string, state workflows.RunState) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s is %s", runID, state), func() bool {
		status, err := w.runStatus(w.t.Context(), runID)
		return err == nil && (status.State == state || status.State.Ended())
	})
	status, err := w.runStatus(w.t.Context(), runID)
	require.NoError(w.t, err)
	require.Equal(w.t, state, status.State, status.Detail)
}

// ended waits for the end of a run.
func (w *world) ended(runID string) workflows.RunStatus {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	status, err := w.seenThrough(ctx, runID, func(string) {})
	require.NoError(w.t, err)
	return status
}

func (w *world) eventually(what string, true func() bool) {
	w.t.Helper()
	require.Eventually(w.t, true, 2*time.Minute, 20*time.Millisecond, what)
}

// observe looks at a stage's environment by the platform's word, with its instances.
func (w *world) observe(environment string) delivery.Observation {
	w.t.Helper()
	platform := beanstalk.New(w.platform.Config(), testPace)
	stages := w.config.Pipelines[0].Stages
	stage := stages[slices.IndexFunc(stages, func(s delivery.Stage) bool { return s.Environment == environment })]
	observed, err := platform.OfStage(w.t.Context(), "site", stage)
	require.NoError(w.t, err)
	require.NoError(w.t, platform.Health(w.t.Context(), &observed))
	return observed
}

func (w *world) updates() int { return w.platform.Calls()["UpdateEnvironment"] }

func instancesOf(o delivery.Observation) []string {
	var ids []string
	for _, instance := range o.Instances {
		ids = append(ids, instance.ID)
	}
	return ids
}

// recording is set to record histories for the replay tests of package workflows.
var recording = flag.Bool("record", false, "write the histories of these tests to workflows/testdata/histories")

// record keeps the history of a workflow, when asked to. A history that is there is never replaced:
// it stands for workflows that may be running somewhere.
func (w *world) record(workflowID, workflow, scenario string) {
	w.t.Helper()
	path := filepath.Join("..", "workflows", "testdata", "histories", workflow, scenario+".json.gz")
	if _, err := os.Stat(path); err == nil || !*recording {
		return
	}
	require.NoError(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
	var history historypb.History
	events := w.client.GetWorkflowHistory(w.t.Context(), workflowID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(w.t, err)
		history.Events = append(history.Events, event)
	}
	encoded, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(&history)
	require.NoError(w.t, err)
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	_, err = writer.Write(encoded)
	require.NoError(w.t, err)
	require.NoError(w.t, writer.Close())
	require.NoError(w.t, os.WriteFile(path, zipped.Bytes(), 0o644))
}

// workerVariable makes the test binary a worker: its value is the worker's settings. So a test
// can kill a worker as a machine would, with the code that every worker runs.
const workerVariable = "GRAVITY_TEST_WORKER"

type workerSettings struct {
	Temporal, Namespace, AWS, Region, AccessKey, SecretKey, Directory string

	// Builds, BuildID, GitToken and Log are set by tests of builds; the log is a file.
	Builds                 int
	BuildID, GitToken, Log string
	// Accounts lets the projects' commands run as somebody else where the test is root.
	Accounts bool
	// Environment is added to the worker's own.
	Environment []string `json:"-"`
}

func TestMain(m *testing.M) {
	if settings := os.Getenv(workerVariable); settings != "" {
		fmt.Fprintln(os.Stderr, runWorker(settings))
		os.Exit(1)
	}
	if settings := os.Getenv(loadVariable); settings != "" {
		if err := runLoad(settings); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(programVariable) != "" {
		main()
	}
	os.Exit(runTests(m))
}

// takesMinutes leaves out a test that is for CI, unless it is asked for.
func takesMinutes(t *testing.T) {
	t.Helper()
	if testing.Short() || os.Getenv("CI") == "" && os.Getenv("GRAVITY_PROOF") == "" {
		t.Skip("takes minutes: set GRAVITY_PROOF=1 to run it")
	}
}

// testFiles is a directory for what several tests share; it is removed after the last one.
var testFiles string

// atOnce is how many tests run at the same time: nearly all that they do is wait. In CI, with the race detector, they
// are at work as well.
const atOnce = 4

func runTests(m *testing.M) int {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); os.Getenv("CI") == "" && parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(strconv.Itoa(atOnce))
	}
	directory, err := os.MkdirTemp("", "gravity-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	testFiles = directory
	return m.Run()
}

func runWorker(encoded string) error {
	var settings workerSettings
	if err := json.Unmarshal([]byte(encoded), &settings); err != nil {
		return err
	}
	traces, err := tracing.Start(context.Background(), "gravity-worker", nil)
	if err != nil {
		return err
	}
	options := client.Options{
		HostPort: settings.Temporal, Namespace: settings.Namespace,
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	}
	traces.Trace(&options)
	subject.New().Intercept(&options)
	temporal, err := client.Dial(options)
	if err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	if settings.Log != "" {
		file, err := os.OpenFile(settings.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		logger = slog.New(slog.NewJSONHandler(file, nil))
	}
	config := sdk.Config{
		Region: settings.Region, BaseEndpoint: sdk.String(settings.AWS),
		Credentials: credentials.NewStaticCredentialsProvider(settings.AccessKey, settings.SecretKey, ""),
	}
	awscalls.Watch(&config, awscalls.Options{Tracer: traces.Tracer()})
	_, err = process.Start(process.Options{
		Temporal: temporal, Pace: testPace, Directory: settings.Directory, LocalRepositories: true, CommandsAsWorker: !settings.Accounts,
		Builds: settings.Builds, Versioning: settings.versioning(), Credentials: settings.credentials(),
		AWS: config, Log: logger,
	})
	if err != nil {
		return err
	}
	select {}
}

func (s workerSettings) versioning() worker.DeploymentOptions {
	if s.BuildID == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: "gravity", BuildID: s.BuildID}}
}

func (s workerSettings) credentials() func(context.Context, string) (string, string, error) {
	if s.GitToken == "" {
		return nil
	}
	return func(context.Context, string) (string, string, error) { return "x-access-token", s.GitToken, nil }
}

// startWorkerProcess runs a worker as a process of its own, which kill ends with SIGKILL.
func (w *world) startWorkerProcess() (kill func()) {
	w.t.Helper()
	return w.startWorkerWith(func(*workerSettings) {})
}

func (w *world) startWorkerWith(change func(*workerSettings)) (kill func()) {
	w.t.Helper()
	config := w.platform.Config()
	keys, err := config.Credentials.Retrieve(w.t.Context())
	require.NoError(w.t, err)
	settings := workerSettings{
		Temporal: w.temporal.Address(), Namespace: w.temporal.Namespace(), AWS: w.platform.URL(), Region: config.Region,
		AccessKey: keys.AccessKeyID, SecretKey: keys.SecretAccessKey, Directory: filepath.Join(w.options.Directory, "worker"),
	}
	change(&settings)
	encoded, err := json.Marshal(settings)
	require.NoError(w.t, err)
	command := exec.Command(os.Args[0])
	command.Env = append(append(os.Environ(), settings.Environment...), workerVariable+"="+string(encoded))
	command.Stderr = os.Stderr
	require.NoError(w.t, command.Start())
	kill = sync.OnceFunc(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	w.t.Cleanup(kill)
	return kill
}
