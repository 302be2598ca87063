package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

const example = "../../site/gravity.yaml"

func TestTheWorkedExampleIsReadWithItsDefaults(t *testing.T) {
	file, err := Load(example)
	require.NoError(t, err)
	require.Equal(t, example, file.Path)

	site, err := file.Pipeline("site")
	require.NoError(t, err)
	require.Equal(t, ".", site.Path)
	require.Equal(t, delivery.DefaultCommandTimeout, site.Build.Timeout)
	require.Equal(t, 5*time.Minute, site.Test.Timeout.Std())
	require.Contains(t, site.Build.Run, "$GRAVITY_VERSION")
	require.NotContains(t, site.Build.Run, "\n")

	require.Len(t, site.Stages, 2)
	staging, production := site.Stages[0], site.Stages[1]
	require.Equal(t, []string{"main", "release/*"}, staging.Branches)
	require.Equal(t, "/health", staging.Health.Check.Path)
	require.Equal(t, `"version":"${version}"`, staging.Health.Check.Contains)
	require.Equal(t, delivery.DefaultCheckTimes, staging.Health.Check.Times)
	require.Equal(t, delivery.Immutable, production.Strategy)
	require.Equal(t, time.Minute, production.Health.Steady.Std())
	require.Equal(t, delivery.DefaultSettle, production.Health.Settle)
	require.Nil(t, production.Gate.Approval, "nobody is asked unless the file says so")
}

func TestAnApprovalWithoutRulesStillAsks(t *testing.T) {
	file := parsed(t, "        gate:\n          approval: {}\n")
	require.Equal(t, delivery.DefaultApprovalTimeout, file.Pipelines[0].Stages[0].Gate.Approval.Timeout)
}

func TestAFileMayBeginWithAByteOrderMarkAndHaveWindowsLineEnds(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(minimal(""), "\n", "\r\n")
	file, err := Parse("gravity.yaml", []byte(text))
	require.NoError(t, err)
	require.Equal(t, "site-staging", file.Pipelines[0].Stages[0].Environment)
}

func TestAMissingFileSaysHowToNameIt(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "gravity.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "--config")
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}

func TestAHugeFileIsRefusedUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gravity.yaml")
	require.NoError(t, os.WriteFile(path, make([]byte, 2*maxFileSize), 0o600))
	_, err := Load(path)
	require.ErrorContains(t, err, "is that large")
}

func TestAPipelineIsFoundByNameOrTheNearestIsNamed(t *testing.T) {
	file, err := Load(example)
	require.NoError(t, err)
	_, err = file.Pipeline("siet")
	require.EqualError(t, err, `../../site/gravity.yaml has no pipeline "siet"; did you mean "site"?`)
	_, err = file.Pipeline("warehouse")
	require.ErrorContains(t, err, "it has site")
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}

func TestTheFileIsExplainedInWords(t *testing.T) {
	file, err := Load(example)
	require.NoError(t, err)
	var words strings.Builder
	file.Explain(&words)
	require.Equal(t, `pipeline site, from https://github.com/example/site
  for every revision, once:
    build    CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/site -ldflags "-buildid= -X main.version=$GRAVITY_VERSION -X main.revision=$GRAVITY_REVISION" . (at most 10m)
    test     go test ./... (at most 5m); if it fails, nothing is uploaded
    version  all of the repository, in Beanstalk's own bucket, as a version of application site
  a push to main goes to:
    1. staging: environment site-staging, immutable
       waits for its turn; a newer request of this pipeline replaces those that wait
       stops when somebody deployed by hand
       waits up to 1h for somebody else's update to end, then has 1h to prove itself
       good when its health is Ok or Info for 30s without a break, reached within 5m after the update
       and when GET /health at its own address answers 200, 3 times in a row, each within 5s, with "version":"${version}" in the body
       otherwise it is taken back to its last good version
    2. production: environment site-production, immutable
       waits for its turn; a newer request of this pipeline replaces those that wait
       stops when somebody deployed by hand
       waits up to 1h for somebody else's update to end, then has 1h to prove itself
       good when its health is Ok or Info for 1m without a break, reached within 5m after the update
       and when GET /health at its own address answers 200, 5 times in a row, each within 5s, with "version":"${version}" in the body
       otherwise it is taken back to its last good version
  a push to a branch like release/* goes to:
    1. staging: environment site-staging, immutable
       waits for its turn; a newer request of this pipeline replaces those that wait
       stops when somebody deployed by hand
       waits up to 1h for somebody else's update to end, then has 1h to prove itself
       good when its health is Ok or Info for 30s without a break, reached within 5m after the update
       and when GET /health at its own address answers 200, 3 times in a row, each within 5s, with "version":"${version}" in the body
       otherwise it is taken back to its last good version
  a push to any other branch does nothing.
`, words.String())
}

func TestWhatATerminalWouldObeyIsEscapedWhenExplained(t *testing.T) {
	file := parsed(t, "", "    test:\n      run: \"echo \\e[31mred\\nexit 1\"\n")
	var words strings.Builder
	file.Explain(&words)
	require.NotContains(t, words.String(), "\x1b")
	require.Contains(t, words.String(), `"echo \x1b[31mred" … (the first of 2 lines)`)
}

// minimal is a right file; stage is more of its one stage, pipeline more of its one pipeline.
func minimal(stage string, pipeline ...string) string {
	return "pipelines:\n" +
		"  - name: site\n" +
		"    repository: https://github.com/example/site\n" +
		"    application: site\n" +
		strings.Join(pipeline, "") +
		"    stages:\n" +
		"      - name: staging\n" +
		"        environment: site-staging\n" +
		stage
}

func parsed(t *testing.T, stage string, pipeline ...string) File {
	t.Helper()
	file, err := Parse("gravity.yaml", []byte(minimal(stage, pipeline...)))
	require.NoError(t, err)
	return file
}

func TestWhatABuildIsAskedForIsExplainedInWords(t *testing.T) {
	file := parsed(t, "", `    checkout: {submodules: true, lfs: true}
    sandbox: {memory: 2048, network: none, container: golang:1.26}
    cache: {files: [go.sum]}
    test:
      run: make test
      reports: [junit/*.xml]
      retries: 2
      matrix:
        - {variable: SHARD, values: ["1", "2", "3"]}
`)
	var words strings.Builder
	file.Explain(&words)
	require.Contains(t, words.String(), `
    test     make test (at most 10m); if it fails, nothing is uploaded
             in 3 jobs side by side, all of which must pass
             a failure is tried again up to 2 times; what passes only then is reported as flaky
             failed tests are named from junit/*.xml
             in a container of golang:1.26
             without a network
             with at most 2048 MB of memory
             with the cache that belongs to the content of go.sum
             with submodules
             with the files that Git LFS keeps
`)
	test := file.Pipelines[0].Test
	require.Len(t, test.Jobs(), 3)
	require.Equal(t, 2, test.Retries)
	require.Equal(t, delivery.NetworkNone, file.Pipelines[0].Sandbox.Network)
	require.Equal(t, delivery.DefaultOutput, file.Pipelines[0].Sandbox.Output)
	require.True(t, file.Pipelines[0].Checkout.LFS)
}
