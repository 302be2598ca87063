package source

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// serveSSH starts a real ssh server on this machine that lets one key in.
func serveSSH(t *testing.T) (address, hostKey, identity string) {
	t.Helper()
	server, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil || os.Getuid() != 0 {
		t.Skip("there is no ssh server here that this user can start")
	}
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	folder := t.TempDir()
	for _, name := range []string{"host", "client"} {
		output, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(folder, name)).CombinedOutput()
		require.NoError(t, err, string(output))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, listener.Close())
	config := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/client.pub\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\nUsePAM no\n", port, folder, folder)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config"), []byte(config), 0o600))
	daemon := exec.Command(server, "-D", "-e", "-f", filepath.Join(folder, "config"))
	require.NoError(t, daemon.Start())
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	me, err := user.Current()
	require.NoError(t, err)
	return "ssh://" + me.Username + "@127.0.0.1:" + port, "[127.0.0.1]:" + port + " " + read(t, folder, "host.pub"), filepath.Join(folder, "client")
}

func TestOverSSHOnlyAPinnedHostIsTrusted(t *testing.T) {
	t.Parallel()
	address, hostKey, identity := serveSSH(t)
	o := newOrigin(t)
	sha := o.commit("one", "file", "1")
	folder := t.TempDir()
	pinned, other, none := filepath.Join(folder, "pin ned"), filepath.Join(folder, "other"), filepath.Join(folder, "none")
	require.NoError(t, os.WriteFile(pinned, []byte(hostKey), 0o600))
	output, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(folder, "key")).CombinedOutput()
	require.NoError(t, err, string(output))
	prefix, _, _ := strings.Cut(hostKey, " ")
	require.NoError(t, os.WriteFile(other, []byte(prefix+" "+read(t, folder, "key.pub")), 0o600))

	resolve := func(knownHosts, identity string) (delivery.Revision, error) {
		cache := newCache(t)
		cache.KnownHosts, cache.Identity = knownHosts, identity
		return cache.Resolve(t.Context(), address+o.dir, "main")
	}
	revision, err := resolve(pinned, identity)
	require.NoError(t, err)
	require.Equal(t, sha, revision.SHA)

	_, err = resolve(other, identity)
	requireRejected(t, err, delivery.AccessDenied, "the host's known key")
	_, err = resolve(none, identity)
	requireRejected(t, err, delivery.AccessDenied, "the host's known key")
	require.NoFileExists(t, none, "a new key is never learned")
	_, err = resolve(pinned, filepath.Join(folder, "key"))
	requireRejected(t, err, delivery.AccessDenied, "not allowed")
}
