package temporal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// process is one child and what it printed last.
type process struct {
	command  *exec.Cmd
	pid      int
	output   *tail
	expected atomic.Bool // its end was asked for
	ended    chan struct{}
	err      error // how it ended; to be read after ended is closed
}

// launch starts the binary so that it ends with this process. The lock, if there is one, is
// inherited, so that it is held as long as the child lives.
func launch(binary string, arguments []string, lock *os.File, log *slog.Logger) (*process, error) {
	command := exec.Command(binary, arguments...)
	command.Env = environment()
	command.SysProcAttr = childAttributes()
	if lock != nil {
		command.ExtraFiles = []*os.File{lock}
	}
	p := &process{command: command, output: &tail{log: log}, ended: make(chan struct{})}
	command.Stdout, command.Stderr = p.output, p.output
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the child and waits for it, on one thread: Linux sends the signal of a parent's death
// when the thread that started the child ends, and Go ends idle threads as it likes.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.command.Start(); err != nil {
		started <- err
		return
	}
	p.pid = p.command.Process.Pid
	release, err := endWithParent(p.pid)
	if err != nil {
		p.signal(os.Kill)
		err = errors.Join(err, p.command.Wait())
		started <- err
		return
	}
	started <- nil
	p.err = p.command.Wait()
	release()
	p.output.flush()
	close(p.ended)
}

// environment keeps what a server needs; TEMPORAL_ variables of the user's shell, and whatever
// credentials are there, are none of its business.
func environment() []string {
	var kept []string
	for _, name := range []string{"HOME", "PATH", "TMPDIR", "USER", "XDG_CONFIG_HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

// signal ignores that the process may be gone already: whoever signals waits for its end.
func (p *process) signal(signal os.Signal) { _ = p.command.Process.Signal(signal) }

// end asks with a signal, then kills, and returns when the process is gone.
func (p *process) end(signal os.Signal, patience time.Duration) error {
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
	case <-time.After(patience):
		return fmt.Errorf("process %d does not end, not even by SIGKILL", p.pid)
	}
}

// explain says how the process ended and what it said last.
func (p *process) explain() error {
	reason := "without an error"
	if p.err != nil {
		reason = p.err.Error()
	}
	if last := p.output.String(); last != "" {
		return fmt.Errorf("%s; it said last:\n%s", reason, last)
	}
	return errors.New(reason)
}

const (
	tailLines      = 15
	tailLineLength = 600
)

// tail logs each line and keeps the last ones.
type tail struct {
	log *slog.Logger

	mutex   sync.Mutex
	lines   []string
	partial []byte
}

// Write never fails: a child must not stop because of what it prints.
func (t *tail) Write(output []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	rest := output
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if room := tailLineLength - len(t.partial); len(line) > room {
			line = line[:room]
		}
		t.partial = append(t.partial, line...)
		if !found {
			return len(output), nil
		}
		t.endLine()
		rest = after
	}
}

func (t *tail) flush() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.endLine()
}

func (t *tail) endLine() {
	line := strings.ToValidUTF8(strings.TrimSpace(string(t.partial)), "\uFFFD")
	t.partial = t.partial[:0]
	if line == "" {
		return
	}
	t.log.Log(context.Background(), slog.LevelDebug, "temporal", "line", line)
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[len(t.lines)-tailLines:]
	}
}

func (t *tail) String() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return strings.Join(t.lines, "\n")
}
