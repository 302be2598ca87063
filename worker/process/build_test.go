package process

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"gravity/internal/delivery"
	"gravity/internal/source"
)

func TestRootsWorkerRunsCommandsAsSomebodyElseWhereTheyCanReachTheirWorkspaces(t *testing.T) {
	top := t.TempDir()
	for folder := top; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		require.NoError(t, os.Chmod(folder, 0o711))
	}
	open, closed := filepath.Join(top, "open"), filepath.Join(top, "closed", "workspaces")
	require.NoError(t, os.MkdirAll(open, 0o711))
	require.NoError(t, os.MkdirAll(closed, 0o711))
	require.NoError(t, os.Chmod(filepath.Dir(closed), 0o700))
	require.Equal(t, filepath.Dir(closed), closedFolder(closed))
	require.Empty(t, closedFolder(open))

	o := Options{Log: slog.New(slog.DiscardHandler), CommandMemory: 1 << 30, ContainerEngine: "podman"}
	sandbox, err := o.sandbox(open)
	require.NoError(t, err)
	require.Equal(t, os.Getuid() == 0, sandbox.Accounts != nil)
	require.EqualValues(t, 1<<30, sandbox.Limits.Memory)
	require.Equal(t, "podman", sandbox.Engine)
	if os.Getuid() != 0 {
		return
	}
	_, err = o.sandbox(closed)
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	require.ErrorContains(t, err, "chmod o+x "+filepath.Dir(closed))
	o.CommandsAsWorker = true
	sandbox, err = o.sandbox(closed)
	require.NoError(t, err)
	require.Nil(t, sandbox.Accounts)
}

func TestWhatAWorkerIsGivenReachesItsBuilds(t *testing.T) {
	o := Options{
		Directory: t.TempDir(), Log: slog.New(slog.DiscardHandler), CommandsAsWorker: true,
		SSHKey: "/key", KnownHosts: "/hosts", MirrorSize: 3 << 30, CacheSize: 2 << 30,
		Credentials: func(context.Context, string) (string, string, error) { return "u", "t", nil },
		Versioning:  worker.DeploymentOptions{Version: worker.WorkerDeploymentVersion{DeploymentName: "blue"}},
	}
	build, err := o.build(nil, nil)
	require.NoError(t, err)
	require.Equal(t, "/key", build.Sources.Identity)
	require.Equal(t, "/hosts", build.Sources.KnownHosts)
	require.EqualValues(t, 3<<30, build.Sources.MaxSize)
	require.EqualValues(t, 2<<30, build.Caches.MaxSize)
	_, token, err := build.Sources.Credentials(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "t", token)
	require.Equal(t, "urn:gravity:fleet:blue", build.Builder)
	require.False(t, build.Sources.AllowLocal)
	require.Equal(t, commandProcesses, build.Sandbox.Limits.Processes)
	if total := machineMemory(); total > 0 {
		require.Equal(t, total/5*4, build.Sandbox.Limits.Memory)
	}
	require.NotEqual(t, hostQueue(), build.TaskQueue, "a worker that starts again has another queue")
}

func TestASweeperEndsWithItsWorker(t *testing.T) {
	s := sweep(&source.Workspaces{Root: t.TempDir()}, slog.New(slog.DiscardHandler))
	s.stop()
	s.stop()
	<-s.done
}
