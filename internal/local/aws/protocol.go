package aws

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gravity/internal/local/aws/faults"
	"gravity/internal/local/aws/platform"
	"gravity/internal/local/aws/query"
)

// maxForm is the size in bytes up to which a Beanstalk request is read.
const maxForm = 1 << 20

// ServeHTTP answers Beanstalk's requests, which are forms sent to the root, and leaves the others
// to S3.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPath) {
		s.adminAPI.ServeHTTP(w, r)
		return
	}
	if !isQuery(r) {
		s.count("S3 " + r.Method)
		s.serveObjects(w, r)
		return
	}
	requestID := s.platform.NewRequestID()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		s.refuse(w, requestID, malformed("The request is larger than %d bytes or could not be read.", maxForm))
		return
	}
	fate := s.faults.Call()
	if !pause(r, fate.Delay) || fate.Dropped {
		panic(http.ErrAbortHandler) // closes the connection
	}
	answer, fault := s.answer(r, body, requestID, fate)
	if fate.AnswerLost {
		panic(http.ErrAbortHandler)
	}
	if fault != nil {
		s.refuse(w, requestID, fault)
		return
	}
	send(w, http.StatusOK, requestID, answer)
}

// unhurried answers Beanstalk's requests no faster than any real network could. The AWS SDK closes
// a request's body as soon as it sees an answer, and when Go's transport has not yet looked for the
// end of that body, which on a busy machine can take longer than our answer, it takes that for an
// error and closes the connection in the middle of the answer.
type unhurried struct{ http.Handler }

const fastestAnswer = 5 * time.Millisecond

func (u unhurried) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isQuery(r) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
		if err == nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		pause(r, fastestAnswer)
	}
	u.Handler.ServeHTTP(w, r)
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

// isQuery tells the two protocols apart: S3 has no forms at the root.
func isQuery(r *http.Request) bool {
	if r.URL.Path != "/" && r.URL.Path != "" {
		return false
	}
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	return r.Method == http.MethodPost && form || r.URL.Query().Has("Action")
}

// answer carries a Beanstalk request out.
func (s *Server) answer(r *http.Request, body []byte, requestID string, fate faults.Fate) ([]byte, *platform.Fault) {
	if fault := s.authenticate(r, body); fault != nil {
		return nil, fault
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, malformed("The request is not a valid form.")
	}
	for name, values := range r.URL.Query() {
		form[name] = values
	}
	name := form.Get("Action")
	op, known := s.operations[name]
	if name == "" {
		return nil, badRequest("MissingAction", "The request must contain the parameter Action.")
	}
	if !known {
		return nil, badRequest("InvalidAction", "Could not find operation %.100s for version %s.", name, query.Version)
	}
	if version := form.Get("Version"); version != query.Version {
		return nil, badRequest("NoSuchVersion", "The requested version (%.100s) of service AWSElasticBeanstalk does not exist.", version)
	}
	s.count(name)
	parameters, err := query.Parse(form)
	if err != nil {
		return nil, malformed("%v", err)
	}
	switch {
	case fate.Throttled:
		return nil, badRequest("Throttling", "Rate exceeded")
	case fate.Failed:
		return nil, &platform.Fault{Code: "ServiceUnavailable", Message: "The service is unavailable at the moment.", Status: http.StatusServiceUnavailable}
	}
	if fault := s.check(name, op, parameters); fault != nil {
		return nil, fault
	}
	out, err := op.run(s.platform, platform.Call{RequestID: requestID}, parameters)
	if err != nil {
		return nil, asFault(err)
	}
	if op.silent {
		out = nil
	}
	return query.Response(name, requestID, out), nil
}

func asFault(err error) *platform.Fault {
	var fault *platform.Fault
	if errors.As(err, &fault) {
		return fault
	}
	return &platform.Fault{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}

func (s *Server) refuse(w http.ResponseWriter, requestID string, fault *platform.Fault) {
	sender := fault.Status < http.StatusInternalServerError
	send(w, fault.Status, requestID, query.Error(fault.Code, fault.Message, requestID, sender))
}

func send(w http.ResponseWriter, status int, requestID string, body []byte) {
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", requestID)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone when this fails
}
