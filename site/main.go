// Command site is the sample application that Gravity delivers: one page, and a health path that
// proves it. It listens on PORT, as Elastic Beanstalk's platforms expect (default 5000), and stops
// on SIGTERM after the requests that are under way.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The build sets both; see build in gravity.yaml.
var (
	version  = "unversioned"
	revision = "unknown"
)

// drain is how long requests that are under way may take once the site is told to stop.
const drain = 10 * time.Second

func main() {
	page := flag.String("page", "index.html", "file with the page to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	// One JSON object a line, on the standard output: what CloudWatch takes apart by itself.
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	slog.SetDefault(log)
	port := os.Getenv("PORT")
	if port == "" {
		port = "5000"
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err == nil {
		slog.Info("the site is up", "address", listener.Addr().String(), "version", version, "revision", revision)
		handler := newSite(*page, version, revision)
		err = serve(ctx, listener, logged(log, secured(os.Getenv("HTTPS_REDIRECT") == "true", handler)))
	}
	if err != nil {
		slog.Error("the site cannot go on", "error", err)
		os.Exit(1)
	}
}

// serve answers until the context ends, then lets running requests finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		// Longer than the load balancer keeps a connection (60 s): were it shorter, the site could
		// close one just as the balancer sends a request on it, which a visitor sees as an error.
		IdleTimeout:    75 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	slog.Info("stopping; requests under way are answered first", "within", drain.String())
	// The context that ended may not bound the end.
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(draining); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}
