package git

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/cgi"
	"net/url"
	"slices"
	"strings"
	"time"
)

// afterPush bounds the look at what a push changed.
const afterPush = time.Minute

// ServeHTTP answers smart HTTP requests for the repositories that exist, and no others.
func (h *Host) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if !local(request.Host) {
		// A web page whose name was pointed to 127.0.0.1 speaks through a browser on this machine.
		http.Error(writer, "this git host answers to its loopback address only", http.StatusForbidden)
		return
	}
	r, service := h.route(request.URL.Path)
	if r == nil {
		http.Error(writer, "no such repository on this git host", http.StatusNotFound)
		return
	}
	if service == "git-receive-pack" {
		h.receive(writer, request, r)
		return
	}
	h.backendFor(r, service).ServeHTTP(writer, forBackend(request, r, service))
}

func local(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// services are all that git's clients ask for since smart HTTP; the dumb protocol's files stay shut.
var services = []string{"info/refs", "git-upload-pack", "git-receive-pack"}

// route takes /owner/name.git/service apart; as on GitHub, .git may be left out. What it does not
// find in the host's own list of repositories it does not find, whatever the path says.
func (h *Host) route(path string) (r *repository, service string) {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 3)
	if len(parts) != 3 || !slices.Contains(services, parts[2]) {
		return nil, ""
	}
	r, err := h.find(parts[0] + "/" + strings.TrimSuffix(parts[1], ".git"))
	if err != nil {
		return nil, ""
	}
	return r, parts[2]
}

// receive takes a push, one at a time a repository, and finds out what it changed by looking at the
// refs, not by believing the client. The deliveries stand in the list before the client has its answer.
func (h *Host) receive(writer http.ResponseWriter, request *http.Request, r *repository) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	h.backendFor(r, "git-receive-pack").ServeHTTP(writer, forBackend(request, r, "git-receive-pack"))

	// A client that went away in the middle may have changed refs all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), afterPush)
	defer cancel()
	if err := h.tell(ctx, r); err != nil {
		h.options.Log.Error("cannot find out what a push changed", "repository", r.fullName, "error", err)
	}
}

// tell hands one event for each changed ref to the courier. Compared is with what was last told, so
// that a change which an earlier look missed is told now.
func (h *Host) tell(ctx context.Context, r *repository) error {
	now, err := r.refs(ctx)
	if err != nil {
		return err
	}
	var events []pushEvent
	for _, change := range compare(r.told, now) {
		event, err := h.event(ctx, r, change)
		if err != nil {
			return err // nothing is told twice: all of it is told with the next push
		}
		events = append(events, event)
	}
	r.told = now
	return h.courier.send(r.fullName, events)
}

func (h *Host) backendFor(r *repository, service string) *cgi.Handler {
	return &cgi.Handler{
		Path: h.backend,
		Dir:  r.directory,
		Env:  append(cleanEnvironment(), "GIT_PROJECT_ROOT="+h.options.DataDir, "GIT_HTTP_EXPORT_ALL=1"),
		// What git prints to its standard error is for the client, or about the client's going away.
		Stderr: &logWriter{log: h.options.Log.With("repository", r.fullName, "service", service)},
		Logger: slog.NewLogLogger(h.options.Log.Handler(), slog.LevelWarn),
	}
}

// forBackend is the request with a path of our own making. Git's clients send packs over 1 MB in
// chunks, which net/http/cgi refuses because CGI wants a length; http-backend reads to the end
// without one.
func forBackend(request *http.Request, r *repository, service string) *http.Request {
	clean := request.Clone(request.Context())
	clean.URL = &url.URL{Path: "/" + r.fullName + ".git/" + service, RawQuery: request.URL.RawQuery}
	clean.TransferEncoding = nil
	return clean
}

type logWriter struct{ log *slog.Logger }

func (w *logWriter) Write(output []byte) (int, error) {
	w.log.Debug("git http-backend", "output", strings.TrimSpace(string(output)))
	return len(output), nil
}
