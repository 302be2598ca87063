// Package webhook turns a signed GitHub request into runs. Nothing in a request is looked at before
// its signature over the exact body was found right.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"gravity/internal/delivery"
)

const (
	// maxBody is GitHub's own limit for a payload, in bytes.
	maxBody = 25 << 20
	// startTimeout bounds starting all runs of a push: GitHub hangs up after 10 seconds.
	startTimeout = 8 * time.Second
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
	// Start starts the run of a revision, or finds the one that there is. Its errors' types decide
	// the answer: a retryable one asks GitHub's user to deliver again.
	Start func(ctx context.Context, p delivery.Pipeline, r delivery.Revision, deliveryID string) (Started, error)
	// RunURL is where a person sees a run. Optional.
	RunURL func(runID string) string
	// Log gets one line for each request. Optional.
	Log *slog.Logger
}

// Started is a run, and whether it was there before.
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

// Run is one run that a push led to.
type Run struct {
	Pipeline string `json:"pipeline"`
	Run      string `json:"run"`
	URL      string `json:"url,omitempty"`
}

// Sign makes the X-Hub-Signature-256 of a body, as GitHub does.
func Sign(secret, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body) // a hash never fails
	return signaturePrefix + hex.EncodeToString(mac.Sum(nil))
}

// ServeHTTP implements http.Handler. 200: runs were started or found. 202: nothing to do. 401: not
// signed by a known secret. 503: try again; GitHub shows the delivery as failed, and it can be
// delivered again without starting anything twice.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	delivered := newDelivery(request)
	answer := r.answer(w, request, &delivered)
	r.log(request.Context(), delivered, answer)

	w.Header().Set("Content-Type", "application/json")
	switch answer.code {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "30")
	}
	w.WriteHeader(answer.code)
	_ = json.NewEncoder(w).Encode(answer) // whoever hung up reads no answer; the log has it
}

func (r *Receiver) answer(w http.ResponseWriter, request *http.Request, delivered *delivered) Answer {
	if request.Method != http.MethodPost {
		return refused(http.StatusMethodNotAllowed, "a webhook is sent with POST")
	}
	signature := request.Header.Get(github.SHA256SignatureHeader)
	if !strings.HasPrefix(signature, signaturePrefix) {
		return refused(http.StatusUnauthorized, "the request has no X-Hub-Signature-256; set a secret at the webhook")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return refused(http.StatusRequestEntityTooLarge, "the body is over 25 MB, more than GitHub sends")
		}
		return refused(http.StatusBadRequest, "the body ended early")
	}
	if !r.signed(signature, body) {
		return refused(http.StatusUnauthorized, "the signature is not made with this receiver's secret over this body")
	}
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

var deliveryID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// receive reads a request whose signature is right.
func (r *Receiver) receive(request *http.Request, body []byte, delivered *delivered) Answer {
	delivered.signed = true
	if !deliveryID.MatchString(delivered.id) {
		return refused(http.StatusBadRequest, "the request has no X-GitHub-Delivery that is an ID")
	}
	switch delivered.event {
	case "push":
	case "ping":
		return Answer{Status: StatusIgnored, Reason: "pong", code: http.StatusOK}
	default:
		return ignored("only pushes start runs; this event can be left out at the webhook")
	}
	mediaType, _, err := mime.ParseMediaType(request.Header.Get("Content-Type"))
	if err != nil {
		return refused(http.StatusBadRequest, "the request has no Content-Type")
	}
	payload, err := github.ValidatePayloadFromBody(mediaType, bytes.NewReader(body), "", nil)
	if err != nil {
		return refused(http.StatusBadRequest, "the body is neither JSON nor a form; choose application/json at the webhook")
	}
	var push push
	if err := json.Unmarshal(payload, &push); err != nil {
		return refused(http.StatusBadRequest, "the body is no push as GitHub describes it")
	}
	delivered.repository, delivered.ref = push.Repository.name(), push.Ref
	return r.push(request.Context(), push, delivered.id)
}

func ignored(reason string) Answer {
	return Answer{Status: StatusIgnored, Reason: reason, code: http.StatusAccepted}
}

func refused(code int, reason string) Answer {
	return Answer{Status: StatusError, Reason: reason, code: code}
}

// delivered is what the log says of a request.
type delivered struct {
	id, event, repository, ref string
	signed                     bool
}

func newDelivery(request *http.Request) delivered {
	return delivered{id: bounded(github.DeliveryID(request)), event: bounded(github.WebHookType(request))}
}

// log writes one line, and nothing of the body that is not needed to find the push again.
func (r *Receiver) log(ctx context.Context, delivered delivered, answer Answer) {
	if r.Log == nil {
		return
	}
	level := slog.LevelInfo
	if answer.Status == StatusError {
		level = slog.LevelWarn
	}
	runs := make([]string, len(answer.Runs))
	for i, run := range answer.Runs {
		runs[i] = run.Run
	}
	attributes := []slog.Attr{
		slog.String("delivery", delivered.id), slog.String("event", delivered.event), slog.Bool("signed", delivered.signed),
		slog.String("repository", bounded(delivered.repository)), slog.String("ref", bounded(delivered.ref)),
		slog.String("outcome", string(answer.Status)), slog.String("reason", answer.Reason),
		slog.Any("runs", runs), slog.Int("code", answer.code),
	}
	if answer.err != nil {
		attributes = append(attributes, slog.Any("error", answer.err))
	}
	r.Log.LogAttrs(ctx, level, "webhook", attributes...)
}

// bounded keeps a text from outside from filling the log.
func bounded(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
