package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/internal/webhook"
)

// serveFlags say where the receiver listens, and what it trusts.
type serveFlags struct {
	listen  string
	secrets []string
	webUI   string
}

func newServe(g *globals) *cobra.Command {
	var flags serveFlags
	command := &cobra.Command{
		Use:   "serve --secret-file FILE",
		Short: "Receive GitHub's webhooks, and start a run for every push",
		Long: `Receive GitHub's webhooks at ` + webhookPath + `, and start a run for every push that a stage names. A request counts
only when it is signed with one of the secrets. ` + healthPath + ` answers 200 while Temporal can be reached.

Put it behind something that ends TLS. A hangup signal (SIGHUP) reads gravity.yaml and the secrets anew; what
is wrong then is logged, and the old ones stay. An interrupt ends it after the requests under way.`,
		Example: `  starter serve --secret-file /run/secrets/webhook
  starter serve --listen :8080 --secret-file new --secret-file old --web-ui https://temporal.example.com`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error { return g.serve(command.Context(), flags) },
	}
	command.Flags().StringVar(&flags.listen, "listen", "127.0.0.1:8080", "address to listen on")
	command.Flags().StringArrayVar(&flags.secrets, "secret-file", nil, "file with the webhook's secret, one a line; may be given several times")
	command.Flags().StringVar(&flags.webUI, "web-ui", "", "address of Temporal's web UI, for links to runs")
	return command
}

func (g *globals) serve(ctx context.Context, flags serveFlags) error {
	if len(flags.secrets) == 0 {
		return wrongUse("--secret-file is missing: without a secret nobody can tell GitHub's requests from others")
	}
	if ui, err := url.Parse(flags.webUI); err != nil || flags.webUI != "" && (ui.Host == "" || ui.User != nil) {
		return wrongUse("--web-ui is %q: it is an address like https://temporal.example.com", flags.webUI)
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	current := &reloadable{}
	log := slog.New(slog.NewJSONHandler(g.stderr, nil))
	load := func() error { return g.loadReceiver(current, c, flags, log) }
	if err := load(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", flags.listen)
	if err != nil {
		return wrongUse("cannot listen: %w; choose another address with --listen", err)
	}
	log.Info("listening", "address", listener.Addr().String(), "path", webhookPath, "temporal", g.where, "namespace", g.namespace)
	return serveUntil(ctx, listener, current, load, log)
}

// reloadable is a handler that can be replaced while requests are under way.
type reloadable struct{ handler atomic.Pointer[http.Handler] }

func (r *reloadable) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	(*r.handler.Load()).ServeHTTP(w, request)
}

// loadReceiver reads the pipelines and the secrets, and lets the next request meet them. When
// anything is wrong, everything stays as it was.
func (g *globals) loadReceiver(r *reloadable, c client.Client, flags serveFlags, log *slog.Logger) error {
	file, err := g.load()
	if err != nil {
		return err
	}
	var secrets [][]byte
	for _, path := range flags.secrets {
		lines, err := secretLines(path)
		if err != nil {
			return err
		}
		for _, line := range lines {
			secrets = append(secrets, []byte(line))
		}
	}
	var runURL func(string) string
	if flags.webUI != "" {
		runURL = func(runID string) string { return workflowURL(flags.webUI, g.namespace, runID) }
	}
	handler := newReceiver(c, file, secrets, runURL, log)
	r.handler.Store(&handler)
	log.Info("configuration read", "file", file.Path, "pipelines", len(file.Pipelines), "secrets", len(secrets))
	return nil
}

// shutdownTimeout bounds the end of requests under way: each is bounded itself, at 8 seconds for starting runs.
const shutdownTimeout = 20 * time.Second

// serveUntil serves until the context ends, and then finishes what it has accepted.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler, reload func() error, log *slog.Logger) error {
	server := webhook.NewServer(listener.Addr().String(), handler)
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	// Before the first request is answered: whoever sees that the receiver lives may send the signal.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	for {
		select {
		case <-hangup:
			if err := reload(); err != nil {
				log.Error("the configuration is wrong; the one before stays", "error", err)
			}
		case err := <-failed:
			return fmt.Errorf("serving: %w", err)
		case <-ctx.Done():
			log.Info("stopping; requests under way are finished")
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
			defer cancel()
			if err := server.Shutdown(ending); err != nil {
				return fmt.Errorf("requests were still under way after %s: %w", shutdownTimeout, err)
			}
			if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving: %w", err)
			}
			return nil
		}
	}
}
