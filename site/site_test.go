package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestThePageSaysWhatIsExpected(t *testing.T) {
	page, err := os.ReadFile("index.html")
	if err != nil {
		t.Fatal(err)
	}
	if said, wanted := text(page), strings.TrimSpace(expected); said != wanted {
		t.Fatalf("index.html says %q; expected.txt says %q", said, wanted)
	}
	code, served := get(t, newSite("index.html", "v", "r"), "/")
	if code != http.StatusOK || served != string(page) {
		t.Fatalf("/ answers %d with %q", code, served)
	}
}

func TestHealthProvesThePageAndNamesTheVersion(t *testing.T) {
	code, body := get(t, newSite("index.html", "site-1", "abc"), "/health")
	if code != http.StatusOK || body != `{"status":"ok","version":"site-1","revision":"abc"}`+"\n" {
		t.Fatalf("/health answers %d with %s", code, body)
	}
}

func TestHealthFailsWithTheReasonWhenThePageIsNotTheExpectedOne(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.html")
	if err := os.WriteFile(other, []byte("<body>Automation for <b>no one</b></body>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, reason := range map[string]string{other: "Automation for no one", "indx.html": "cannot be served"} {
		code, body := get(t, newSite(path, "v", "r"), "/health")
		var found health
		if err := json.Unmarshal([]byte(body), &found); err != nil {
			t.Fatal(err)
		}
		if code != http.StatusServiceUnavailable || found.Status != "failing" || !strings.Contains(found.Reason, reason) {
			t.Errorf("%s: /health answers %d with %s", path, code, body)
		}
	}
	if code, _ := get(t, newSite("indx.html", "v", "r"), "/"); code != http.StatusInternalServerError {
		t.Errorf("a page that cannot be read is answered with %d", code)
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	handler := newSite("index.html", "v", "r")
	for path, wanted := range map[string]int{"/index.html": 404, "/expected.txt": 404, "/health/x": 404} {
		if code, _ := get(t, handler, path); code != wanted {
			t.Errorf("%s answers %d", path, code)
		}
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST / answers %d", recorder.Code)
	}
}

func TestARequestUnderWayIsAnsweredAfterTheSiteIsToldToStop(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stop()
		// The listener is closed first; when it takes nobody any more, stopping has begun.
		for {
			connection, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				break
			}
			_ = connection.Close()
		}
		_, _ = io.WriteString(w, "finished")
	})
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, handler) }()

	answer, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "finished" {
		t.Fatalf("the request under way got %q, %v", body, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(drain):
		t.Fatal("the site did not stop")
	}
}

func get(t *testing.T, handler http.Handler, path string) (code int, body string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return recorder.Code, recorder.Body.String()
}
