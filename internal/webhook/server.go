package webhook

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// MaxConnections bounds what senders can hold open at once; the memory of their bodies is bounded by Bodies.
const MaxConnections = 1024

// NewServer makes the server for a Receiver: with times and sizes bounded, so that slow or greedy
// senders cannot exhaust it. Behind a TLS-terminating proxy, the proxy's own limits come on top.
func NewServer(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           identified(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // GitHub itself gives up after as long
		WriteTimeout:      20 * time.Second, // counts from the header's end, so it includes reading the body
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
}

type requestKey struct{}

// RequestID is the ID under which a request is logged, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// identified gives every request an ID, in the log and in the answer's X-Request-Id. A sender's own is not
// taken over: it could be another's.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := uuid.NewString()
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, id)))
	})
}
