package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/local/git"
	"gravity/internal/proof/lab"
	"gravity/workflows"
)

// TestAKeySaysWhatAWorkerAndTheCommandLineMayDo holds docs/security.md to what it says of API keys.
func TestAKeySaysWhatAWorkerAndTheCommandLineMayDo(t *testing.T) {
	d := newDoor(t)
	write, read := d.key("write"), d.key("read")
	for name, key := range map[string]string{
		"none": "", "an expired one": d.expired("write"), "one of another authority": forged(t, write), "one for another namespace": d.keyFor("elsewhere:admin"),
	} {
		t.Run("whoever has "+name+" is refused", func(t *testing.T) {
			d := d.of(t)
			d.refused(key, "status")
			d.workerRefused(key)
		})
	}
	d.switchesTLSOn(write)

	log, _ := d.start(d.worker(write), "worker started")
	assert.NotContains(t, log.String(), "changes by hand are noticed by the next deployment alone", "it may keep a schedule")
	assert.Contains(t, log.String(), "temporal operator search-attribute create --namespace "+doorNamespace)
	for _, name := range workflows.SearchAttributes() {
		assert.Contains(t, log.String(), "--name "+name)
	}
	early := d.run(write, "deploy", "good")
	assert.Equal(t, 2, early.code)
	assert.Contains(t, early.stderr, "a worker that starts in this namespace prepares it, or logs the command that does")
	setUp, stop := d.start(d.worker(d.key("admin")), "worker started")
	assert.NotContains(t, setUp.String(), "could not be prepared")
	stop() // from here on the only worker is the one that may write

	var started struct {
		Run string `json:"run"`
	}
	d.succeeds(write, &started, "deploy", "good")
	d.await(read, started.Run, workflows.StateWaiting)
	t.Run("whoever may read looks and changes nothing", func(t *testing.T) {
		d := d.of(t)
		for _, command := range []string{"deploy good --again", "approve " + started.Run, "abort " + started.Run + " --reason no", "freeze live --reason no"} {
			d.refused(read, strings.Fields(command)...)
		}
		d.refused(read, "serve", "--secret-file", d.secret(), "--listen", "127.0.0.1:0")
		d.workerRefused(read)
		for _, command := range []string{"status", "status " + started.Run, "history", "stats", "workers"} {
			d.succeeds(read, nil, strings.Fields(command)...)
		}
	})
	d.succeeds(write, nil, "approve", started.Run, "--by", "ana")
	d.succeeds(read, nil, "watch", started.Run)
	d.await(read, started.Run, workflows.StateSucceeded)
	receiver := d.receives(write)
	d.byProfile(read)
	d.keepsItsKeys(log, setUp, receiver)
}

// forged is a key that says what another one says, signed by somebody else in the same name.
func forged(t *testing.T, key string) string {
	t.Helper()
	token, _, err := jwt.NewParser().ParseUnverified(key, jwt.MapClaims{})
	require.NoError(t, err)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	signed, err := token.SignedString(own)
	require.NoError(t, err)
	return signed
}

func (d *door) succeeds(key string, answer any, arguments ...string) {
	d.t.Helper()
	got := d.run(key, arguments...)
	require.Zero(d.t, got.code, "%s: %s", arguments, got.stderr)
	if answer != nil {
		require.NoError(d.t, json.Unmarshal([]byte(got.stdout), answer), got.stdout)
	}
}

// refused: a key is of no use for a command, which says where to look.
func (d *door) refused(key string, arguments ...string) {
	d.t.Helper()
	got := d.run(key, arguments...)
	assert.Equal(d.t, 2, got.code, "%s: %s", arguments, got.stdout)
	lines := strings.Split(strings.TrimSpace(got.stderr), "\n") // a service logs before
	var said struct{ Error, Type string }
	require.NoError(d.t, json.Unmarshal([]byte(lines[len(lines)-1]), &said), got.stderr)
	assert.Equal(d.t, string(delivery.AccessDenied), said.Type, "%s: %s", arguments, got.stderr)
	assert.Contains(d.t, said.Error, "look at TEMPORAL_API_KEY", "%s", arguments)
}

// await asks for a run, with a key, until it is in a state.
func (d *door) await(key, run string, state workflows.RunState) {
	d.t.Helper()
	var status workflows.RunStatus
	require.Eventually(d.t, func() bool {
		got := d.run(key, "status", run)
		return got.code == 0 && json.Unmarshal([]byte(got.stdout), &status) == nil && status.State == state
	}, time.Minute, 200*time.Millisecond, "%s is %s", run, state)
}

// workerRefused: with this key a worker ends at once, and says where to look.
func (d *door) workerRefused(key string) {
	d.t.Helper()
	got := d.end(d.worker(key))
	assert.Equal(d.t, exitFailed, got.code)
	assert.Contains(d.t, got.stderr, "look at TEMPORAL_API_KEY")
	assert.NotContains(d.t, got.stderr, "worker started")
}

// receives pushes a change to a receiver with a key, which starts a run of it, and ends that one by a signal.
func (d *door) receives(key string) *watchedLog {
	d.t.Helper()
	log, _ := d.start(d.command(d.with(key), "serve", "--secret-file", d.secret(), "--listen", "127.0.0.1:0", "--drain", "0s"), `"listening"`)
	assert.NotContains(d.t, log.String(), "nobody looks for lost pushes", "it may keep a schedule")
	_, after, _ := strings.Cut(log.String(), `"listening","address":"`)
	address, _, found := strings.Cut(after, `"`)
	require.True(d.t, found, log.String())
	d.host.SetWebhook("http://"+address+"/webhook", []byte(doorSecret))
	working, err := git.Clone(d.t.Context(), d.host.CloneURL(doorRepository), filepath.Join(d.t.TempDir(), "clone"))
	require.NoError(d.t, err)
	require.NoError(d.t, working.Write("page", "another page"))
	sha, err := working.Commit(d.t.Context(), "The second version")
	require.NoError(d.t, err)
	require.NoError(d.t, working.Push(d.t.Context(), "main"))
	run := delivery.RunID("good", sha)
	d.await(key, run, workflows.StateWaiting)
	d.succeeds(key, nil, "abort", run, "--reason", "the first version will do")
	d.await(key, run, workflows.StateAborted)
	return log
}

// switchesTLSOn: a key alone makes the connection one by TLS, by which the server has to prove itself.
func (d *door) switchesTLSOn(key string) {
	d.t.Helper()
	address := "TEMPORAL_ADDRESS=" + d.server.Address()
	assert.Contains(d.t, d.end(d.command([]string{address, "TEMPORAL_API_KEY=" + key}, "status")).stderr, "x509: ")
	assert.NotContains(d.t, d.end(d.command([]string{address}, "status")).stderr, "x509: ")
}

// byProfile: a profile's key is as good, and in no environment.
func (d *door) byProfile(key string) {
	d.t.Helper()
	given := map[string]string{}
	for _, variable := range d.server.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		given[name] = value
	}
	profile := filepath.Join(d.t.TempDir(), "temporal.toml")
	require.NoError(d.t, os.WriteFile(profile, fmt.Appendf(nil, `[profile.people]
address = %q
namespace = %q
api_key = %q
[profile.people.tls]
server_ca_cert_path = %q
server_name = %q
`, given["TEMPORAL_ADDRESS"], doorNamespace, key, given["TEMPORAL_TLS_SERVER_CA_CERT_PATH"], given["TEMPORAL_TLS_SERVER_NAME"]), 0o600))
	got := d.end(d.command([]string{"TEMPORAL_CONFIG_FILE=" + profile}, "status", "--profile", "people"))
	assert.Zero(d.t, got.code, got.stderr)
}

// keepsItsKeys searches what was logged and printed, and all that Temporal stores, for the keys and what they say.
func (d *door) keepsItsKeys(logs ...*watchedLog) {
	d.t.Helper()
	options, err := d.server.ClientOptions()
	require.NoError(d.t, err)
	administrator, err := client.DialContext(d.t.Context(), options)
	require.NoError(d.t, err)
	defer administrator.Close()
	stored, _, err := lab.Stored(d.t.Context(), administrator)
	require.NoError(d.t, err)
	require.Contains(d.t, string(stored), "The first version", "the search finds what is there")
	everything := d.printed.String() + string(stored)
	for _, log := range logs {
		everything += log.String()
	}
	for i, key := range d.keys {
		for part := range strings.SplitSeq(key, ".") {
			assert.False(d.t, strings.Contains(everything, part), "a part of key %d", i) // which is not shown
		}
	}
}
