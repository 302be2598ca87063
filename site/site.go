package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"os"
	"regexp"
	"strings"
)

// expected is what the page must say. It is part of the program, while the page is a file beside
// it: so the program can prove its page, and a page that is missing or another one is noticed.
//
//go:embed expected.txt
var expected string

// site serves one page and the proof of it.
type site struct {
	page              []byte
	unreadable        error
	version, revision string
	pages             *http.ServeMux
}

// newSite reads the page. A site whose page cannot be read runs all the same and answers with the
// reason, so that whoever asks /health learns it.
func newSite(path, version, revision string) http.Handler {
	s := &site{version: version, revision: revision, pages: http.NewServeMux()}
	s.page, s.unreadable = os.ReadFile(path)
	s.pages.HandleFunc("GET /{$}", s.servePage)

	all := http.NewServeMux()
	all.HandleFunc("GET /health", s.serveHealth)
	all.Handle("/", s.pages)
	return all
}

func (s *site) servePage(w http.ResponseWriter, _ *http.Request) {
	if s.unreadable != nil {
		http.Error(w, "this page cannot be served at the moment", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(s.page) // a visitor who left is no error of the site
}

// health is the answer of /health.
type health struct {
	Status   string `json:"status"`
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Reason   string `json:"reason,omitempty"`
}

func (s *site) serveHealth(w http.ResponseWriter, r *http.Request) {
	answer, code := health{Status: "ok", Version: s.version, Revision: s.revision}, http.StatusOK
	if err := s.prove(r); err != nil {
		answer.Status, answer.Reason, code = "failing", err.Error(), http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

// prove asks the site for its own page, by the way a visitor's request takes, and compares.
func (s *site) prove(r *http.Request) error {
	visit, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "/", nil)
	if err != nil {
		return err
	}
	got := &recorder{header: http.Header{}, code: http.StatusOK}
	s.pages.ServeHTTP(got, visit)
	if s.unreadable != nil {
		return fmt.Errorf("the page cannot be served: %w", s.unreadable)
	}
	if got.code != http.StatusOK {
		return fmt.Errorf("the page is answered with status %d", got.code)
	}
	if said, wanted := text(got.body.Bytes()), strings.TrimSpace(expected); said != wanted {
		return fmt.Errorf("the page says %.80q, not %q", said, wanted)
	}
	return nil
}

// recorder keeps an answer instead of sending it.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header               { return r.header }
func (r *recorder) WriteHeader(code int)              { r.code = code }
func (r *recorder) Write(content []byte) (int, error) { return r.body.Write(content) }

var (
	body = regexp.MustCompile(`(?is)<body[^>]*>(.*)</body>`)
	tag  = regexp.MustCompile(`<[^>]*>`)
)

// text is what a reader of a page sees: its body without tags, in words with one space between.
func text(page []byte) string {
	inner := body.FindSubmatch(page)
	if inner == nil {
		return ""
	}
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(string(inner[1]), " "))), " ")
}
