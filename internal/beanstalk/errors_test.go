package beanstalk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestEveryKnownRefusalOfThePlatformHasItsType(t *testing.T) {
	cases := []struct {
		code, message string
		want          delivery.ErrorType
	}{
		{"Throttling", "Rate exceeded", delivery.Throttled},
		{"ThrottlingException", "Rate exceeded", delivery.Throttled},
		{"RequestLimitExceeded", "Request limit exceeded.", delivery.Throttled},
		{"InsufficientPrivilegesException", "Access Denied: S3Bucket=b, S3Key=k", delivery.AccessDenied},
		{"InsufficientPrivileges", "Access Denied", delivery.AccessDenied},
		{"AccessDenied", "User is not authorized to perform: elasticbeanstalk:UpdateEnvironment", delivery.AccessDenied},
		{"ExpiredToken", "The security token included in the request is expired", delivery.AccessDenied},
		{"InvalidParameterValue", "Environment named X is in an invalid state for this operation. Must be Ready.", delivery.EnvironmentBusy},
		{"OperationInProgressFailure", "Unable to perform an action: an operation is in progress.", delivery.EnvironmentBusy},
		{"OperationInProgressException", "Unable to perform an action: an operation is in progress.", delivery.EnvironmentBusy},
		{"InvalidParameterValue", "No Application Version named 'X' found.", delivery.VersionNotFound},
		{"InvalidParameterValue", "No Environment found for EnvironmentName = 'X'.", delivery.EnvironmentNotFound},
		{"InvalidParameterValue", "No Environment found for EnvironmentId = 'e-1'.", delivery.EnvironmentNotFound},
		{"InvalidParameterValue", "Application Version v2 already exists.", delivery.VersionConflict},
		{"InvalidParameterValue", "No Application named 'X' found.", delivery.InvalidInput},
		{"InvalidParameterCombination", "Both a version and a template were given.", delivery.InvalidInput},
		{"TooManyApplicationVersionsException", "You cannot have more than 1000 Application Versions.", delivery.InvalidInput},
		{"S3LocationNotInServiceRegionException", "The bucket is in another region.", delivery.InvalidInput},
		{"ElasticBeanstalkServiceException", "A generic service exception has occurred.", delivery.Unavailable},
		{"InternalFailure", "An internal error has occurred.", delivery.Unavailable},
		{"ServiceUnavailable", "Service is unavailable.", delivery.Unavailable},
	}
	for _, test := range cases {
		t.Run(test.code+": "+test.message, func(t *testing.T) {
			cause := refused(test.code, test.message)
			err := classify(cause, "updating to v2")
			assert.Equal(t, test.want, delivery.TypeOf(err))
			require.ErrorIs(t, err, cause, "the cause must stay reachable")
			assert.Equal(t, fmt.Sprintf("updating to v2: %s: %s", test.code, test.message), err.Error())
		})
	}
}

func TestTroubleBelowThePlatformIsUnavailable(t *testing.T) {
	assert.Equal(t, delivery.Unavailable, delivery.TypeOf(classify(errLost, "describing environments")))
	assert.Equal(t, delivery.Unavailable, delivery.TypeOf(classify(context.DeadlineExceeded, "describing environments")))
}

func TestACancelledCallStaysCancelled(t *testing.T) {
	err := classify(fmt.Errorf("operation error: %w", context.Canceled), "describing environments")
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, delivery.TypeOf(err))
}

func TestNoErrorIsNoError(t *testing.T) {
	assert.NoError(t, classify(nil, "describing environments"))
}

// What a proxy or an overloaded front answers has a status, and no body of AWS's.
func TestAnAnswerThatIsNotThePlatformsOwnIsJudgedByItsStatus(t *testing.T) {
	cases := []struct {
		status int
		body   string
		want   delivery.ErrorType
	}{
		{http.StatusBadGateway, "", delivery.Unavailable},
		{http.StatusServiceUnavailable, "", delivery.Unavailable},
		{http.StatusServiceUnavailable, "<html><body>back soon</body></html>", delivery.Unavailable},
		{http.StatusGatewayTimeout, "upstream request timeout", delivery.Unavailable},
		{http.StatusRequestTimeout, "", delivery.Unavailable},
		{http.StatusTooManyRequests, "", delivery.Throttled},
		{http.StatusForbidden, "<html><body>no</body></html>", delivery.AccessDenied},
		{http.StatusBadRequest, "", delivery.InvalidInput},
		{http.StatusServiceUnavailable, "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>", delivery.Throttled},
		{http.StatusBadRequest, "<ErrorResponse><Error><Code>InvalidParameterValue</Code><Message>No Environment found for EnvironmentId = 'e-1'.</Message></Error></ErrorResponse>", delivery.EnvironmentNotFound},
	}
	for _, test := range cases {
		t.Run(fmt.Sprint(test.status, " ", test.body), func(t *testing.T) {
			calls := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			}))
			defer server.Close()
			client := New(aws.Config{
				Region: "eu-west-1", BaseEndpoint: aws.String(server.URL),
				Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
			}, quick)
			_, err := client.Update(t.Context(), "e-1", "v2")
			assert.Equal(t, test.want, delivery.TypeOf(err), "%v", err)
			assert.Equal(t, 1, calls, "a change is never repeated by the SDK")
		})
	}
}

func TestALongMessageOfThePlatformIsCut(t *testing.T) {
	err := classify(refused("ValidationError", strings.Repeat("x", 100_000)), "reading events")
	assert.Less(t, len(err.Error()), 1000)
	var typed *delivery.Error
	require.True(t, errors.As(err, &typed))
}
