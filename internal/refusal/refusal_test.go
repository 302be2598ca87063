package refusal

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
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// Whatever stands before AWS answers as it likes, and every service spells its refusals in its own way.
func TestWhatServicesAndProxiesAnswerHasATypeByWhichSomebodyDecides(t *testing.T) {
	var status int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	defer server.Close()
	config := aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	for _, test := range []struct {
		status int
		answer string // the code of an error of AWS's own, or another body
		want   delivery.ErrorType
	}{
		{400, "Throttling", delivery.Throttled},
		{400, "ThrottledException", delivery.Throttled},
		{400, "KMSThrottlingException", delivery.Throttled},
		{503, "SlowDown", delivery.Throttled},
		{429, "<html>slower</html>", delivery.Throttled},
		{400, "ExpiredTokenException", delivery.AccessDenied},
		{400, "UnrecognizedClientException", delivery.AccessDenied},
		{403, "AuthorizationError", delivery.AccessDenied},
		{403, "<html>no</html>", delivery.AccessDenied},
		{400, "RequestTimeout", delivery.Unavailable},
		{500, "InternalFailure", delivery.Unavailable},
		{503, "<html>back soon</html>", delivery.Unavailable},
		{502, "", delivery.Unavailable},
		{400, "ValidationError", delivery.InvalidInput},
		{404, "NotFound", delivery.InvalidInput},
		{404, "<html>nothing here</html>", delivery.InvalidInput},
	} {
		status, body = test.status, test.answer
		if body != "" && !strings.HasPrefix(body, "<") {
			body = "<ErrorResponse><Error><Code>" + body + "</Code><Message>no</Message></Error></ErrorResponse>"
		}
		_, stacks := cloudformation.NewFromConfig(config).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{})
		_, notice := sns.NewFromConfig(config).Publish(t.Context(), &sns.PublishInput{Message: aws.String("x"), TopicArn: aws.String("arn:aws:sns:eu-west-1:1:x")})
		for service, err := range map[string]error{"CloudFormation": stacks, "SNS": notice} {
			wrapped := Wrap(err, "asking", nil)
			require.Equal(t, test.want, delivery.TypeOf(wrapped), "%s: %d %s: %v", service, test.status, test.answer, err)
			require.ErrorIs(t, wrapped, err)
			require.ErrorContains(t, wrapped, "asking: ")
			require.Equal(t, test.status, Status(wrapped))
		}
	}
	server.Close()
	_, err := cloudformation.NewFromConfig(config).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{})
	require.Equal(t, delivery.Unavailable, delivery.TypeOf(Wrap(err, "asking", nil)))
}

func TestAServicesOwnRefusalsComeFirstAndWhatIsTypedStaysSo(t *testing.T) {
	err := Wrap(refused{"LimitExceededException"}, "asking", func(_, text string) delivery.ErrorType {
		require.Equal(t, "LimitExceededException is the code", text)
		return delivery.InvalidInput
	})
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	require.Equal(t, err, Wrap(err, "asking again", nil))
	require.Equal(t, delivery.Throttled, delivery.TypeOf(Wrap(refused{"LimitExceededException"}, "asking", nil)))
	require.NoError(t, Wrap(nil, "asking", nil))
	cancelled := fmt.Errorf("operation error: %w", context.Canceled)
	require.Equal(t, cancelled, Wrap(cancelled, "asking", nil))
	require.Equal(t, delivery.Unavailable, delivery.TypeOf(Wrap(errors.New("connection reset"), "asking", nil)))
}

// refused is an error of the SDK with a code.
type refused struct{ code string }

func (r refused) Error() string                 { return r.code }
func (r refused) ErrorCode() string             { return r.code }
func (r refused) ErrorMessage() string          { return r.code + " is the code" }
func (r refused) ErrorFault() smithy.ErrorFault { return smithy.FaultClient }
