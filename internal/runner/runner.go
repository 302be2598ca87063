// Package runner runs a project's own commands: code that somebody else wrote, in an environment
// that holds nothing of value, within limits, and with nothing left running afterwards.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gravity/internal/delivery"
)

// Defaults of a command that says nothing else.
const (
	// DefaultTimeout ends a command that was given none.
	DefaultTimeout = time.Duration(delivery.DefaultCommandTimeout)
	// DefaultOutputLimit ends a command that prints more, in bytes.
	DefaultOutputLimit = 64 << 20
	// DefaultGrace is how long a command may clean up after it was asked to end.
	DefaultGrace = 3 * time.Second
)

// Command is a command line of a project and the limits it runs within.
type Command struct {
	// Line is passed to /bin/sh -c.
	Line string
	// Dir is the folder to run in.
	Dir string
	// Tree is the folder of everything that the command may see and change, when Dir is a part of it.
	// Default Dir.
	Tree string
	// Variables are added to the clean environment, and win over it.
	Variables map[string]string
	// Timeout ends the command and all its descendants. Default DefaultTimeout.
	Timeout time.Duration
	// OutputLimit ends the command once it printed more, in bytes. Default DefaultOutputLimit.
	OutputLimit int64
	// Grace is the time between SIGTERM and SIGKILL. Default DefaultGrace.
	Grace time.Duration
	// Limits of what the command may use.
	Limits Limits
	// Account is who the command runs as, for workers that are root; Tree is given to it. Default: the worker itself.
	Account *Account
	// Container runs the command in a container. Default: on the worker itself.
	Container *Container
	// Caches is a folder that outlives the command, for what its tools download and compile. Give
	// each pipeline one of its own, because what is in it was written by the pipeline's code.
	// Default: Go's caches are the worker's, and others are new with every command.
	Caches string
	// Scratch is where the command's HOME and TMPDIR are made, and removed afterwards. Default: os.TempDir.
	Scratch string
}

// Result is how a command ended by itself or by its limits. A command that fails is a result, not an error.
type Result struct {
	// ExitCode of the shell: 128 and a signal's number when a signal ended its last command, and -1
	// when the shell itself was ended.
	ExitCode int
	// Signal is the name of the signal that ended the shell itself, if one did.
	Signal string
	// TimedOut says that Command.Timeout ended it.
	TimedOut bool
	// DiskExceeded says that Limits.FreeDisk ended it.
	DiskExceeded bool
	// OutOfMemory says that Limits.Memory ended it, or one of its descendants.
	OutOfMemory bool
	// OutputExceeded says that Command.OutputLimit ended it.
	OutputExceeded bool
	// Duration from start to end.
	Duration time.Duration
	// Output is how many bytes were printed.
	Output int64
	// Tail is the end of the output: at most 8 KB, valid UTF-8, without control characters.
	Tail string
}

// Passed reports whether the command ended by itself and successfully.
func (r Result) Passed() bool {
	return r.ExitCode == 0 && r.Signal == "" && !r.TimedOut && !r.OutputExceeded && !r.DiskExceeded
}

// Reason says in a few words how the command ended.
func (r Result) Reason() string {
	switch {
	case r.TimedOut:
		return fmt.Sprintf("timed out after %s", r.Duration.Round(time.Second))
	case r.OutputExceeded:
		return fmt.Sprintf("was ended after printing %d bytes", r.Output)
	case r.DiskExceeded:
		return "was ended because the worker's disk was running full"
	case r.OutOfMemory && !r.Passed():
		return "was ended because it used more memory than it may"
	case r.Signal != "":
		return "was ended by " + r.Signal
	case r.ExitCode > 128 && r.ExitCode < 128+65:
		return fmt.Sprintf("failed with exit code %d, as from signal %d", r.ExitCode, r.ExitCode-128)
	case r.ExitCode != 0:
		return fmt.Sprintf("failed with exit code %d", r.ExitCode)
	default:
		return "passed"
	}
}

var (
	errTimeout = errors.New("the command's timeout passed")
	errOutput  = errors.New("the command printed too much")
	errDisk    = errors.New("the disk is running full")
)

// Run runs a command and waits for its end. Its output, both streams in the order they were
// written, goes to output as it is: clean it before it reaches a terminal. An error means that the
// command could not be run, that output failed, or that ctx ended; in every case nothing that the
// command started is left running.
func Run(ctx context.Context, c Command, output io.Writer) (Result, error) {
	c, err := c.complete()
	if err != nil {
		return Result{}, err
	}
	scratch, err := makeScratch(c.Scratch)
	if err != nil {
		return Result{}, err
	}
	defer removeScratch(scratch)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timeout := time.AfterFunc(c.Timeout, func() { cancel(errTimeout) })
	defer timeout.Stop()

	if c.Account != nil {
		folders := []string{c.Tree, scratch}
		if c.Caches != "" {
			folders = append(folders, c.Caches)
		}
		if err := giveTo(*c.Account, folders...); err != nil {
			return Result{}, err
		}
	}
	if c.Limits.FreeDisk >= 0 {
		go watchDisk(ctx, c.Dir, c.Limits.FreeDisk, cancel)
	}
	sink := &sink{output: output, limit: c.OutputLimit, end: cancel}
	started := time.Now()
	ended, err := c.start(ctx, scratch, sink)
	if err != nil {
		return Result{}, fmt.Errorf("start %q in %s: %w", c.Line, c.Dir, err)
	}
	result := sink.result(ended.state, time.Since(started))
	result.OutOfMemory = ended.outOfMemory
	cause := context.Cause(ctx)
	switch {
	case sink.failure() != nil:
		return result, fmt.Errorf("keep the output of %q: %w", c.Line, sink.failure())
	case errors.Is(cause, errTimeout):
		result.TimedOut = true
	case errors.Is(cause, errOutput):
		result.OutputExceeded = true
	case errors.Is(cause, errDisk):
		result.DiskExceeded = true
	case cause != nil:
		return result, fmt.Errorf("run %q: %w", c.Line, cause)
	}
	return result, nil
}

// start runs the command, here or in a container, and waits for its end.
func (c Command) start(ctx context.Context, scratch string, sink *sink) (ended, error) {
	if c.Container != nil {
		return c.runContainer(ctx, scratch, sink)
	}
	return c.runGroup(ctx, c.environment(os.Environ(), scratch), sink)
}

// ended is how a command's process ended.
type ended struct {
	state       *os.ProcessState
	outOfMemory bool
}

func (c Command) complete() (Command, error) {
	if c.Line == "" {
		return c, delivery.Errorf(delivery.InvalidInput, "there is no command to run")
	}
	absolute, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("find %s: %w", c.Dir, err)
	}
	c.Dir = absolute
	if c.Tree == "" {
		c.Tree = absolute
	}
	if info, err := os.Stat(absolute); err != nil || !info.IsDir() {
		return c, delivery.Errorf(delivery.WorkspaceLost, "run %q: the folder %s is gone", c.Line, c.Dir)
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Caches != "" {
		if err := os.MkdirAll(c.Caches, 0o700); err != nil {
			return c, fmt.Errorf("make the command's caches: %w", err)
		}
	}
	if c.OutputLimit <= 0 {
		c.OutputLimit = DefaultOutputLimit
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	if c.Limits.FreeDisk == 0 {
		c.Limits.FreeDisk = DefaultFreeDisk
	}
	if c.Account != nil && os.Getuid() != 0 {
		return c, delivery.Errorf(delivery.InvalidInput, "only a worker that is root can run commands as somebody else")
	}
	return c, nil
}
