//go:build linux

package runner

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// runThis is the command line that the test binary, called by itself as a worker would be, runs
// instead of testing.
const runThis = "GRAVITY_TEST_RUN"

func TestMain(m *testing.M) {
	line := os.Getenv(runThis)
	if line == "" {
		os.Exit(m.Run())
	}
	_, _ = Run(context.Background(), Command{Line: line, Dir: os.TempDir()}, os.Stdout)
	os.Exit(0)
}

func requireNamespaces(t *testing.T) {
	t.Helper()
	if !Contained() {
		t.Skip("this system gives us no process namespaces")
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can do this")
	}
}

func TestACommandEndsWhenItsWorkerIsKilled(t *testing.T) {
	requireNamespaces(t)
	seconds := uniqueSeconds()
	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), runThis+"="+startsDescendants(seconds)+"echo begun; wait", "TMPDIR="+t.TempDir())
	output, err := worker.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, worker.Start())
	_, err = io.ReadFull(output, make([]byte, len("begun\n")))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return marked(t, seconds) > 5 }, time.Minute, 5*time.Millisecond)

	require.NoError(t, worker.Process.Kill())
	_ = worker.Wait()
	requireNoneAlive(t, seconds)
}

func TestWithoutNamespacesTheMarkFindsWhatGotAway(t *testing.T) {
	seconds := uniqueSeconds()
	command := exec.Command("setsid", "sh", "-c", "sleep "+seconds+" & (setsid sleep "+seconds+" &) ; wait")
	command.Env = append(os.Environ(), markVariable+"=this-one")
	require.NoError(t, command.Start())
	other := exec.Command("sleep", seconds)
	other.Env = append(os.Environ(), markVariable+"=another")
	require.NoError(t, other.Start())
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	require.Eventually(t, func() bool { return marked(t, seconds) >= 4 }, time.Minute, 5*time.Millisecond)

	endMarked("this-one")
	_ = command.Wait()
	require.Eventually(t, func() bool { return marked(t, seconds) == 1 }, time.Minute, 5*time.Millisecond, "all but the other command's")
}

func TestACommandSeesItsOwnProcessesOnly(t *testing.T) {
	requireNamespaces(t)
	requireRoot(t)
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip("there is no nsenter to mount /proc with")
	}
	result, output := run(t, Command{Line: "ls -d /proc/[0-9]* | wc -l; cat /proc/$$/cmdline | tr '\\0' ' '"})
	require.True(t, result.Passed(), output)
	require.Less(t, len(strings.Fields(output)[0]), 2, "a handful: %s", output)
	require.Contains(t, output, "/bin/sh -c ls -d")
}

func TestMemoryOfAllDescendantsTogetherIsLimited(t *testing.T) {
	group := newCgroup(Limits{Memory: 64 << 20})
	if group == nil || len(group.folders) == 0 {
		t.Skip("this system gives us no cgroups")
	}
	group.end()
	// No process takes much, all together do: each holds a variable of 16 MB.
	line := "for i in 1 2 3 4 5 6 7 8; do (x=$(head -c 16000000 /dev/zero | tr '\\0' x); sleep 1) & done; wait"
	result, output := run(t, Command{Line: line, Limits: Limits{Memory: 64 << 20}, Timeout: time.Minute})
	require.True(t, result.OutOfMemory, output)
	left, err := filepath.Glob("/sys/fs/cgroup/memory/*gravity-*")
	require.NoError(t, err)
	require.Empty(t, left)

	result, output = run(t, Command{Line: "x=$(head -c 1000000 /dev/zero | tr '\\0' x)", Limits: Limits{Memory: 64 << 20}})
	require.True(t, result.Passed(), output)
	require.False(t, result.OutOfMemory)
}

func TestMemoryOfOneProcessIsLimitedWithoutCgroups(t *testing.T) {
	line := "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo done"
	output, err := exec.Command("/bin/sh", "-c", resourceLimits(Limits{Memory: 32 << 20})+line).CombinedOutput()
	require.Error(t, err)
	require.NotContains(t, string(output), "done")
	output, err = exec.Command("/bin/sh", "-c", resourceLimits(Limits{Memory: 1 << 30})+line).CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(output), "done")
}

func TestProcessesAreLimited(t *testing.T) {
	line := "for i in $(seq 100); do sleep 20 & done; echo all; "
	limits := Limits{Processes: 20}
	if group := newCgroup(limits); group != nil && len(group.folders) > 0 {
		group.end()
	} else if os.Getuid() == 0 {
		t.Skip("this system gives us no cgroups, and root is exempt from the other limit")
	}
	result, output := run(t, Command{Line: line, Limits: limits})
	require.False(t, result.Passed())
	require.Contains(t, output, "fork")
}

func TestFilesAreLimited(t *testing.T) {
	result, _ := run(t, Command{Line: "head -c 2000000 /dev/zero > big", Limits: Limits{FileSize: 1 << 20}})
	require.False(t, result.Passed())
	result, output := run(t, Command{Line: "head -c 1000000 /dev/zero > big", Limits: Limits{FileSize: 1 << 20}})
	require.True(t, result.Passed(), output)
}

func TestACommandThatFillsTheDiskIsEnded(t *testing.T) {
	dir := t.TempDir()
	free, err := freeDisk(dir)
	require.NoError(t, err)
	// The disk counts as full at once: more must be free than there is.
	result, _ := run(t, Command{Line: "sleep 1000", Dir: dir, Limits: Limits{FreeDisk: free + 1<<40}, Timeout: time.Minute})
	require.True(t, result.DiskExceeded)
	require.False(t, result.Passed())
	require.Contains(t, result.Reason(), "disk was running full")
}

func TestACommandOfRootsWorkerRunsAsSomebodyElse(t *testing.T) {
	requireRoot(t)
	top := t.TempDir()
	for folder := top; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		require.NoError(t, os.Chmod(folder, 0o711))
	}
	secret := filepath.Join(top, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("planted"), 0o600))
	dir := filepath.Join(top, "source")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "link")))
	var output bytes.Buffer
	result, err := Run(t.Context(), Command{
		Line: "id -u; id -g; id -G; echo > file && echo > $HOME/x && echo > $TMPDIR/x && echo written; cat link; kill -9 1; cat /proc/1/environ; kill -9 " + fmt.Sprint(os.Getpid()),
		Dir:  dir, Scratch: top, Account: &Account{UID: 61234, GID: 61235},
	}, &output)
	require.NoError(t, err)
	require.Contains(t, output.String(), "61234\n61235\n61235\nwritten\n")
	require.NotContains(t, output.String(), "planted")
	require.False(t, result.Passed())
	info, err := os.Stat(secret)
	require.NoError(t, err)
	require.Zero(t, info.Sys().(*syscall.Stat_t).Uid, "links are not followed")
}

func TestACommandWithoutNetworkHasTheLoopbackAlone(t *testing.T) {
	requireRoot(t)
	requireNamespaces(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	reach := "bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port + "'"
	result, output := run(t, Command{Line: reach})
	require.True(t, result.Passed(), output)

	result, output = run(t, Command{Line: reach + "; cat /proc/net/dev", Limits: Limits{NoNetwork: true}})
	require.Contains(t, output, "refused", "the loopback is up, and another one than the worker's")
	require.Contains(t, output, "lo:")
	require.NotContains(t, output, "eth")
	require.True(t, result.Passed(), output)
}

func TestCgroupsOfTheSecondVersionAreUsedWhereTheyAreOffered(t *testing.T) {
	root := t.TempDir()
	own := filepath.Join(root, "system.slice", "worker")
	require.NoError(t, os.MkdirAll(own, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(own, "cgroup.subtree_control"), []byte("memory pids"), 0o644))
	group := makeCgroup(root, "0::/system.slice/worker\n", Limits{Memory: 1 << 30, Processes: 50})
	require.NotNil(t, group)
	require.Len(t, group.folders, 1)
	require.Equal(t, own, filepath.Dir(group.folders[0]))
	require.NoError(t, group.add(42))
	for name, want := range map[string]string{"memory.max": "1073741824", "pids.max": "50", "memory.swap.max": "0", "cgroup.procs": "42"} {
		content, err := os.ReadFile(filepath.Join(group.folders[0], name))
		require.NoError(t, err)
		require.Equal(t, want, string(content), name)
	}
	require.False(t, group.outOfMemory())
	require.NoError(t, os.WriteFile(filepath.Join(group.folders[0], "memory.events"), []byte("low 0\noom 1\noom_kill 1\n"), 0o644))
	require.True(t, group.outOfMemory())
	group.end()
	content, err := os.ReadFile(filepath.Join(group.folders[0], "cgroup.kill"))
	require.NoError(t, err)
	require.Equal(t, "1", string(content))
}

func TestAContainerIsAskedForWithEveryLimitAndNoSecretInItsArguments(t *testing.T) {
	folder := t.TempDir()
	engine := filepath.Join(folder, "engine")
	require.NoError(t, os.WriteFile(engine, []byte("#!/bin/sh\necho \"arguments: $*\"; echo variables:; cat; echo environment:; env\n"), 0o755))
	t.Setenv("AWS_SECRET_ACCESS_KEY", "planted")
	result, output := run(t, Command{
		Line: "make test", Variables: map[string]string{"TOKEN": "given", "DOCKER_HOST": "tcp://evil.test"}, Account: accountWhenRoot(),
		Container: &Container{Image: "golang:1.26", Engine: engine}, Limits: Limits{Memory: 1 << 30, Processes: 99, FileSize: 1 << 20, NoNetwork: true},
	})
	require.True(t, result.Passed())
	arguments, rest, _ := strings.Cut(output, "\nvariables:\n")
	variables, environment, _ := strings.Cut(rest, "environment:\n")
	for _, want := range []string{"run --rm", "--network none", "--memory 1073741824", "--pids-limit 99", "fsize=1048576", "--cap-drop ALL", "no-new-privileges", "--user ", "golang:1.26 -c make test"} {
		require.Contains(t, arguments, want)
	}
	require.NotContains(t, arguments, "given")
	require.Equal(t, "DOCKER_HOST=tcp://evil.test\nTOKEN=given\n", variables)
	require.NotContains(t, environment, "planted")
	require.NotContains(t, environment, "evil.test")

	for _, image := range []string{"", "--privileged", "a b"} {
		_, err := Run(t.Context(), Command{Line: "true", Dir: folder, Container: &Container{Image: image, Engine: engine}}, io.Discard)
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	}
	_, err := Run(t.Context(), Command{Line: "true", Dir: folder, Variables: map[string]string{"A": "b\nC=d"}, Container: &Container{Image: "x", Engine: engine}}, io.Discard)
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	_, err = Run(t.Context(), Command{Line: "true", Dir: folder, Container: &Container{Image: "x", Engine: "no-such-engine"}}, io.Discard)
	require.ErrorContains(t, err, "install no-such-engine")
}

func accountWhenRoot() *Account {
	if os.Getuid() == 0 {
		return &Account{UID: 61234, GID: 61235}
	}
	return nil
}

func TestCommandsAtTheSameTimeHaveAccountsOfTheirOwn(t *testing.T) {
	requireRoot(t)
	accounts := Accounts{Folder: filepath.Join(t.TempDir(), "accounts"), First: 61500, Count: 2}
	first, release, err := accounts.Take(t.Context())
	require.NoError(t, err)
	second, releaseSecond, err := accounts.Take(t.Context())
	require.NoError(t, err)
	defer releaseSecond()
	require.NotEqual(t, first, second)

	ctx, cancel := context.WithTimeout(t.Context(), accountPoll/2)
	defer cancel()
	_, _, err = accounts.Take(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	release()
	again, release, err := accounts.Take(t.Context())
	require.NoError(t, err)
	defer release()
	require.Equal(t, first, again)
}

func TestCachesOutliveTheCommandAndAreNotTheWorkersOwn(t *testing.T) {
	caches := filepath.Join(t.TempDir(), "caches")
	account := accountWhenRoot()
	if account != nil {
		for folder := caches; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
			_ = os.Chmod(folder, 0o711)
		}
	}
	t.Setenv("GOCACHE", "/the/workers/own")
	line := `echo "$GOCACHE $npm_config_cache"; mkdir -p "$GOCACHE" && echo kept > "$GOCACHE/file"`
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	require.NoError(t, os.Chmod(dir, 0o711))
	var output bytes.Buffer
	scratch := t.TempDir()
	require.NoError(t, os.Chmod(scratch, 0o711))
	result, err := Run(t.Context(), Command{Line: line, Dir: dir, Scratch: scratch, Caches: caches, Account: account}, &output)
	require.NoError(t, err)
	require.True(t, result.Passed(), output.String())
	require.Equal(t, filepath.Join(caches, "go-build")+" "+filepath.Join(caches, "npm")+"\n", output.String())
	require.FileExists(t, filepath.Join(caches, "go-build", "file"))

	if account != nil {
		output.Reset()
		_, err := Run(t.Context(), Command{Line: `echo "[$GOCACHE]"`, Dir: dir, Scratch: scratch, Account: account}, &output)
		require.NoError(t, err)
		require.Equal(t, "[]\n", output.String())
	}
}
