//go:build unix

package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wrapper waits at a gate until the command is contained, and then runs it. It stays around as the
// first process of the namespace: programs that are first themselves do not hear SIGTERM.
const wrapper = `read -r _ <&3 || exit 125; exec 3<&-; /bin/sh -c "$1"; exit $?`

// resourceLimits are the kernel's limits for each process, set by the shell on itself: to set them
// from outside takes a capability that root in a container has not.
func resourceLimits(l Limits) string {
	// No core files: they fill disks and hold what was in memory.
	script := "ulimit -c 0; "
	if l.Memory > 0 {
		script += fmt.Sprintf("ulimit -d %d || exit 125; ", (l.Memory+1023)/1024)
	}
	if l.FileSize > 0 {
		script += fmt.Sprintf("ulimit -f %d || exit 125; ", (l.FileSize+511)/512)
	}
	if l.Processes > 0 {
		script += fmt.Sprintf("ulimit -u %[1]d 2>/dev/null || ulimit -p %[1]d || exit 125; ", l.Processes)
	}
	return script
}

// runGroup runs a command in a process group of its own, contained as far as the system allows, and
// ends all that it started: when the command ends as well as when ctx does.
func (c Command) runGroup(ctx context.Context, variables []string, output io.Writer) (ended, error) {
	// A pipe of our own: the one that os/exec makes is waited for even when the command has ended
	// and only something it left in the background still holds it.
	reader, writer, err := os.Pipe()
	if err != nil {
		return ended{}, fmt.Errorf("make a pipe: %w", err)
	}
	defer func() { _ = reader.Close() }()
	gate, open, err := os.Pipe()
	if err != nil {
		return ended{}, errors.Join(fmt.Errorf("make a pipe: %w", err), writer.Close())
	}
	defer func() { _ = open.Close() }()

	mark := rand.Text()
	build := func() *exec.Cmd {
		command := exec.Command("/bin/sh", "-c", resourceLimits(c.Limits)+wrapper, "sh", c.Line)
		command.Dir, command.Env = c.Dir, append(variables[:len(variables):len(variables)], markVariable+"="+mark)
		command.Stdout, command.Stderr = writer, writer
		command.ExtraFiles = []*os.File{gate}
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if c.Account != nil {
			command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.Account.UID), Gid: uint32(c.Account.GID)}
		}
		return command
	}
	type outcome struct {
		ended
		err error
	}
	finished := make(chan outcome, 1)
	copied := make(chan struct{})
	go func() {
		// The kernel ends the command when this thread ends; it ends with this goroutine, or the worker.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		command, contained, err := startContained(build, c.Limits)
		_, _ = writer.Close(), gate.Close()
		go func() {
			defer close(copied)
			_, _ = io.Copy(output, reader)
		}()
		if err != nil {
			finished <- outcome{err: err}
			return
		}
		end, err := c.attend(ctx, command, contained, mark, open)
		finished <- outcome{end, err}
	}()
	result := <-finished
	// What is in the pipe still counts, but a process that got away cannot hold us up.
	_ = reader.SetReadDeadline(time.Now().Add(c.Grace))
	<-copied
	return result.ended, result.err
}

// attend lets a started command through the gate, waits for it, and ends what is left of it.
func (c Command) attend(ctx context.Context, command *exec.Cmd, contained bool, mark string, gate *os.File) (ended, error) {
	group := command.Process.Pid
	limits := newCgroup(c.Limits)
	err := limits.add(group)
	if err == nil {
		err = admit(group, contained, c.Limits)
	}
	if err == nil {
		_, err = gate.WriteString("go\n")
	}
	if err != nil {
		endGroup(group)
		_ = command.Wait()
		limits.end()
		return ended{}, err
	}
	waitGroup(ctx, command, c.Grace)
	if !contained {
		endMarked(mark)
	}
	exhausted := limits.outOfMemory()
	limits.end()
	return ended{state: command.ProcessState, outOfMemory: exhausted}, nil
}

// waitGroup waits for a command's end. When ctx ends, the group is asked politely first, and after
// the grace it ends by force.
func waitGroup(ctx context.Context, command *exec.Cmd, grace time.Duration) {
	group := command.Process.Pid
	defer endGroup(group)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = command.Wait() // how it ended is in ProcessState
	}()
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	_ = unix.Kill(-group, unix.SIGTERM)
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-gone:
		return
	case <-patience.C:
	}
	endGroup(group)
	<-gone
}

// endGroup ends what is left of a group. That nothing is left is the usual case and no error.
func endGroup(group int) { _ = unix.Kill(-group, unix.SIGKILL) }

// signalOf is the name of the signal that ended a process, if one did.
func signalOf(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return ""
}
