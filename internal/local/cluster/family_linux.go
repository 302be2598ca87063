package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gravity/internal/local/child"
)

// killFamily kills a process and its children all at once, and returns when they are gone. PostgreSQL's are sessions of
// their own, so that no process group holds them; and left alone they would notice that their parent is gone, and end
// by themselves. So the parent is stopped first, lest it begin or tidy anything up.
func killFamily(parent *child.Process) error {
	_ = unix.Kill(parent.Pid, unix.SIGSTOP) // one that is gone has no children either
	if err := awaitStop(parent.Pid); err != nil {
		return errors.Join(fmt.Errorf("stop process %d: %w", parent.Pid, err), parent.End(os.Kill, stopTimeout))
	}
	children, err := childrenOf(parent.Pid)
	for _, fd := range children {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may have ended by itself
	}
	err = errors.Join(err, parent.End(os.Kill, stopTimeout))
	for _, fd := range children {
		err = errors.Join(err, awaitEnd(fd), unix.Close(fd))
	}
	return err
}

// awaitStop returns when a signal to stop has had its effect, or the process is gone.
func awaitStop(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return nil
		default:
			return err
		}
	}
}

// childrenOf answers with a descriptor of each child, which stays its own when its process ID is used again.
func childrenOf(parent int) (descriptors []int, err error) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		// "pid (name) state parent …", where the name may hold anything.
		fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return descriptors, err
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return descriptors, fmt.Errorf("open process %d: %w", pid, err)
		}
		descriptors = append(descriptors, fd)
	}
	return descriptors, nil
}

func awaitEnd(fd int) error {
	deadline := time.Now().Add(stopTimeout)
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for a process of PostgreSQL to end: %w", err)
		case ready == 0:
			return errors.New("a process of PostgreSQL does not end, not even by SIGKILL")
		default:
			return nil
		}
	}
}
