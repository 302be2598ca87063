package activities

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"gravity/internal/bundle"
	"gravity/internal/delivery"
	"gravity/internal/source"
)

// host is a build host with a real git repository to build from and an S3 in memory.
type host struct {
	t          *testing.T
	repository string
	build      *Build
	steps      *testsuite.TestActivityEnvironment
	shown      func() []any
	s3         *s3.Client
}

func newHost(t *testing.T) *host {
	h := &host{t: t, repository: filepath.Join(t.TempDir(), "shop"), s3: newS3(t)}
	require.NoError(t, os.Mkdir(h.repository, 0o755))
	h.git("init", "--quiet", "--initial-branch=main")
	h.build = &Build{
		Sources:    &source.Cache{Root: filepath.Join(t.TempDir(), "mirrors"), AllowLocal: true},
		Workspaces: &source.Workspaces{Root: filepath.Join(t.TempDir(), "workspaces")},
		Store:      &bundle.Store{S3: h.s3},
		Platform:   newPlatform().client(),
		TaskQueue:  "gravity-build/host/1",
		Beat:       time.Millisecond,
	}
	h.steps, h.shown = newShownSteps(t, h.build)
	return h
}

// newS3 has the buckets that the tests know of.
func newS3(t *testing.T) *s3.Client {
	memory := s3mem.New()
	for _, bucket := range []string{"bundles", newPlatform().bucket} {
		require.NoError(t, memory.CreateBucket(bucket))
	}
	server := httptest.NewServer(gofakes3.New(memory).Server())
	t.Cleanup(server.Close)
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(server.URL), UsePathStyle: true, Region: "eu-west-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
	})
}

func (h *host) git(arguments ...string) string {
	h.t.Helper()
	command := exec.Command("git", arguments...)
	command.Dir = h.repository
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + h.t.TempDir(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
	}
	output, err := command.CombinedOutput()
	require.NoError(h.t, err, "git %v: %s", arguments, output)
	return strings.TrimSpace(string(output))
}

// commit commits files, by name and content in turn, and answers with the hash.
func (h *host) commit(files ...string) string {
	h.t.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(h.repository, files[i])
		require.NoError(h.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(h.t, os.WriteFile(path, []byte(files[i+1]), 0o644))
	}
	h.git("add", "--all")
	h.git("commit", "--quiet", "--allow-empty", "-m", "Prices are rounded")
	return h.git("rev-parse", "HEAD")
}

// step runs one activity and reads its answer.
func step[Answer any](h *host, activity, input any) (Answer, error) {
	h.t.Helper()
	var answer Answer
	value, err := h.steps.ExecuteActivity(activity, input)
	if err == nil && value.HasValue() {
		err = value.Get(&answer)
	}
	return answer, err
}

func (h *host) checkout(sha, path string) (Workspace, error) {
	return step[Workspace](h, h.build.Checkout, CheckoutInput{
		Repository: h.repository, Path: path, Revision: delivery.Revision{SHA: sha, Ref: "refs/heads/main"},
	})
}

func (h *host) workspace() Workspace {
	h.t.Helper()
	workspace, err := h.checkout(h.commit("README", "a shop\n", "app/index.html", "Automation for the people\n"), "app")
	require.NoError(h.t, err)
	return workspace
}

func (h *host) run(workspace Workspace, line string) (CommandResult, error) {
	return step[CommandResult](h, h.build.Run, RunInput{
		Workspace: workspace, Command: delivery.Command{Run: line, Timeout: delivery.Duration(time.Minute)},
		Version: "v2", Revision: workspace.Revision.SHA,
	})
}

// object reads a bundle back, as Beanstalk would: names and contents.
func (h *host) object(bucket, key string) map[string]string {
	h.t.Helper()
	object, err := h.s3.GetObject(h.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	require.NoError(h.t, err)
	content, err := io.ReadAll(object.Body)
	require.NoError(h.t, err)
	require.NoError(h.t, object.Body.Close())
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	require.NoError(h.t, err)
	files := map[string]string{}
	for _, each := range archive.File {
		reader, err := each.Open()
		require.NoError(h.t, err)
		text, err := io.ReadAll(reader)
		require.NoError(h.t, err)
		files[each.Name] = string(text)
	}
	return files
}

func TestARevisionBecomesAnUploadedBundle(t *testing.T) {
	h := newHost(t)
	sha := h.commit("README", "a shop\n", "app/index.html", "Automation for the people\n", "app/.ebextensions/health.config", "option_settings:\n")

	workspace, err := h.checkout(sha, "app")
	require.NoError(t, err)
	assert.Equal(t, "gravity-build/host/1", workspace.TaskQueue)
	assert.Equal(t, sha, workspace.Revision.SHA)
	assert.Equal(t, "Prices are rounded", workspace.Revision.Message)
	assert.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), workspace.Revision.CommittedAt.UTC())

	built, err := h.run(workspace, `grep -q people index.html && echo "$GRAVITY_VERSION $GRAVITY_REVISION" > version.txt`)
	require.NoError(t, err)
	assert.True(t, built.Passed, built.Reason)

	bundled, err := step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
	require.NoError(t, err)
	assert.Equal(t, 3, bundled.Files)
	again, err := step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
	require.NoError(t, err)
	assert.Equal(t, bundled, again, "an attempt that is repeated makes the same bundle")

	wanted := delivery.Version{Application: "shop", Label: "v2", Bucket: "bundles", Digest: bundled.Digest, Size: bundled.Size}
	uploaded, err := step[delivery.Version](h, h.build.Upload, UploadInput{Workspace: workspace, Version: wanted})
	require.NoError(t, err)
	assert.Equal(t, "gravity/shop/v2.zip", uploaded.Key)
	assert.Equal(t, map[string]string{
		"index.html": "Automation for the people\n", ".ebextensions/health.config": "option_settings:\n", "version.txt": "v2 " + sha + "\n",
	}, h.object("bundles", uploaded.Key), "the pipeline's part of the tree, and nothing beside it")

	_, err = step[delivery.Version](h, h.build.Upload, UploadInput{Workspace: workspace, Version: wanted})
	require.NoError(t, err, "uploading twice finds the first")

	for range 2 {
		_, err = step[any](h, h.build.Remove, RemoveInput{Workspace: workspace})
		require.NoError(t, err)
		assert.NoDirExists(t, workspace.Directory)
	}
}

func TestABundleGoesToBeanstalksOwnBucketWhereThePipelineNamesNone(t *testing.T) {
	h := newHost(t)
	workspace := h.workspace()
	bundled, err := step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
	require.NoError(t, err)
	uploaded, err := step[delivery.Version](h, h.build.Upload, UploadInput{
		Workspace: workspace, Version: delivery.Version{Application: "shop", Label: "v2", Digest: bundled.Digest},
	})
	require.NoError(t, err)
	assert.Equal(t, newPlatform().bucket, uploaded.Bucket)
	assert.Contains(t, h.object(uploaded.Bucket, uploaded.Key), "index.html")
}

func TestAVersionsBundleIsNeverOverwrittenByAnother(t *testing.T) {
	h := newHost(t)
	version := delivery.Version{Application: "shop", Label: "v2", Bucket: "bundles"}
	var last error
	for _, content := range []string{"first", "second"} {
		workspace, err := h.checkout(h.commit("index.html", content), ".")
		require.NoError(t, err)
		bundled, err := step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
		require.NoError(t, err)
		version.Digest = bundled.Digest
		_, last = step[delivery.Version](h, h.build.Upload, UploadInput{Workspace: workspace, Version: version})
	}
	assert.Equal(t, delivery.VersionConflict, typeOf(t, last))
	assert.Equal(t, map[string]string{"index.html": "first"}, h.object("bundles", "gravity/shop/v2.zip"))
}

func TestACommitThatIsNotThereLeavesNothingBehind(t *testing.T) {
	h := newHost(t)
	h.commit("index.html", "hello")
	_, err := h.checkout(strings.Repeat("0123", 10), ".")
	assert.Equal(t, delivery.RevisionNotFound, typeOf(t, err))
	_, err = h.checkout(h.git("rev-parse", "HEAD"), "../elsewhere")
	assert.Equal(t, delivery.InvalidInput, typeOf(t, err))
	left, err := filepath.Glob(filepath.Join(h.build.Workspaces.Root, "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAPathThatIsALinkOutOfTheRepositoryIsRefused(t *testing.T) {
	h := newHost(t)
	require.NoError(t, os.Symlink("/etc", filepath.Join(h.repository, "app")))
	_, err := h.checkout(h.commit("README", "harmless\n"), "app")
	assert.Equal(t, delivery.InvalidInput, typeOf(t, err))
}

func TestACommandThatFailsIsAResult(t *testing.T) {
	h := newHost(t)
	workspace := h.workspace()
	cases := []struct{ name, line, reason, tail string }{
		{"an exit code", "echo prices are wrong >&2; exit 3", "exit code 3", "prices are wrong"},
		{"a command that does not exist", "no-such-command", "exit code 127", "not found"},
		{"a signal", "kill -KILL $$", "", ""},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			result, err := h.run(workspace, test.line)
			require.NoError(t, err, "it would be tried again otherwise")
			assert.False(t, result.Passed)
			assert.NotEmpty(t, result.Reason)
			assert.Contains(t, result.Reason, test.reason)
			assert.Contains(t, result.Tail, test.tail)
		})
	}
	t.Run("a timeout", func(t *testing.T) {
		result, err := step[CommandResult](h, h.build.Run, RunInput{
			Workspace: workspace, Command: delivery.Command{Run: "echo begins; sleep 600", Timeout: delivery.Duration(30 * time.Millisecond)},
		})
		require.NoError(t, err)
		assert.False(t, result.Passed)
		assert.Contains(t, result.Reason, "timed out")
	})
}

func TestACommandSeesNoSecretsOfTheWorker(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "GITHUB_TOKEN", "TEMPORAL_API_KEY", "GRAVITY_WEBHOOK_SECRET"} {
		t.Setenv(name, "planted-secret")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	require.NoError(t, os.Mkdir(filepath.Join(home, ".aws"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".aws", "credentials"), []byte("planted-secret"), 0o600))
	h := newHost(t)
	result, err := h.run(h.workspace(), "env; cat ~/.aws/credentials; exit 1")
	require.NoError(t, err)
	assert.Contains(t, result.Tail, "GRAVITY_VERSION=v2", "its environment is seen")
	assert.NotContains(t, result.Tail, "planted-secret")
	assert.NotContains(t, result.Tail, "AWS_")
}

func TestAStepWhoseWorkspaceIsElsewhereSaysSo(t *testing.T) {
	h := newHost(t)
	gone := h.workspace()
	require.NoError(t, h.build.Workspaces.Remove(gone.Directory))
	foreign := Workspace{Directory: t.TempDir()}
	climbing := h.workspace()
	climbing.Directory = filepath.Join(climbing.Directory, "..", "..")
	root := Workspace{Directory: h.build.Workspaces.Root}
	for name, workspace := range map[string]Workspace{
		"a workspace that was removed": gone, "a folder outside": foreign, "a path that climbs out": climbing,
		"the folder of all workspaces": root, "no folder at all": {}, "the root of the disk": {Directory: "/"},
	} {
		t.Run(name, func(t *testing.T) {
			marker := filepath.Join(t.TempDir(), "ran")
			_, err := h.run(workspace, "touch "+marker)
			assert.Equal(t, delivery.WorkspaceLost, typeOf(t, err))
			assert.NoFileExists(t, marker)
			_, err = step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
			assert.Equal(t, delivery.WorkspaceLost, typeOf(t, err))
			_, err = step[delivery.Version](h, h.build.Upload, UploadInput{Workspace: workspace, Version: delivery.Version{Bucket: "bundles"}})
			assert.Equal(t, delivery.WorkspaceLost, typeOf(t, err))
			_, err = step[any](h, h.build.Remove, RemoveInput{Workspace: workspace})
			require.NoError(t, err)
		})
	}
	assert.DirExists(t, foreign.Directory, "what is not a workspace is not removed")
	assert.DirExists(t, h.build.Workspaces.Root)
}

func TestAPathInAWorkspaceStaysInItsTree(t *testing.T) {
	h := newHost(t)
	workspace := h.workspace()
	workspace.Path = "../../../../../../etc"
	_, err := h.run(workspace, "true")
	assert.Equal(t, delivery.WorkspaceLost, typeOf(t, err), "there is no etc in the tree")
	_, err = step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
	require.Error(t, err)
}

func TestAPartThatTheBuildMadeALinkIsNotBundledFromElsewhere(t *testing.T) {
	h := newHost(t)
	workspace := h.workspace()
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("planted"), 0o600))
	result, err := h.run(workspace, "cd .. && rm -r app && ln -s "+outside+" app")
	require.NoError(t, err)
	require.True(t, result.Passed, result.Tail)
	_, err = step[Bundled](h, h.build.Bundle, BundleInput{Workspace: workspace})
	assert.Equal(t, delivery.BundleRejected, typeOf(t, err))
}
