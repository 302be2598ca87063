package activities

import (
	"context"
	"errors"
	"time"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/notice"
)

// Telling has the steps that tell receivers what becomes of a run.
type Telling struct {
	Receivers notice.Receivers
	// Addresses finds where users reach an environment; nil where the worker has no access to AWS.
	Addresses *beanstalk.Client
	// RunURL is where a run is seen; nil where nobody said so.
	RunURL func(runID string) string
}

// Memory is what a receiver keeps between the notices of a run.
type Memory = notice.Memory

// TellInput is one notice for one receiver, and what that receiver kept from the notice before.
type TellInput struct {
	Receiver delivery.Receiver `json:"receiver"`
	Notice   delivery.Notice   `json:"notice"`
	Memory   Memory            `json:"memory,omitempty"`
}

// Told is what came of it. That a receiver could not be told is no error of the step: what it did is to be
// kept, and whoever tells decides when to try again.
type Told struct {
	Memory Memory `json:"memory,omitempty"`
	// Problem says what is still untold, and why; empty when all is told.
	Problem string `json:"problem,omitempty"`
	// RetryAfter is when the receiver wants to be asked again; zero when it did not say.
	RetryAfter delivery.Duration `json:"retryAfter,omitempty"`
	// Hopeless is true where another attempt would meet the same.
	Hopeless bool `json:"hopeless,omitempty"`
}

// Tell tells one receiver where a run stands. Told again, it finds what it told before.
func (t *Telling) Tell(ctx context.Context, input TellInput) (Told, error) {
	message := notice.Message{Notice: input.Notice, Target: input.Receiver.Target}
	if t.RunURL != nil {
		message.URL = t.RunURL(input.Notice.RunID)
	}
	memory, err := t.Receivers.Tell(ctx, input.Receiver.To, message, input.Memory)
	told := Told{Memory: memory}
	if err == nil {
		return told, nil
	}
	if ctx.Err() != nil {
		return told, ctx.Err() // nobody waits for it any more, or it took too long
	}
	told.Problem = delivery.Clip(err.Error(), 1000)
	var typed *delivery.Error
	if errors.As(err, &typed) {
		told.RetryAfter, told.Hopeless = delivery.Duration(typed.RetryAfter.Round(time.Second)), !typed.Retryable()
	}
	return told, nil
}

// AddressInput names an environment.
type AddressInput struct {
	Application string `json:"application"`
	Environment string `json:"environment"`
}

// Address is where users reach an environment; empty where that is not known.
type Address struct {
	URL string `json:"url,omitempty"`
}

// FindAddress asks the platform where an environment is reached.
func (t *Telling) FindAddress(ctx context.Context, input AddressInput) (Address, error) {
	if t.Addresses == nil {
		return Address{}, nil
	}
	observed, err := t.Addresses.Environment(ctx, input.Application, input.Environment)
	if err != nil || observed.Address == "" {
		return Address{}, toTemporal(err)
	}
	return Address{URL: "http://" + observed.Address}, nil
}
