package main

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"gravity/internal/delivery"
	"gravity/internal/local/temporal"
	"gravity/worker/process"
	"gravity/worker/runs"
	"gravity/workflows"
)

// builds is a namespace whose workers come and go.
type builds struct {
	t       *testing.T
	server  *temporal.Server
	client  client.Client
	started int
}

func newBuilds(t *testing.T) *builds {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	t.Parallel()
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	server, err := temporal.Start(t.Context(), temporal.Options{Headless: true, SearchAttributes: attributes})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	b := &builds{t: t, server: server}
	b.client = b.dial("test")
	return b
}

func (b *builds) dial(identity string) client.Client {
	c, err := client.Dial(client.Options{
		HostPort: b.server.Address(), Identity: identity, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	return c
}

// worker starts one of a build, or without one.
func (b *builds) worker(identity, build string) {
	versioning := worker.DeploymentOptions{}
	if build != "" {
		versioning = worker.DeploymentOptions{UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: "gravity", BuildID: build}}
	}
	p, err := process.Start(process.Options{
		Temporal: b.dial(identity), AWS: sdk.Config{Region: "eu-central-1"}, Directory: b.t.TempDir(), Versioning: versioning, PlatformRate: 7,
		Grace: time.Second, CommandsAsWorker: true, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(b.t, err)
	b.t.Cleanup(p.Stop)
}

func (b *builds) starter(arguments ...string) ended {
	b.t.Helper()
	return starter(b.t, append(arguments, "--address", b.server.Address())...)
}

// says runs a command until it succeeds: what a worker polls is known to Temporal a moment later.
func (b *builds) says(text string, arguments ...string) {
	b.t.Helper()
	var got ended
	require.Eventually(b.t, func() bool {
		got = b.starter(arguments...)
		return got.code == exitSuccess && strings.Contains(got.stdout, text)
	}, 2*time.Minute, 200*time.Millisecond, "%v: %s", arguments, text)
	b.t.Log(got.stdout)
}

func (b *builds) refuses(text string, arguments ...string) {
	b.t.Helper()
	got := b.starter(arguments...)
	assert.Equal(b.t, exitUsage, got.code, arguments)
	assert.Contains(b.t, got.stderr, text, arguments)
}

func (b *builds) view() fleetView {
	got := b.starter("workers", "-o", "json")
	require.Equal(b.t, exitSuccess, got.code, got.stderr)
	return as[fleetView](b.t, got.stdout)
}

// state is what a build is said to be.
func (f fleetView) state(build string) string {
	for _, b := range f.Builds {
		if b.Build == build {
			return b.State
		}
	}
	return "unknown"
}

// runsOn starts a run and says on which build it began.
func (b *builds) runsOn() string {
	b.started++
	started, err := runs.Start(b.t.Context(), b.client, runs.Request{
		Pipeline: delivery.Pipeline{Name: "site", Application: "site"},
		Revision: delivery.Revision{SHA: strings.Repeat("0", 39) + string(rune('a'+b.started)), Ref: "refs/heads/main"},
	})
	require.NoError(b.t, err)
	var status workflows.RunStatus
	require.Error(b.t, b.client.GetWorkflow(b.t.Context(), started.RunID, "").Get(b.t.Context(), &status), "it has no stages")
	described, err := b.client.DescribeWorkflowExecution(b.t.Context(), started.RunID, "")
	require.NoError(b.t, err)
	return described.GetWorkflowExecutionInfo().GetVersioningInfo().GetDeploymentVersion().GetBuildId()
}

func TestTheFleetIsSeenRampedPromotedAndRolledBack(t *testing.T) {
	b := newBuilds(t)
	b.says("nobody", "workers")
	b.refuses("there is no Worker Deployment gravity: start workers with --deployment gravity --build-id BUILD", "workers", "promote", "one")

	b.worker("plain@host", "")
	b.says("plain@host", "workers")
	require.Empty(t, b.view().Builds)
	require.Empty(t, b.runsOn())

	b.worker("first@host", "one")
	b.says("build one is current: new runs and deployments begin on it\n", "workers", "promote", "one")
	require.Eventually(t, func() bool { return b.runsOn() == "one" }, 2*time.Minute, 100*time.Millisecond)
	b.refuses("build one is current already", "workers", "promote", "one")
	b.refuses(`no worker of build "two" was ever seen: there is one; start one with --deployment gravity --build-id two`, "workers", "promote", "two")
	b.refuses("it is not known which build was current before one: say which with --to", "workers", "rollback")
	b.refuses("say how many of the new runs with --percent", "workers", "ramp", "one")

	b.worker("second@host", "two")
	b.says("25% of the new runs and deployments begin on build two", "workers", "ramp", "two", "--percent", "25")
	seen := b.view()
	assert.Equal(t, []string{"current", "ramping"}, []string{seen.state("one"), seen.state("two")})
	assert.EqualValues(t, 25, seen.Percent)
	b.says("75%", "workers")
	b.says("nothing begins on build two any more; build one is current as before", "workers", "rollback")
	assert.Empty(t, b.view().Ramping)

	b.says("keep the workers of build one until it is drained", "workers", "promote", "two")
	require.Eventually(t, func() bool { return b.runsOn() == "two" }, 2*time.Minute, 100*time.Millisecond)
	// Builds and queues are told of what changed a moment later.
	require.Eventually(t, func() bool {
		seen = b.view()
		all := !slices.ContainsFunc(seen.Queues, func(q queueView) bool { return len(q.Workers) < 3 })
		return all && seen.state("one") == "draining"
	}, 2*time.Minute, 200*time.Millisecond, "build one drains, and everybody polls every queue")
	assert.Equal(t, "current", seen.state("two"))
	for _, build := range seen.Builds {
		assert.Len(t, build.Workers, 1, build.Build)
		assert.WithinDuration(t, time.Now(), build.LastSeen, 2*time.Minute)
	}
	for _, queue := range seen.Queues {
		assert.Len(t, queue.Workers, 3, queue.Queue)
		if queue.Queue == workflows.PlatformQueue {
			assert.EqualValues(t, 7, queue.Rate)
		}
	}

	b.says("build one is current again", "workers", "rollback")
	require.Eventually(t, func() bool { return b.runsOn() == "one" }, 2*time.Minute, 100*time.Millisecond)
	b.says("build two is current again", "workers", "rollback", "--to", "two")
	b.refuses("there is gravity", "workers", "rollback", "--deployment", "other")
}
