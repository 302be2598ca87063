package beanstalk

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"gravity/internal/delivery"
)

// classify gives an error of the SDK the type that someone decides by. Beanstalk declares few
// error codes and puts most refusals under InvalidParameterValue, so for those the text has to be
// read; the texts are AWS's own and have been stable for years.
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return delivery.Errorf(delivery.Unavailable, "%s: %w", doing, err)
	}
	kind := typeOf(api)
	if kind == delivery.InvalidInput {
		kind = orByStatus(kind, err)
	}
	text := delivery.Clip(api.ErrorMessage(), maxLine)
	return &delivery.Error{Type: kind, Message: doing + ": " + api.ErrorCode() + ": " + text, Err: err}
}

// orByStatus reads the HTTP status where the error's code is of no known kind: what a proxy or an
// overloaded front answers has no body that AWS would have written, and is no fault of the request.
func orByStatus(kind delivery.ErrorType, err error) delivery.ErrorType {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) {
		return kind
	}
	switch status := response.HTTPStatusCode(); {
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		return delivery.Unavailable
	case status == http.StatusTooManyRequests:
		return delivery.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return delivery.AccessDenied
	default:
		return kind
	}
}

func typeOf(api smithy.APIError) delivery.ErrorType {
	code, text := api.ErrorCode(), api.ErrorMessage()
	switch {
	case strings.HasPrefix(code, "Throttling"), code == "RequestLimitExceeded", code == "TooManyRequestsException":
		return delivery.Throttled
	case deniedCodes[code]:
		return delivery.AccessDenied
	case code == "OperationInProgressFailure", code == "OperationInProgressException", strings.Contains(text, "Must be Ready"):
		return delivery.EnvironmentBusy
	case strings.HasPrefix(text, "No Application Version named"):
		return delivery.VersionNotFound
	case strings.HasPrefix(text, "No Environment found"):
		return delivery.EnvironmentNotFound
	case strings.HasPrefix(text, "Application Version ") && strings.HasSuffix(text, " already exists."):
		return delivery.VersionConflict
	case api.ErrorFault() == smithy.FaultServer, serverCodes[code]:
		return delivery.Unavailable
	default:
		return delivery.InvalidInput
	}
}

// deniedCodes: https://docs.aws.amazon.com/elasticbeanstalk/latest/api/CommonErrors.html, and both
// spellings of Beanstalk's own.
var deniedCodes = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "InsufficientPrivileges": true,
	"InsufficientPrivilegesException": true, "ExpiredToken": true, "ExpiredTokenException": true, "InvalidClientTokenId": true,
	"SignatureDoesNotMatch": true, "MissingAuthenticationToken": true, "OptInRequired": true,
	"RequestExpired": true, "UnrecognizedClientException": true, "NotAuthorized": true,
}

// serverCodes are the platform's own faults, which arrive without a fault marker over the Query protocol.
var serverCodes = map[string]bool{
	"InternalFailure": true, "InternalError": true, "InternalServerError": true, "ServiceUnavailable": true,
	"ServiceUnavailableException": true, "ElasticBeanstalkServiceException": true,
}
