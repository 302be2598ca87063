package lab

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"

	"gravity/internal/local/cluster"
	"gravity/internal/local/temporal"
	"gravity/workflows"
)

// Server is a Temporal server that can be killed, and started again on what it had stored.
type Server interface {
	Address() string
	Kill() error
	Restart(context.Context) error
	Close() error
}

// Database is what some servers keep everything in, and can lose as well.
type Database interface {
	KillDatabase() error
	StartDatabase(context.Context) error
}

// Kind is a kind of Temporal server.
type Kind string

// The kinds of servers.
const (
	// PostgreSQL is the server that people run, on the database that docs/performance.md gives numbers for.
	PostgreSQL Kind = "postgresql"
	// Development is Temporal's development server on a file.
	Development Kind = "development"
)

// Describe says in words what a kind of server is.
func (k Kind) Describe() string {
	if k == PostgreSQL {
		return "Temporal's server on PostgreSQL"
	}
	return "Temporal's development server"
}

func (l *Lab) startTemporal(ctx context.Context) (err error) {
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	directory := filepath.Join(l.options.Directory, "temporal")
	switch l.options.Server {
	case PostgreSQL:
		var started *cluster.Cluster
		if started, err = cluster.Start(ctx, cluster.Options{
			Directory: directory, SearchAttributes: attributes, Progress: l.options.Progress,
		}); err == nil {
			l.Temporal = real{started}
		}
	case Development, "":
		var started *temporal.Server
		started, err = temporal.Start(ctx, temporal.Options{
			DataDir: directory, Headless: true, SearchAttributes: attributes, Progress: l.options.Progress,
		})
		if err == nil {
			l.Temporal = started
		}
	default:
		err = fmt.Errorf("there is no Temporal server of the kind %q: it is %s or %s", l.options.Server, PostgreSQL, Development)
	}
	if err != nil {
		return err
	}
	l.Client, err = Dial(ctx, l.Temporal.Address(), l.options.Interceptors...)
	return err
}

// real is Temporal's server on a database of its own.
type real struct{ *cluster.Cluster }

func (r real) Kill() error                       { return r.KillTemporal() }
func (r real) Restart(ctx context.Context) error { return r.StartTemporal(ctx) }

// Dial connects to a Temporal server.
func Dial(ctx context.Context, address string, interceptors ...interceptor.ClientInterceptor) (client.Client, error) {
	return client.DialContext(ctx, client.Options{
		HostPort: address, Interceptors: interceptors, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
}
