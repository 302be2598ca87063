package source

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// gitServer serves the repositories below a folder as git hosts do.
type gitServer struct {
	url    string
	mutex  sync.Mutex
	tokens []string // the Authorization headers seen
	// during is called in the middle of every request.
	during func()
}

// serveGit starts a git host on this machine. When a token is given, it lets nobody else in.
func serveGit(t *testing.T, folder, token string) *gitServer {
	t.Helper()
	execPath, err := exec.Command("git", "--exec-path").Output()
	require.NoError(t, err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + folder, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
	}
	s := &gitServer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		s.tokens = append(s.tokens, r.Header.Get("Authorization"))
		during := s.during
		s.mutex.Unlock()
		if during != nil {
			during()
		}
		_, password, _ := r.BasicAuth()
		if token != "" && password != token {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// seen are the Authorization headers so far.
func (s *gitServer) seen() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.tokens)
}

func TestATokenReachesTheHostAndNothingElse(t *testing.T) {
	t.Parallel()
	const token = "planted-token-8231"
	encoded := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
	o := newOrigin(t)
	sha := o.commit("one", "file", "1")
	server := serveGit(t, filepath.Dir(o.dir), token)
	server.mutex.Lock()
	server.during = func() {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			if line, err := os.ReadFile(path); err == nil && (strings.Contains(string(line), token) || strings.Contains(string(line), encoded)) {
				t.Errorf("the token is in the process list: %s", line)
			}
		}
	}
	server.mutex.Unlock()
	cache := newCache(t)
	given := token
	cache.Credentials = func(_ context.Context, repository string) (string, string, error) {
		require.Equal(t, server.url+"/origin", repository)
		return "x-access-token", given, nil
	}
	base := t.TempDir()
	revision, err := cache.Checkout(t.Context(), Request{Repository: server.url + "/origin", Into: filepath.Join(base, "x")})
	require.NoError(t, err)
	require.Equal(t, sha, revision.SHA)
	require.Contains(t, server.seen(), "Basic "+encoded)
	for _, folder := range []string{cache.Root, base} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				content, readErr := os.ReadFile(path)
				require.NoError(t, readErr)
				require.NotContains(t, string(content), token, path)
				require.NotContains(t, string(content), encoded, path)
			}
			return err
		}))
	}

	given = "wrong-" + token
	_, err = cache.Resolve(t.Context(), server.url+"/origin", "main")
	requireRejected(t, err, delivery.AccessDenied, "not allowed")
	require.NotContains(t, err.Error(), token)
	given = ""
	_, err = cache.Resolve(t.Context(), server.url+"/origin", "main")
	requireRejected(t, err, delivery.AccessDenied, "give the worker a token")
}

func TestATokenIsNotShownToWhereTheHostRedirects(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("one", "file", "1")
	elsewhere := serveGit(t, filepath.Dir(o.dir), "")
	moved := httptest.NewServer(http.RedirectHandler(elsewhere.url+"/origin/info/refs?service=git-upload-pack", http.StatusMovedPermanently))
	defer moved.Close()
	cache := newCache(t)
	cache.Credentials = func(context.Context, string) (string, string, error) { return "u", "planted", nil }
	_, err := cache.Resolve(t.Context(), moved.URL+"/origin", "main")
	requireRejected(t, err, delivery.InvalidInput, "has moved")
	require.Empty(t, elsewhere.seen())
}

func TestWhatHostsAnswerHasTheTypeThatDecides(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		want   delivery.ErrorType
	}{
		"not found":         {404, delivery.InvalidInput},
		"forbidden":         {403, delivery.AccessDenied},
		"too many requests": {429, delivery.Throttled},
		"their fault":       {500, delivery.Unavailable},
		"overloaded":        {503, delivery.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.status) }))
			defer server.Close()
			_, err := newCache(t).Resolve(t.Context(), server.URL+"/x", "main")
			requireRejected(t, err, test.want, server.URL)
		})
	}
}
