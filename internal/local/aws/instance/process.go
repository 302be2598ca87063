package instance

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gravity/internal/local/aws/balancer"
	"gravity/internal/local/aws/clock"
)

// stopGrace is how long a process may take to end by itself before it is killed. Real time.
const stopGrace = 5 * time.Second

// Processes is the Runner that starts real processes.
type Processes struct {
	clock  clock.Clock
	log    *slog.Logger
	way    http.RoundTripper
	marker string // what every process of this runner carries in its environment

	mu    sync.Mutex
	ports map[int]bool // given out and not yet free again
}

// NewProcesses makes a runner. The marker is unique to its data folder: processes that carry it
// and are still there when a runner starts are leftovers of one that was killed, and are ended.
func NewProcesses(c clock.Clock, log *slog.Logger, marker string) *Processes {
	endMarked(marker + "/")
	return &Processes{clock: c, log: log, marker: marker, ports: map[int]bool{}, way: balancer.NewTransport()}
}

// Run starts an application and returns at once; what takes time goes on by itself.
func (r *Processes) Run(spec Spec, changed func()) Application {
	a := &application{runner: r, spec: spec, changed: changed, state: Deploying,
		over: make(chan struct{}), deployed: make(chan struct{}), gone: make(chan struct{})}
	busy := r.clock.Busy()
	go func() {
		defer busy()
		a.deploy()
		close(a.deployed)
		changed()
	}()
	return a
}

// application is an Application made of processes.
type application struct {
	runner  *Processes
	spec    Spec
	changed func()

	mu       sync.Mutex
	state    State
	problem  error
	port     int
	children []*exec.Cmd
	running  sync.WaitGroup // of the children
	stopping bool
	over     chan struct{} // closed when it is being stopped
	gone     chan struct{} // closed when no process of it is left
	deployed chan struct{} // closed when the engine's work has ended, either way
}

func (a *application) State() (State, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state, a.problem
}

func (a *application) Backend() balancer.Backend {
	a.mu.Lock()
	defer a.mu.Unlock()
	return balancer.Backend{Transport: a.runner.way, URL: &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(a.port))}}
}

// deploy is the work of the platform's engine on the instance, in its order.
func (a *application) deploy() {
	err := a.install()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopping:
	case err != nil:
		a.fail(err)
	case a.state == Deploying:
		a.state = Running
	}
}

func (a *application) install() error {
	folder := a.current()
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("clear the instance's disk: %w", err)
	}
	if err := os.MkdirAll(a.logs(), 0o755); err != nil {
		return fmt.Errorf("make the instance's log folder: %w", err)
	}
	bundle, err := a.spec.Bundle()
	if err != nil {
		return fmt.Errorf("fetch the source bundle: %w", err)
	}
	defer bundle.Close() //nolint:errcheck // read only
	if err := Unpack(bundle, folder); err != nil {
		return err
	}
	port, err := a.runner.takePort()
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.port = port
	a.mu.Unlock()
	return a.start(folder)
}

func (a *application) start(folder string) error {
	before := []func() ([]command, error){
		func() ([]command, error) { return hooks(folder, "prebuild") },
		func() ([]command, error) { return builds(folder) },
		func() ([]command, error) { return hooks(folder, "predeploy") },
	}
	for _, list := range before {
		if err := a.runAll(list); err != nil {
			return err
		}
	}
	commands, err := processes(folder) // a build may have made what runs
	if err != nil {
		return err
	}
	for _, process := range commands {
		if err := a.spawn(process); err != nil {
			return err
		}
	}
	return a.runAll(func() ([]command, error) { return hooks(folder, "postdeploy") })
}

// runAll runs commands one after the other, each to its end.
func (a *application) runAll(list func() ([]command, error)) error {
	commands, err := list()
	if err != nil {
		return err
	}
	for _, step := range commands {
		child, err := a.child(step, "eb-engine.log")
		if err != nil {
			return err
		}
		ended := a.wait(child)
		select {
		case err = <-ended:
		case <-a.over:
			endGroup(child.Process.Pid)
			err = <-ended
		}
		if err != nil {
			return fmt.Errorf("%s failed: %w", step.name, err)
		}
	}
	return nil
}

// spawn starts a process that is meant to stay.
func (a *application) spawn(process command) error {
	child, err := a.child(process, process.name+".stdout.log")
	if err != nil {
		return err
	}
	ended := a.wait(child)
	a.running.Add(1)
	go func() {
		defer a.running.Done()
		a.ended(process, <-ended)
	}()
	return nil
}

func (a *application) ended(process command, err error) {
	a.mu.Lock()
	report := !a.stopping
	if report {
		a.fail(fmt.Errorf("process %s ended: %w", process.name, orNormal(err)))
	}
	a.mu.Unlock()
	if report {
		a.changed()
	}
}

func orNormal(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (a *application) fail(err error) {
	if a.state == Failed {
		return
	}
	a.state, a.problem = Failed, err
	a.runner.log.Info("application failed on instance", "instance", a.spec.ID, "version", a.spec.Version, "error", err)
	a.note(err.Error())
}

// child starts a command in a process group of its own, with its output in a log file.
func (a *application) child(step command, logName string) (*exec.Cmd, error) {
	output, err := os.OpenFile(filepath.Join(a.logs(), logName), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", step.name, err)
	}
	defer output.Close() //nolint:errcheck // the child has a descriptor of its own
	a.note("running " + step.name + ": " + step.line)
	child := exec.Command("/bin/sh", "-c", step.line)
	child.Dir = a.current()
	child.Env = a.environment()
	child.Stdout, child.Stderr = output, output
	child.SysProcAttr = ownGroup()

	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping {
		return nil, errors.New("the instance is being terminated")
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", step.name, err)
	}
	a.children = append(a.children, child)
	return child, nil
}

// wait is the only place that waits for a child.
func (a *application) wait(child *exec.Cmd) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	return ended
}

// Crash kills every process.
func (a *application) Crash() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, child := range a.children {
		endGroup(child.Process.Pid)
	}
}

// Stop asks every process to end, kills what is left after a while, and then whatever descendant
// has left the group.
func (a *application) Stop(stopped func()) {
	a.mu.Lock()
	if a.stopping {
		a.mu.Unlock()
		go func() {
			<-a.gone
			stopped()
		}()
		return
	}
	a.stopping = true
	a.state = Stopped
	close(a.over)
	children := a.children
	a.mu.Unlock()

	busy := a.runner.clock.Busy()
	go func() {
		defer busy()
		for _, child := range children {
			askGroup(child.Process.Pid)
		}
		<-a.deployed // nothing is started after it
		gone := make(chan struct{})
		go func() { a.running.Wait(); close(gone) }()
		select {
		case <-gone:
		case <-time.After(stopGrace):
		}
		for _, child := range children {
			endGroup(child.Process.Pid)
		}
		endMarked(a.marker())
		a.runner.freePort(a.port)
		close(a.gone)
		stopped()
	}()
}

// environment is all that a process gets to know: nothing of ours but what tools need to run.
func (a *application) environment() []string {
	environment := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + a.spec.Folder,
		"TMPDIR=" + os.TempDir(),
		"LANG=C.UTF-8",
		markerName + "=" + a.marker(),
	}
	if home, err := os.UserHomeDir(); err == nil {
		// Go's caches, so that a bundle may be built from source without fetching the world again.
		environment = append(environment, "GOPATH="+filepath.Join(home, "go"))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		environment = append(environment, "GOCACHE="+filepath.Join(cache, "go-build"))
	}
	for name, value := range a.spec.Properties {
		environment = append(environment, name+"="+value)
	}
	return append(environment, "PORT="+strconv.Itoa(a.port))
}

func (a *application) marker() string  { return a.runner.marker + "/" + a.spec.ID + "/" }
func (a *application) current() string { return filepath.Join(a.spec.Folder, "current") }
func (a *application) logs() string    { return filepath.Join(a.spec.Folder, "logs") }

// note writes a line into the instance's engine log, which is what people read after a failure.
func (a *application) note(text string) {
	file, err := os.OpenFile(filepath.Join(a.logs(), "eb-engine.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return // the log is a courtesy
	}
	defer file.Close() //nolint:errcheck // as above
	_, _ = fmt.Fprintf(file, "%s [%s] %s\n", a.runner.clock.Now().Format(time.RFC3339), a.spec.Version, text)
}

// takePort finds a free port that no other instance was given.
func (r *Processes) takePort() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range 100 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("find a port for the instance: %w", err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		_ = listener.Close()
		if !r.ports[port] {
			r.ports[port] = true
			return port, nil
		}
	}
	return 0, errors.New("find a port for the instance: none is free")
}

func (r *Processes) freePort(port int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ports, port)
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
