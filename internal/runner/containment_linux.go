package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// On Linux a command lives in a process namespace of its own wherever the system lets us make one.
// When its first process ends, the kernel ends every other, whatever it did to get away: a session
// of its own, a cleared environment, a refused signal. And when the worker dies, the first process
// does, too. Where the system refuses, as in most containers, process groups and a mark in the
// environment take its place: they miss who leaves the group and clears its environment as well.

// Contained reports whether this system lets commands have namespaces. A worker on which it does not
// should say so when it starts, and run commands of strangers in containers.
func Contained() bool {
	command, contained, err := startContained(func() *exec.Cmd {
		command := exec.Command("/bin/sh", "-c", ":")
		command.SysProcAttr = &syscall.SysProcAttr{}
		return command
	}, Limits{})
	if err != nil {
		return false
	}
	_ = command.Wait()
	return contained
}

// markVariable marks the descendants of a command in their environment.
const markVariable = "GRAVITY_COMMAND"

// namespaces asks for a process namespace, and for a network namespace when the network is off.
func namespaces(attributes *syscall.SysProcAttr, l Limits) {
	attributes.Cloneflags = unix.CLONE_NEWPID
	// The new /proc is mounted where nobody else sees it.
	attributes.Unshareflags = unix.CLONE_NEWNS
	if l.NoNetwork {
		attributes.Cloneflags |= unix.CLONE_NEWNET
	}
	if os.Getuid() != 0 {
		// Whoever is not root may make namespaces inside a user namespace only, in which they stay who they are.
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.Unshareflags = 0
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
}

// startContained starts a command in namespaces, or without them where the system refuses. The
// caller has locked its thread: the kernel ends the command when the thread that made it ends.
func startContained(make func() *exec.Cmd, l Limits) (command *exec.Cmd, contained bool, err error) {
	command = make()
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	namespaces(command.SysProcAttr, l)
	if err = command.Start(); err == nil {
		return command, true, nil
	}
	if l.NoNetwork || !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.ENOSYS) {
		return nil, false, err
	}
	command = make()
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return command, false, command.Start()
}

// admit finishes the namespaces of a command that waits at the gate.
func admit(pid int, contained bool, l Limits) error {
	if l.NoNetwork {
		if err := raiseLoopback(pid); err != nil {
			return err
		}
	}
	if contained && os.Getuid() == 0 {
		// Without it, numbers of processes mean something else in /proc than outside of it. Most
		// programs do not mind, so where it cannot be mounted the command runs nevertheless.
		target := strconv.Itoa(pid)
		mount := exec.Command("nsenter", "--target", target, "--mount", "--pid", "mount", "-t", "proc", "proc", "/proc")
		_ = mount.Run()
	}
	return nil
}

// raiseLoopback brings up 127.0.0.1 in a network namespace: tests start servers there.
func raiseLoopback(pid int) error {
	done := make(chan error, 1)
	go func() {
		// This thread belongs to the other namespace from now on and ends with the goroutine, because it is never unlocked.
		runtime.LockOSThread()
		done <- func() error {
			namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				return err
			}
			defer func() { _ = namespace.Close() }()
			if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(socket) }()
			request, err := unix.NewIfreq("lo")
			if err != nil {
				return err
			}
			request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(request))); errno != 0 {
				return errno
			}
			return nil
		}()
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("bring up the loopback of a command without network: %w", err)
	}
	return nil
}

// endMarked ends whatever carries a command's mark: what got away from its process group where
// there was no namespace. New ones may be born meanwhile, so it looks again until there are none.
func endMarked(mark string) {
	needle := []byte(markVariable + "=" + mark)
	for range 20 {
		found := false
		folders, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range folders {
			environment, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(environment, needle) {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
				found = unix.Kill(pid, unix.SIGKILL) == nil || found
			}
		}
		if !found {
			return
		}
	}
}

// freeDisk is what a file system has left, in bytes.
func freeDisk(path string) (int64, error) {
	var status unix.Statfs_t
	if err := unix.Statfs(path, &status); err != nil {
		return 0, err
	}
	return int64(status.Bavail) * status.Bsize, nil
}
