package lab

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"

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

// Development is Temporal's development server on a file.
const Development Kind = "development"

// Describe says in words what a kind of server is.
func (k Kind) Describe() string {
	return "Temporal's development server"
}

func (l *Lab) startTemporal(ctx context.Context) (err error) {
	switch l.options.Server {
	case Development, "":
		l.Temporal, err = startDevelopment(ctx, filepath.Join(l.options.Directory, "temporal"))
	default:
		err = fmt.Errorf("there is no Temporal server of the kind %q", l.options.Server)
	}
	if err != nil {
		return err
	}
	l.Client, err = Dial(ctx, l.Temporal.Address(), l.options.Interceptors...)
	return err
}

func startDevelopment(ctx context.Context, directory string) (Server, error) {
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	return temporal.Start(ctx, temporal.Options{DataDir: directory, Headless: true, SearchAttributes: attributes})
}

// Dial connects to a Temporal server.
func Dial(ctx context.Context, address string, interceptors ...interceptor.ClientInterceptor) (client.Client, error) {
	return client.DialContext(ctx, client.Options{
		HostPort: address, Interceptors: interceptors, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
}

// Default is the kind of server that is closest to what people run.
const Default = Development

// Kinds lists the kinds for people who choose one.
func Kinds() string { return string(Development) }
