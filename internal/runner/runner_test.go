package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func run(t *testing.T, c Command) (Result, string) {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	c.Scratch = t.TempDir()
	var output bytes.Buffer
	result, err := Run(t.Context(), c, &output)
	require.NoError(t, err)
	left, err := os.ReadDir(c.Scratch)
	require.NoError(t, err)
	require.Empty(t, left, "the command's home and temporary folder are removed")
	return result, output.String()
}

func TestACommandThatPassesIsAResult(t *testing.T) {
	dir := t.TempDir()
	result, output := run(t, Command{Line: "pwd; echo problem >&2", Dir: dir})
	require.True(t, result.Passed())
	require.Equal(t, dir+"\nproblem\n", output)
	require.Equal(t, output, result.Tail)
	require.EqualValues(t, len(output), result.Output)
	require.Equal(t, "passed", result.Reason())
}

func TestACommandThatFailsIsAResultToo(t *testing.T) {
	result, _ := run(t, Command{Line: "exit 3"})
	require.False(t, result.Passed())
	require.Equal(t, 3, result.ExitCode)
	require.Equal(t, "failed with exit code 3", result.Reason())

	result, _ = run(t, Command{Line: "/bin/sh -c 'kill -9 $$'; exit $?"})
	require.Equal(t, 137, result.ExitCode)
	require.Equal(t, "failed with exit code 137, as from signal 9", result.Reason())
}

func TestAMissingFolderIsALostWorkspace(t *testing.T) {
	_, err := Run(t.Context(), Command{Line: "true", Dir: filepath.Join(t.TempDir(), "gone")}, &bytes.Buffer{})
	require.Equal(t, delivery.WorkspaceLost, delivery.TypeOf(err))
}

func TestNothingOfTheWorkersEnvironmentReachesACommandButWhatIsAllowed(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_SECRET_ACCESS_KEY": "planted", "AWS_SESSION_TOKEN": "planted", "AWS_PROFILE": "planted",
		"GITHUB_TOKEN": "planted", "TEMPORAL_API_KEY": "planted", "SSH_AUTH_SOCK": "planted",
		"HTTPS_PROXY": "http://user:planted@proxy.test:3128", "GOPROXY": "https://planted@proxy.test,direct",
		"HTTP_PROXY": "user:planted@proxy.test:3128", "LC_ALL": "C", "GOFLAGS": "-mod=mod", "NO_PROXY": "localhost",
	} {
		t.Setenv(name, value)
	}
	result, output := run(t, Command{Line: "env", Variables: map[string]string{"GIVEN": "yes", "LC_ALL": "C.UTF-8"}})
	require.True(t, result.Passed())
	require.NotContains(t, output, "planted")
	require.Contains(t, output, "GIVEN=yes\n")
	require.Contains(t, output, "LC_ALL=C.UTF-8\n")
	require.Contains(t, output, "GOFLAGS=-mod=mod\n")
	require.Contains(t, output, "NO_PROXY=localhost\n")
	require.NotContains(t, output, "HOME="+os.Getenv("HOME")+"\n")
	for line := range strings.SplitSeq(strings.TrimSpace(output), "\n") {
		name, _, _ := strings.Cut(line, "=")
		set := []string{"HOME", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_", "CI", "GIT_CEILING_DIRECTORIES", markVariable, "GIT_TERMINAL_PROMPT", "GIVEN"}
		require.True(t, allows(name) || contains(set, name), "%s is not on the list", name)
	}
}

func contains(names []string, name string) bool {
	for _, other := range names {
		if other == name {
			return true
		}
	}
	return false
}

func TestHomeIsANewFolderOfTheCommandsOwn(t *testing.T) {
	result, output := run(t, Command{Line: `ls -A "$HOME" "$TMPDIR" && touch "$HOME/mine" && mkdir "$TMPDIR/locked" && touch "$TMPDIR/locked/file" && chmod 500 "$TMPDIR/locked"`})
	require.True(t, result.Passed(), output)
}

// startsDescendants starts descendants of several kinds, each of which sleeps for a number of
// seconds that no other process on the machine has.
func startsDescendants(seconds string) string {
	kinds := `
sleep SECONDS &
(trap '' TERM HUP; sleep SECONDS & wait) &
nohup sleep SECONDS > /dev/null 2>&1 &
setsid sleep SECONDS &
setsid sh -c "trap '' TERM HUP INT; while :; do sleep SECONDS; done" > /dev/null 2>&1 < /dev/null &
`
	if Contained() { // only a namespace holds those that leave no trace
		kinds += "env -i setsid sh -c '(sleep SECONDS &) & sleep SECONDS' &\n"
	}
	return strings.ReplaceAll(kinds, "SECONDS", seconds)
}

// uniqueSeconds is a time to sleep that marks the processes of one test.
func uniqueSeconds() string {
	return fmt.Sprintf("%d.%09d", 1000+rand.IntN(1000), rand.IntN(1_000_000_000))
}

// marked counts the living processes with a text in their command line.
func marked(t *testing.T, text string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	count := 0
	for _, path := range lines {
		// A zombie has no command line: it holds nothing and waits for its parent only.
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(text)) {
			count++
		}
	}
	return count
}

func requireNoneAlive(t *testing.T, seconds string) {
	t.Helper()
	require.Eventually(t, func() bool { return marked(t, seconds) == 0 }, time.Minute, 5*time.Millisecond, "descendants are alive")
}

func TestATimeoutEndsAllDescendants(t *testing.T) {
	seconds := uniqueSeconds()
	// The timeout is what a busy machine takes to start all of them, and more.
	result, _ := run(t, Command{Line: startsDescendants(seconds) + "trap '' TERM; echo begun; while :; do sleep 0.05; done", Timeout: 3 * time.Second, Grace: 200 * time.Millisecond})
	require.True(t, result.TimedOut)
	require.False(t, result.Passed())
	require.Contains(t, result.Reason(), "timed out")
	require.Equal(t, "begun\n", result.Tail)
	requireNoneAlive(t, seconds)
}

func TestWhatACommandLeavesInTheBackgroundEndsWithIt(t *testing.T) {
	seconds := uniqueSeconds()
	started := time.Now()
	result, output := run(t, Command{Line: startsDescendants(seconds) + "echo done", Grace: 10 * time.Minute})
	require.True(t, result.Passed(), output)
	require.Less(t, time.Since(started), 5*time.Minute, "the background is not waited for")
	requireNoneAlive(t, seconds)
}

func TestCancellingEndsAllDescendantsAndIsAnError(t *testing.T) {
	seconds := uniqueSeconds()
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	output := writerFunc(func(content []byte) (int, error) {
		seen = max(seen, marked(t, seconds))
		cancel()
		return len(content), nil
	})
	_, err := Run(ctx, Command{Line: startsDescendants(seconds) + "echo begun; wait", Dir: t.TempDir(), Grace: 100 * time.Millisecond}, output)
	require.ErrorIs(t, err, context.Canceled)
	require.NotZero(t, seen, "they were alive before")
	requireNoneAlive(t, seconds)
}

func TestOutputWithoutEndEndsTheCommand(t *testing.T) {
	result, output := run(t, Command{Line: "while :; do echo 0123456789; done", OutputLimit: 100_000, Timeout: time.Minute})
	require.True(t, result.OutputExceeded)
	require.False(t, result.TimedOut)
	require.Len(t, output, 100_000)
	require.LessOrEqual(t, len(result.Tail), tailSize)
	require.Contains(t, result.Reason(), "printing 100000 bytes")
}

func TestAnOutputThatCannotBeKeptIsAnError(t *testing.T) {
	full := errors.New("disk full")
	_, err := Run(t.Context(), Command{Line: "echo x; sleep 1000", Dir: t.TempDir(), Grace: 50 * time.Millisecond},
		writerFunc(func([]byte) (int, error) { return 0, full }))
	require.ErrorIs(t, err, full)
}

func TestOutputIsSeenWhileTheCommandRuns(t *testing.T) {
	dir := t.TempDir()
	output := writerFunc(func(content []byte) (int, error) {
		// The command waits for this file: it only ends if its output was seen before its end.
		return len(content), os.WriteFile(filepath.Join(dir, "seen"), nil, 0o600)
	})
	result, err := Run(t.Context(), Command{Line: "echo begun; while [ ! -e seen ]; do sleep 0.01; done", Dir: dir, Timeout: time.Minute}, output)
	require.NoError(t, err)
	require.True(t, result.Passed())
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(content []byte) (int, error) { return f(content) }

func TestTheTailIsCleanAndWhole(t *testing.T) {
	for name, test := range map[string]struct{ output, want string }{
		"colours":         {"\x1b[31mred\x1b[0m text\n", "red text\n"},
		"window titles":   {"\x1b]0;title\x07text", "text"},
		"links":           {"\x1b]8;;http://evil.test\x1b\\click\x1b]8;;\x1b\\", "click"},
		"controls":        {"a\x00b\x08c\x7f\u0085d", "abcd"},
		"progress lines":  {"10%\r20%\r\ndone\r\n", "10%\n20%\ndone\n"},
		"not UTF-8":       {"caf\xe9", "caf\uFFFD"},
		"turned around":   {"safe\u202Etxt.exe", "safetxt.exe"},
		"tabs and breaks": {"\ta\n", "\ta\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var end tail
			end.write([]byte(test.output))
			require.Equal(t, test.want, end.String())
		})
	}
	var end tail
	for line := range 5000 {
		end.write([]byte("line " + strconv.Itoa(line) + "\n"))
	}
	require.LessOrEqual(t, len(end.String()), tailSize)
	require.True(t, strings.HasPrefix(end.String(), "line "), "it begins with a whole line")
	require.True(t, strings.HasSuffix(end.String(), "line 4999\n"))
	end.write([]byte(strings.Repeat("é", tailSize)))
	require.True(t, strings.HasPrefix(end.String(), "é"))
}
