package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/worker/connection"
)

// Exit codes.
const (
	exitSuccess     = 0
	exitFailed      = 1 // a release that failed
	exitUsage       = 2 // wrong use, refused, or out of reach
	exitInterrupted = 130
)

// failedRelease is a run or deployment that ended, and not well. What it says was printed already as
// part of the command's output; the message is the verdict in one line.
type failedRelease struct{ verdict string }

func (f *failedRelease) Error() string { return f.verdict }

// errInterrupted: somebody stopped watching.
var errInterrupted = errors.New("interrupted")

// report is the one place that prints errors and chooses the exit code.
func (g *globals) report(err error) int {
	if err == nil {
		return exitSuccess
	}
	if g.json() {
		g.reportJSON(err)
	} else {
		printf(g.stderr, "starter: %s\n", cleanLines(err.Error()))
	}
	var failed *failedRelease
	switch {
	case errors.As(err, &failed):
		return exitFailed
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return exitUsage
	}
}

// reportJSON writes an error for programs. It goes to stderr, so that stdout stays one document.
func (g *globals) reportJSON(err error) {
	document := struct {
		Error    string             `json:"error"`
		Type     delivery.ErrorType `json:"type,omitempty"`
		Problems config.Problems    `json:"problems,omitempty"`
	}{Error: err.Error(), Type: delivery.TypeOf(err)}
	errors.As(err, &document.Problems)
	_ = json.NewEncoder(g.stderr).Encode(document) // nobody is left to tell
}

// explain turns an error of Temporal's client into a sentence that says what to do. The doing is what
// was attempted: "approving run/site/4f2a".
func (g *globals) explain(err error, doing string) error {
	var missing *serviceerror.NotFound
	var namespace *serviceerror.NamespaceNotFound
	var invalid *serviceerror.InvalidArgument
	refused, denied := refusal(err), connection.Denied(err, doing, g.where)
	switch {
	case err == nil, delivery.TypeOf(err) != "", errors.Is(err, errInterrupted):
		return err
	case denied != nil: // also within what a step of a workflow makes of it, where this program does such a step itself
		return denied
	case refused != nil:
		return &delivery.Error{Type: delivery.ErrorType(refused.Type()), Message: doing + ": " + refused.Message()}
	case errors.As(err, &missing):
		return delivery.Errorf(delivery.InvalidInput, "%s: there is none such, or it has ended; `starter status` lists what there is", doing)
	case errors.As(err, &namespace):
		return delivery.Errorf(delivery.InvalidInput, "%s: Temporal at %s has no namespace %s: create it, or set TEMPORAL_NAMESPACE", doing, g.where, g.namespace)
	case errors.As(err, &invalid):
		return delivery.Errorf(delivery.InvalidInput, "%s: %w", doing, err)
	case noWorker(err):
		return delivery.Errorf(delivery.Unavailable, "%s: no worker answers; start one with `go run ./worker`, or look at its log", doing)
	case passing(err):
		return delivery.Errorf(delivery.Unavailable, "%s: Temporal at %s does not answer: %w", doing, g.where, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// explainAsked is explain for what changes something. When nobody answered, it may still be on its way.
func (g *globals) explainAsked(err error, doing string) error {
	if delivery.TypeOf(err) == "" && refusal(err) == nil && noWorker(err) {
		return delivery.Errorf(delivery.Unavailable,
			"%s: no worker answers; start one with `go run ./worker`, and look at the status before asking again: it may still take effect then", doing)
	}
	return g.explain(err, doing)
}

// refusal finds what a workflow itself said, beneath what it was wrapped in on the way; nil when
// the error is not a workflow's.
func refusal(err error) *temporal.ApplicationError {
	var found, deeper *temporal.ApplicationError
	for errors.As(err, &deeper) {
		found, err = deeper, errors.Unwrap(deeper)
	}
	return found
}

// noWorker reports whether Temporal itself is well, but nobody polls it for workflows.
func noWorker(err error) bool {
	var precondition *serviceerror.FailedPrecondition
	var deadline *serviceerror.DeadlineExceeded
	return errors.As(err, &precondition) || errors.As(err, &deadline) || errors.Is(err, context.DeadlineExceeded)
}

// passing reports whether trouble is worth waiting out while something is watched.
func passing(err error) bool {
	var unavailable *serviceerror.Unavailable
	var exhausted *serviceerror.ResourceExhausted
	var failed *serviceerror.QueryFailed
	return noWorker(err) || errors.As(err, &unavailable) || errors.As(err, &exhausted) || errors.As(err, &failed) ||
		delivery.TypeOf(err) == delivery.Unavailable
}

// cleanLines makes a text from anywhere fit for a terminal, with its lines.
func cleanLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = cleanKeepingIndent(line)
	}
	return strings.Join(lines, "\n")
}
