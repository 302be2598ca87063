package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func ask(handler http.Handler, path string, header map[string]string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "http://site.example.com"+path, nil)
	for name, value := range header {
		request.Header.Set(name, value)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	handler := secured(false, newSite("index.html", "v", "r"))
	for _, path := range []string{"/", "/health", "/nothing"} {
		got := ask(handler, path, map[string]string{"X-Forwarded-Proto": "http"})
		for name, value := range headers {
			if got.Header().Get(name) != value {
				t.Errorf("%s: %s is %q", path, name, got.Header().Get(name))
			}
		}
		if got.Header().Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: a site without TLS must not lock browsers out", path)
		}
	}
}

func TestBehindTLSVisitorsAreSentToItAndTheBalancerIsAnswered(t *testing.T) {
	handler := secured(true, newSite("index.html", "v", "r"))
	got := ask(handler, "/?a=b", map[string]string{"X-Forwarded-Proto": "http"})
	if got.Code != http.StatusPermanentRedirect || got.Header().Get("Location") != "https://site.example.com/?a=b" {
		t.Errorf("http is answered %d %s", got.Code, got.Header().Get("Location"))
	}
	got = ask(handler, "/", map[string]string{"X-Forwarded-Proto": "https"})
	if got.Code != http.StatusOK || got.Header().Get("Strict-Transport-Security") != onlyEncrypted {
		t.Errorf("https is answered %d with %v", got.Code, got.Header())
	}
	for _, header := range []map[string]string{{}, {"X-Forwarded-Proto": "http"}} {
		if got = ask(handler, "/health", header); got.Code != http.StatusOK {
			t.Errorf("/health is answered %d", got.Code)
		}
	}
}

func TestARequestIsOneLineOfJSONThatAVisitorCannotGrow(t *testing.T) {
	var lines bytes.Buffer
	handler := logged(slog.New(slog.NewJSONHandler(&lines, nil)), newSite("index.html", "v", "r"))
	ask(handler, "/health", nil)
	ask(handler, "/"+strings.Repeat("x", 5000), map[string]string{
		"X-Forwarded-For": "6.6.6.6, 192.0.2.7", "User-Agent": "a\nb\x00", "X-Amzn-Trace-Id": "Root=1-2",
	})
	if strings.Count(lines.String(), "\n") != 1 {
		t.Fatalf("logged: %s", lines.String())
	}
	var line map[string]any
	if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["status"] != 404.0 || line["visitor"] != "192.0.2.7" || len(line["path"].(string)) != maxLogged || line["trace"] != "Root=1-2" {
		t.Errorf("logged: %v", line)
	}
	lines.Reset()
	ask(logged(slog.New(slog.NewJSONHandler(&lines, nil)), newSite("missing.html", "v", "r")), "/health", nil)
	if !strings.Contains(lines.String(), `"level":"ERROR"`) || !strings.Contains(lines.String(), `"status":503`) {
		t.Errorf("a failing health check is logged as %s", lines.String())
	}
}

func TestTheProgramEndsInOrderOnSIGTERM(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	program := filepath.Join(t.TempDir(), "site")
	if output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var said bytes.Buffer
	command := exec.Command(program)
	command.Env = append(os.Environ(), "PORT=0")
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := output.Read(first); err != nil { // it says that it is up
		t.Fatal(err)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(drain, func() { _ = command.Process.Kill() })
	defer late.Stop()
	_, _ = said.ReadFrom(output)
	if err := command.Wait(); err != nil || !strings.Contains(said.String(), "stopping") {
		t.Fatalf("it ended with %v, and said %s", err, said.String())
	}
}
