package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/cluster"
)

func TestAWorkerConnectsByMutualTLSAndIsRefusedWithoutACertificate(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PostgreSQL and Temporal's server")
	}
	server, err := cluster.Start(t.Context(), cluster.Options{Directory: t.TempDir(), TLS: true, Progress: func(line string) { t.Log(line) }})
	if errors.Is(err, cluster.ErrNoPostgreSQL) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer func() { assert.NoError(t, server.Close()) }()
	for _, variable := range server.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_REGION", "eu-central-1")

	ctx, stop := context.WithCancel(t.Context())
	log := &watchedLog{until: "worker started", seen: stop}
	arguments := []string{"--directory", t.TempDir(), "--commands-as-worker"}
	assert.Equal(t, exitStopped, run(ctx, arguments, &bytes.Buffer{}, log), log.String())
	assert.Contains(t, log.String(), "stopping")

	for _, name := range []string{"TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH"} {
		require.NoError(t, os.Unsetenv(name)) // t.Setenv brings it back
	}
	var stderr bytes.Buffer
	assert.Equal(t, exitFailed, run(t.Context(), arguments, &bytes.Buffer{}, &stderr))
	assert.Contains(t, stderr.String(), "no Temporal server at "+server.Address())
}
