package instance

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// markerName is the variable that every process of an instance, and every descendant, carries.
const markerName = "BEANSTALK_STAND_IN_INSTANCE"

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// askGroup asks a process group to end.
func askGroup(leader int) { _ = syscall.Kill(-leader, syscall.SIGTERM) }

// endGroup ends a process group. An error means that nobody is left in it.
func endGroup(leader int) { _ = syscall.Kill(-leader, syscall.SIGKILL) }

// endMarked kills every process of ours whose marker begins so: descendants that left their
// group, and what a killed stand-in left behind. It needs /proc; elsewhere the groups have to do.
func endMarked(prefix string) {
	const proc = "/proc"
	entries, err := os.ReadDir(proc)
	if err != nil {
		return
	}
	wanted := []byte(markerName + "=" + prefix)
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The environment of other people's processes cannot be read, so they are safe from us.
		environment, err := os.ReadFile(filepath.Join(proc, entry.Name(), "environ"))
		if err != nil {
			continue
		}
		for _, variable := range bytes.Split(environment, []byte{0}) {
			if bytes.HasPrefix(variable, wanted) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
}
