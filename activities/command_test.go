package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"gravity/internal/bundle"
	"gravity/internal/cache"
	"gravity/internal/delivery"
	"gravity/internal/runner"
)

// runs runs a command as a pipeline asks for it.
func (h *host) runs(input RunInput) (CommandResult, error) {
	input.Name = "test"
	input.Workspace.Bucket, input.Log = "bundles", LogKey("run/shop/1", "r-1", 1, "test SHARD=1/3")
	input.Command.Timeout = delivery.Duration(5 * time.Minute)
	return step[CommandResult](h, h.build.Run, input)
}

// progresses are the reports of commands so far.
func (h *host) progresses() []CommandProgress {
	var found []CommandProgress
	for _, each := range h.shown() {
		if progress, ok := each.(CommandProgress); ok {
			found = append(found, progress)
		}
	}
	return found
}

// log reads a log from S3.
func (h *host) log(at CommandLog, place int64) (string, bool) {
	h.t.Helper()
	var text strings.Builder
	_, whole, err := h.build.Store.CopyLog(h.t.Context(), at.Bucket, at.Key, place, &text)
	require.NoError(h.t, err)
	return text.String(), whole
}

func TestWhatACommandPrintsIsSeenWhileItRunsAndWholeInTheEnd(t *testing.T) {
	h := newHost(t)
	workspace := h.workspace()
	// The command goes on when what it printed was seen, in heartbeats and in the bucket.
	seen := filepath.Join(t.TempDir(), "seen")
	go func() {
		var at CommandLog
		assert.Eventually(t, func() bool {
			for _, progress := range h.progresses() {
				if strings.HasSuffix(progress.Text, "\ntest 2 of 3\n") {
					at = progress.CommandLog
					return progress.End > int64(len("test 2 of 3\n"))
				}
			}
			return false
		}, time.Minute, time.Millisecond)
		assert.Eventually(t, func() bool { text, whole := h.log(at, 0); return !whole && strings.HasSuffix(text, "\ntest 2 of 3\n") }, time.Minute, time.Millisecond)
		assert.NoError(t, os.WriteFile(seen, nil, 0o600))
	}()
	result, err := h.runs(RunInput{
		Workspace: workspace,
		Command:   delivery.Command{Run: `printf '\033[1mtest 1 of 3\033[0m\ntest 2 of 3\ntest'; until [ -e ` + seen + ` ]; do sleep 0.01; done; echo " 3 of 3"`},
	})
	require.NoError(t, err)
	require.True(t, result.Passed, result.Reason)
	require.NotNil(t, result.Log)
	assert.Equal(t, "bundles", result.Log.Bucket)
	assert.Equal(t, "test", result.Log.Command)
	assert.Equal(t, "gravity/logs/run/shop/1/r-1/01-test-SHARD=1-3.log", result.Log.Key)
	text, whole := h.log(*result.Log, 0)
	assert.True(t, whole)
	assert.Equal(t, "test 1 of 3\ntest 2 of 3\ntest 3 of 3\n", text, "clean, and whole")
	assert.EqualValues(t, len(text), result.Log.Size)
}

func TestACommandWhoseLogCannotBeKeptEndsAsItWould(t *testing.T) {
	h := newHost(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(broken.Close)
	h.build.Store = &bundle.Store{S3: s3.New(s3.Options{
		BaseEndpoint: aws.String(broken.URL), UsePathStyle: true, Region: "eu-west-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
	})}
	result, err := h.runs(RunInput{Workspace: h.workspace(), Command: delivery.Command{Run: "echo out; exit 3"}})
	require.NoError(t, err)
	assert.Contains(t, result.Reason, "exit code 3")
	assert.Contains(t, result.Tail, "out")
	assert.Nil(t, result.Log)
}

// junit is a report as a test command writes it.
func junit(failed ...string) string {
	cases := `<testcase classname="shop" name="TestGood"/>`
	for _, name := range failed {
		cases += fmt.Sprintf(`<testcase classname="shop" name=%q><failure message="prices differ">12 instead of 13</failure></testcase>`, name)
	}
	return fmt.Sprintf(`<testsuite name="shop" tests="%d">%s</testsuite>`, 1+len(failed), cases)
}

func TestFailedTestsAreNamedFromTheReports(t *testing.T) {
	h := newHost(t)
	result, err := h.runs(RunInput{
		Workspace: h.workspace(), Reports: []string{"out/*.xml"},
		Command: delivery.Command{Run: "mkdir out; echo '" + junit("TestPrices", "TestTax") + "' > out/report.xml; exit 1"},
	})
	require.NoError(t, err)
	require.NotNil(t, result.Report)
	assert.Equal(t, 3, result.Report.Tests)
	assert.Equal(t, 2, result.Report.Failed)
	assert.Equal(t, []FailedTest{{Name: "shop.TestPrices", Message: "prices differ"}, {Name: "shop.TestTax", Message: "prices differ"}}, result.Report.FailedTests)
}

func TestATestThatPassesAtTheSecondAttemptIsFlaky(t *testing.T) {
	h := newHost(t)
	line := `mkdir -p out; if [ -e tried ]; then echo '` + junit() + `' > out/r.xml; else touch tried; echo '` + junit("TestPrices") + `' > out/r.xml; exit 1; fi`
	result, err := h.runs(RunInput{Workspace: h.workspace(), Reports: []string{"out/*.xml"}, Retries: 2, Command: delivery.Command{Run: line}})
	require.NoError(t, err)
	assert.True(t, result.Passed)
	assert.Equal(t, 2, result.Attempts)
	require.Len(t, result.FlakyTests, 1)
	assert.Equal(t, "shop.TestPrices", result.FlakyTests[0].Name)

	result, err = h.runs(RunInput{Workspace: h.workspace(), Retries: 2, Command: delivery.Command{Run: "exit 1"}})
	require.NoError(t, err)
	assert.False(t, result.Passed)
	assert.Equal(t, 3, result.Attempts)
}

func TestTheVariablesOfAJobReachItsCommand(t *testing.T) {
	h := newHost(t)
	result, err := h.runs(RunInput{
		Workspace: h.workspace(), Variables: []delivery.Variable{{Name: "SHARD", Value: "2 of 3"}},
		Command: delivery.Command{Run: `[ "$SHARD" = "2 of 3" ]`},
	})
	require.NoError(t, err)
	assert.True(t, result.Passed)
}

func TestACommandIsBoundedByTheNarrowerOfTheWorkersLimitsAndThePipelines(t *testing.T) {
	h := newHost(t)
	workspace := h.workspace()
	h.build.Sandbox = Sandbox{Limits: runner.Limits{Memory: 1 << 30, FileSize: 8 << 20}}
	for name, each := range map[string]struct {
		pipeline delivery.Sandbox
		memory   int64
		file     int64
		output   int64
	}{
		"nothing asked":      {memory: 1 << 30, file: 8 << 20},
		"less asked":         {pipeline: delivery.Sandbox{Memory: 100, FileSize: 1, Output: 2}, memory: 100 << 20, file: 1 << 20, output: 2 << 20},
		"more asked":         {pipeline: delivery.Sandbox{Memory: 4000, FileSize: 100}, memory: 1 << 30, file: 8 << 20},
		"something else too": {pipeline: delivery.Sandbox{Processes: 50}, memory: 1 << 30, file: 8 << 20},
	} {
		command, release, err := h.build.command(t.Context(), RunInput{Workspace: workspace, Sandbox: each.pipeline}, t.TempDir())
		require.NoError(t, err)
		release()
		assert.Equal(t, each.memory, command.Limits.Memory, name)
		assert.Equal(t, each.file, command.Limits.FileSize, name)
		assert.Equal(t, each.pipeline.Processes, command.Limits.Processes, name)
		assert.Equal(t, each.output, command.OutputLimit, name)
	}
	result, err := h.runs(RunInput{Workspace: workspace, Sandbox: delivery.Sandbox{FileSize: 1}, Command: delivery.Command{Run: "head -c 2000000 /dev/zero > big"}})
	require.NoError(t, err)
	assert.False(t, result.Passed)
	result, err = h.runs(RunInput{Workspace: workspace, Sandbox: delivery.Sandbox{Output: 1}, Command: delivery.Command{Run: "yes"}})
	require.NoError(t, err)
	assert.Contains(t, result.Reason, "printing")
}

func TestAPipelinesContainerIsAskedForFromTheWorkersEngine(t *testing.T) {
	h := newHost(t)
	engine := filepath.Join(t.TempDir(), "engine")
	require.NoError(t, os.WriteFile(engine, []byte("#!/bin/sh\necho \"$@\"\n"), 0o755))
	h.build.Sandbox.Engine = engine
	result, err := h.runs(RunInput{
		Workspace: h.workspace(), Command: delivery.Command{Run: "make"},
		Sandbox: delivery.Sandbox{Container: "golang:1.26", Network: delivery.NetworkNone},
	})
	require.NoError(t, err)
	require.NotNil(t, result.Log)
	text, _ := h.log(*result.Log, 0)
	assert.Contains(t, text, "--network none")
	assert.Contains(t, text, "golang:1.26 -c make")
}

func TestCommandsOfRootsWorkerAreNotRoots(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run commands as somebody else")
	}
	h := newHost(t)
	for folder := h.build.Workspaces.Root; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		_ = os.Chmod(folder, 0o711)
	}
	h.build.Sandbox.Accounts = &runner.Accounts{Folder: filepath.Join(t.TempDir(), "accounts"), First: 61700, Count: 2}
	workspace := h.workspace()
	result, err := h.runs(RunInput{Workspace: workspace, Command: delivery.Command{Run: `id -u; echo made > made; mkdir -p "$GOCACHE" && echo kept > "$GOCACHE/kept"`}})
	require.NoError(t, err)
	require.True(t, result.Passed, result.Tail)
	text, _ := h.log(*result.Log, 0)
	assert.Equal(t, "61700\n", text)
	// The next command of the workspace finds what the first one left, whoever it runs as.
	taken, release, err := h.build.Sandbox.Accounts.Take(t.Context())
	require.NoError(t, err)
	require.Equal(t, 61700, taken.UID)
	defer release()
	result, err = h.runs(RunInput{Workspace: workspace, Command: delivery.Command{Run: `[ $(id -u) = 61701 ] && echo more >> made && cat "$GOCACHE/kept"`}})
	require.NoError(t, err)
	require.True(t, result.Passed, result.Tail)
	bundled, err := step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
	require.NoError(t, err)
	assert.Equal(t, 2, bundled.Files)
}

func TestACacheIsFoundByTheNextBuildOfTheBranchOnAnyWorker(t *testing.T) {
	h := newHost(t)
	h.build.Caches = &cache.Store{Folder: filepath.Join(t.TempDir(), "caches"), Remote: h.build.Store}
	sha := h.commit("app/go.sum", "one", "app/index.html", "hello")
	checkout := func(sha, ref string) Workspace {
		workspace, err := step[Workspace](h, h.build.Checkout, CheckoutInput{
			Repository: h.repository, Path: "app", Revision: delivery.Revision{SHA: sha, Ref: ref},
			Cache: &delivery.Cache{Files: []string{"go.sum"}}, Pipeline: "shop", Bucket: "bundles",
		})
		require.NoError(t, err)
		return workspace
	}
	first := checkout(sha, "refs/heads/main")
	require.False(t, first.Cache.Found)
	result, err := h.runs(RunInput{Workspace: first, Command: delivery.Command{Run: `mkdir -p "$GOCACHE" && echo compiled > "$GOCACHE/file" && [ "$GRAVITY_CACHE" ]`}})
	require.NoError(t, err)
	require.True(t, result.Passed, result.Tail)
	_, err = step[any](h, h.build.SaveCache, SaveCacheInput{Workspace: first})
	require.NoError(t, err)

	h.build.Caches.Folder = filepath.Join(t.TempDir(), "another worker's") // which finds it in the bucket
	next := checkout(h.commit("app/index.html", "changed"), "refs/heads/main")
	require.True(t, next.Cache.Found)
	result, err = h.runs(RunInput{Workspace: next, Command: delivery.Command{Run: `cat "$GOCACHE/file"`}})
	require.NoError(t, err)
	assert.True(t, result.Passed, result.Tail)
	bundled, err := step[Bundled](h, h.build.Bundle, BundleInput{Workspace: next})
	require.NoError(t, err)
	assert.Equal(t, 2, bundled.Files, "a cache is no part of the bundle")

	h.git("branch", "other")
	assert.False(t, checkout(h.git("rev-parse", "HEAD"), "refs/heads/other").Cache.Found, "what another branch wrote is not read")
	assert.False(t, checkout(h.commit("app/go.sum", "two"), "refs/heads/main").Cache.Found, "another lock file is another cache")
}

func TestAnAbortedCommandIsAnAbortAndItsLogIsKept(t *testing.T) {
	h := newHost(t)
	workspace := h.workspace()
	ctx, cancel := context.WithCancel(t.Context())
	h.steps.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	running := filepath.Join(t.TempDir(), "running")
	go func() {
		assert.Eventually(t, func() bool { _, err := os.Stat(running); return err == nil }, time.Minute, time.Millisecond)
		cancel()
	}()
	_, err := h.runs(RunInput{Workspace: workspace, Command: delivery.Command{Run: "echo begun; touch " + running + "; sleep 600"}})
	require.Error(t, err)
	var failed *temporal.ApplicationError
	require.False(t, errors.As(err, &failed) && failed.NonRetryable(), "it is no failure of the project")
	objects, err := h.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bundles"), Prefix: aws.String(bundle.LogPrefix)})
	require.NoError(t, err)
	var whole string
	for _, object := range objects.Contents {
		if strings.HasSuffix(aws.ToString(object.Key), ".log") {
			whole = aws.ToString(object.Key)
		}
	}
	require.NotEmpty(t, whole)
	read, err := h.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bundles"), Key: aws.String(whole)})
	require.NoError(t, err)
	content, err := io.ReadAll(read.Body)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(content), "begun\n"), string(content))
}

func TestABundleHasItsProvenanceBesideIt(t *testing.T) {
	h := newHost(t)
	h.build.Builder, h.build.BuilderVersion = "urn:gravity:fleet:default", "v1"
	workspace := h.workspace()
	bundled, err := step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
	require.NoError(t, err)
	version := delivery.Version{Application: "shop", Label: "v2", Bucket: "bundles", Digest: bundled.Digest, Size: bundled.Size}
	for range 2 {
		_, err = step[delivery.Version](h, h.build.Upload, UploadInput{
			Workspace: workspace, Version: version,
			Provenance: &Provenance{Pipeline: "shop", Repository: "https://github.com/example/shop", Test: "make test", Run: "run/shop/1", Started: time.Now()},
		})
		require.NoError(t, err)
	}
	object, err := h.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bundles"), Key: aws.String("gravity/shop/v2.zip" + bundle.ProvenanceSuffix)})
	require.NoError(t, err)
	statement, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	for _, part := range []string{bundled.Digest, workspace.Revision.SHA, "urn:gravity:fleet:default", "https://slsa.dev/provenance/v1", "make test", "run/shop/1"} {
		assert.Contains(t, string(statement), part)
	}
	left, err := filepath.Glob(filepath.Join(workspace.Directory, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(workspace.Directory, treeDirectory)}, left, "no copy of the bundle lies on the disk")
}
