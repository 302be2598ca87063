package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// upArguments start everything on free ports in a directory of the test's.
func upArguments(t *testing.T, more ...string) []string {
	return append(append([]string{"up", "--directory", filepath.Join(t.TempDir(), "data")}, freePorts...), more...)
}

// quickArguments are those of the small site, at the pace of tests. It has a gate, at which nobody is there to
// be asked.
func quickArguments(t *testing.T, more ...string) []string {
	return upArguments(t, append([]string{"--site", smallSite(t), "--pace", "quick"}, more...)...)
}

func TestTheDemosExitCodeIsItsVerdict(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	for name, c := range map[string]struct {
		flags  []string
		code   int
		broken string // what the demo says of the promise that was not kept
	}{
		"every promise is kept":              {nil, exitSuccess, ""},
		"requests are lost":                  {[]string{"--lose-requests", "0.05"}, exitFailed, "requests from users, [1-9][0-9]* failed"},
		"the platform keeps a failed update": {[]string{"--skip-rollback"}, exitFailed, "the old instances were never replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := program(t, quickArguments(t, append(c.flags, "--demo")...)...)
			output, _ := up.CombinedOutput()
			told := string(output)
			require.Equal(t, c.code, up.ProcessState.ExitCode(), told)
			for _, chapter := range []string{"1. A good push", "2. A push that breaks a test", "3. A push that passes its tests and fails", "Meanwhile"} {
				require.Contains(t, told, chapter)
			}
			require.NotContains(t, told, "\x1b", "the output is no terminal")
			if c.broken == "" {
				require.NotContains(t, told, "✗")
				require.Contains(t, told, "requests from users, 0 failed")
				require.Contains(t, told, "Every promise was kept.")
				return
			}
			require.Regexp(t, "✗ .*"+c.broken, told)
			require.Contains(t, told, "the demo failed: ")
		})
	}
}

// transcript is what a process has said so far.
type transcript struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (t *transcript) Write(said []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said.Write(said)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said.String()
}

func TestHoweverUpEndsItLeavesNoProcessBehindAndSaysWhy(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d/children", os.Getpid(), os.Getpid())); err != nil {
		t.Skip("this system does not tell which processes a process started")
	}
	t.Parallel()
	for name, c := range map[string]struct {
		arguments func(*testing.T, ...string) []string
		after     string // what it has to have said before
		end       func(up *os.Process, started []int) error
		code      int
		says      string
	}{
		"it is interrupted when everything is up": {
			quickArguments, `"kind":"up"`,
			func(up *os.Process, _ []int) error { return up.Signal(os.Interrupt) },
			exitSuccess, "",
		},
		"it is interrupted while it starts": {
			upArguments, "",
			func(up *os.Process, _ []int) error { return up.Signal(os.Interrupt) },
			exitInterrupted, "interrupted; everything was ended",
		},
		"its terminal is closed": {
			quickArguments, `"kind":"up"`,
			func(up *os.Process, _ []int) error { return up.Signal(syscall.SIGHUP) },
			exitSuccess, "",
		},
		"Temporal's server is killed": {
			quickArguments, `"kind":"up"`,
			func(_ *os.Process, started []int) error {
				return syscall.Kill(processNamed(started, "temporal"), syscall.SIGKILL)
			},
			exitUsage, "ended by itself: signal: killed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := program(t, c.arguments(t, "-o", "json")...)
			var said, trouble transcript
			up.Stdout, up.Stderr = &said, &trouble
			up.Dir = ".." // where the sample site is found
			require.NoError(t, up.Start())

			var started []int
			require.Eventually(t, func() bool {
				started = descendants(up.Process.Pid)
				return strings.Contains(said.String(), c.after) &&
					processNamed(started, "temporal") > 0 && processNamed(started, "site") > 0 // the server, and an instance
			}, 4*time.Minute, 20*time.Millisecond, "everything starts") // on a fresh machine the site is compiled first
			require.NoError(t, c.end(up.Process, started))
			_ = up.Wait() // its exit code is looked at below
			assert.Equal(t, c.code, up.ProcessState.ExitCode(), trouble.String())
			assert.Contains(t, trouble.String(), c.says)
			// What was killed is gone once the system has come to it, which those that it started do not wait for.
			for _, pid := range started {
				assert.Eventually(t, func() bool { return !lives(pid) }, time.Minute, 20*time.Millisecond, "process %d is gone", pid)
			}
			for line := range strings.Lines(said.String()) {
				var document told
				require.NoError(t, json.Unmarshal([]byte(line), &document), line)
				assert.NotEmpty(t, document.Kind)
			}
		})
	}
}
