// Package cluster runs Temporal's server on PostgreSQL as processes of this machine, for proofs and benchmarks of what
// the development server cannot show: that work survives the death of the database, and what a real store costs.
//
// The server is built from the version that tools/temporal-server pins; PostgreSQL must be installed. Everything
// listens on 127.0.0.1, and ends with the process that started it. It needs a Unix.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"gravity/internal/local/child"
)

// Options of Start.
type Options struct {
	// Directory keeps the database, the settings, secrets and certificates. It is made when missing; one from before
	// is taken up where it was left.
	Directory string
	// Shards is how many parts Temporal's histories are dealt out to, fixed when the database is made. Default 64.
	Shards int
	// Namespace is made when missing. Default "default".
	Namespace string
	// SearchAttributes maps names to types, as those of temporal.Options. They exist after Start.
	SearchAttributes map[string]string
	// TLS lets the frontend and the services talk by mutual TLS alone; see Environment and ClientOptions.
	TLS bool
	// Authorization lets the frontend ask for a token and for what it permits, by Temporal's default authorizer; see Token.
	// The frontend then has TLS, for which clients need no certificate unless TLS is asked for as well.
	Authorization bool
	// Progress gets one line a step, and one every few seconds while a step takes long. Optional.
	Progress func(string)
	// Log gets what the processes print, at debug level. Optional.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Shards == 0 {
		o.Shards = 64
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) encrypted() bool { return o.TLS || o.Authorization }

const (
	// startTimeout bounds the time from the launch of a process to its first full answer.
	startTimeout = time.Minute
	// stopTimeout is how long a process may take to end in order before it is killed.
	stopTimeout = 10 * time.Second
	// askEvery is the pace of asking a process that starts, tellEvery that of progress lines meanwhile.
	askEvery, tellEvery = 50 * time.Millisecond, 5 * time.Second
)

// Cluster is a running server with its database. Its methods may be called from several goroutines.
type Cluster struct {
	options Options

	changing sync.Mutex // one of its processes starts or ends at a time
	database *database
	temporal *server
	closed   bool
}

// Start starts everything and returns when all of it answers. The context bounds the start alone; the cluster runs
// until Close, or until this process ends. Without PostgreSQL the error is ErrNoPostgreSQL.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	options = options.withDefaults()
	programs, err := Programs(ctx, options.Progress)
	if err != nil {
		return nil, err
	}
	options.Directory, err = filepath.Abs(options.Directory)
	if err != nil {
		return nil, fmt.Errorf("find the cluster's folder %s: %w", options.Directory, err)
	}
	if err := os.MkdirAll(options.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	c := &Cluster{options: options}
	if err := c.start(ctx, programs); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, programs Binaries) (err error) {
	if c.database, err = newDatabase(ctx, c.options, programs); err != nil {
		return err
	}
	if err := c.database.start(ctx); err != nil {
		return err
	}
	if err := c.database.prepare(ctx); err != nil {
		return err
	}
	if c.temporal, err = newServer(c.options, programs, c.database); err != nil {
		return err
	}
	if err := c.temporal.start(ctx); err != nil {
		return err
	}
	c.options.Progress("Temporal on PostgreSQL is ready at " + c.Address())
	return nil
}

// Address is host:port of the gRPC frontend.
func (c *Cluster) Address() string { return c.temporal.address() }

// Namespace is the one that was asked for.
func (c *Cluster) Namespace() string { return c.options.Namespace }

// ClientOptions reach the cluster from this process, with TLS as its client where it has TLS. With Authorization they may
// do everything.
func (c *Cluster) ClientOptions() (client.Options, error) { return c.temporal.clientOptions() }

// Environment is what a process needs to reach the cluster, as the variables that all tools of Temporal read. With
// Authorization it needs a Token as TEMPORAL_API_KEY as well.
func (c *Cluster) Environment() []string {
	variables := []string{"TEMPORAL_ADDRESS=" + c.Address(), "TEMPORAL_NAMESPACE=" + c.options.Namespace}
	if c.options.encrypted() {
		variables = append(variables, c.temporal.certificates.environment()...)
	}
	return variables
}

// KillTemporal ends Temporal's server as a crash would, with SIGKILL, and returns when it is gone.
func (c *Cluster) KillTemporal() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.temporal.kill()
}

// StartTemporal starts Temporal's server again on the same ports, after KillTemporal or instead of it: one that still
// runs is killed first.
func (c *Cluster) StartTemporal(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.closed {
		return errClosed
	}
	return errors.Join(c.temporal.kill(), c.temporal.start(ctx))
}

// KillDatabase ends PostgreSQL as the loss of its machine would: all its processes, with SIGKILL. It returns when
// they are gone.
func (c *Cluster) KillDatabase() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.database.kill()
}

// StartDatabase starts PostgreSQL again on the same port, which then recovers from its log, and returns when it takes
// connections. One that still runs is killed first.
func (c *Cluster) StartDatabase(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.closed {
		return errClosed
	}
	return errors.Join(c.database.kill(), c.database.start(ctx))
}

var errClosed = errors.New("the cluster was closed")

// Pids are the process IDs of what runs now: of the server, and of PostgreSQL's first process.
func (c *Cluster) Pids() []int {
	c.changing.Lock()
	defer c.changing.Unlock()
	var pids []int
	for _, process := range []*child.Process{c.temporal.process, c.database.process} {
		if process != nil {
			pids = append(pids, process.Pid)
		}
	}
	return pids
}

// Close ends everything in order and returns when the processes are gone. It may be called again.
func (c *Cluster) Close() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.closed = true
	var err error
	if c.temporal != nil {
		err = c.temporal.stop()
	}
	if c.database != nil {
		err = errors.Join(err, c.database.stop())
	}
	return err
}

// await asks until there is an answer, or until the process has ended or the time is over.
func await(ctx context.Context, process *child.Process, what string, progress func(string), ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer for %s", startTimeout))
	defer cancel()
	pace, tell := time.NewTicker(askEvery), time.NewTicker(tellEvery)
	defer pace.Stop()
	defer tell.Stop()
	began, last := time.Now(), errors.New("not asked yet")
	for {
		select {
		case <-process.Ended():
			return fmt.Errorf("%s %w: %w", what, errEarly, process.Explain())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; its last answer: %s", what, context.Cause(ctx), strings.TrimSpace(last.Error()))
		case <-tell.C:
			progress(fmt.Sprintf("waiting for %s; %.0f s so far", what, time.Since(began).Seconds()))
		case <-pace.C:
			if last = ask(ctx); last == nil {
				return nil
			}
		}
	}
}

var errEarly = errors.New("ended before it was ready")
