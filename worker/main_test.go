package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/temporal"
	"gravity/worker/process"
	"gravity/workflows"
)

func nothing(string) (string, bool) { return "", false }

func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

func TestFlagsComeBeforeTheEnvironment(t *testing.T) {
	variables := environment(map[string]string{
		"GRAVITY_BUILDS": "3", "GRAVITY_DIRECTORY": "/from/environment", "GRAVITY_LOG_FORMAT": "text",
		"TEMPORAL_DEPLOYMENT_NAME": "gravity", "TEMPORAL_WORKER_BUILD_ID": "7",
	})
	s, err := parse([]string{"--directory", "/from/flag"}, variables)
	require.NoError(t, err)
	assert.Equal(t, "/from/flag", s.directory)
	assert.Equal(t, 3, s.builds)
	assert.Equal(t, "text", s.logFormat)
	versioning := s.versioning()
	assert.True(t, versioning.UseVersioning)
	assert.Equal(t, "gravity", versioning.Version.DeploymentName)
	assert.Equal(t, "7", versioning.Version.BuildID)

	s, err = parse(nil, nothing)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(s.directory, filepath.Join("gravity", "worker")))
	assert.Equal(t, os.Getuid() == 0, s.directory == "/var/lib/gravity/worker", "root's home is closed to the accounts of commands")
	assert.False(t, s.versioning().UseVersioning)
	assert.Nil(t, s.credentials())
	assert.Equal(t, fleetSettings{platformRate: process.PlatformRate, workflowCache: process.WorkflowCache}, s.fleet)

	s, err = parse([]string{"--workflow-cache", "50"}, environment(map[string]string{"GRAVITY_PLATFORM_RATE": "0", "GRAVITY_WORKFLOW_CACHE": "7"}))
	require.NoError(t, err)
	assert.Equal(t, fleetSettings{platformRate: 0, workflowCache: 50}, s.fleet)
}

func TestWrongFlagsAreExplained(t *testing.T) {
	for says, c := range map[string]struct {
		arguments []string
		variables map[string]string
	}{
		"not defined: -bogus":             {arguments: []string{"--bogus"}},
		`unexpected argument "x"`:         {arguments: []string{"x"}},
		"--builds is 0":                   {arguments: []string{"--builds", "0"}},
		"--platform-rate is -1":           {arguments: []string{"--platform-rate", "-1"}},
		"--platform-rate is NaN":          {variables: map[string]string{"GRAVITY_PLATFORM_RATE": "NaN"}},
		"--workflow-cache is 0":           {arguments: []string{"--workflow-cache", "0"}},
		`GRAVITY_BUILDS="many"`:           {variables: map[string]string{"GRAVITY_BUILDS": "many"}},
		"--log-format is \"xml\"":         {arguments: []string{"--log-format", "xml"}},
		"--deployment and --build-id":     {arguments: []string{"--deployment", "gravity"}},
		"reading the git token: open /no": {arguments: []string{"--git-token-file", "/no/such/file"}},
		"--git-app-id and --git-app-key":  {arguments: []string{"--git-app-id", "7"}},
		"reading the GitHub App's key":    {arguments: []string{"--git-app-id", "7", "--git-app-key-file", "/no/such/file"}},
		"private key of GitHub App 7":     {arguments: []string{"--git-app-id", "7", "--git-app-key-file", os.DevNull}},
		"exclude each other":              {arguments: []string{"--git-app-id", "7", "--git-app-key-file", os.DevNull, "--git-token-file", os.DevNull}},
		"--ssh-known-hosts: /no/such":     {arguments: []string{"--ssh-known-hosts", "/no/such/file"}},
		"--mirrors-gb and --caches-gb":    {arguments: []string{"--mirrors-gb", "0"}},
		"--command-memory-mb is -1":       {variables: map[string]string{"GRAVITY_COMMAND_MEMORY_MB": "-1"}},
	} {
		_, err := parse(c.arguments, environment(c.variables))
		assert.ErrorContains(t, err, says)
	}
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitUsage, run(t.Context(), []string{"--bogus"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "worker --help")
	assert.Equal(t, exitStopped, run(t.Context(), []string{"--help"}, &stdout, &stderr))
	assert.Contains(t, stdout.String(), "Examples:")
}

func TestTheTokenIsReadForEveryFetchAndShownToItsHostAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("first\n"), 0o600))
	s, err := parse([]string{"--git-token-file", path}, nothing)
	require.NoError(t, err)
	credentials := s.credentials()

	username, token, err := credentials(t.Context(), "https://github.com/example/site")
	require.NoError(t, err)
	assert.Equal(t, []string{"x-access-token", "first"}, []string{username, token})
	require.NoError(t, os.WriteFile(path, []byte("second"), 0o600))
	_, token, err = credentials(t.Context(), "https://GitHub.com/example/site")
	require.NoError(t, err)
	assert.Equal(t, "second", token)
	for _, other := range []string{"https://evil.example/x", "https://github.com.evil.example/x", "http://github.com/x", "https://github.com:8443/x", "git@github.com:x/y"} {
		_, token, err := credentials(t.Context(), other)
		assert.NoError(t, err, other)
		assert.Empty(t, token, other)
	}
	for _, content := range []string{"", "two\nlines", strings.Repeat("x", maxToken+1)} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, _, err = credentials(t.Context(), "https://github.com/example/site")
		assert.ErrorContains(t, err, "must hold one line")
	}
}

func TestAGitHubAppTakesTheTokensPlace(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600))
	s, err := parse([]string{"--git-host", "github.example.com"}, environment(map[string]string{"GRAVITY_GIT_APP_ID": "7", "GRAVITY_GIT_APP_KEY_FILE": path}))
	require.NoError(t, err)
	// Nothing is asked of GitHub for what lies elsewhere.
	_, token, err := s.credentials()(t.Context(), "https://github.com/example/site")
	require.NoError(t, err)
	assert.Empty(t, token)
	assert.Equal(t, "github.example.com", s.gitHub.app.Host)
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitFailed, run(t.Context(), nil, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "no Temporal server at 127.0.0.1:1")
	assert.Contains(t, stderr.String(), "set TEMPORAL_ADDRESS or a profile")
}

func TestAWorkerPreparesItsNamespacePollsAndEndsInOrder(t *testing.T) {
	server, err := temporal.Start(t.Context(), temporal.Options{Headless: true})
	require.NoError(t, err)
	defer func() { assert.NoError(t, server.Close()) }()
	t.Setenv("TEMPORAL_ADDRESS", server.Address())
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)

	var stdout, stderr bytes.Buffer
	t.Setenv("AWS_REGION", "")
	assert.Equal(t, exitFailed, run(t.Context(), []string{"--directory", t.TempDir()}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "no AWS region is set: set AWS_REGION")

	t.Setenv("AWS_REGION", "eu-central-1")
	ctx, stop := context.WithCancel(t.Context())
	log := &watchedLog{until: "worker started", seen: stop}
	assert.Equal(t, exitStopped, run(ctx, []string{"--directory", t.TempDir(), "--commands-as-worker"}, &stdout, log), log.String())
	for line := range strings.Lines(log.String()) {
		assert.True(t, json.Valid([]byte(line)), line)
	}
	assert.Contains(t, log.String(), workflows.BuildQueue)
	assert.Contains(t, log.String(), "stopping")

	stderr.Reset()
	taken := strings.TrimPrefix(server.Address(), "http://")
	assert.Equal(t, exitFailed, run(t.Context(), []string{"--metrics-listen", taken}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "choose another address with --metrics-listen")

	ctx, stop = context.WithCancel(t.Context())
	var seen string
	log = &watchedLog{until: "worker started"}
	log.seen = func() {
		go func() {
			defer stop()
			seen = metricsOf(t, log.String())
		}()
	}
	arguments := []string{"--directory", t.TempDir(), "--commands-as-worker", "--metrics-listen", "127.0.0.1:0"}
	assert.Equal(t, exitStopped, run(ctx, arguments, &stdout, log), log.String())
	assert.Contains(t, seen, `temporal_worker_start_total{`)
	assert.Contains(t, seen, `task_queue="`+workflows.BuildQueue+`"`)
	assert.Regexp(t, `temporal_request_latency_seconds_bucket\{.*le="0.005"\}`, seen)
	assert.Contains(t, seen, "go_goroutines")
}

// metricsOf reads the metrics at the address that a log names.
func metricsOf(t *testing.T, log string) string {
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Address, Path string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving metrics" {
			response, err := http.Get("http://" + entry.Address + entry.Path)
			if !assert.NoError(t, err) {
				return ""
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			assert.NoError(t, err)
			return string(body)
		}
	}
	return ""
}

// watchedLog calls seen when a line with a text is written.
type watchedLog struct {
	mu      sync.Mutex
	written bytes.Buffer
	until   string
	seen    func()
}

func (l *watchedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(line), l.until) {
		l.seen()
	}
	return l.written.Write(line)
}

func (l *watchedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written.String()
}
