package aws

import (
	"encoding/xml"
	"errors"
	"net/http"
	"time"

	"gravity/internal/local/aws/service"
	"gravity/internal/local/aws/signature"
)

func (s *Server) keys() signature.Keys {
	return signature.Keys{AccessKeyID: s.options.AccessKeyID, SecretAccessKey: s.options.SecretAccessKey, Region: s.options.Region}
}

// presign makes a URL that reads an object without credentials.
func (s *Server) presign(bucket, key string, valid time.Duration) (string, error) {
	return signature.Presign(s.URL()+"/"+bucket+"/"+key, "s3", s.keys(), time.Now(), valid)
}

// authenticate is the answer to a call that is not signed as it should be, or nil. It goes by the
// machine's own time, as clients do, whatever the clock of the platform says.
func (s *Server) authenticate(r service.Request, name string) *service.Fault {
	var failure *signature.Failure
	if !errors.As(signature.Check(r.Request, r.Content, name, s.keys(), time.Now()), &failure) {
		return nil
	}
	code := map[signature.Kind]string{
		signature.Missing: "MissingAuthenticationToken", signature.Incomplete: "IncompleteSignature",
		signature.UnknownKey: "InvalidClientTokenId", signature.Expired: "SignatureDoesNotMatch", signature.Mismatch: "SignatureDoesNotMatch",
	}[failure.Kind]
	return &service.Fault{Code: code, Message: failure.Message, Status: http.StatusForbidden}
}

// serveObjects hands a request to S3, once its signature is found right.
func (s *Server) serveObjects(w http.ResponseWriter, r *http.Request) {
	var failure *signature.Failure
	if errors.As(signature.Check(r, nil, "s3", s.keys(), time.Now()), &failure) {
		refuseObjects(w, failure)
		return
	}
	r.Body = signature.Body(r)
	s.objects.ServeHTTP(w, r)
}

// refuseObjects answers the way that S3 does.
func refuseObjects(w http.ResponseWriter, failure *signature.Failure) {
	answer := struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Message: failure.Message}
	answer.Code = map[signature.Kind]string{
		signature.Missing: "AccessDenied", signature.Incomplete: "AuthorizationHeaderMalformed", signature.UnknownKey: "InvalidAccessKeyId",
		signature.Expired: "RequestTimeTooSkewed", signature.Mismatch: "SignatureDoesNotMatch",
	}[failure.Kind]
	body, err := xml.Marshal(answer)
	if err != nil {
		http.Error(w, answer.Code, http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write(body) // the client has gone when this fails
}
