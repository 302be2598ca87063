package activities

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
)

// busyRetry is how long to wait before asking a busy environment again: its updates take minutes.
const busyRetry = 15 * time.Second

// toTemporal turns an error of the packages below into one that Temporal retries or not. It is
// the one place where that is decided, by the error's type alone.
func toTemporal(err error) error {
	var typed *delivery.Error
	if err == nil || !errors.As(err, &typed) {
		return err // retried: what nobody has classified may pass
	}
	options := temporal.ApplicationErrorOptions{NonRetryable: !typed.Retryable(), Cause: typed.Err, NextRetryDelay: typed.RetryAfter}
	switch typed.Type {
	case delivery.EnvironmentBusy:
		options.NextRetryDelay = busyRetry
		options.Category = temporal.ApplicationErrorCategoryBenign
	case delivery.RevisionNotFound, delivery.BundleRejected, delivery.CheckFailed, delivery.Drift:
		options.Category = temporal.ApplicationErrorCategoryBenign
	default:
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(typed.Type), options)
}
