// Package refusal reads why AWS did not do what it was asked: all services refuse in the same few ways, each
// with spellings of its own.
package refusal

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"gravity/internal/delivery"
)

// maxText bounds what is kept of AWS's own words, in bytes.
const maxText = 500

// Own knows the refusals of one service, by their code and text; "" for those that all services have.
type Own func(code, text string) delivery.ErrorType

// Wrap gives an error of the SDK the type by which somebody decides, and says what was being done. A call that its
// caller gave up stays what it is, and so does an error that has its type. own may be nil.
func Wrap(err error, doing string, own Own) error {
	if err == nil || delivery.TypeOf(err) != "" {
		return err
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		text := delivery.Clip(strings.Join(strings.Fields(api.ErrorMessage()), " "), maxText)
		return &delivery.Error{Type: TypeOf(err, own), Message: doing + ": " + api.ErrorCode() + ": " + text, Err: err}
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return delivery.Errorf(TypeOf(err, own), "%s: %w", doing, err)
}

// TypeOf is the type of an error of the SDK: by the service's own codes, by those of all services, and at last by the
// HTTP status, since what a proxy or an overloaded front answers has no body that AWS would have written. What was
// never answered is Unavailable.
func TypeOf(err error, own Own) delivery.ErrorType {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return byStatus(err, delivery.Unavailable)
	}
	code := api.ErrorCode()
	if own != nil {
		if kind := own(code, api.ErrorMessage()); kind != "" {
			return kind
		}
	}
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	_, transient := retry.DefaultRetryableErrorCodes[code]
	switch {
	case throttled, strings.Contains(code, "Throttling"):
		return delivery.Throttled
	case deniedCodes[strings.TrimSuffix(code, "Exception")]:
		return delivery.AccessDenied
	case transient, api.ErrorFault() == smithy.FaultServer, serverCodes[strings.TrimSuffix(code, "Exception")]:
		return delivery.Unavailable
	default:
		return byStatus(err, delivery.InvalidInput)
	}
}

func byStatus(err error, otherwise delivery.ErrorType) delivery.ErrorType {
	switch status := Status(err); {
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		return delivery.Unavailable
	case status == http.StatusTooManyRequests:
		return delivery.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return delivery.AccessDenied
	default:
		return otherwise
	}
}

// Status is the HTTP status that AWS answered with, or 0.
func Status(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// deniedCodes come with status 400 from some services, and with or without "Exception":
// https://docs.aws.amazon.com/elasticbeanstalk/latest/api/CommonErrors.html and the like of the others.
var deniedCodes = map[string]bool{
	"AccessDenied": true, "AuthorizationError": true, "ExpiredToken": true, "InsufficientPrivileges": true, "InvalidClientTokenId": true,
	"InvalidSignature": true, "KMSAccessDenied": true, "MissingAuthenticationToken": true, "NotAuthorized": true, "OptInRequired": true,
	"RequestExpired": true, "SignatureDoesNotMatch": true, "UnrecognizedClient": true,
}

// serverCodes are a service's own faults, which arrive without a fault marker over the Query protocol.
var serverCodes = map[string]bool{
	"ElasticBeanstalkService": true, "InternalError": true, "InternalFailure": true, "InternalServerError": true,
	"InternalService": true, "InternalServiceError": true, "InternalServiceFault": true, "ServiceUnavailable": true,
}
