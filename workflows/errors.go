package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// typeOf finds what kind of failure an error is, whether it was made here or came out of an activity.
func typeOf(err error) delivery.ErrorType {
	if kind := delivery.TypeOf(err); kind != "" {
		return kind
	}
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return delivery.ErrorType(application.Type())
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		return delivery.DeadlineExceeded
	}
	return ""
}

// sentence is an error's message for people. Temporal wraps an activity's error in attempt
// counts and identities, which history has anyway.
func sentence(err error) string {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application.Message()
	}
	var timeout *temporal.TimeoutError
	var activity *temporal.ActivityError
	if errors.As(err, &timeout) && errors.As(err, &activity) {
		text := "no answer from step " + activity.ActivityType().GetName() + " in time"
		if cause := errors.Unwrap(timeout); cause != nil {
			text += ": " + sentence(cause)
		}
		return text
	}
	return err.Error()
}

// toTemporal makes the error with which a workflow or an update fails: typed, never retried, with
// details for programs. What people or their projects cause is benign to those who run Gravity.
func toTemporal(err error, details any) error {
	kind := typeOf(err)
	options := temporal.ApplicationErrorOptions{NonRetryable: true}
	if details != nil {
		options.Details = []any{details}
	}
	switch kind {
	case delivery.NeedsAttention, delivery.AccessDenied, delivery.Unavailable, delivery.Throttled, "":
		options.Category = temporal.ApplicationErrorCategoryUnspecified
	default:
		options.Category = temporal.ApplicationErrorCategoryBenign
	}
	return temporal.NewApplicationErrorWithOptions(sentence(err), string(kind), options)
}

// refusing makes a validator whose refusals carry their type to whoever asked.
func refusing[T any](mayDo func(T) error) func(T) error {
	return func(argument T) error {
		if err := mayDo(argument); err != nil {
			return toTemporal(err, nil)
		}
		return nil
	}
}

// resultOf finds the result that a failed deployment carries.
func resultOf(err error) (delivery.Result, bool) {
	var application *temporal.ApplicationError
	var result delivery.Result
	if !errors.As(err, &application) || !application.HasDetails() || application.Details(&result) != nil {
		return delivery.Result{}, false
	}
	return result, result.Outcome != ""
}

// cancelled reports whether the step was stopped by an abort or by Temporal's cancellation.
func cancelled(ctx workflow.Context) bool { return errors.Is(ctx.Err(), workflow.ErrCanceled) }
