package child

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// startWatchdog kills the process when this one is gone, where the kernel offers no such thing: a
// shell reads from a pipe into which nothing is ever written, and whose other end, alive, closes with
// this process, whatever ends it. Release ends the watchdog; it is called as soon as the process is
// gone, because process IDs are used again.
func startWatchdog(pid int) (alive io.Closer, release func(), err error) {
	command := exec.Command("/bin/sh", "-c", `read -r nothing; kill -9 "$1"`, "sh", strconv.Itoa(pid))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("watch over process %d: %w", pid, err)
	}
	return pipe, func() {
		_ = command.Process.Kill() // before the pipe is closed, or it would do its work
		_ = command.Wait()         // closes the pipe
	}, nil
}
