package webhook

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARealServerTakesASignedPush(t *testing.T) {
	runs := &runs{}
	address := serving(t, receiver(runs))
	r := request("push", sample(t, "push.json", nil))
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", address
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	require.NotEmpty(t, answer.Header.Get("X-Request-Id"))
	require.Equal(t, "http://127.0.0.1:8233/run/hello/"+sha, answer.Header.Get("Location"))
	require.Len(t, runs.started, 2)
}

func TestABodyThatEndsEarlyIsRefused(t *testing.T) {
	address := serving(t, receiver(&runs{}))
	connection, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	_, err = fmt.Fprintf(connection, "POST / HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=00\r\nContent-Length: 100\r\n\r\nshort")
	require.NoError(t, err)
	require.NoError(t, connection.(*net.TCPConn).CloseWrite())
	require.NoError(t, connection.SetReadDeadline(time.Now().Add(time.Minute)))
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
}

func TestTheServerBoundsEveryTime(t *testing.T) {
	server := NewServer("127.0.0.1:0", http.NotFoundHandler())
	require.Positive(t, server.ReadHeaderTimeout)
	require.Positive(t, server.ReadTimeout)
	require.Greater(t, server.WriteTimeout, server.ReadTimeout+startTimeout)
	require.Positive(t, server.IdleTimeout)
	require.Positive(t, server.MaxHeaderBytes)
}

// serving runs a handler in a NewServer until the test ends, and answers its address.
func serving(t *testing.T, handler http.Handler) string {
	t.Helper()
	return servingWith(t, handler, func(*http.Server) {})
}

func servingWith(t *testing.T, handler http.Handler, change func(*http.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := NewServer("", handler)
	change(server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return listener.Addr().String()
}
