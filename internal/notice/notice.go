// Package notice tells what becomes of runs: to GitHub, and to whoever else a pipeline names. Each kind of
// receiver is one file, and one line where the worker puts them together.
package notice

import (
	"context"
	"errors"
	"maps"
	"time"

	"gravity/internal/delivery"
)

// Receiver is a kind of receiver.
type Receiver interface {
	// Tell brings a receiver to where a notice stands. Notices of a run come one after the other, and
	// one that was told may come again. What is in the memory comes back with the next notice of the
	// same revision, also when Tell fails: so what was done is not done twice.
	Tell(ctx context.Context, message Message, memory Memory) error
}

// Message is a notice on its way to a receiver.
type Message struct {
	delivery.Notice
	// Target is where, in the receiver's own words.
	Target string
	// URL is where the run is seen; empty where nobody said so.
	URL string
}

// Memory is what a receiver keeps between notices: IDs, and what was told last. No secrets.
type Memory map[string]string

// told reports whether a text was told under a key before.
func (m Memory) told(key, text string) bool { return m[key] == text }

// retryAfter finds when the other side wants to be asked again.
func retryAfter(err error) (time.Duration, bool) {
	var typed *delivery.Error
	if errors.As(err, &typed) && typed.RetryAfter > 0 {
		return typed.RetryAfter, true
	}
	return 0, false
}

// Receivers are the kinds that a worker can tell, by the names that gravity.yaml has for them. A kind
// without its credentials is left out.
type Receivers map[string]Receiver

// Tell tells a receiver, and answers with what is to be remembered, whatever came of it.
func (r Receivers) Tell(ctx context.Context, to string, message Message, memory Memory) (Memory, error) {
	kept := maps.Clone(memory)
	if kept == nil {
		kept = Memory{}
	}
	receiver := r[to]
	if receiver == nil {
		return kept, delivery.Errorf(delivery.AccessDenied, "this worker has no credentials to tell %s: worker --help says how it gets them", to)
	}
	err := receiver.Tell(ctx, message, kept)
	return kept, err
}
