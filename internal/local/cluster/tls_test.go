package cluster

import (
	"crypto/tls"
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
	require.Error(t, err)
	// Why: whoever only listens hears it. A client that goes on writing may find the connection closed first.
	listener, err := tls.Dial("tcp", c.Address(), options.ConnectionOptions.TLS)
	require.NoError(t, err)
	_, err = listener.Read(make([]byte, 1))
	require.ErrorContains(t, err, "certificate required")
	require.NoError(t, listener.Close())

	options.ConnectionOptions.TLS = nil
	_, err = client.DialContext(t.Context(), options)
	assert.Error(t, err)
}
