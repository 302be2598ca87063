// Package github is a stand-in for GitHub's API on this machine: enough of it to tell, to ask, and to
// find lost pushes, with its faults. It answers in GitHub's shapes, keeps GitHub's rules where a client
// can break them (a quota, a secondary limit, one write at a time, ETags), counts what it is asked,
// and can be made slow, flaky, and silent. What it does not know it answers with 404, as GitHub does.
package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options of a stand-in.
type Options struct {
	// Addr to listen on. Default: a free port of 127.0.0.1.
	Addr string
	// Check looks at every request before it is answered; what it finds is listed by Violations.
	Check func(*http.Request) error
}

// Faults are what GitHub does to its clients. The zero value does nothing to them.
type Faults struct {
	// FailEvery answers every n-th request with 502, before anything is done.
	FailEvery int
	// LoseEvery does what every n-th request asks for, and then answers with 502.
	LoseEvery int
	// Quota is how many requests are answered until Reset; 0: any number.
	Quota int
	Reset time.Time
	// SecondaryEvery answers every n-th write with the secondary limit and Retry-After.
	SecondaryEvery int
	RetryAfter     time.Duration
	// Delay is added to every answer.
	Delay time.Duration
	// Down answers everything with 503.
	Down bool
}

// Server is a running stand-in.
type Server struct {
	options Options
	server  *http.Server
	address string
	ended   chan error

	mutex        sync.Mutex
	faults       Faults
	requests     int
	writes       int
	spent        int
	writing      int
	overlaps     int
	calls        map[string]int
	violations   []error
	lastID       int64
	repositories map[string]*Repository
	teams        map[string][]string
	redelivered  func(hook string, delivery int64)
}

// Start begins to serve.
func Start(_ context.Context, o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("stand-in for GitHub: %w", err)
	}
	s := &Server{
		options: o, address: listener.Addr().String(), ended: make(chan error, 1),
		calls: map[string]int{}, repositories: map[string]*Repository{}, teams: map[string][]string{},
	}
	s.server = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	go func() { s.ended <- s.server.Serve(listener) }()
	return s, nil
}

// Close ends it.
func (s *Server) Close() error {
	if err := s.server.Close(); err != nil {
		return err
	}
	if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// URL is the API's address.
func (s *Server) URL() string { return "http://" + s.address + "/" }

// Host is the host of its repositories' clone URLs.
func (s *Server) Host() string { return s.address }

// CloneURL is how a pipeline names a repository, given as owner/name.
func (s *Server) CloneURL(fullName string) string { return "http://" + s.address + "/" + fullName }

// SetFaults changes what it does to its clients.
func (s *Server) SetFaults(f Faults) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.faults, s.spent = f, 0
}

// Calls counts the requests by method and route, such as "POST /repos/{owner}/{repo}/statuses/{sha}".
func (s *Server) Calls() map[string]int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	counted := make(map[string]int, len(s.calls))
	for route, n := range s.calls {
		counted[route] = n
	}
	return counted
}

// Spent is how many requests counted against the quota: all but those answered with 304.
func (s *Server) Spent() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.spent
}

// Overlaps counts the writes that came while another one was under way.
func (s *Server) Overlaps() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.overlaps
}

// Violations lists what Options.Check found.
func (s *Server) Violations() []error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]error(nil), s.violations...)
}

// handle adds a route. Its answer is written as JSON; nil stands for 404.
func (s *Server) handle(routes *http.ServeMux, route string, answer func(*http.Request, []byte) (int, any)) {
	routes.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
		if err != nil {
			fail(w, http.StatusBadRequest, "the body cannot be read")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.enter(r)
		held := httptest.NewRecorder() // whoever has the answer may send the next request at once
		s.serve(held, r, route, body, answer)
		s.leave(r)
		for name, values := range held.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(held.Code)
		_, _ = w.Write(held.Body.Bytes())
	})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, route string, body []byte, answer func(*http.Request, []byte) (int, any)) {
	lost, done := s.admit(w, r, route)
	if done {
		return
	}
	s.mutex.Lock()
	code, document := answer(r, body)
	var encoded []byte
	var err error
	if document != nil { // while it cannot change
		encoded, err = json.Marshal(document)
	}
	s.mutex.Unlock()
	switch {
	case err != nil:
		fail(w, http.StatusInternalServerError, err.Error())
	case lost:
		fail(w, http.StatusBadGateway, "Server Error")
	case document == nil && code == 0:
		fail(w, http.StatusNotFound, "Not Found")
	default:
		s.write(w, r, code, encoded)
	}
}

// write answers, with 304 where the client has it already.
func (s *Server) write(w http.ResponseWriter, r *http.Request, code int, encoded []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if next := r.Header.Get(nextPage); next != "" {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s>; rel="next"`, strings.TrimSuffix(s.URL(), "/"), next))
	}
	if r.Method == http.MethodGet {
		etag := fmt.Sprintf(`W/"%x"`, sum(encoded))
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			s.mutex.Lock()
			s.spent--
			s.mutex.Unlock()
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(code)
	_, _ = w.Write(encoded)
}

// admit counts a request and lets it meet the faults; done means that it was answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, route string) (lost, done bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.requests++
	s.calls[route]++
	f := s.faults
	if s.options.Check != nil {
		if err := s.options.Check(r); err != nil {
			s.violations = append(s.violations, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err))
		}
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") && !strings.HasPrefix(r.Header.Get("Authorization"), "token ") {
		fail(w, http.StatusUnauthorized, "Requires authentication")
		return false, true
	}
	if f.Delay > 0 {
		s.mutex.Unlock()
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
		s.mutex.Lock()
	}
	write := r.Method != http.MethodGet
	if write {
		s.writes++
	}
	switch {
	case f.Down:
		fail(w, http.StatusServiceUnavailable, "Service Unavailable")
		return false, true
	case f.Quota > 0 && s.spent >= f.Quota && time.Now().Before(f.Reset):
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(f.Quota))
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(f.Reset.Unix(), 10))
		fail(w, http.StatusForbidden, "API rate limit exceeded")
		return false, true
	case write && f.SecondaryEvery > 0 && s.writes%f.SecondaryEvery == 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		fail(w, http.StatusForbidden, "You have exceeded a secondary rate limit")
		return false, true
	case f.FailEvery > 0 && s.requests%f.FailEvery == 0:
		fail(w, http.StatusBadGateway, "Server Error")
		return false, true
	}
	s.spent++
	if f.Quota > 0 {
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(f.Quota))
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(max(0, f.Quota-s.spent)))
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(f.Reset.Unix(), 10))
	}
	return f.LoseEvery > 0 && s.requests%f.LoseEvery == 0, false
}

// enter and leave are around every request; they notice writes at the same time.
func (s *Server) enter(r *http.Request) {
	if r.Method == http.MethodGet {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.writing++; s.writing > 1 {
		s.overlaps++
	}
}

func (s *Server) leave(r *http.Request) {
	if r.Method == http.MethodGet {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.writing--
}

// id numbers everything. The lock is held.
func (s *Server) id() int64 {
	s.lastID++
	return s.lastID
}

func fail(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{
		"message": message, "documentation_url": "https://docs.github.com/rest",
	})
}
