package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/workflows"
)

// programVariable makes the test binary the program itself, so that tests can send it signals and
// meet its exit code as a shell does.
const programVariable = "GRAVITY_TEST_PROGRAM"

func program(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], arguments...)
	command.Env = append(os.Environ(), programVariable+"=1")
	return command
}

func TestTheProgramsExitCodeTellsSuccessAFailedReleaseAndWrongUseApart(t *testing.T) {
	w := newWorld(t, nil)
	missing := strings.Repeat("d", 40)
	started, err := startRun(t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: missing, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	require.Equal(t, workflows.StateFailed, w.ended(started.RunID).State)
	at := []string{"--address", w.temporal.Address(), "--config", w.configPath()}
	for _, c := range []struct {
		arguments []string
		code      int
	}{
		{[]string{"validate"}, exitSuccess},
		{[]string{"status"}, exitSuccess},
		{[]string{"watch", started.RunID}, exitFailed},
		{[]string{"watch", "nonsense"}, exitUsage},
		{[]string{"nonsense"}, exitUsage},
	} {
		command := program(t, append(c.arguments, at...)...)
		output, _ := command.CombinedOutput()
		assert.Equal(t, c.code, command.ProcessState.ExitCode(), "%s: %s", c.arguments, output)
	}
}

// descendants lists the processes below one, the nearest first.
func descendants(pid int) []int {
	var all []int
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, thread := range threads {
		children, _ := os.ReadFile(thread) // a thread that has ended has none
		for _, child := range strings.Fields(string(children)) {
			if number, err := strconv.Atoi(child); err == nil {
				all = append(append(all, number), descendants(number)...)
			}
		}
	}
	return all
}

// processNamed is the first of the processes whose name begins so; 0 when there is none.
func processNamed(pids []int, name string) int {
	for _, pid := range pids {
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.HasPrefix(string(command), name) {
			return pid
		}
	}
	return 0
}

// lives reports whether a process still does anything: one that nobody has buried yet does not.
func lives(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}
