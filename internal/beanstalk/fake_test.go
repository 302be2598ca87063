package beanstalk

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
)

// fakeAPI answers with its fields. A call that no field answers fails, as one that is not permitted does.
type fakeAPI struct {
	pairAPI // belongs to the tests of pairs, which have a fake of their own

	abort         func(*elasticbeanstalk.AbortEnvironmentUpdateInput) error
	createVersion func(*elasticbeanstalk.CreateApplicationVersionInput) error
	deleteVersion func(*elasticbeanstalk.DeleteApplicationVersionInput) error
	storage       func() (string, error)
	versions      func(*elasticbeanstalk.DescribeApplicationVersionsInput) ([]types.ApplicationVersionDescription, error)
	settings      func(*elasticbeanstalk.DescribeConfigurationSettingsInput) ([]types.ConfigurationSettingsDescription, error)
	health        func(context.Context) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error)
	environments  func(context.Context, []string) ([]types.EnvironmentDescription, error)
	events        func(*elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error)
	instances     func(context.Context, string) (*elasticbeanstalk.DescribeInstancesHealthOutput, error)
	request       func(*elasticbeanstalk.RequestEnvironmentInfoInput) error
	retrieve      func(*elasticbeanstalk.RetrieveEnvironmentInfoInput) ([]types.EnvironmentInfoDescription, error)
	update        func(context.Context, *elasticbeanstalk.UpdateEnvironmentInput) error

	// silent operations are never answered.
	silent string

	mu    sync.Mutex
	calls map[string]int
	looks []delivery.Observation
	now   delivery.Observation
}

var _ API = (*fakeAPI)(nil)

func (f *fakeAPI) called(operation string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[operation]++
}

// count is how often an operation was called.
func (f *fakeAPI) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[operation]
}

func unscripted(operation string) error {
	return refused("InsufficientPrivilegesException", operation+" is not part of this test")
}

func (f *fakeAPI) AbortEnvironmentUpdate(_ context.Context, in *elasticbeanstalk.AbortEnvironmentUpdateInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.AbortEnvironmentUpdateOutput, error) {
	f.called("AbortEnvironmentUpdate")
	if f.abort == nil {
		return nil, unscripted("AbortEnvironmentUpdate")
	}
	return &elasticbeanstalk.AbortEnvironmentUpdateOutput{}, f.abort(in)
}

func (f *fakeAPI) CreateApplicationVersion(_ context.Context, in *elasticbeanstalk.CreateApplicationVersionInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateApplicationVersionOutput, error) {
	f.called("CreateApplicationVersion")
	if f.createVersion == nil {
		return nil, unscripted("CreateApplicationVersion")
	}
	return &elasticbeanstalk.CreateApplicationVersionOutput{}, f.createVersion(in)
}

func (f *fakeAPI) DeleteApplicationVersion(_ context.Context, in *elasticbeanstalk.DeleteApplicationVersionInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DeleteApplicationVersionOutput, error) {
	f.called("DeleteApplicationVersion")
	if f.deleteVersion == nil {
		return nil, unscripted("DeleteApplicationVersion")
	}
	return &elasticbeanstalk.DeleteApplicationVersionOutput{}, f.deleteVersion(in)
}

func (f *fakeAPI) CreateStorageLocation(context.Context, *elasticbeanstalk.CreateStorageLocationInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateStorageLocationOutput, error) {
	f.called("CreateStorageLocation")
	if f.storage == nil {
		return nil, unscripted("CreateStorageLocation")
	}
	bucket, err := f.storage()
	return &elasticbeanstalk.CreateStorageLocationOutput{S3Bucket: aws.String(bucket)}, err
}

func (f *fakeAPI) DescribeApplicationVersions(_ context.Context, in *elasticbeanstalk.DescribeApplicationVersionsInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeApplicationVersionsOutput, error) {
	f.called("DescribeApplicationVersions")
	if f.versions == nil {
		return nil, unscripted("DescribeApplicationVersions")
	}
	versions, err := f.versions(in)
	return &elasticbeanstalk.DescribeApplicationVersionsOutput{ApplicationVersions: versions}, err
}

func (f *fakeAPI) DescribeConfigurationSettings(_ context.Context, in *elasticbeanstalk.DescribeConfigurationSettingsInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeConfigurationSettingsOutput, error) {
	f.called("DescribeConfigurationSettings")
	if f.settings == nil {
		return nil, unscripted("DescribeConfigurationSettings")
	}
	settings, err := f.settings(in)
	return &elasticbeanstalk.DescribeConfigurationSettingsOutput{ConfigurationSettings: settings}, err
}

func (f *fakeAPI) DescribeEnvironmentHealth(ctx context.Context, _ *elasticbeanstalk.DescribeEnvironmentHealthInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error) {
	f.called("DescribeEnvironmentHealth")
	if f.health == nil {
		return nil, unscripted("DescribeEnvironmentHealth")
	}
	return f.health(ctx)
}

func (f *fakeAPI) DescribeEnvironments(ctx context.Context, in *elasticbeanstalk.DescribeEnvironmentsInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEnvironmentsOutput, error) {
	f.called("DescribeEnvironments")
	if f.environments == nil {
		return nil, unscripted("DescribeEnvironments")
	}
	environments, err := f.environments(ctx, in.EnvironmentNames)
	return &elasticbeanstalk.DescribeEnvironmentsOutput{Environments: environments}, err
}

func (f *fakeAPI) DescribeEvents(ctx context.Context, in *elasticbeanstalk.DescribeEventsInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEventsOutput, error) {
	f.called("DescribeEvents")
	if f.silent == "DescribeEvents" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.events == nil {
		return nil, unscripted("DescribeEvents")
	}
	events, err := f.events(in)
	return &elasticbeanstalk.DescribeEventsOutput{Events: events}, err
}

func (f *fakeAPI) DescribeInstancesHealth(ctx context.Context, in *elasticbeanstalk.DescribeInstancesHealthInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
	f.called("DescribeInstancesHealth")
	if f.instances == nil {
		return nil, unscripted("DescribeInstancesHealth")
	}
	return f.instances(ctx, aws.ToString(in.NextToken))
}

func (f *fakeAPI) RequestEnvironmentInfo(_ context.Context, in *elasticbeanstalk.RequestEnvironmentInfoInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.RequestEnvironmentInfoOutput, error) {
	f.called("RequestEnvironmentInfo")
	if f.request == nil {
		return nil, unscripted("RequestEnvironmentInfo")
	}
	return &elasticbeanstalk.RequestEnvironmentInfoOutput{}, f.request(in)
}

func (f *fakeAPI) RetrieveEnvironmentInfo(_ context.Context, in *elasticbeanstalk.RetrieveEnvironmentInfoInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.RetrieveEnvironmentInfoOutput, error) {
	f.called("RetrieveEnvironmentInfo")
	if f.retrieve == nil { // no logs were ever asked for
		return &elasticbeanstalk.RetrieveEnvironmentInfoOutput{}, nil
	}
	samples, err := f.retrieve(in)
	return &elasticbeanstalk.RetrieveEnvironmentInfoOutput{EnvironmentInfo: samples}, err
}

func (f *fakeAPI) UpdateEnvironment(ctx context.Context, in *elasticbeanstalk.UpdateEnvironmentInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.UpdateEnvironmentOutput, error) {
	f.called("UpdateEnvironment")
	if f.update == nil {
		return nil, unscripted("UpdateEnvironment")
	}
	return &elasticbeanstalk.UpdateEnvironmentOutput{}, f.update(ctx, in)
}

// refusal is an error as Beanstalk answers it.
func refused(code, message string) error {
	return &smithy.OperationError{
		ServiceID: "Elastic Beanstalk", OperationName: "Test", Err: &smithy.GenericAPIError{Code: code, Message: message},
	}
}

var (
	errMustBeReady = refused("InvalidParameterValue", "Environment named shop-production is in an invalid state for this operation. Must be Ready.")
	errThrottled   = refused("Throttling", "Rate exceeded")
	errLost        = fmt.Errorf("read tcp 127.0.0.1: connection reset by peer")
)

// The pace of tests. Lag is long enough to be told from Fast on a busy machine.
var quick = Pace{Fast: time.Millisecond, Slow: 4 * time.Millisecond, Events: time.Millisecond, Lag: 10 * time.Millisecond}

// monday is when the environment of these tests was last changed before anything happens.
var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// onV1 is the environment of these tests as it is found: Ready and well on version v1.
func onV1() delivery.Observation {
	return delivery.Observation{
		Application: "shop", Name: "shop-production", ID: "e-1", Status: "Ready", Health: "Green", HealthStatus: "Ok",
		VersionLabel: "v1", Address: "shop.example.com", UpdatedAt: monday,
	}
}

// with changes a copy.
func with(o delivery.Observation, changes ...func(*delivery.Observation)) delivery.Observation {
	for _, change := range changes {
		change(&o)
	}
	return o
}

func status(s string) func(*delivery.Observation) {
	return func(o *delivery.Observation) { o.Status = s }
}

func label(l string) func(*delivery.Observation) {
	return func(o *delivery.Observation) { o.VersionLabel = l }
}

func health(h string) func(*delivery.Observation) {
	return func(o *delivery.Observation) { o.HealthStatus = h }
}

func abortable(o *delivery.Observation) { o.Abortable = true }

// changed is what the platform's acceptance of an update leaves behind.
func changed(o *delivery.Observation) { o.UpdatedAt = monday.Add(time.Hour) }

func recreated(o *delivery.Observation) { o.ID, o.UpdatedAt = "e-2", monday.Add(time.Hour) }

// running adds instances that have deployed a version.
func running(versions ...string) func(*delivery.Observation) {
	return func(o *delivery.Observation) {
		o.Instances = nil
		for i, version := range versions {
			o.Instances = append(o.Instances, delivery.Instance{
				ID: fmt.Sprintf("i-%d", i+1), HealthStatus: "Ok", VersionLabel: version, Deployment: "Deployed",
			})
		}
	}
}

// described is an observation as the platform answers it.
func described(observed ...delivery.Observation) []types.EnvironmentDescription {
	var answer []types.EnvironmentDescription
	for _, o := range observed {
		answer = append(answer, types.EnvironmentDescription{
			ApplicationName: aws.String(o.Application), EnvironmentName: aws.String(o.Name), EnvironmentId: aws.String(o.ID),
			Status: types.EnvironmentStatus(o.Status), Health: types.EnvironmentHealth(o.Health),
			HealthStatus: types.EnvironmentHealthStatus(o.HealthStatus), VersionLabel: aws.String(o.VersionLabel),
			CNAME: aws.String(o.Address), DateUpdated: aws.Time(o.UpdatedAt), AbortableOperationInProgress: aws.Bool(o.Abortable),
		})
	}
	return answer
}

// script makes DescribeEnvironments answer with one look after the other, and then with the last
// for ever. The health calls agree with the look that was answered last.
func (f *fakeAPI) script(looks ...delivery.Observation) {
	f.then(looks...)
	f.environments = func(context.Context, []string) ([]types.EnvironmentDescription, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now = f.looks[0]
		f.looks = f.looks[min(1, len(f.looks)-1):]
		return described(f.now), nil
	}
	f.health = func(context.Context) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return &elasticbeanstalk.DescribeEnvironmentHealthOutput{HealthStatus: aws.String(f.now.HealthStatus), Causes: f.now.Causes}, nil
	}
	f.instances = func(context.Context, string) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return &elasticbeanstalk.DescribeInstancesHealthOutput{InstanceHealthList: reported(f.now.Instances)}, nil
	}
	f.events = func(*elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error) { return nil, nil }
}

// then changes what a script answers from now on.
func (f *fakeAPI) then(looks ...delivery.Observation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks, f.now = looks, looks[0]
}

func reported(instances []delivery.Instance) []types.SingleInstanceHealth {
	var list []types.SingleInstanceHealth
	for _, i := range instances {
		list = append(list, types.SingleInstanceHealth{
			InstanceId: aws.String(i.ID), HealthStatus: aws.String(i.HealthStatus), Causes: i.Causes,
			Deployment: &types.Deployment{VersionLabel: aws.String(i.VersionLabel), Status: aws.String(i.Deployment)},
		})
	}
	return list
}

// inBubble runs a test on a clock of its own, which goes on when all that the test began waits: a look is never made
// twice because the machine is busy, nor missed.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Minute) // watchers go to rest
		test(t)
	})
}

// runInBubble is a part of a test that runs on a clock of its own.
func runInBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { inBubble(t, test) })
}

// limited is a context for waits that must end: a test that hangs fails here, with its name.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
