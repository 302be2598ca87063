// Package git is a small git host for `starter up` and for tests: bare repositories served over
// smart HTTP by git's own http-backend, and GitHub's push webhook, signed, for each ref that a push
// changed. Everybody on this machine may read and write, nobody else reaches it: it listens on
// loopback only. It needs git 2.28 or later.
package git

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gravity/internal/delivery"
)

// Options of Start.
type Options struct {
	// DataDir holds the repositories as <owner>/<name>.git; it is created when missing.
	DataDir string
	// Addr is the loopback address to listen on. Default 127.0.0.1:0, a free port.
	Addr string
	// WebhookURL gets the pushes. Empty: nobody is told.
	WebhookURL string
	// Secret signs them.
	Secret []byte
	// Log gets one line a delivery. Optional.
	Log *slog.Logger
	// Delivered is called after each attempt to deliver, in order, from one goroutine. Optional.
	Delivered func(Delivery)
}

// Host is a running git host. Its methods may be called from several goroutines.
type Host struct {
	options Options
	backend string // path of git-http-backend
	address string
	server  *http.Server
	served  chan error // gets the end of Serve
	courier *courier

	mutex        sync.Mutex
	repositories map[string]*repository
}

// closePatience is how long requests that run when the host closes may still take.
const closePatience = 2 * time.Second

// Start serves the repositories below DataDir until Close. The context bounds the start alone.
func Start(ctx context.Context, options Options) (*Host, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Addr == "" {
		options.Addr = "127.0.0.1:0"
	}
	directory, err := filepath.Abs(options.DataDir)
	if err != nil || options.DataDir == "" {
		return nil, delivery.Errorf(delivery.InvalidInput, "the git host needs a data folder, and %q is none", options.DataDir)
	}
	options.DataDir = directory
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("create the git host's data folder: %w", err)
	}
	h := &Host{options: options, repositories: map[string]*repository{}, served: make(chan error, 1)}
	if h.backend, err = findBackend(ctx); err != nil {
		return nil, err
	}
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	listener, err := listen(ctx, options.Addr)
	if err != nil {
		return nil, err
	}
	h.address = listener.Addr().String()
	h.courier = startCourier(options)
	h.server = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { h.served <- h.server.Serve(listener) }()
	return h, nil
}

// findBackend asks git where its parts are; http-backend is a package of its own on some systems.
func findBackend(ctx context.Context) (string, error) {
	path, err := git{}.run(ctx, "--exec-path")
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("the git host needs git in PATH: %w", err)
		}
		return "", err
	}
	backend := filepath.Join(path, "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return "", fmt.Errorf("this git has no http-backend, install the full git package: %w", err)
	}
	return backend, nil
}

// listen refuses every address from which another machine could push: there is no password.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "git host address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, delivery.Errorf(delivery.InvalidInput,
			"git host address %q: anybody who reaches it may push, so it must be a loopback address such as 127.0.0.1", address)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "port %s for the git host is in use: end what listens there, or choose another with --git-port (%w)", port, err)
	}
	return listener, nil
}

// open takes up the repositories that are there from before. What was pushed before counts as told.
func (h *Host) open(ctx context.Context) error {
	owners, err := os.ReadDir(h.options.DataDir)
	if err != nil {
		return fmt.Errorf("look for repositories: %w", err)
	}
	for _, owner := range owners {
		if !owner.IsDir() { // a link is none: it could lead out of the data folder
			continue
		}
		names, err := os.ReadDir(filepath.Join(h.options.DataDir, owner.Name()))
		if err != nil {
			return fmt.Errorf("look for repositories: %w", err)
		}
		for _, name := range names {
			short, bare := strings.CutSuffix(name.Name(), ".git")
			fullName := owner.Name() + "/" + short
			if !name.IsDir() || !bare || checkName(fullName) != nil {
				continue
			}
			if err := h.add(ctx, fullName, filepath.Join(h.options.DataDir, owner.Name(), name.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Host) add(ctx context.Context, fullName, directory string) error {
	r := &repository{fullName: fullName, directory: directory, git: git{directory: directory}}
	var err error
	if r.told, err = r.refs(ctx); err != nil {
		return err
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if _, ok := h.repositories[fullName]; !ok {
		h.repositories[fullName] = r
	}
	return nil
}

func (h *Host) find(fullName string) (*repository, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if r, ok := h.repositories[fullName]; ok {
		return r, nil
	}
	return nil, delivery.Errorf(delivery.InvalidInput, "the git host has no repository %q: create it first", fullName)
}

// Address is host:port.
func (h *Host) Address() string { return h.address }

// URL is the host's own address, without a repository.
func (h *Host) URL() string { return "http://" + h.address }

// CloneURL is where to clone a repository such as "example/site" from, and where to push to.
func (h *Host) CloneURL(fullName string) string { return h.URL() + "/" + fullName + ".git" }

// SetWebhook changes where pushes are told from now on; an empty URL tells nobody.
func (h *Host) SetWebhook(url string, secret []byte) { h.courier.setTarget(url, secret) }

// Deliveries lists the last deliveries, oldest first, with those that wait to be sent. The list is
// in memory: it begins anew with the host.
func (h *Host) Deliveries() []Delivery { return h.courier.list() }

// Redeliver sends a delivery again, as the button on GitHub's page does: the same ID, the same body,
// signed anew for where webhooks go now. The result also stands in Deliveries.
func (h *Host) Redeliver(ctx context.Context, id string) (Delivery, error) {
	return h.courier.redeliver(ctx, id)
}

// Close stops serving, gives running requests a moment, and drops deliveries that were not sent.
func (h *Host) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = h.server.Close() // ends git's processes too
	}
	h.courier.close()
	if served, ok := <-h.served; ok {
		close(h.served)
		if !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}
	if err != nil {
		return fmt.Errorf("close the git host: %w", err)
	}
	return nil
}
