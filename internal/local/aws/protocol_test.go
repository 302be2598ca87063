package aws_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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

// unsent ends a call before it is sent, once the SDK has found nothing wrong with it.
func unsent(o *eb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("Unsent",
			func(context.Context, middleware.SerializeInput, middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
				return middleware.SerializeOutput{}, middleware.Metadata{}, errors.New("nothing is missing")
			}), middleware.Before)
	})
}

// fill gives every parameter a value, those in structures and lists too.
func fill(value reflect.Value) {
	switch value.Kind() {
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		fill(value.Elem())
	case reflect.Struct:
		for i := range value.NumField() {
			if value.Type().Field(i).IsExported() && value.Field(i).CanSet() {
				fill(value.Field(i))
			}
		}
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		fill(value.Index(0))
	case reflect.String:
		value.SetString("tail") // which InfoType has to be, and other names may be
	case reflect.Int32:
		value.SetInt(1)
	default: // false is a boolean's value, and given
	}
}

// parameters are the paths of all parameters of an input, in structures too.
func parameters(input reflect.Type) [][]string {
	var paths [][]string
	for i := range input.NumField() {
		field := input.Field(i)
		if !field.IsExported() || field.Name == "ResultMetadata" {
			continue
		}
		paths = append(paths, []string{field.Name})
		if field.Type.Kind() == reflect.Pointer && field.Type.Elem().Kind() == reflect.Struct && field.Type.Elem() != reflect.TypeFor[time.Time]() {
			for _, path := range parameters(field.Type.Elem()) {
				paths = append(paths, append([]string{field.Name}, path...))
			}
		}
	}
	return paths
}

// without is an input that has every parameter but one.
func without(input reflect.Type, path []string) reflect.Value {
	whole := reflect.New(input)
	fill(whole.Elem())
	field := whole.Elem()
	for n, name := range path {
		field = field.FieldByName(name)
		if n < len(path)-1 {
			field = field.Elem()
		}
	}
	field.SetZero()
	return whole
}

func TestEveryOperationAnswersAWSsValidationErrorWithoutEachOfItsRequiredParameters(t *testing.T) {
	t.Parallel()
	s := start(t)
	checked := 0
	eachOperation(t, func(t *testing.T, name string, input reflect.Type) {
		if slices.Contains(uncovered, name) {
			return
		}
		for _, path := range parameters(input) {
			// What the SDK itself finds missing is what AWS's model requires.
			var missing smithy.InvalidParamsError
			if !errors.As(call(t.Context(), s.beanstalk, name, without(input, path), unsent), &missing) {
				continue
			}
			checked++
			names := make([]string, len(path))
			for n, part := range path {
				names[n] = strings.ToLower(part[:1]) + part[1:]
			}
			assert.Equal(t, "ValidationError: 1 validation error detected: Value null at '"+strings.Join(names, ".")+
				"' failed to satisfy constraint: Member must not be null", code(call(t.Context(), s.beanstalk, name, without(input, path), withoutValidation)))
		}
	})
	assert.Equal(t, 40, checked, "as many as the model has: another number means another model")
}

func TestWhatIsNotCoveredIsListedInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for _, name := range uncovered {
		assert.Contains(t, string(text), name)
	}
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
