package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/cluster"
	"gravity/internal/local/git"
	"gravity/internal/proof/lab"
)

// door is a server that asks everybody for a key, and the two programs that come to it.
type door struct {
	t       *testing.T
	server  *cluster.Cluster
	starter string // the program
	host    *git.Host
	config  string        // gravity.yaml
	common  []string      // variables
	keys    []string      // all that were used
	printed *bytes.Buffer // all that the programs printed and were called with
}

const (
	doorNamespace  = "deliveries"
	doorRepository = "team/site"
	doorSecret     = "a webhook's secret of thirty bytes"
)

func newDoor(t *testing.T) *door {
	if testing.Short() {
		t.Skip("starts PostgreSQL and Temporal's server")
	}
	server, err := cluster.Start(t.Context(), cluster.Options{
		Directory: t.TempDir(), Namespace: doorNamespace, Authorization: true, Progress: func(line string) { t.Log(line) },
	})
	if errors.Is(err, cluster.ErrNoPostgreSQL) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	d := &door{t: t, server: server, printed: &bytes.Buffer{}, starter: filepath.Join(t.TempDir(), "starter")}
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", d.starter, "../starter").CombinedOutput()
	require.NoError(t, err, "%s", output)

	region, err := lab.NewRegion(aws.Options{DataDir: t.TempDir(), Pace: aws.TestPace()})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, region.Close()) })
	_, err = region.Version("good-0")
	require.NoError(t, err)
	require.NoError(t, region.Create("live", "good-0", delivery.AllAtOnce, 20*time.Millisecond))
	aws := region.Server.Config()
	credentials, err := aws.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	d.config = d.repository()
	d.common = append(clean(os.Environ()), "XDG_CACHE_HOME="+t.TempDir(),
		"AWS_ENDPOINT_URL="+region.Server.URL(), "AWS_REGION="+aws.Region, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_ACCESS_KEY_ID="+credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+credentials.SecretAccessKey)
	return d
}

// clean is an environment without what would say where Temporal is.
func clean(environment []string) (kept []string) {
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "TEMPORAL_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// repository makes one whose pipeline waits at a gate, and answers with the pipelines' file.
func (d *door) repository() string {
	host, err := git.Start(d.t.Context(), git.Options{DataDir: d.t.TempDir()})
	require.NoError(d.t, err)
	d.t.Cleanup(func() { assert.NoError(d.t, host.Close()) })
	d.host = host
	tree := d.t.TempDir()
	config := filepath.Join(tree, "gravity.yaml")
	require.NoError(d.t, os.WriteFile(filepath.Join(tree, "Procfile"), []byte("web: true\n"), 0o600))
	require.NoError(d.t, os.WriteFile(config, fmt.Appendf(nil, `pipelines:
  - name: good
    repository: %s
    application: %s
    stages:
      - {name: live, environment: live, strategy: all-at-once, gate: {approval: {timeout: 1h}}, health: {steady: 1s, check: {path: /}}}
`, host.CloneURL(doorRepository), lab.Application), 0o600))
	require.NoError(d.t, host.Create(d.t.Context(), doorRepository))
	_, err = host.Fill(d.t.Context(), doorRepository, tree, "The first version")
	require.NoError(d.t, err)
	return config
}

func (d *door) of(t *testing.T) *door {
	part := *d
	part.t = t
	return &part
}

func (d *door) key(role string) string { return d.keyFor(doorNamespace + ":" + role) }

func (d *door) keyFor(permission string) string {
	return d.keyUntil(time.Now().Add(time.Hour), permission)
}

func (d *door) expired(role string) string {
	return d.keyUntil(time.Now().Add(-time.Minute), doorNamespace+":"+role)
}

func (d *door) keyUntil(expires time.Time, permission string) string {
	d.t.Helper()
	key, err := d.server.Token(expires, permission)
	require.NoError(d.t, err)
	d.keys = append(d.keys, key)
	return key
}

func (d *door) secret() string {
	path := filepath.Join(d.t.TempDir(), "secret")
	require.NoError(d.t, os.WriteFile(path, []byte(doorSecret), 0o600))
	return path
}

// ended is how a program ended.
type ended struct {
	code           int
	stdout, stderr string
}

// run runs the command line with a key.
func (d *door) run(key string, arguments ...string) ended {
	d.t.Helper()
	return d.end(d.command(d.with(key), arguments...))
}

// with is what a process with a key has to know of the server.
func (d *door) with(key string) []string {
	return append(d.server.Environment(), "TEMPORAL_API_KEY="+key)
}

func (d *door) command(environment []string, arguments ...string) *exec.Cmd {
	command := exec.Command(d.starter, append(arguments, "--output", "json", "--config", d.config)...)
	command.Env = slices.Concat(d.common, environment)
	return command
}

// end runs a program to its end. One that goes on, as a worker that was let in does, is killed after a while.
func (d *door) end(command *exec.Cmd) ended {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	require.NoError(d.t, command.Start())
	patience := time.AfterFunc(2*time.Minute, func() { _ = command.Process.Kill() })
	defer patience.Stop()
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) {
		require.NoError(d.t, err)
	}
	fmt.Fprintln(d.printed, command.Args, stdout.String(), stderr.String())
	return ended{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (d *door) worker(key string) *exec.Cmd {
	d.t.Helper()
	command := exec.Command(os.Args[0], "--commands-as-worker", "--local-repositories", "--directory", d.t.TempDir())
	command.Env = slices.Concat(d.common, d.with(key), []string{asWorker + "=1"})
	return command
}

// start starts what ends in order by stop, or with the test, and returns when its log has a line.
func (d *door) start(command *exec.Cmd, line string) (log *watchedLog, stop func()) {
	d.t.Helper()
	seen := make(chan struct{})
	log = &watchedLog{until: line, seen: sync.OnceFunc(func() { close(seen) })}
	command.Stderr = log
	require.NoError(d.t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	stop = sync.OnceFunc(func() {
		_ = command.Process.Signal(os.Interrupt)
		patience := time.AfterFunc(2*time.Minute, func() { _ = command.Process.Kill() })
		defer patience.Stop()
		assert.NoError(d.t, <-ended, "it ends in order")
	})
	d.t.Cleanup(stop)
	select {
	case <-seen:
	case err := <-ended:
		ended <- err
		require.FailNow(d.t, "it ended", log.String())
	}
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", command.Process.Pid))
	require.NoError(d.t, err)
	d.printed.Write(arguments)
	return log, stop
}
