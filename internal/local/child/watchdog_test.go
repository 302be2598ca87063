package child

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	// A process whose new parent has not asked for its end yet is a zombie: ended all the same.
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(status), ") Z ")
}

func TestTheWatchdogKillsWhenThePipeClosesAndNotWhenItIsReleased(t *testing.T) {
	for _, test := range []struct {
		name   string
		killed bool
	}{{"this process ends", true}, {"released first", false}} {
		t.Run(test.name, func(t *testing.T) {
			watched := exec.Command("sleep", "60")
			require.NoError(t, watched.Start())
			ended := make(chan struct{})
			go func() { defer close(ended); _ = watched.Wait() }()
			defer func() { _ = watched.Process.Kill(); <-ended }()
			alive, release, err := startWatchdog(watched.Process.Pid)
			require.NoError(t, err)
			if !test.killed {
				release()
			}
			_ = alive.Close() // what the kernel does when this process ends
			if test.killed {
				<-ended
				release()
				return
			}
			assert.False(t, gone(watched.Process.Pid))
		})
	}
}
