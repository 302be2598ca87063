// Package webhook turns a signed GitHub request into runs. Nothing in a request is looked at before
// its signature over the exact body was found right.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
	"go.opentelemetry.io/otel/trace"

	"gravity/internal/delivery"
)

const (
	// maxBody is GitHub's own limit for a payload, in bytes.
	maxBody = 25 << 20
	// startTimeout bounds starting all runs of a push: GitHub hangs up after 10 seconds.
	startTimeout = 8 * time.Second
	// maxAge is how old an event may be. GitHub delivers one again for three days; what comes later was
	// kept by somebody else. The hour is for clocks.
	maxAge = 73 * time.Hour
	// signaturePrefix names the one hash that counts. GitHub still sends SHA-1 beside it.
	signaturePrefix = "sha256="
)

// Receiver answers GitHub's webhook. It is an http.Handler, safe for concurrent use.
type Receiver struct {
	// Secrets that sign requests; any one suffices, so that a secret can be replaced without a gap.
	// Without any, every request is refused.
	Secrets [][]byte
	// Matching lists the pipelines of a repository, given by its clone URL: config.File.Matching.
	Matching func(repository string) []delivery.Pipeline
	// Start starts a run, or finds the one that there is. Its errors' types decide the answer: a
	// retryable one asks GitHub's user to deliver again.
	Start func(context.Context, Start) (Started, error)
	// Hand gives on what takes a question back to GitHub. It answers with the workflow that handles it.
	Hand func(context.Context, delivery.GitHubEvent) (Started, error)
	// RunURL is where a person sees a workflow. Optional.
	RunURL func(workflowID string) string
	// Log gets one line for each request. Optional.
	Log *slog.Logger
	// Observe is told how each request ended. Optional.
	Observe func(Observation)
	// Tracer begins a request's trace, or leads its sender's on. Optional.
	Tracer trace.Tracer
	// Bodies bounds what is held of all bodies at once. Default: a bound of the receiver's own.
	Bodies *Bodies
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Start says which run is to start.
type Start struct {
	Pipeline delivery.Pipeline
	Revision delivery.Revision
	// Until is the stage after which the run ends; empty: it passes all that its ref reaches.
	Until string
	// Request names what somebody asked for at GitHub. It runs a revision once more that had its run, and
	// does so once, however often it comes.
	Request string
}

// Started is a workflow, and whether it was there before.
type Started struct {
	RunID    string
	Existing bool
}

// Status is what became of a request.
type Status string

// The ways a request ends.
const (
	StatusStarted  Status = "started"  // at least one run was started
	StatusExisting Status = "existing" // every run was there already
	StatusAccepted Status = "accepted" // what it asks for is looked into
	StatusIgnored  Status = "ignored"  // nothing to do, for the reason given
	StatusError    Status = "error"    // refused or failed, for the reason given
)

// Answer is the body of every response.
type Answer struct {
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	Runs   []Run  `json:"runs,omitempty"`

	code int
	err  error // for the log alone
}

// Run is one run that an event led to, or the workflow that looks into it.
type Run struct {
	Pipeline string `json:"pipeline,omitempty"`
	Run      string `json:"run"`
	URL      string `json:"url,omitempty"`
}

// Observation is how a request ended, in few enough values for metrics.
type Observation struct {
	// Event is one of GitHub's that the receiver knows, or "other".
	Event  string
	Status Status
	Code   int
	Took   time.Duration
}

// Sign makes the X-Hub-Signature-256 of a body, as GitHub does.
func Sign(secret, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body) // a hash never fails
	return signaturePrefix + hex.EncodeToString(mac.Sum(nil))
}

// ServeHTTP implements http.Handler. 202: runs were started or found, or the event is looked into.
// 200: nothing to do. 401: not signed by a known secret. 503: try again; GitHub shows the delivery as
// failed, and it can be delivered again without starting anything twice.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	began := r.now()
	delivered := newDelivery(request)
	ctx, span := r.trace(request)
	answer := r.answer(w, request.WithContext(ctx), &delivered)
	r.log(ctx, delivered, answer)
	tell(span, delivered, answer)
	if r.Observe != nil {
		r.Observe(Observation{Event: known(delivered), Status: answer.Status, Code: answer.code, Took: r.now().Sub(began)})
	}
	w.Header().Set("Content-Type", "application/json")
	switch answer.code {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "30")
	case http.StatusAccepted:
		if url := answer.Runs[0].URL; url != "" {
			w.Header().Set("Location", url)
		}
	}
	w.WriteHeader(answer.code)
	_ = json.NewEncoder(w).Encode(answer) // whoever hung up reads no answer; the log has it
}

func (r *Receiver) answer(w http.ResponseWriter, request *http.Request, delivered *delivered) Answer {
	if request.Method != http.MethodPost {
		return refused(http.StatusMethodNotAllowed, "a webhook is sent with POST")
	}
	if wrong := wrongHeaders(request); wrong != nil {
		return *wrong
	}
	signature := request.Header.Get(github.SHA256SignatureHeader)
	if !strings.HasPrefix(signature, signaturePrefix) {
		return refused(http.StatusUnauthorized, "the request has no X-Hub-Signature-256; set a secret at the webhook")
	}
	body, release, err := r.bodies().read(w, request)
	defer release()
	if err != nil {
		return unreadable(err)
	}
	if !r.signed(signature, body) {
		return refused(http.StatusUnauthorized, "the signature is not made with this receiver's secret over this body")
	}
	delivered.signed = true
	return r.receive(request, body, delivered)
}

// signed tries every secret, always all of them, each in constant time.
func (r *Receiver) signed(signature string, body []byte) bool {
	found := false
	for _, secret := range r.Secrets {
		// Anybody can sign with an empty key.
		if len(secret) > 0 && github.ValidateSignature(signature, body, secret) == nil {
			found = true
		}
	}
	return found
}

func (r *Receiver) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func ignored(reason string) Answer {
	return Answer{Status: StatusIgnored, Reason: reason, code: http.StatusOK}
}

func refused(code int, reason string) Answer {
	return Answer{Status: StatusError, Reason: reason, code: code}
}
