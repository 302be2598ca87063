package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	local "gravity/internal/local/github"
)

func TestFailedDeliveriesAreAskedForAgain(t *testing.T) {
	server, err := local.Start(t.Context(), local.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	sent := func(id int64, guid string, code int) *github.HookDelivery {
		return &github.HookDelivery{
			ID: &id, GUID: &guid, DeliveredAt: &github.Timestamp{Time: time.Now().Add(-time.Minute)}, StatusCode: &code,
			Event: github.String("push"), Status: github.String("x"),
		}
	}
	server.Change("example/site", func(r *local.Repository) {
		r.Deliveries = []*github.HookDelivery{sent(3, "a", 202), sent(2, "b", 503), sent(1, "a", 503)}
	})
	again := make(chan int64, 10)
	server.OnRedeliver(func(_ string, id int64) { again <- id })
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("ghp_x\n"), 0o600))
	var out bytes.Buffer
	command := func(extra ...string) int {
		out.Reset()
		arguments := append([]string{"redeliver", "-o", "json", "--github-url", server.URL(), "--github-token-file", token,
			"--repository", server.CloneURL("example/site"), "--hook", "42"}, extra...)
		return run(t.Context(), arguments, &out, io.Discard)
	}
	require.Zero(t, command("--dry-run"))
	var answer redelivered
	require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
	require.Len(t, answer.Failed, 1)
	require.Empty(t, answer.Asked)

	require.Zero(t, command())
	require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
	require.Equal(t, []int64{2}, answer.Asked)
	require.EqualValues(t, 2, <-again)
	require.NotContains(t, out.String(), "ghp_x")
}

func TestRedeliverSaysWhatItNeeds(t *testing.T) {
	for says, flags := range map[string]redeliverFlags{
		"as whom":         {since: time.Hour},
		"belong together": {since: time.Hour, repository: "https://github.com/example/site"},
		"how far back":    {},
	} {
		err := newGlobals(io.Discard, io.Discard).redeliver(t.Context(), flags)
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
		require.ErrorContains(t, err, says)
	}
}
