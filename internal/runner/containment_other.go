//go:build unix && !linux

package runner

import (
	"os/exec"

	"golang.org/x/sys/unix"

	"gravity/internal/delivery"
)

const markVariable = "GRAVITY_COMMAND"

// Contained reports whether this system lets commands have namespaces. Only Linux has them.
func Contained() bool { return false }

// startContained has nothing but process groups where there is no Linux.
func startContained(make func() *exec.Cmd, l Limits) (command *exec.Cmd, contained bool, err error) {
	if l.NoNetwork {
		return nil, false, delivery.Errorf(delivery.InvalidInput, "running a command without network needs Linux or a container")
	}
	command = make()
	return command, false, command.Start()
}

func admit(int, bool, Limits) error { return nil }

func endMarked(string) {}

func freeDisk(path string) (int64, error) {
	var status unix.Statfs_t
	if err := unix.Statfs(path, &status); err != nil {
		return 0, err
	}
	return int64(status.Bavail) * int64(status.Bsize), nil
}
