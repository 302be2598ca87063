package aws

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"gravity/internal/local/aws/faults"
	"gravity/internal/local/aws/service"
	"gravity/internal/local/aws/signature"
)

// maxCall is the size in bytes up to which a call of an API is read.
const maxCall = 1 << 20

// beanstalkName is what Beanstalk's clients sign for.
const beanstalkName = "elasticbeanstalk"

// ServeHTTP finds the service that a request is for. What is for none of those that answer calls
// is S3's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPath) {
		s.adminAPI.ServeHTTP(w, r)
		return
	}
	name := s.serviceOf(r)
	if name == "" {
		s.count("S3 " + r.Method)
		s.serveObjects(w, r)
		return
	}
	s.serveCall(w, r, name)
}

// serviceOf is the name of the service that answers a request's call, or nothing when it is no call.
// A form at the root that is for nobody in particular is taken for one of Beanstalk's.
func (s *Server) serviceOf(r *http.Request) string {
	name := signature.Service(r)
	switch _, served := s.services[name]; {
	case served:
		return name
	case isForm(r):
		return beanstalkName
	default:
		return ""
	}
}

// isForm tells calls of the Query protocol from S3's requests: S3 has no forms at the root.
func isForm(r *http.Request) bool {
	if r.URL.Path != "/" && r.URL.Path != "" {
		return false
	}
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	return r.Method == http.MethodPost && form || r.URL.Query().Has("Action")
}

// serveCall answers a call of a service's API, as far as faults let it.
func (s *Server) serveCall(w http.ResponseWriter, r *http.Request, name string) {
	called := s.services[name]
	request := service.Request{Request: r, ID: s.platform.NewRequestID()}
	var err error
	if request.Content, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall)); err != nil {
		send(w, request, called.Refuse(request, &service.Fault{Code: "MalformedQueryString", Status: http.StatusBadRequest,
			Message: "The request is larger than a megabyte, or could not be read."}))
		return
	}
	fate := s.faults.Call(name)
	if !pause(r, fate.Delay) || fate.Dropped {
		panic(http.ErrAbortHandler) // closes the connection
	}
	answer := s.answer(called, name, request, fate)
	if fate.AnswerLost {
		panic(http.ErrAbortHandler)
	}
	send(w, request, answer)
}

func (s *Server) answer(called service.Service, name string, request service.Request, fate faults.Fate) service.Response {
	if fault := s.authenticate(request, name); fault != nil {
		return called.Refuse(request, fault)
	}
	operation := called.Operation(request)
	switch {
	case operation != "" && name == beanstalkName:
		s.count(operation)
	case operation != "":
		s.count(name + " " + operation)
	}
	switch {
	case fate.Throttled:
		return called.Refuse(request, &service.Fault{Code: "Throttling", Message: "Rate exceeded", Status: http.StatusBadRequest})
	case fate.Failed:
		return called.Refuse(request, &service.Fault{Code: "ServiceUnavailable", Message: "The service is unavailable at the moment.", Status: http.StatusServiceUnavailable})
	}
	return called.Answer(request)
}

func send(w http.ResponseWriter, request service.Request, answer service.Response) {
	w.Header().Set("Content-Type", answer.Type)
	w.Header().Set("x-amzn-RequestId", request.ID)
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body) // the client has gone when this fails
}

// unhurried answers calls no faster than any real network could. The AWS SDK closes a request's
// body as soon as it sees an answer, and when Go's transport has not yet looked for the end of that
// body, which on a busy machine can take longer than our answer, it takes that for an error and
// closes the connection in the middle of the answer.
type unhurried struct{ *Server }

const fastestAnswer = 5 * time.Millisecond

func (u unhurried) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, adminPath) && u.serviceOf(r) != "" {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
		if err == nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		pause(r, fastestAnswer)
	}
	u.Server.ServeHTTP(w, r)
}

// pause waits, unless the client has gone in the meantime.
func pause(r *http.Request, delay time.Duration) bool {
	select {
	case <-time.After(delay):
		return true
	case <-r.Context().Done():
		return false
	}
}
