// Package service is what the AWS services of the stand-in's endpoint have in common, so that one
// more is a package of its own and one line in the endpoint's list.
//
// The endpoint finds a request's service by the name that it was signed for, checks the signature,
// and lets happen what faults say is to happen to the call. The service speaks its protocol; those
// that speak AWS's Query protocol get that from package query.
package service

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/faults"
)

// Service is one AWS service.
type Service interface {
	// Operation names the operation that a request asks for; empty when there is none of that name.
	Operation(Request) string
	// Answer carries a request out.
	Answer(Request) Response
	// Refuse is the answer of the service's protocol to a request that is not carried out.
	Refuse(Request, *Fault) Response
	// Close ends what runs. What has to survive is on disk already.
	Close() error
}

// Registration is how a service gets onto the endpoint.
type Registration struct {
	// Name is what clients sign for: "cloudformation".
	Name string
	// Open starts the service on what is in its data folder.
	Open func(Ground) (Service, error)
}

// Ground is what the stand-in gives a service to stand on.
type Ground struct {
	DataDir string // the service's own
	Clock   clock.Clock
	// Step is how long the platform takes between two steps of an operation, at the stand-in's pace.
	Step    time.Duration
	Log     *slog.Logger
	Region  string
	Account string
	Seed    uint64 // of everything that is made up
	// Client speaks to the endpoint itself: services reach each other as everybody reaches them.
	// It may be used once the endpoint runs, which it does not yet while Open does.
	Client aws.Config
	// Faults say what is to go wrong. Those of calls have happened before a service sees the call.
	Faults *faults.Injector
}

// Request is a call whose signature was found right.
type Request struct {
	*http.Request
	Content []byte // of the body, which was read already
	ID      string
}

// Response is the answer to a call.
type Response struct {
	Status int
	Type   string      // of the body
	Header http.Header // further ones that the protocol wants
	Body   []byte
}

// Fault is an error as AWS answers it.
type Fault struct {
	Code    string
	Message string
	Status  int // of HTTP; from 500 on it is the service's fault, not the caller's
}

func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// Call is the request that asks for an operation.
type Call struct {
	RequestID string
}
