package github

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-github/v60/github"

	"gravity/internal/delivery"
)

// classify gives an error of the API its type: what passes, what needs other credentials, and what
// another attempt would meet again. The format says what was being done.
func classify(err error, format string, arguments ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, arguments...)
	var typed *delivery.Error
	if errors.As(err, &typed) {
		return &delivery.Error{Type: typed.Type, Message: doing + ": " + typed.Message, Err: typed, RetryAfter: typed.RetryAfter, Final: typed.Final}
	}
	if wait, ok := waiting(err); ok {
		return &delivery.Error{Type: delivery.Throttled, Message: doing + ": GitHub asks to wait " + wait.Round(time.Second).String(), Err: err, RetryAfter: wait}
	}
	var answer *github.ErrorResponse
	if !errors.As(err, &answer) || answer.Response == nil {
		return delivery.Errorf(delivery.Unavailable, "%s: %w", doing, err)
	}
	kind := delivery.InvalidInput
	switch code := answer.Response.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		kind = delivery.AccessDenied
	case code == http.StatusNotFound:
		// What credentials may not see is not found either, and they may be mended.
		return delivery.GaveUp(delivery.AccessDenied, "%s: %w; it is not there, or these credentials may not see it", doing, err)
	case code == http.StatusRequestTimeout, code == http.StatusConflict, code >= 500:
		kind = delivery.Unavailable
	}
	return delivery.Errorf(kind, "%s: %w", doing, err)
}

// waiting finds how long an error asks to wait.
func waiting(err error) (time.Duration, bool) {
	var closed *limited
	var primary *github.RateLimitError
	var secondary *github.AbuseRateLimitError
	var answer *github.ErrorResponse
	switch {
	case errors.As(err, &closed):
		return max(time.Until(closed.until), time.Second), true
	case errors.As(err, &primary):
		return max(time.Until(primary.Rate.Reset.Time)+time.Second, time.Second), true
	case errors.As(err, &secondary):
		if secondary.RetryAfter != nil {
			return max(*secondary.RetryAfter, time.Second), true
		}
		return secondaryPause, true
	case errors.As(err, &answer) && answer.Response != nil:
		return pause(answer.Response)
	default:
		return 0, false
	}
}

// missing reports that GitHub answered 404.
func missing(err error) bool { return answered(err, http.StatusNotFound) }

// answered reports that GitHub answered with a status code.
func answered(err error, code int) bool {
	var answer *github.ErrorResponse
	return errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode == code
}
