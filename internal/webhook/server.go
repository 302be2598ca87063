package webhook

import (
	"net/http"
	"time"
)

// maxConcurrent bounds the bodies held in memory at once: a body is read whole, up to 25 MB, before
// its signature can be known.
const maxConcurrent = 32

// NewServer makes the server for a Receiver: with times and sizes bounded, so that slow or greedy
// senders cannot exhaust it. Behind a TLS-terminating proxy, the proxy's own limits come on top.
func NewServer(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           limited(handler, maxConcurrent),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second, // for 25 MB; GitHub itself gives up after 10 s
		WriteTimeout:      45 * time.Second, // counts from the header's end, so it includes reading the body
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
}

// limited answers 503 when too many requests are under way; GitHub shows that, and it can be delivered again.
func limited(next http.Handler, most int) http.Handler {
	slots := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "too many requests at once; try again", http.StatusServiceUnavailable)
		}
	})
}
