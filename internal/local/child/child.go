// Package child runs programs that end with the process that started them, however that one ends, and
// remembers what they printed last. It needs a Unix.
package child

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Command says what to run.
type Command struct {
	// Name of the program in log lines.
	Name string
	// Path of its binary.
	Path      string
	Arguments []string
	// Environment is all that it gets; see Environment.
	Environment []string
	// Inherited are open files that it gets, so that a lock on one is held as long as the child lives. Optional.
	Inherited []*os.File
	// Account is who the child is to be, where that is somebody else; this process must be root then. On Linux the
	// child keeps root's right to pass through folders that are closed to others. Optional.
	Account *syscall.Credential
	// Log gets what it prints, at debug level. Optional.
	Log *slog.Logger
}

// Process is one child and what it printed last.
type Process struct {
	// Pid is its process ID, and that of its process group.
	Pid int

	command *exec.Cmd
	output  *Tail
	asked   atomic.Bool
	ended   chan struct{}
	err     error // how it ended; to be read after ended is closed
}

// Start starts the program.
func Start(c Command) (*Process, error) {
	command := exec.Command(c.Path, c.Arguments...)
	command.Env = c.Environment
	command.ExtraFiles = c.Inherited
	command.SysProcAttr = attributes(c.Account)
	p := &Process{command: command, output: NewTail(c.Name, c.Log), ended: make(chan struct{})}
	command.Stdout, command.Stderr = p.output, p.output
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Run starts the program and waits for its end; one that fails is explained. When the context ends it is killed.
func Run(ctx context.Context, c Command) error {
	p, err := Start(c)
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.End(os.Kill, killed))
	}
	if p.err != nil {
		return p.Explain()
	}
	return nil
}

// killed is how long the end of a process may take that was killed.
const killed = 10 * time.Second

// run starts the child and waits for it, on one thread: Linux sends the signal of a parent's death
// when the thread that started the child ends, and Go ends idle threads as it likes.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.command.Start(); err != nil {
		started <- err
		return
	}
	p.Pid = p.command.Process.Pid
	release, err := endWithParent(p.Pid)
	if err != nil {
		p.signal(os.Kill)
		err = errors.Join(err, p.command.Wait())
		started <- err
		return
	}
	started <- nil
	p.err = p.command.Wait()
	release()
	p.output.Flush()
	close(p.ended)
}

// Environment keeps what a server needs; TEMPORAL_ variables of the user's shell, and whatever
// credentials are there, are none of its business.
func Environment() []string {
	var kept []string
	for _, name := range []string{"HOME", "PATH", "TMPDIR", "USER", "XDG_CONFIG_HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Asked reports whether its end was asked for.
func (p *Process) Asked() bool { return p.asked.Load() }

// signal ignores that the process may be gone already: whoever signals waits for its end.
func (p *Process) signal(signal os.Signal) { _ = p.command.Process.Signal(signal) }

// End asks with a signal, then kills, and returns when the process is gone.
func (p *Process) End(signal os.Signal, patience time.Duration) error {
	p.asked.Store(true)
	p.signal(signal)
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
	}
	p.signal(os.Kill)
	select {
	case <-p.ended:
		return nil
	case <-time.After(killed):
		return fmt.Errorf("process %d does not end, not even by SIGKILL", p.Pid)
	}
}

// Explain says how the process ended and what it said last. It is to be asked after the end.
func (p *Process) Explain() error {
	reason := "without an error"
	if p.err != nil {
		reason = p.err.Error()
	}
	if last := p.output.String(); last != "" {
		return fmt.Errorf("%s; it said last:\n%s", reason, last)
	}
	return errors.New(reason)
}
