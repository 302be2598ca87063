// Package balancer is the stand-in's load balancer: a real HTTP reverse proxy that checks the
// health of its targets, sends requests only to those in service, and lets the requests of a
// target that leaves come to their end.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Front is an address that people see, and the balancer that now answers on it. Swapping the
// addresses of two environments swaps the handlers of two fronts.
type Front struct {
	port     int
	listener net.Listener
	server   *http.Server // nil when it listens nowhere
	handler  atomic.Pointer[http.Handler]
}

// Listen opens an address on this machine. Port 0 takes a free one.
func Listen(port int) (*Front, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("open the load balancer's address: %w", err)
	}
	front := &Front{listener: listener, port: listener.Addr().(*net.TCPAddr).Port}
	front.server = &http.Server{Handler: front, ReadHeaderTimeout: time.Minute}
	go func() {
		// Serve always returns an error, and only after Close has it a reason that matters.
		_ = front.server.Serve(listener)
	}()
	return front, nil
}

// InProcess makes a front that listens nowhere: it is reached by its ServeHTTP alone, and has a port for a name.
func InProcess(port int) *Front { return &Front{port: port} }

// Port is the port that the front listens on.
func (f *Front) Port() int { return f.port }

// Serve makes a handler the one that answers from now on.
func (f *Front) Serve(handler http.Handler) { f.handler.Store(&handler) }

// ServeHTTP hands a request to the present handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler := f.handler.Load()
	if handler == nil {
		http.Error(w, "503 Service Temporarily Unavailable", http.StatusServiceUnavailable)
		return
	}
	(*handler).ServeHTTP(w, r)
}

// Close ends the front. Requests in flight get a moment to end.
func (f *Front) Close() error {
	if f.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := f.server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return f.server.Close()
	}
	return nil
}
