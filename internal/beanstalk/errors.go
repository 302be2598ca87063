package beanstalk

import (
	"strings"

	"gravity/internal/delivery"
	"gravity/internal/refusal"
)

// classify gives an error of the SDK the type that someone decides by.
func classify(err error, doing string) error { return refusal.Wrap(err, doing, own) }

// own knows Beanstalk's refusals. It declares few error codes and puts most of them under InvalidParameterValue, so
// for those the text has to be read; the texts are AWS's own and have been stable for years.
func own(code, text string) delivery.ErrorType {
	switch {
	case code == "OperationInProgressFailure", code == "OperationInProgressException", strings.Contains(text, "Must be Ready"):
		return delivery.EnvironmentBusy
	case strings.HasPrefix(text, "No Application Version named"):
		return delivery.VersionNotFound
	case strings.HasPrefix(text, "No Environment found"):
		return delivery.EnvironmentNotFound
	case strings.HasPrefix(text, "Application Version ") && strings.HasSuffix(text, " already exists."):
		return delivery.VersionConflict
	default:
		return ""
	}
}
