package main

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Go's client asks once more, and says nothing, where a connection ends that it used before.
func TestTheLoadCountsEveryRequestThatGotNoAnswer(t *testing.T) {
	var asked, dropped atomic.Int64
	enough := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1)
		if n == 40 {
			close(enough)
		}
		if n%4 == 0 {
			dropped.Add(1)
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte("here"))
	}))
	defer server.Close()
	users := startLoad(t.Context(), []string{server.URL})
	select {
	case <-enough:
	case <-time.After(time.Minute):
	}
	requests, failed, first := users.stop()
	require.GreaterOrEqual(t, requests, 39, first) // the last one may be cut off by the end
	require.InDelta(t, dropped.Load(), failed, 1, first)
	require.Contains(t, first, "EOF")
}
