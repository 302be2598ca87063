package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/internal/local/git"
	"gravity/internal/local/temporal"
	"gravity/worker/connection"
	"gravity/worker/runs"
	"gravity/workflows"
)

func TestEachLineAboutARunSaysWhichRunPipelineAndRevision(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	server, err := temporal.Start(t.Context(), temporal.Options{Headless: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	t.Setenv("TEMPORAL_ADDRESS", server.Address())
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // so that a step fails
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "LOCALSTANDIN")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "local-stand-in")
	host, err := git.Start(t.Context(), git.Options{DataDir: t.TempDir()})
	require.NoError(t, err)
	defer func() { require.NoError(t, host.Close()) }()
	require.NoError(t, host.Create(t.Context(), "example/site"))
	sha, err := host.Fill(t.Context(), "example/site", "../site", "Begin")
	require.NoError(t, err)

	ctx, stop := context.WithCancel(t.Context())
	started, ended := make(chan struct{}), make(chan int)
	log := &watchedLog{until: "worker started", seen: func() { close(started) }}
	go func() {
		ended <- run(ctx, []string{"--directory", t.TempDir(), "--commands-as-worker", "--local-repositories"}, log, log)
	}()
	select {
	case <-started:
	case <-ended:
		require.Fail(t, "the worker ended", log)
	}
	options, err := connection.Settings{Log: slog.New(slog.DiscardHandler)}.Options()
	require.NoError(t, err)
	client, err := connection.Dial(t.Context(), options)
	require.NoError(t, err)
	defer client.Close()
	begun, err := runs.Start(t.Context(), client, runs.Request{
		Pipeline: delivery.Pipeline{
			Name: "site", Repository: host.CloneURL("example/site"), Application: "site",
			Stages: []delivery.Stage{{Name: "staging", Environment: "site-staging", Branches: []string{"main"}}},
		},
		Revision: delivery.Revision{SHA: sha, Ref: "refs/heads/main"},
	})
	require.NoError(t, err)
	const ofSDK = "Activity error."
	require.Eventually(t, func() bool { return strings.Contains(log.String(), ofSDK) }, time.Minute, 10*time.Millisecond)
	require.NoError(t, client.SignalWorkflow(t.Context(), begun.RunID, "", workflows.AbortSignal, workflows.Answer{By: "ana"}))
	require.Error(t, client.GetWorkflow(t.Context(), begun.RunID, "").Get(t.Context(), nil), "aborted")
	stop()
	require.Equal(t, exitStopped, <-ended)

	about := map[string]bool{}
	for text := range strings.Lines(log.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		message := line["msg"].(string)
		if line["WorkflowID"] == nil && message != "mirror is made" {
			continue // about the worker itself
		}
		about[message] = true
		require.Equal(t, []any{begun.RunID, "site", sha}, []any{line["run"], line["pipeline"], line["revision"]}, text)
	}
	for from, message := range map[string]string{"a workflow": "run", "a step": "mirror is made", "Temporal's SDK": ofSDK} {
		require.True(t, about[message], "a line of %s; all of them:\n%s", from, log)
	}
	require.Contains(t, log.String(), `"state":"`+string(workflows.StateAborted)+`"`)
}
