package aws

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
)

// inProcessHost is the name of a stand-in that listens nowhere.
const inProcessHost = "stand-in"

// HTTPClient reaches the stand-in and the addresses of its environments without a network, whether
// it listens or not. Requests are carried out in the goroutine that makes them.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     inProcess{s},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// inProcess is the way of HTTPClient.
type inProcess struct{ server *Server }

// RoundTrip carries a request out.
func (t inProcess) RoundTrip(r *http.Request) (response *http.Response, err error) {
	handler := http.Handler(t.server)
	if r.URL.Host != inProcessHost {
		handler = t.server.platform.Front(r.URL.Host)
	}
	if handler == nil {
		return nil, fmt.Errorf("connect to %s: connection refused", r.URL.Host)
	}
	defer func() {
		// How a handler closes the connection without an answer.
		if reason := recover(); reason != nil {
			if failure, ok := reason.(error); !ok || !errors.Is(failure, http.ErrAbortHandler) {
				panic(reason)
			}
			response, err = nil, io.ErrUnexpectedEOF
		}
	}()
	// As a server gets it: with a body, and a path in place of the whole URL.
	received := r.Clone(r.Context())
	received.RequestURI, received.RemoteAddr, received.Host = r.URL.RequestURI(), "127.0.0.1:1", r.URL.Host
	received.URL.Scheme, received.URL.Host = "", ""
	if r.ContentLength >= 0 {
		received.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // for those that read it there
	}
	if received.Body == nil {
		received.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, received)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := recorder.Result()
	answer.Request = r
	return answer, nil
}
