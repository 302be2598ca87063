package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

func TestWithTLSWhoeverShowsNoCertificateIsRefused(t *testing.T) {
	c := start(t, Options{Directory: t.TempDir(), TLS: true, SearchAttributes: attributes()})
	connection := dial(t, c)
	startWorker(t, connection)
	// Through frontend, history and matching, which talk to each other by TLS too.
	run, err := connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "counted", TaskQueue: "counts"}, "count", 0)
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))

	options, err := c.ClientOptions()
	require.NoError(t, err)
	options.ConnectionOptions.TLS.Certificates = nil
	_, err = client.DialContext(t.Context(), options)
	require.ErrorContains(t, err, "certificate required")

	options.ConnectionOptions.TLS = nil
	_, err = client.DialContext(t.Context(), options)
	assert.Error(t, err)
}
