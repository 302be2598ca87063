package awscalls

import (
	"context"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gravity/internal/local/aws"
)

// region is a stand-in whose clients are watched.
func region(t *testing.T, faults aws.Faults) (*aws.Server, sdk.Config, *prometheus.Registry, *tracetest.SpanRecorder) {
	t.Helper()
	server, err := aws.Start(t.Context(), aws.Options{DataDir: t.TempDir(), Pace: aws.TestPace(), Faults: faults, Seed: 7})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	registry, recorder, config := prometheus.NewRegistry(), tracetest.NewSpanRecorder(), server.Config()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	Watch(&config, Options{Registerer: registry, Tracer: provider.Tracer("")})
	return server, config, registry, recorder
}

// impatient is the SDK's own way of trying again, without its pauses.
func impatient(attempts int) sdk.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.RateLimiter = attempts, time.Millisecond, ratelimit.None
	})
}

// counted reads the counter of an outcome.
func counted(t *testing.T, registry *prometheus.Registry, service, operation string, outcome Outcome) float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if family.GetName() == "gravity_aws_calls_total" && labels["service"] == service && labels["operation"] == operation && labels["outcome"] == string(outcome) {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestEveryAttemptIsCountedAndThoseThatAreThrottledApart(t *testing.T) {
	server, config, registry, _ := region(t, aws.Faults{ThrottleCalls: 0.5})
	client := elasticbeanstalk.NewFromConfig(config, func(o *elasticbeanstalk.Options) { o.Retryer = impatient(20) })
	for range 5 {
		_, err := client.DescribeEnvironments(t.Context(), &elasticbeanstalk.DescribeEnvironmentsInput{})
		require.NoError(t, err, "the SDK tries again by itself")
	}
	throttled := counted(t, registry, "Elastic Beanstalk", "DescribeEnvironments", Throttled)
	require.EqualValues(t, 5, counted(t, registry, "Elastic Beanstalk", "DescribeEnvironments", Answered))
	require.Positive(t, throttled)
	require.EqualValues(t, server.Calls()["DescribeEnvironments"], 5+throttled, "as many as AWS saw")
	require.Positive(t, testutil.CollectAndCount(registry, "gravity_aws_call_duration_seconds"))
}

func TestAttemptsThatFailAreToldFromThoseThatAreRefused(t *testing.T) {
	_, config, registry, _ := region(t, aws.Faults{})
	client := elasticbeanstalk.NewFromConfig(config)
	_, err := client.UpdateEnvironment(t.Context(), &elasticbeanstalk.UpdateEnvironmentInput{EnvironmentName: sdk.String("nobody-has-it")})
	require.Error(t, err)
	require.EqualValues(t, 1, counted(t, registry, "Elastic Beanstalk", "UpdateEnvironment", Refused))

	store := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = store.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: sdk.String("none"), Key: sdk.String("none")})
	require.Error(t, err)
	require.EqualValues(t, 1, counted(t, registry, "S3", "HeadObject", Refused))

	_, failing, registry, _ := region(t, aws.Faults{FailCalls: 1})
	client = elasticbeanstalk.NewFromConfig(failing, func(o *elasticbeanstalk.Options) { o.Retryer = impatient(2) })
	_, err = client.DescribeEnvironments(t.Context(), &elasticbeanstalk.DescribeEnvironmentsInput{})
	require.Error(t, err)
	require.EqualValues(t, 2, counted(t, registry, "Elastic Beanstalk", "DescribeEnvironments", Failed))

	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.DescribeEnvironments(over, &elasticbeanstalk.DescribeEnvironmentsInput{})
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, 2, counted(t, registry, "Elastic Beanstalk", "DescribeEnvironments", Failed), "whoever gave up is no failure of AWS")
}

func TestACallShowsInTheTraceOfItsStepAndBeginsNone(t *testing.T) {
	_, config, _, recorder := region(t, aws.Faults{})
	client := elasticbeanstalk.NewFromConfig(config)
	_, err := client.DescribeEnvironments(t.Context(), &elasticbeanstalk.DescribeEnvironmentsInput{})
	require.NoError(t, err)
	require.Empty(t, recorder.Ended(), "what belongs to no step belongs to no trace")

	ctx, step := sdktrace.NewTracerProvider().Tracer("").Start(t.Context(), "step")
	_, err = client.UpdateEnvironment(ctx, &elasticbeanstalk.UpdateEnvironmentInput{EnvironmentName: sdk.String("secret-name")})
	require.Error(t, err)
	require.Len(t, recorder.Ended(), 1)
	call := recorder.Ended()[0]
	require.Equal(t, "Elastic Beanstalk.UpdateEnvironment", call.Name())
	require.Equal(t, step.SpanContext().SpanID(), call.Parent().SpanID())
	require.Equal(t, "InvalidParameterValue", call.Status().Description)
	require.NotContains(t, call.Status().Description, "secret-name")
}
