// Package temporal runs Temporal's own development server, with its web UI, for `starter up` and for
// tests: it finds or builds the binary (Binary), starts it as a child process, waits until all of it
// answers, and ends it with the process that started it, however that one ends. It needs a Unix.
//
// The database of a server with a DataDir is held by a lock that the child inherits: as long as a
// server lives, even one whose parent is gone, no second one opens the same file.
package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"gravity/internal/local/child"
)

// Options of Start. The zero value is a server in memory on free ports.
type Options struct {
	// DataDir is where the database file temporal.db lives; it is created when missing. Empty: in memory.
	DataDir string
	// Port and UIPort are the TCP ports on 127.0.0.1. 0: a free one.
	Port, UIPort int
	// Headless leaves the web UI out.
	Headless bool
	// Namespace is created when missing. Default "default".
	Namespace string
	// SearchAttributes maps names to types: Keyword, KeywordList, Text, Int, Double, Bool, Datetime.
	// They exist after Start, on an old database file too. Temporal allows 10 of type Keyword and
	// 3 of the others on this kind of database.
	SearchAttributes map[string]string
	// Progress gets one line a step, and one every few seconds while a step takes long. Optional.
	Progress func(string)
	// Log gets what the server prints, at debug level. Optional.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	// startTimeout bounds the time from launch to the first full answer; half a second is usual.
	startTimeout = time.Minute
	// stopTimeout is how long a server may take to end in order before it is killed.
	stopTimeout = 10 * time.Second
	// launches is how often a start is tried when the server ends before it is ready: several of its
	// ports are its own choice, and on a busy machine somebody else can take one first.
	launches = 3
)

// Server is a running development server. Its methods may be called from several goroutines.
type Server struct {
	options      Options
	binary       string
	port, uiPort int
	settled      bool // it was ready once: from then on the ports stay
	lock         *os.File

	changing sync.Mutex // held by Close, Kill and Restart, so that one of them works at a time

	mutex  sync.Mutex
	server *child.Process
	closed bool
	err    error
	done   chan struct{}
}

// Start finds the binary (see Binary), starts the server and returns when it answers. The context
// bounds the start alone; the server runs until Close, or until this process ends.
func Start(ctx context.Context, options Options) (*Server, error) {
	options = options.withDefaults()
	binary, err := Binary(ctx, options.Progress)
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, binary: binary, done: make(chan struct{})}
	if err := s.lockDatabase(ctx); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start launches the server and makes sure of its search attributes.
func (s *Server) start(ctx context.Context) error {
	s.options.Progress("starting Temporal's development server")
	if err := s.launchUntilReady(ctx); err != nil {
		return err
	}
	if err := s.prepareNamespace(ctx); err != nil {
		return err
	}
	s.options.Progress("Temporal is ready at " + s.Address() + s.describeUI())
	return nil
}

func (s *Server) describeUI() string {
	if s.options.Headless {
		return ""
	}
	return ", its web UI at " + s.UIURL()
}

// launchUntilReady tries again when the server ended before it was ready; a server that lives and
// does not answer is not worth a second try.
func (s *Server) launchUntilReady(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := s.launchOnce(ctx)
		var early *earlyEnd
		if err == nil || !errors.As(err, &early) || attempt == launches || ctx.Err() != nil {
			return err
		}
		s.options.Log.Debug("temporal ended before it was ready; trying again", "error", err)
		if !s.settled {
			s.port, s.uiPort = 0, 0
		}
	}
}

func (s *Server) launchOnce(ctx context.Context) error {
	if err := s.choosePorts(); err != nil {
		return err
	}
	server, err := s.launch()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.binary, err)
	}
	s.mutex.Lock()
	s.server = server
	s.mutex.Unlock()
	s.nameHolder(server.Pid)
	if err := s.awaitReady(ctx, server); err != nil {
		return s.explain(errors.Join(err, server.End(os.Kill, stopTimeout)))
	}
	s.settled = true
	go s.watch(server)
	return nil
}

func (s *Server) launch() (*child.Process, error) {
	command := child.Command{
		Name: "temporal", Path: s.binary, Arguments: s.arguments(), Environment: child.Environment(), Log: s.options.Log,
	}
	if s.lock != nil {
		command.Inherited = []*os.File{s.lock}
	}
	return child.Start(command)
}

// arguments of `temporal`. What the user's own Temporal settings say must not reach this server.
func (s *Server) arguments() []string {
	arguments := []string{
		"server", "start-dev",
		"--env-file", os.DevNull, "--disable-config-file", "--disable-config-env",
		"--log-format", "json", "--log-level", "warn", "--color", "never",
		"--ip", "127.0.0.1", "--port", strconv.Itoa(s.port),
		"--namespace", s.options.Namespace,
	}
	if s.options.Headless {
		arguments = append(arguments, "--headless")
	} else {
		arguments = append(arguments, "--ui-port", strconv.Itoa(s.uiPort))
	}
	if s.options.DataDir != "" {
		// A write-ahead log, synced at checkpoints: a process that dies loses nothing by that, a machine that loses
		// its power at most the last moments, and starting a workflow takes a quarter of the time.
		arguments = append(arguments, "--db-filename", s.database(), "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1")
	}
	for name, kind := range s.options.SearchAttributes {
		// They count for a namespace that is created now; prepareNamespace does the rest.
		arguments = append(arguments, "--search-attribute", name+"="+kind)
	}
	for _, setting := range settings {
		arguments = append(arguments, "--dynamic-config-value", setting)
	}
	return arguments
}

// settings are Temporal's own, where its defaults are made for a cluster that many teams share.
var settings = []string{
	// One machine gains nothing from four partitions of a task queue, and pays with a forwarded hop;
	// with one, priorities hold exactly.
	"matching.numTaskqueueReadPartitions=1",
	"matching.numTaskqueueWritePartitions=1",
	// Search attributes count from the moment that they are added. It is the default of this server,
	// and Start relies on it.
	"system.forceSearchAttributesCacheRefreshOnRead=true",
	// Priorities of tasks, and turns of those that have the same one; both off by default in this release.
	"matching.useNewMatcher=true",
	"matching.enableFairness=true",
	// Limits for one client among many. Here there is one, and a thousand waiting runs are fine.
	"frontend.rps=24000",
	"frontend.namespaceRPS=24000",
	"frontend.namespaceCount=12000",
	"matching.rps=24000",
	"history.rps=30000",
	// The server would ask its makers for news; nothing here calls out.
	"frontend.enableServerVersionCheck=false",
}

func (s *Server) database() string { return filepath.Join(s.options.DataDir, "temporal.db") }

// Address is host:port of the gRPC frontend.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// UIURL is the address of the web UI, or "" without one.
func (s *Server) UIURL() string {
	if s.options.Headless {
		return ""
	}
	return "http://127.0.0.1:" + strconv.Itoa(s.uiPort)
}

// Namespace is the one that was asked for.
func (s *Server) Namespace() string { return s.options.Namespace }

// Pid is the process ID of the server that runs now, or ran last.
func (s *Server) Pid() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.server == nil {
		return 0
	}
	return s.server.Pid
}

// Done is closed when the server has ended: by itself, which Err then explains, or by Close. Kill
// and Restart don't close it.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why the server ended by itself; nil while it runs and after Close.
func (s *Server) Err() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.err
}

// watch reports an end that nobody asked for.
func (s *Server) watch(server *child.Process) {
	<-server.Ended()
	if server.Asked() {
		return
	}
	s.finish(fmt.Errorf("temporal's development server ended by itself: %w", server.Explain()))
}

func (s *Server) finish(err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return
	}
	s.closed, s.err = true, err
	close(s.done)
}

// Kill ends the server as a crash would, with SIGKILL, and returns when it is gone. For tests.
func (s *Server) Kill() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.endChild(os.Kill)
}

// Restart starts the server again on the same ports and the same file, after Kill or instead of it:
// one that still runs is killed first. A server in memory comes back empty.
func (s *Server) Restart(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mutex.Lock()
	closed := s.closed
	s.mutex.Unlock()
	if closed {
		return errors.New("restart Temporal's development server: it was closed, or ended by itself")
	}
	if err := s.endChild(os.Kill); err != nil {
		return err
	}
	return s.start(ctx)
}

// Close ends the server, in order where it holds a file, and returns when its process is gone.
// It may be called again.
func (s *Server) Close() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.finish(nil)
	signal := os.Kill // what is in memory alone needs no orderly end
	if s.options.DataDir != "" {
		signal = os.Interrupt
	}
	err := s.endChild(signal)
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}

// endChild ends the process that runs now and waits until it is gone.
func (s *Server) endChild(signal os.Signal) error {
	s.mutex.Lock()
	server := s.server
	s.mutex.Unlock()
	if server == nil {
		return nil
	}
	return server.End(signal, stopTimeout)
}
