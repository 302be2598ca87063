package aws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sort"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutValidation lets a client send a request that the SDK itself would refuse.
func withoutValidation(o *eb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		_, _ = stack.Initialize.Remove("OperationInputValidation") // operations that require nothing have none
		return nil
	})
}

// uncovered are the operations that the package documents as not covered.
var uncovered = []string{"ApplyEnvironmentManagedAction", "ComposeEnvironments", "CreatePlatformVersion", "DeletePlatformVersion"}

// eachOperation calls f for every operation of the SDK's client with the type of its input.
func eachOperation(t *testing.T, f func(t *testing.T, name string, input reflect.Type)) {
	client := reflect.TypeFor[*eb.Client]()
	for i := range client.NumMethod() {
		method := client.Method(i)
		if method.Type.NumIn() != 4 || !strings.HasSuffix(method.Type.In(2).String(), "Input") {
			continue
		}
		t.Run(method.Name, func(t *testing.T) { f(t, method.Name, method.Type.In(2).Elem()) })
	}
}

func call(ctx context.Context, client *eb.Client, name string, input reflect.Value, options ...func(*eb.Options)) error {
	arguments := []reflect.Value{reflect.ValueOf(ctx), input}
	for _, option := range options {
		arguments = append(arguments, reflect.ValueOf(option))
	}
	err, _ := reflect.ValueOf(client).MethodByName(name).Call(arguments)[1].Interface().(error)
	return err
}

func TestEveryOperationAnswersAWSsValidationErrorWithoutItsRequiredParameters(t *testing.T) {
	t.Parallel()
	s := start(t)
	eachOperation(t, func(t *testing.T, name string, input reflect.Type) {
		// What the SDK itself finds missing is what AWS's model requires.
		var invalid smithy.InvalidParamsError
		required := map[string]bool{}
		if errors.As(call(t.Context(), s.beanstalk, name, reflect.New(input)), &invalid) {
			for _, problem := range invalid.Errs() {
				var parameter smithy.InvalidParamError
				require.ErrorAs(t, problem, &parameter)
				field := parameter.Field()
				required[field[strings.LastIndex(field, ".")+1:]] = true
			}
		}
		for _, operation := range uncovered {
			if operation == name {
				return
			}
		}
		if len(required) == 0 {
			return
		}
		err := call(t.Context(), s.beanstalk, name, reflect.New(input), withoutValidation)
		var problems []string
		for parameter := range required {
			// A list without members is sent as nothing at all.
			problems = append(problems, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null",
				strings.ToLower(parameter[:1])+parameter[1:]))
		}
		sort.Strings(problems)
		answer := code(err)
		assert.True(t, strings.HasPrefix(answer, fmt.Sprintf("ValidationError: %d validation error", len(problems))), answer)
		for _, problem := range problems {
			assert.Contains(t, answer, problem)
		}
	})
}

func TestOperationsThatAreNotCoveredSaySoInAWSsEnvelope(t *testing.T) {
	t.Parallel()
	s := start(t)
	eachOperation(t, func(t *testing.T, name string, input reflect.Type) {
		err := call(t.Context(), s.beanstalk, name, reflect.New(input), withoutValidation)
		covered := true
		for _, operation := range uncovered {
			covered = covered && operation != name
		}
		answer := code(err)
		assert.Equal(t, covered, !strings.HasPrefix(answer, "InvalidAction: "), answer)
	})
}

func TestParametersOutsideAWSsLimitsAreNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, short := s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{
		ApplicationName: sdk.String("site"), EnvironmentName: sdk.String("abc"), Description: sdk.String(strings.Repeat("x", 201))})
	assert.Contains(t, code(short), "ValidationError: 2 validation errors detected: ")
	assert.Contains(t, code(short), "Value 'abc' at 'environmentName' failed to satisfy constraint: Member must have length greater than or equal to 4")
	_, many := s.beanstalk.DescribeEvents(t.Context(), &eb.DescribeEventsInput{MaxRecords: sdk.Int32(1001)})
	assert.Contains(t, code(many), "Value '1001' at 'maxRecords' failed to satisfy constraint: Member must have value less than or equal to 1000")
	_, severity := s.beanstalk.DescribeEvents(t.Context(), &eb.DescribeEventsInput{Severity: "LOUD"})
	assert.Contains(t, code(severity), "Member must satisfy enum value set: [TRACE, DEBUG, INFO, WARN, ERROR, FATAL]")
	_, attribute := s.beanstalk.DescribeInstancesHealth(t.Context(), &eb.DescribeInstancesHealthInput{
		AttributeNames: []types.InstancesHealthAttribute{"Mood"}})
	assert.Contains(t, code(attribute), "Value 'Mood' at 'attributeNames' failed to satisfy constraint")
}

func TestARequestThatIsNotSignedWithTheRightKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	with := func(key, secret, region string) (beanstalk, objects error) {
		config := s.server.Config()
		config.Credentials = credentials.NewStaticCredentialsProvider(key, secret, "")
		config.Region = region
		_, beanstalk = eb.NewFromConfig(config).DescribeEnvironments(t.Context(), &eb.DescribeEnvironmentsInput{})
		_, objects = s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true }).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		return beanstalk, objects
	}
	beanstalk, objects := with("LOCALSTANDIN", "local-stand-in", "us-east-1")
	require.NoError(t, beanstalk)
	require.NoError(t, objects)
	beanstalk, objects = with("LOCALSTANDIN", "wrong", "us-east-1")
	assert.Contains(t, code(beanstalk), "SignatureDoesNotMatch: The request signature we calculated does not match")
	assert.Contains(t, code(objects), "SignatureDoesNotMatch")
	beanstalk, objects = with("SOMEBODY", "local-stand-in", "us-east-1")
	assert.Equal(t, "InvalidClientTokenId: The security token included in the request is invalid.", code(beanstalk))
	assert.Contains(t, code(objects), "InvalidAccessKeyId")
	beanstalk, _ = with("LOCALSTANDIN", "local-stand-in", "eu-west-1")
	assert.Contains(t, code(beanstalk), "SignatureDoesNotMatch: Credential should be scoped to a valid region")

	response, err := http.Post(s.server.URL(), "application/x-www-form-urlencoded", strings.NewReader("Action=DescribeEnvironments&Version=2010-12-01"))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
	assert.Contains(t, string(body), "<Code>MissingAuthenticationToken</Code>")
}
