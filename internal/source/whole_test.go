//go:build unix

package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/bundle"
	"gravity/internal/delivery"
	"gravity/internal/runner"
)

// built is what one machine makes of a commit.
type built struct {
	digest           string
	files            []byte
	output, messages string
}

// machine checks a commit out, runs a build command and bundles the result, as a worker does, with
// the given habits of a machine.
func machine(t *testing.T, address, token, build string, umask, cores int, zone string) built {
	t.Helper()
	defer syscall.Umask(syscall.Umask(umask))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	t.Setenv("TZ", zone)
	var messages bytes.Buffer
	base := t.TempDir()
	cache := &Cache{
		Root: filepath.Join(base, "cache"), AllowLocal: true, Log: slog.New(slog.NewTextHandler(&messages, nil)),
		Credentials: func(context.Context, string) (string, string, error) { return "git", token, nil },
	}
	tree := filepath.Join(base, "tree")
	revision, err := cache.Checkout(t.Context(), Request{Repository: address, Ref: "main", Into: tree})
	require.NoError(t, err)
	var output, content bytes.Buffer
	result, err := runner.Run(t.Context(), runner.Command{Line: build, Dir: tree, Scratch: base}, &output)
	require.NoError(t, err)
	require.True(t, result.Passed(), output.String())
	manifest, err := bundle.WriteWith(t.Context(), tree, &content, bundle.Options{Modified: revision.CommittedAt})
	require.NoError(t, err)
	return built{manifest.Digest, content.Bytes(), output.String(), messages.String()}
}

func TestTheSameCommitIsTheSameBundleOnEveryMachineAndHoldsNoSecret(t *testing.T) {
	const token, planted = "planted-git-token-5521", "planted-cloud-key-9917"
	t.Setenv("AWS_SECRET_ACCESS_KEY", planted)
	t.Setenv("GITHUB_TOKEN", planted)
	t.Setenv("HTTPS_PROXY", "http://user:"+planted+"@127.0.0.1:1")
	o := newOrigin(t)
	o.commit("one", "go.mod", "module x\n", "b/two", "2", "a/one", "1", "bin/run", "#!/bin/sh\n", ".gitattributes", "*.txt text\n", "dos.txt", "a\r\nb\r\n", ".hidden", "h", "big", strings.Repeat("0123456789\n", 100_000))
	o.git("update-index", "--chmod=+x", "bin/run")
	o.git("commit", "--quiet", "-m", "executable")
	server := serveGit(t, filepath.Dir(o.dir), token)
	// The build prints and keeps all it can find, in an order that differs between machines.
	first := `mkdir out && for i in 1 2 3 4 5; do echo $i > out/$i; done; chmod +x out/3; env > out/../env.seen; cat env.seen; cat /proc/self/environ | tr '\0' '\n'; cat $HOME/* $HOME/.* 2>/dev/null; rm env.seen`
	second := strings.Replace(first, "1 2 3 4 5", "5 3 1 2 4", 1)

	one := machine(t, server.url+"/origin", token, first, 0o022, 1, "UTC")
	two := machine(t, server.url+"/origin", token, second, 0o077, 8, "Asia/Kathmandu")
	require.Equal(t, one.digest, two.digest)
	require.Equal(t, one.files, two.files)
	for _, text := range []string{string(one.files), one.output, two.output, one.messages, two.messages} {
		for _, secret := range []string{token, planted, base64.StdEncoding.EncodeToString([]byte("git:" + token))} {
			require.NotContains(t, text, secret)
		}
	}
	require.Contains(t, one.output, "CI=true", "it did look")
	require.Contains(t, one.messages, "mirror is made", "something was logged")

	o.commit("another", "a/one", "other")
	three := machine(t, server.url+"/origin", token, first, 0o022, 1, "UTC")
	require.NotEqual(t, one.digest, three.digest)
}

// What a project leaves behind to break out of its bundle is refused, and nothing is written or left running.
func TestHostileBuildsAreRefusedOrHarmless(t *testing.T) {
	for name, test := range map[string]struct{ build, says string }{
		"a link to the worker's files": {"ln -s /etc/passwd stolen", `"stolen"`},
		"a link to the tree's parent":  {"ln -s ../.. up", `"up"`},
		"a pipe that waits forever":    {"mkfifo pipe", "a named pipe"},
		"a name that climbs":           {`touch '..\..\evil'`, "backslash"},
		"a name with a line break":     {"touch \"$(printf 'a\\nb')\"", "control character"},
		"a swapped ignore file":        {"ln -sf /etc/shadow .ebignore", "symbolic link"},
		"git's own files":              {"git init -q . 2>/dev/null; mkdir -p .git sub/.git; echo secret > .git/config; echo secret > sub/.git/config", ""},
		"everything ignored":           {"echo '*' > .ebignore", "no file is left"},
		"something in the background":  {"(while :; do echo x >> late; sleep 0.01; done) & setsid sleep 1234.5 & true", ""},
		"more than fits":               {"head -c 3000000 /dev/urandom > big", "that Beanstalk accepts"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			tree := filepath.Join(base, "work", "tree")
			require.NoError(t, os.MkdirAll(tree, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(tree, "file"), []byte("x"), 0o644))
			result, err := runner.Run(t.Context(), runner.Command{Line: test.build, Dir: tree, Scratch: base}, io.Discard)
			require.NoError(t, err)
			require.True(t, result.Passed())
			var content bytes.Buffer
			_, err = bundle.WriteWith(t.Context(), tree, &content, bundle.Options{MaxSize: 2 << 20})
			if test.says != "" {
				requireRejected(t, err, delivery.BundleRejected, test.says)
			} else {
				require.NoError(t, err)
				require.NotContains(t, content.String(), ".git/config")
			}
			requireUntouched(t, base, "work")
			requireUntouched(t, filepath.Join(base, "work"), "tree")
			processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
			require.NoError(t, err)
			for _, path := range processes {
				line, _ := os.ReadFile(path)
				require.NotContains(t, string(line), "1234.5")
			}
		})
	}
}
