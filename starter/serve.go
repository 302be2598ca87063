package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/scrape"
	"gravity/worker/backlog"
)

// serveFlags say where the receiver listens, and what it trusts.
type serveFlags struct {
	listen          string
	secrets         []string
	webUI           string
	metricsListen   string
	tlsCert, tlsKey string
	drain, catchUp  time.Duration
}

func newServe(g *globals) *cobra.Command {
	var flags serveFlags
	command := &cobra.Command{
		Use:   "serve --secret-file FILE",
		Short: "Receive GitHub's webhooks, and start a run for every push",
		Long: `Receive GitHub's webhooks at ` + webhookPath + `, and start what they ask for. A request counts only when it is
signed with one of the secrets. ` + healthPath + ` answers 200 while the process lives, ` + readyPath + ` while it can take
requests: Temporal can be reached, and nobody has told it to stop. Prometheus finds metrics at ` + scrape.Path + ` of --metrics-listen.

It listens on this machine alone unless --listen says otherwise. Put it behind something that ends TLS, or give
it a certificate. A hangup signal (SIGHUP) reads gravity.yaml, the secrets and the certificate anew; what is
wrong then is logged, and the old ones stay. An interrupt ends it after the requests under way.

It also keeps a schedule in Temporal, which looks for pushes whose webhook never came; see --catch-up.`,
		Example: `  starter serve --secret-file /run/secrets/webhook
  starter serve --listen :8443 --tls-cert-file tls.crt --tls-key-file tls.key --secret-file new --secret-file old`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error { return g.serve(command.Context(), flags) },
	}
	command.Flags().StringVar(&flags.listen, "listen", "127.0.0.1:8080", "address to listen on")
	command.Flags().StringArrayVar(&flags.secrets, "secret-file", nil, "file with the webhook's secret, one a line; may be given several times")
	command.Flags().StringVar(&flags.webUI, "web-ui", "", "address of Temporal's web UI, for links to runs")
	command.Flags().StringVar(&flags.metricsListen, "metrics-listen", "", "address for Prometheus, such as 127.0.0.1:9464 (default: none)")
	command.Flags().StringVar(&flags.tlsCert, "tls-cert-file", "", "certificate chain (PEM), to end TLS here")
	command.Flags().StringVar(&flags.tlsKey, "tls-key-file", "", "the certificate's private key (PEM)")
	command.Flags().DurationVar(&flags.drain, "drain", 5*time.Second, "how long a load balancer is given to look elsewhere before the end")
	command.Flags().DurationVar(&flags.catchUp, "catch-up", 5*time.Minute, "how often lost pushes are looked for; 0: never. The workers need credentials for GitHub")
	return command
}

func (f serveFlags) check() error {
	if len(f.secrets) == 0 {
		return wrongUse("--secret-file is missing: without a secret nobody can tell GitHub's requests from others")
	}
	if ui, err := url.Parse(f.webUI); err != nil || f.webUI != "" && (ui.Host == "" || ui.User != nil) {
		return wrongUse("--web-ui is %q: it is an address like https://temporal.example.com", f.webUI)
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return wrongUse("--tls-cert-file and --tls-key-file belong together: give both, or neither")
	}
	if f.drain < 0 || f.catchUp < 0 || f.catchUp > 0 && f.catchUp < 10*time.Second {
		return wrongUse("--drain cannot be negative, and --catch-up is 0 or at least 10s")
	}
	return nil
}

func (g *globals) serve(ctx context.Context, flags serveFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(g.stderr, nil))
	g.service, g.log = "gravity-receiver", log
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	current := &reloadable{}
	s := &service{handler: current, log: log, metrics: newMetrics(), stopping: &atomic.Bool{}, drain: flags.drain}
	s.reload = func() error { return g.loadReceiver(ctx, current, c, flags, s) }
	if flags.tlsCert != "" {
		s.tls = &certificate{certFile: flags.tlsCert, keyFile: flags.tlsKey}
		if err := s.tls.load(); err != nil {
			return err
		}
	}
	if err := s.reload(); err != nil {
		return err
	}
	if flags.metricsListen != "" {
		if s.metricsListener, err = listen(flags.metricsListen, "--metrics-listen"); err != nil {
			return err
		}
		defer func() { _ = s.metricsListener.Close() }()
		s.metrics.registry.MustRegister(backlog.New(c, g.namespace, log))
		log.Info("serving metrics", "address", s.metricsListener.Addr().String(), "path", scrape.Path)
	}
	listener, err := listen(flags.listen, "--listen")
	if err != nil {
		return err
	}
	log.Info("listening", "address", listener.Addr().String(), "path", webhookPath, "tls", s.tls != nil, "temporal", g.where, "namespace", g.namespace)
	return s.serveUntil(ctx, listener)
}

func listen(address, flag string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, wrongUse("cannot listen: %w; choose another address with %s", err, flag)
	}
	return listener, nil
}

// reloadable is a handler that can be replaced while requests are under way.
type reloadable struct{ handler atomic.Pointer[http.Handler] }

func (r *reloadable) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	(*r.handler.Load()).ServeHTTP(w, request)
}

// loadReceiver reads the pipelines and the secrets, and lets the next request meet them. When
// anything is wrong, everything stays as it was.
func (g *globals) loadReceiver(ctx context.Context, r *reloadable, c client.Client, flags serveFlags, s *service) error {
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
	err = scheduleCatchUp(ctx, c, file, flags.catchUp, s.log)
	if delivery.TypeOf(err) == delivery.AccessDenied {
		return err // who may not keep a schedule may not start a run either
	}
	if err != nil {
		// The pushes that do come are worth more than the search for those that don't.
		s.log.Warn("nobody looks for lost pushes", "error", err)
	}
	handler := newReceiver(receiverOptions{
		temporal: c, file: file, secrets: secrets, runURL: runURL, log: s.log, observe: s.metrics.observe, tracer: g.traces.Tracer(), stopping: s.stopping,
	})
	r.handler.Store(&handler)
	s.log.Info("configuration read", "file", file.Path, "pipelines", len(file.Pipelines), "secrets", len(secrets))
	return nil
}
