package lab

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"gravity/internal/beanstalk"
	"gravity/worker/process"
)

// WorkerOptions say what a worker process is like.
type WorkerOptions struct {
	// Pace is how often it asks the platform. Default: the lab's.
	Pace beanstalk.Pace
	// Hurry is what the times are divided by after which something counts as lost; 0 leaves them.
	Hurry int
	// PlatformRate is its own; 0 for no limit.
	PlatformRate float64
	// WorkflowCache is how many workflows it keeps in memory. Default: process.WorkflowCache.
	WorkflowCache int
	// BuildID makes it a worker of that version of DeploymentName, by Temporal's Worker Versioning.
	BuildID string
	// Changed gives it a Deployment that does one thing more, first of all: see Changed.
	Changed bool
}

// DeploymentName is what the versions of versioned workers are versions of.
const DeploymentName = "gravity"

// workerVariable makes a program a worker: see RunWorker.
const workerVariable = "GRAVITY_LAB_WORKER"

// workerInput is all that a worker process is told, on its standard input.
type workerInput struct {
	WorkerOptions
	Temporal, AWS, Region, AccessKey, SecretKey, Directory string
}

// Worker is a worker as a process of its own, which ends with the one that started it.
type Worker struct {
	command *exec.Cmd
	gone    chan struct{}

	mu      sync.Mutex // held while it is asked something
	input   io.WriteCloser
	answers *bufio.Reader
}

// StartWorker starts this very program again as a worker, which calls RunWorker before it does anything else; and
// returns when it polls.
func (l *Lab) StartWorker(o WorkerOptions) (*Worker, error) {
	if o.Pace == (beanstalk.Pace{}) {
		o.Pace = l.options.Pace
	}
	config := l.Server.Config()
	keys, err := config.Credentials.Retrieve(context.Background())
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.workers++
	directory := filepath.Join(l.options.Directory, fmt.Sprintf("worker-%d", l.workers))
	l.mu.Unlock()
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, to start it as a worker: %w", err)
	}
	w := &Worker{command: exec.Command(program), gone: make(chan struct{})}
	w.command.Env = append(os.Environ(), workerVariable+"=1")
	w.command.Stderr = os.Stderr
	w.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal is this process's to obey
	if w.input, err = w.command.StdinPipe(); err != nil {
		return nil, err
	}
	said, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.answers = bufio.NewReader(said)
	if err := w.command.Start(); err != nil {
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	err = json.NewEncoder(w.input).Encode(workerInput{
		WorkerOptions: o, Temporal: l.Temporal.Address(), AWS: l.Server.URL(), Region: config.Region,
		AccessKey: keys.AccessKeyID, SecretKey: keys.SecretAccessKey, Directory: directory,
	})
	if err == nil {
		_, err = w.answers.ReadString('\n')
	}
	if err != nil {
		w.Kill()
		return nil, fmt.Errorf("a worker ended before it polled: %w; %s may say why", err, filepath.Join(directory, workerLog))
	}
	return w, nil
}

// Kill ends the worker with SIGKILL, and returns when it is gone.
func (w *Worker) Kill() {
	_ = w.command.Process.Kill()
	w.wait()
}

// Stop lets the worker end in order, and returns when it is gone.
func (w *Worker) Stop() {
	_ = w.input.Close()
	patience := time.AfterFunc(30*time.Second, func() { _ = w.command.Process.Kill() })
	defer patience.Stop()
	w.wait()
}

func (w *Worker) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gone:
	default:
		_ = w.command.Wait()
		close(w.gone)
	}
}

// Peak is the most memory that the worker's process has held so far, in bytes.
func (w *Worker) Peak() (int64, error) { return w.memory("VmHWM") }

// Resident is the memory that it holds now.
func (w *Worker) Resident() (int64, error) { return w.memory("VmRSS") }

// memory reads a line such as "VmHWM:	  123 kB" of what Linux tells of a process; see proc_pid_status(5).
func (w *Worker) memory(name string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading a worker's memory, which takes Linux: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("the process of a worker tells no %s", name)
}

// Heap is what is alive in the worker's memory, after what is not was collected and given back.
func (w *Worker) Heap() (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := io.WriteString(w.input, "heap\n"); err != nil {
		return 0, fmt.Errorf("asking a worker for its heap: %w", err)
	}
	line, err := w.answers.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("asking a worker for its heap: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(line), 10, 64)
}

// RunWorker makes this process the worker that StartWorker started it for, and does not return then. Programs
// and tests that start workers call it first of all.
func RunWorker() {
	if os.Getenv(workerVariable) == "" {
		return
	}
	if err := runWorker(bufio.NewReader(os.Stdin), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runWorker works until its input ends, which is when its parent wants it to or is gone.
func runWorker(questions *bufio.Reader, answers io.Writer) error {
	line, err := questions.ReadBytes('\n')
	var in workerInput
	if err := errors.Join(err, json.Unmarshal(line, &in)); err != nil {
		return fmt.Errorf("reading what to be: %w", err)
	}
	asked := make(chan string)
	go func() {
		defer close(asked)
		for {
			question, err := questions.ReadString('\n')
			if err != nil {
				return
			}
			asked <- strings.TrimSpace(question)
		}
	}()
	started, stop, err := in.start(asked)
	if err != nil || !started {
		return err
	}
	defer stop()
	_, _ = fmt.Fprintln(answers, "polls")
	for question := range asked {
		if question == "heap" {
			_, _ = fmt.Fprintln(answers, heap())
		}
	}
	return nil
}

func heap() uint64 {
	runtime.GC()
	debug.FreeOSMemory()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapInuse + memory.StackInuse
}

const workerLog = "worker.log"

// start polls, as soon as Temporal is there; not at all where the input ends before.
func (in workerInput) start(asked <-chan string) (started bool, stop func(), err error) {
	if err := os.MkdirAll(in.Directory, 0o700); err != nil {
		return false, nil, err
	}
	file, err := os.Create(filepath.Join(in.Directory, workerLog))
	if err != nil {
		return false, nil, err
	}
	worker.SetStickyWorkflowCacheSize(cmp.Or(in.WorkflowCache, process.WorkflowCache))
	logger := slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for {
		temporal, running, err := in.poll(logger)
		if err == nil {
			return true, func() {
				running.Stop()
				temporal.Close()
			}, nil
		}
		logger.Warn("cannot poll yet", "error", err)
		select {
		case _, open := <-asked:
			if !open {
				return false, nil, nil
			}
		case <-time.After(time.Second):
		}
	}
}

func (in workerInput) poll(logger *slog.Logger) (client.Client, *process.Process, error) {
	var interceptors []interceptor.ClientInterceptor
	if in.Hurry > 0 {
		interceptors = append(interceptors, &Hurry{By: time.Duration(in.Hurry)})
	}
	if in.Changed {
		interceptors = append(interceptors, &Changed{})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	temporal, err := client.DialContext(ctx, client.Options{HostPort: in.Temporal, Interceptors: interceptors, Logger: log.NewStructuredLogger(logger)})
	if err != nil {
		return nil, nil, err
	}
	running, err := process.Start(process.Options{
		Temporal: temporal, Pace: in.Pace, Directory: in.Directory, CommandsAsWorker: true, Log: logger, Versioning: in.versioning(),
		PlatformRate: in.PlatformRate,
		Grace:        time.Second, Failed: func(err error) {
			logger.Error("polling ended", "error", err)
			os.Exit(1) // as the worker command does
		},
		AWS: sdk.Config{
			Region: in.Region, BaseEndpoint: sdk.String(in.AWS),
			Credentials: credentials.NewStaticCredentialsProvider(in.AccessKey, in.SecretKey, ""),
		},
	})
	if err != nil {
		temporal.Close()
	}
	return temporal, running, err
}

func (in workerInput) versioning() worker.DeploymentOptions {
	if in.BuildID == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: DeploymentName, BuildID: in.BuildID},
	}
}
