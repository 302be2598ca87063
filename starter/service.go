package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"gravity/internal/scrape"
	"gravity/internal/webhook"
)

// shutdownTimeout bounds the end of requests under way: each is bounded itself, at 8 seconds for starting runs.
const shutdownTimeout = 20 * time.Second

// service is the receiver as a process: it serves until it is told to stop, and loses nothing that it accepted.
type service struct {
	handler http.Handler
	// reload reads the configuration anew, at a hangup signal.
	reload func() error
	log    *slog.Logger
	// metrics are served on metricsListener; both nil where nobody asks for them.
	metrics         *metrics
	metricsListener net.Listener
	// tls ends TLS here; nil where a proxy does.
	tls *certificate
	// stopping is set before the listener closes, so that a load balancer looks elsewhere first; drain is
	// how long it is given for that.
	stopping *atomic.Bool
	drain    time.Duration
}

// serveUntil serves until the context ends, and then finishes what it has accepted.
func (s *service) serveUntil(ctx context.Context, listener net.Listener) error {
	server := webhook.NewServer(listener.Addr().String(), s.handler)
	server.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)
	// Before the first request is answered: whoever sees that the receiver lives may send the signal.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	failed := make(chan error, 2)
	go func() { failed <- s.serve(server, netutil.LimitListener(listener, webhook.MaxConnections)) }()
	if s.metricsListener != nil {
		beside := scrape.Server(s.metrics.registry)
		go func() { failed <- beside.Serve(s.metricsListener) }()
		defer func() { _ = beside.Close() }() // a scrape is not waited for
	}
	for {
		select {
		case <-hangup:
			s.reloadAll()
		case err := <-failed:
			return fmt.Errorf("serving: %w", err)
		case <-ctx.Done():
			return s.finish(ctx, server, failed)
		}
	}
}

func (s *service) serve(server *http.Server, listener net.Listener) error {
	if s.tls == nil {
		return server.Serve(listener)
	}
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.tls.get}
	return server.ServeTLS(listener, "", "")
}

func (s *service) reloadAll() {
	err := s.reload()
	if err == nil && s.tls != nil {
		err = s.tls.load()
	}
	if s.metrics != nil {
		s.metrics.reloaded(err)
	}
	if err != nil {
		s.log.Error("the configuration is wrong; the one before stays", "error", err)
	}
}

// finish tells load balancers first, and then ends after the requests under way.
func (s *service) finish(ctx context.Context, server *http.Server, failed <-chan error) error {
	if s.stopping != nil {
		s.stopping.Store(true)
	}
	s.log.Info("stopping; requests under way are finished", "drain", s.drain.String())
	drained := time.NewTimer(s.drain)
	defer drained.Stop()
	select {
	case <-drained.C:
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	}
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

// certificate is a TLS certificate that can be renewed while it is served.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// load reads the files; when they are wrong the certificate of before stays.
func (c *certificate) load() error {
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return wrongUse("the TLS certificate cannot be used: %w", err)
	}
	c.current.Store(&loaded)
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
