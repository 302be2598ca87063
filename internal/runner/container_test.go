package runner

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startEngine finds docker's engine, or starts one for this test alone.
func startEngine(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("there is no docker")
	}
	if exec.Command("docker", "info").Run() == nil {
		return
	}
	if _, err := exec.LookPath("dockerd"); err != nil || os.Getuid() != 0 {
		t.Skip("there is no docker engine here that this user can start")
	}
	folder, err := os.MkdirTemp("", "engine") // the path of a socket is short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := "unix://" + folder + "/socket"
	var said bytes.Buffer
	engine := exec.Command("dockerd", "--data-root", folder+"/data", "--exec-root", folder+"/run", "--pidfile", folder+"/pid",
		"--host", socket, "--bridge", "none", "--iptables=false")
	engine.Stdout, engine.Stderr = &said, &said
	require.NoError(t, engine.Start())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = engine.Wait()
	}()
	t.Cleanup(func() {
		_ = engine.Process.Signal(syscall.SIGTERM) // it ends what it has started itself
		<-gone
	})
	t.Setenv("DOCKER_HOST", socket)
	for deadline := time.Now().Add(time.Minute); ; {
		if exec.Command("docker", "info").Run() == nil {
			return
		}
		select {
		case <-gone:
			t.Skipf("docker's engine does not run here: %s", said.String())
		case <-time.After(100 * time.Millisecond):
			require.True(t, time.Now().Before(deadline), "docker's engine does not answer")
		}
	}
}

// importImage makes an image of a static busybox, so that no registry is needed.
func importImage(t *testing.T) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("there is no busybox to make an image of")
	}
	startEngine(t)
	content, err := os.ReadFile(busybox)
	require.NoError(t, err)
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	require.NoError(t, writer.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(content))}))
	_, err = writer.Write(content)
	require.NoError(t, err)
	for _, name := range []string{"sh", "sleep", "env", "cat", "ls", "id", "touch", "ip", "head", "setsid"} {
		require.NoError(t, writer.WriteHeader(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}))
	}
	require.NoError(t, writer.Close())
	image := "gravity-test-" + strings.ReplaceAll(uniqueSeconds(), ".", "-")
	load := exec.Command("docker", "import", "-", image)
	load.Stdin = &layer
	output, err := load.CombinedOutput()
	require.NoError(t, err, string(output))
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "--force", image).Run() })
	return image
}

func TestACommandRunsInARealContainer(t *testing.T) {
	container := &Container{Image: importImage(t)}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "planted")
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	result, output := run(t, Command{
		Line: "ls / && cat /proc/1/environ; env; ip addr; touch made $HOME/x $TMPDIR/y; exit 3", Dir: dir, Variables: map[string]string{"GIVEN": "yes"},
		Container: container, Limits: Limits{NoNetwork: true, Memory: 64 << 20, Processes: 50},
	})
	require.Equal(t, 3, result.ExitCode, output)
	require.NotContains(t, output, "planted")
	require.Contains(t, output, "GIVEN=yes")
	require.NotContains(t, output, "eth0")
	require.FileExists(t, filepath.Join(dir, "made"))

	// The whole repository is in reach, and what tools keep outlives the container.
	tree, caches := t.TempDir(), filepath.Join(t.TempDir(), "caches")
	require.NoError(t, os.WriteFile(filepath.Join(tree, "top"), []byte("of the repository"), 0o644))
	part := filepath.Join(tree, "part")
	require.NoError(t, os.Mkdir(part, 0o777))
	result, output = run(t, Command{Line: "cat ../top; touch $GRAVITY_CACHE/kept; env", Dir: part, Tree: tree, Caches: caches, Container: container})
	require.True(t, result.Passed(), output)
	require.Contains(t, output, "of the repository")
	require.Contains(t, output, "GOCACHE="+caches)
	require.FileExists(t, filepath.Join(caches, "kept"))

	seconds := uniqueSeconds()
	result, output = run(t, Command{Line: "sleep " + seconds + " & setsid sleep " + seconds + " & echo begun; sleep " + seconds, Container: container, Timeout: 3 * time.Second})
	require.True(t, result.TimedOut, output)
	requireNoneAlive(t, seconds)

	seconds = uniqueSeconds()
	result, output = run(t, Command{Line: "setsid sleep " + seconds + " & echo done", Container: container})
	require.True(t, result.Passed(), output)
	requireNoneAlive(t, seconds)

	left, err := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "ancestor="+container.Image).Output()
	require.NoError(t, err)
	require.Empty(t, string(left))
}
