package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"gravity/internal/bundle"
	"gravity/internal/delivery"
	"gravity/workflows"
)

// builtBy gives the small site another pipeline, without a gate, from the keys that concern its build.
func builtBy(keys string) func(o *stackOptions) {
	return func(o *stackOptions) {
		text := strings.ReplaceAll(siteConfig, "        gate: {approval: {timeout: 1h}}\n", "")
		from, to := strings.Index(text, "    test:\n"), strings.Index(text, "    stages:\n")
		text = text[:from] + strings.TrimPrefix(keys, "\n") + text[to:]
		if err := os.WriteFile(filepath.Join(o.Site, "gravity.yaml"), []byte(text), 0o644); err != nil {
			panic(err)
		}
	}
}

// begin starts a run of the head.
func (w *world) begin() string {
	w.t.Helper()
	head, err := w.working.Head(w.t.Context())
	require.NoError(w.t, err)
	started, err := startRun(w.t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(w.t, err)
	return started.RunID
}

// withAWS lets a program read the stack's S3.
func (w *world) withAWS(command *exec.Cmd) *exec.Cmd {
	keys, err := w.platform.Config().Credentials.Retrieve(w.t.Context())
	require.NoError(w.t, err)
	command.Env = append(command.Env, "AWS_ENDPOINT_URL="+w.platform.URL(), "AWS_REGION="+w.platform.Config().Region,
		"AWS_ACCESS_KEY_ID="+keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+keys.SecretAccessKey)
	return command
}

// printed is what a program has printed so far.
type printed struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (p *printed) Write(text []byte) (int, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.text.Write(text)
}

func (p *printed) String() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.text.String()
}

// touch lets a command go on that waits for a file.
func touch(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, nil, 0o600))
}

func TestABuildIsFollowedLiveAndReadAfterwardsWithAndWithoutS3(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	// More than a heartbeat holds comes at once, so that it has to be read from S3.
	w := newWorld(t, builtBy(fmt.Sprintf(`
    build: {run: 'echo preparing'}
    test:
      reports: [out.xml]
      run: |
        printf '\033[31mfirst\033[0m\n'
        i=0; while [ $i -lt 3000 ]; do echo "line $i of many"; i=$((i+1)); done > lines
        until [ -e %[1]s ]; do sleep 0.02; done
        cat lines
        until [ -e %[1]s.2 ]; do sleep 0.02; done
        echo '<testsuite name="shop"><testcase name="TestPrices"><failure message="12 instead of 13"/></testcase><testcase name="TestTax"/></testsuite>' > out.xml
        exit 1
`, seen)))
	runID := w.begin()
	w.eventually("the test runs", func() bool { return w.logOf(runID, "test") != nil })
	at := []string{"--address", w.temporal.Address(), "--config", w.configPath()}
	follow := func(withAWS bool) (*printed, *exec.Cmd) {
		output := &printed{}
		command := program(t, append([]string{"logs", runID, "--follow"}, at...)...)
		if withAWS {
			w.withAWS(command)
		} else {
			command.Env = append(command.Env, "AWS_REGION=", "AWS_CONFIG_FILE="+os.DevNull)
		}
		command.Stdout, command.Stderr = output, output
		require.NoError(t, command.Start())
		return output, command
	}
	with, withCommand := follow(true)
	without, withoutCommand := follow(false)
	for _, output := range []*printed{with, without} {
		w.eventually("what is printed is seen", func() bool { return strings.Contains(output.String(), "test │ first\n") })
	}
	touch(t, seen)
	for _, output := range []*printed{with, without} {
		w.eventually("and what follows", func() bool { return strings.Contains(output.String(), "test │ line 2999 of many\n") })
	}
	touch(t, seen+".2")
	require.NoError(t, withCommand.Wait())
	require.NoError(t, withoutCommand.Wait())

	status := w.ended(runID)
	require.Equal(t, workflows.StateFailed, status.State)
	require.Equal(t, 1, status.Tests.Failed)
	require.Contains(t, status.Detail, "failed tests: shop.TestPrices")
	var want strings.Builder
	want.WriteString("build │ preparing\ntest │ first\n")
	for i := range 3000 {
		fmt.Fprintf(&want, "test │ line %d of many\n", i)
	}
	require.Equal(t, want.String()+"the build failed\n", with.String(), "all of it, once and in order")
	require.Contains(t, without.String(), "bytes are left out here: no AWS region is set", "what is missing is said")

	run := func(arguments ...string) string {
		output, err := w.withAWS(program(t, append(arguments, at...)...)).CombinedOutput()
		require.NoError(t, err, string(output))
		return string(output)
	}
	require.Equal(t, want.String(), run("logs", runID))
	require.Equal(t, "preparing\n", run("logs", runID, "--command", "build"))
	shown := run("status", runID)
	require.Contains(t, shown, "✗ shop.TestPrices  12 instead of 13")
	require.Contains(t, shown, "2 tests, 1 failed, 0 skipped")
	output, err := program(t, append([]string{"logs", runID, "--command", "tset"}, at...)...).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(output), `no log of a command "tset"; it has build, test`)

	// The bucket does not keep them forever.
	client := s3.NewFromConfig(w.platform.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	rules, err := client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: sdk.String(status.Logs[0].Bucket)})
	require.NoError(t, err)
	require.Equal(t, bundle.LogPrefix, sdk.ToString(rules.Rules[0].Filter.Prefix))
}

// logOf finds a command's log in a run's status.
func (w *world) logOf(runID, command string) *int64 {
	status, err := w.runStatus(w.t.Context(), runID)
	if err != nil {
		return nil
	}
	for _, log := range status.Logs {
		if log.Command == command {
			return &log.Size
		}
	}
	return nil
}

// pinned starts workers of a versioned fleet, each of which takes one build at a time.
func (w *world) pinned(workers int) (kill []func()) {
	w.t.Helper()
	for i := range workers {
		kill = append(kill, w.startWorkerWith(func(s *workerSettings) {
			s.Builds, s.BuildID, s.Directory = 1, "1", filepath.Join(w.options.Directory, fmt.Sprint("worker", i))
		}))
	}
	deployment := w.client.WorkerDeploymentClient().GetHandle("gravity")
	w.eventually("the version becomes the current one", func() bool {
		_, err := deployment.SetCurrentVersion(w.t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: "1"})
		return err == nil
	})
	return kill
}

func TestABuildFansOutOverWorkersAndComesBackAsOneResult(t *testing.T) {
	meeting := t.TempDir()
	// Each job waits for the other one: they only pass side by side. The second one passes at its second attempt.
	w := newWorld(t, func(o *stackOptions) {
		builtBy(fmt.Sprintf(`
    cache: {files: [go.mod]}
    test:
      run: |
        touch %[1]s/$JOB
        until [ -e %[1]s/one ] && [ -e %[1]s/two ]; do sleep 0.02; done
        echo $JOB > "$GRAVITY_CACHE/$JOB"
        [ $JOB = one ] || [ -e tried ] || { touch tried; exit 1; }
      retries: 1
      matrix:
        - variable: JOB
          values: [one, two]
`, meeting))(o)
		o.NoWorker = true
	})
	w.pinned(2)
	runID := w.begin()
	status := w.ended(runID)
	require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)
	require.Len(t, status.Tests.Jobs, 2)
	require.True(t, status.Tests.Flaky)
	require.True(t, status.Tests.Jobs[1].Flaky)
	require.False(t, status.Tests.Jobs[0].Flaky)
	queues := map[string]bool{}
	for _, scheduled := range w.scheduled(runID, "Run") {
		queues[scheduled] = true
	}
	require.Len(t, queues, 2, "each job had a worker of its own")
	described, err := w.client.DescribeWorkflowExecution(t.Context(), runID, "")
	require.NoError(t, err)
	require.Equal(t, "Pinned", described.GetWorkflowExecutionInfo().GetVersioningInfo().GetBehavior().String())
	require.Len(t, w.scheduled(runID, "SaveCache"), 1)
	w.record(runID, "Pipeline", "matrix")
}

// scheduled lists the task queues of a run's steps of one kind.
func (w *world) scheduled(runID, kind string) []string {
	w.t.Helper()
	var queues []string
	events := w.client.GetWorkflowHistory(w.t.Context(), runID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(w.t, err)
		if step := event.GetActivityTaskScheduledEventAttributes(); step.GetActivityType().GetName() == kind {
			queues = append(queues, step.GetTaskQueue().GetName())
		}
	}
	return queues
}

func TestABuildWhoseWorkerDiesBeginsAgainOnAnotherAtMostTwice(t *testing.T) {
	for name, deaths := range map[string]int{"once": 1, "again and again": 3} {
		t.Run(name, func(t *testing.T) {
			meeting := t.TempDir()
			w := newWorld(t, func(o *stackOptions) {
				builtBy(fmt.Sprintf(`
    test:
      run: |
        echo $$ > %[1]s/running
        until [ -e %[1]s/go ]; do sleep 0.02; done
`, meeting))(o)
				o.NoWorker = true
			})
			kill := w.pinned(1)[0]
			runID := w.begin()
			running := filepath.Join(meeting, "running")
			for death := range deaths {
				w.eventually("the test runs", func() bool { _, err := os.Stat(running); return err == nil })
				require.NoError(t, os.Remove(running))
				kill()
				kill = w.startWorkerWith(func(s *workerSettings) {
					s.Builds, s.BuildID, s.Directory = 1, "1", filepath.Join(w.options.Directory, fmt.Sprint("next", death))
				})
			}
			touch(t, filepath.Join(meeting, "go"))
			status := w.ended(runID)
			queues := map[string]bool{}
			for _, queue := range w.scheduled(runID, "Run") {
				queues[queue] = true
			}
			require.Len(t, w.scheduled(runID, "Run"), len(queues), "each beginning had a worker of its own")
			if deaths == 3 {
				require.Equal(t, workflows.StateFailed, status.State)
				require.Contains(t, status.Detail, "the build lost its worker 3 times; look at the memory and disk of the workers")
				require.Len(t, queues, 3)
				require.Zero(t, w.updates())
				return
			}
			require.Equal(t, workflows.StateSucceeded, status.State, status.Detail)
			require.Len(t, queues, 2)
			w.record(runID, "Pipeline", "build-host-lost")
		})
	}
}

func TestABuildKeepsTheSecretsOfItsWorker(t *testing.T) {
	const planted, token = "planted-worker-secret-4471", "planted-git-token-9032"
	encoded := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
	secrets := []string{planted, token, encoded}
	directory := t.TempDir()
	for folder := directory; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		require.NoError(t, os.Chmod(folder, 0o711)) // for commands that are not root's
	}
	// The project's commands look wherever a secret could be, and keep what they find: in their output, which goes to
	// S3, to heartbeats and, since the test fails at last, to the history; and in the bundle.
	const search = `{ env; cat /proc/*/environ /proc/*/cmdline; ls -la / ~; cat ~/.aws/* ~/.netrc ~/.gitconfig; find .. ../../.. -name 'config' -exec cat {} +; } 2>/dev/null | tr '\0' '\n'`
	w := newWorld(t, func(o *stackOptions) {
		builtBy(fmt.Sprintf(`
    build: {run: %q}
    test: {run: %q}
`, search+" | tee found.txt", search+`; [ -z "$FAIL" ]; ! grep -q "Automation for nobody" index.html`))(o)
		o.NoWorker = true
	})
	// A git host that lets nobody in without the token, and looks at the process list meanwhile.
	origin, err := url.Parse(w.git.URL())
	require.NoError(t, err)
	var listed printed
	forward := httputil.NewSingleHostReverseProxy(origin)
	guarded := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			line, _ := os.ReadFile(path)
			_, _ = listed.Write(append(line, '\n'))
		}
		if _, password, _ := r.BasicAuth(); password != token {
			rw.Header().Set("WWW-Authenticate", "Basic")
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		forward.ServeHTTP(rw, r)
	}))
	t.Cleanup(guarded.Close)
	pipeline := w.config.Pipelines[0]
	pipeline.Repository = guarded.URL + "/" + siteRepository + ".git"
	kill := w.startWorkerWith(func(s *workerSettings) {
		s.GitToken, s.Log, s.Accounts = token, filepath.Join(directory, "worker.log"), os.Getuid() == 0
		s.Directory = filepath.Join(directory, "worker")
		home := filepath.Join(directory, "home")
		require.NoError(t, os.MkdirAll(filepath.Join(home, ".aws"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(home, ".aws", "credentials"), []byte(planted), 0o600))
		s.Environment = []string{"HOME=" + home, "GITHUB_TOKEN=" + planted, "AWS_SESSION_TOKEN=" + planted, "TEMPORAL_API_KEY=" + planted, "HTTPS_PROXY=http://u:" + planted + "@127.0.0.1:1"}
	})

	for _, state := range []workflows.RunState{workflows.StateSucceeded, workflows.StateFailed} {
		if state == workflows.StateFailed {
			require.NoError(t, w.working.Replace("index.html", "Automation for the people", "Automation for nobody"))
			_, err := w.working.Commit(t.Context(), "break it")
			require.NoError(t, err)
			w.git.SetWebhook("", nil)
			require.NoError(t, w.working.Push(t.Context(), "main"))
		}
		head, err := w.working.Head(t.Context())
		require.NoError(t, err)
		started, err := startRun(t.Context(), w.client, pipeline, delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
		require.NoError(t, err)
		status := w.ended(started.RunID)
		require.Equal(t, state, status.State, status.Detail)
	}

	kill() // from now on nothing is written where it is searched
	w.keepsItsSecrets(secrets...)
	logged, err := os.ReadFile(filepath.Join(directory, "worker.log"))
	require.NoError(t, err)
	require.Contains(t, string(logged), "mirror is made", "something was logged")
	objects := w.objects()
	var whole, bundles int
	for key, content := range objects {
		if strings.HasSuffix(key, ".log") {
			whole++
			require.Contains(t, content, "CI=true", "the commands did look: "+key)
		}
		if strings.HasSuffix(key, ".zip") {
			bundles++
			require.Contains(t, content, "found.txt=")
			require.Contains(t, content, "CI=true")
		}
	}
	require.Equal(t, 4, whole)
	require.Equal(t, 1, bundles)
	require.Contains(t, listed.String(), "git", "the process list was read")
	for _, secret := range secrets {
		require.NotContains(t, string(logged), secret)
		require.NotContains(t, listed.String(), secret)
		for key, content := range objects {
			require.NotContains(t, content, secret, key)
		}
	}
	// Nothing of it stays on the disk either.
	require.NoError(t, filepath.WalkDir(filepath.Join(directory, "worker"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, secret := range secrets {
			assert.NotContains(t, string(content), secret, path)
		}
		return err
	}))
}

// objects reads everything in S3; a bundle as its files, so that compression hides nothing.
func (w *world) objects() map[string]string {
	w.t.Helper()
	api := s3.NewFromConfig(w.platform.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	found := map[string]string{}
	buckets, err := api.ListBuckets(w.t.Context(), &s3.ListBucketsInput{})
	require.NoError(w.t, err)
	for _, bucket := range buckets.Buckets {
		pages := s3.NewListObjectsV2Paginator(api, &s3.ListObjectsV2Input{Bucket: bucket.Name, Prefix: sdk.String("gravity/")})
		for pages.HasMorePages() {
			page, err := pages.NextPage(w.t.Context())
			require.NoError(w.t, err)
			for _, each := range page.Contents {
				object, err := api.GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: bucket.Name, Key: each.Key})
				require.NoError(w.t, err)
				content, err := io.ReadAll(object.Body)
				require.NoError(w.t, err)
				require.NoError(w.t, object.Body.Close())
				found[sdk.ToString(each.Key)] = unzipped(w.t, content)
			}
		}
	}
	return found
}

func unzipped(t *testing.T, content []byte) string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return string(content)
	}
	var text strings.Builder
	for _, file := range archive.File {
		opened, err := file.Open()
		require.NoError(t, err)
		read, err := io.ReadAll(opened)
		require.NoError(t, err)
		fmt.Fprintf(&text, "%s=%s\n", file.Name, read)
	}
	return text.String()
}
