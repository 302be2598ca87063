package activities

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// platform is an account with one environment. What a test does not set is as it should be.
type platform struct {
	beanstalk.API // whatever is called beyond the methods below has no place in these tests

	mu          sync.Mutex
	environment types.EnvironmentDescription
	versions    map[string]string // label to status
	policy      string
	bucket      string
	refuse      error // the answer to changes
	updates     int
	gone        string // key of a bundle that is no longer in S3
	locked      bool   // nobody may look into the bucket
}

// Exists tells whether a bundle is in S3.
func (p *platform) Exists(_ context.Context, _, key string) (bool, error) {
	if p.locked {
		return false, delivery.Errorf(delivery.AccessDenied, "not allowed")
	}
	return key != p.gone, nil
}

// monday is when the environment was last changed before a test begins.
var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func newPlatform() *platform {
	return &platform{
		environment: types.EnvironmentDescription{
			ApplicationName: aws.String("shop"), EnvironmentName: aws.String("shop-production"), EnvironmentId: aws.String("e-1"),
			Status: types.EnvironmentStatusReady, Health: types.EnvironmentHealthGreen, HealthStatus: types.EnvironmentHealthStatusOk,
			VersionLabel: aws.String("v1"), CNAME: aws.String("shop.example.com"), DateUpdated: aws.Time(monday),
		},
		versions: map[string]string{"v1": "PROCESSED", "v2": "PROCESSED"},
		policy:   "Immutable",
		bucket:   "elasticbeanstalk-eu-west-1-1",
	}
}

// steps are the activities over this platform, at a pace for tests.
func (p *platform) steps() *Beanstalk { return &Beanstalk{Client: p.client()} }

func (p *platform) client() *beanstalk.Client { return p.over(p) }

// over is a client of this platform, or of one that knows more.
func (p *platform) over(api beanstalk.API) *beanstalk.Client {
	return beanstalk.NewFromAPI(api, beanstalk.Pace{Fast: time.Millisecond, Slow: 4 * time.Millisecond, Events: time.Millisecond, Lag: 10 * time.Millisecond})
}

func (p *platform) DescribeEnvironments(context.Context, *sdk.DescribeEnvironmentsInput, ...func(*sdk.Options)) (*sdk.DescribeEnvironmentsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &sdk.DescribeEnvironmentsOutput{Environments: []types.EnvironmentDescription{p.environment}}, nil
}

func (p *platform) DescribeApplicationVersions(_ context.Context, in *sdk.DescribeApplicationVersionsInput, _ ...func(*sdk.Options)) (*sdk.DescribeApplicationVersionsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out sdk.DescribeApplicationVersionsOutput
	for _, label := range in.VersionLabels {
		if status, ok := p.versions[label]; ok {
			out.ApplicationVersions = append(out.ApplicationVersions, types.ApplicationVersionDescription{
				VersionLabel: aws.String(label), Status: types.ApplicationVersionStatus(status),
				SourceBundle: &types.S3Location{S3Bucket: aws.String("bundles"), S3Key: aws.String(label + ".zip")},
			})
		}
	}
	return &out, nil
}

func (p *platform) CreateApplicationVersion(_ context.Context, in *sdk.CreateApplicationVersionInput, _ ...func(*sdk.Options)) (*sdk.CreateApplicationVersionOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	label := aws.ToString(in.VersionLabel)
	if _, exists := p.versions[label]; exists {
		return nil, refused("InvalidParameterValue", "Application Version "+label+" already exists.")
	}
	p.versions[label] = "PROCESSED"
	return &sdk.CreateApplicationVersionOutput{}, nil
}

func (p *platform) CreateStorageLocation(context.Context, *sdk.CreateStorageLocationInput, ...func(*sdk.Options)) (*sdk.CreateStorageLocationOutput, error) {
	return &sdk.CreateStorageLocationOutput{S3Bucket: aws.String(p.bucket)}, nil
}

func (p *platform) DescribeConfigurationSettings(context.Context, *sdk.DescribeConfigurationSettingsInput, ...func(*sdk.Options)) (*sdk.DescribeConfigurationSettingsOutput, error) {
	return &sdk.DescribeConfigurationSettingsOutput{ConfigurationSettings: []types.ConfigurationSettingsDescription{{
		OptionSettings: []types.ConfigurationOptionSetting{
			{Namespace: aws.String("aws:elasticbeanstalk:command"), OptionName: aws.String("DeploymentPolicy"), Value: aws.String(p.policy)},
		},
	}}}, nil
}

// UpdateEnvironment is accepted and done at once.
func (p *platform) UpdateEnvironment(_ context.Context, in *sdk.UpdateEnvironmentInput, _ ...func(*sdk.Options)) (*sdk.UpdateEnvironmentOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.updates++
	if p.refuse != nil {
		return nil, p.refuse
	}
	p.environment.VersionLabel, p.environment.DateUpdated = in.VersionLabel, aws.Time(monday.Add(time.Hour))
	return &sdk.UpdateEnvironmentOutput{}, nil
}

func (p *platform) DescribeEnvironmentHealth(context.Context, *sdk.DescribeEnvironmentHealthInput, ...func(*sdk.Options)) (*sdk.DescribeEnvironmentHealthOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &sdk.DescribeEnvironmentHealthOutput{HealthStatus: aws.String(string(p.environment.HealthStatus))}, nil
}

func (p *platform) DescribeInstancesHealth(context.Context, *sdk.DescribeInstancesHealthInput, ...func(*sdk.Options)) (*sdk.DescribeInstancesHealthOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &sdk.DescribeInstancesHealthOutput{InstanceHealthList: []types.SingleInstanceHealth{{
		InstanceId: aws.String("i-1"), HealthStatus: aws.String("Ok"),
		Deployment: &types.Deployment{VersionLabel: p.environment.VersionLabel, Status: aws.String("Deployed")},
	}}}, nil
}

func (p *platform) DescribeEvents(context.Context, *sdk.DescribeEventsInput, ...func(*sdk.Options)) (*sdk.DescribeEventsOutput, error) {
	return &sdk.DescribeEventsOutput{}, nil
}

// RetrieveEnvironmentInfo: there are no logs.
func (p *platform) RetrieveEnvironmentInfo(context.Context, *sdk.RetrieveEnvironmentInfoInput, ...func(*sdk.Options)) (*sdk.RetrieveEnvironmentInfoOutput, error) {
	return nil, refused("InsufficientPrivilegesException", "no logs")
}

func refused(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

// found is the platform's environment as AwaitReady answers it.
func found() delivery.Observation {
	return delivery.Observation{
		Application: "shop", Name: "shop-production", ID: "e-1", Status: "Ready", Health: "Green", HealthStatus: "Ok",
		VersionLabel: "v1", Address: "shop.example.com", UpdatedAt: monday,
	}
}

func version(label string) delivery.Version {
	return delivery.Version{
		Application: "shop", Label: label, Bucket: "bundles", Key: label + ".zip", Digest: "d-" + label, Size: 42,
		Revision: delivery.Revision{SHA: "sha-of-" + label},
	}
}

func TestPrecheck(t *testing.T) {
	v0, v1 := version("v0"), version("v1")
	cases := []struct {
		name   string
		good   *delivery.Version
		bare   bool   // the environment is on no version, instead of v1
		health string // Ok unless it says otherwise
		change func(*platform)
		input  func(*PrecheckInput)
		want   *delivery.Version
		fails  delivery.ErrorType
		says   string
	}{
		{name: "the way back is the last good version, with all that is known of it", good: &v1, want: &v1},
		{
			name: "a healthy version that somebody deployed by hand becomes the way back", good: &v0,
			want: &delivery.Version{Application: "shop", Label: "v1", Bucket: "bundles", Key: "v1.zip"},
		},
		{
			name: "on the first deployment the healthy version found there is the way back",
			want: &delivery.Version{Application: "shop", Label: "v1", Bucket: "bundles", Key: "v1.zip"},
		},
		{name: "on the first deployment of an environment without a version there is no way back", bare: true},
		{name: "on the first deployment of an ill environment there is no way back", health: "Severe"},
		{name: "on the first deployment of an environment without data there is no way back", health: "NoData"},
		{name: "an ill version found there is no way back, the last good one is", good: &v0, health: "Degraded", want: &v0, change: func(p *platform) { p.versions["v0"] = "PROCESSED" }},
		{
			name: "a deployment without its way back does not begin", good: &v0, health: "Severe",
			fails: delivery.VersionNotFound, says: "the version to return to, v0, no longer exists",
		},
		{
			name: "a way back whose bundle cannot be used is none", good: &v0, health: "Severe", change: func(p *platform) { p.versions["v0"] = "FAILED" },
			fails: delivery.VersionNotFound, says: "no longer exists",
		},
		{
			name: "the last good version steps in where the one found was deleted", good: &v0, change: func(p *platform) {
				delete(p.versions, "v1")
				p.versions["v0"] = "PROCESSED"
			}, want: &v0,
		},
		{
			name: "a wanted version that does not exist is not deployed", good: &v1, change: func(p *platform) { delete(p.versions, "v2") },
			fails: delivery.VersionNotFound, says: "v2",
		},
		{
			name: "a wanted version that is still processed is waited for", good: &v1, change: func(p *platform) { p.versions["v2"] = "PROCESSING" },
			fails: delivery.Unavailable, says: "v2",
		},
		{
			name: "an environment that would replace its instances otherwise is not touched", good: &v1, change: func(p *platform) { p.policy = "AllAtOnce" },
			fails: delivery.InvalidInput,
			says:  "the stage's strategy is immutable, but environment shop-production would update by AllAtOnce; set DeploymentPolicy in aws:elasticbeanstalk:command to Immutable",
		},
		{
			name: "a version that somebody deployed by hand is no way back where that is to be overwritten", good: &v0, want: &v0,
			change: func(p *platform) { p.versions["v0"] = "PROCESSED" },
			input:  func(in *PrecheckInput) { in.Drift, in.LeftOn = delivery.DriftOverwrite, "v0" },
		},
		{
			name: "it is where that is to be adopted", good: &v0, change: func(p *platform) { p.versions["v0"] = "PROCESSED" },
			input: func(in *PrecheckInput) { in.Drift, in.LeftOn = delivery.DriftAdopt, "v0" },
			want:  &delivery.Version{Application: "shop", Label: "v1", Bucket: "bundles", Key: "v1.zip"},
		},
		{
			name: "an ill version that somebody deployed by hand is none either way", good: &v0, health: "Severe", want: &v0,
			change: func(p *platform) { p.versions["v0"] = "PROCESSED" },
			input:  func(in *PrecheckInput) { in.Drift, in.LeftOn = delivery.DriftAdopt, "v0" },
		},
		{
			name: "a version whose bundle is gone from S3 is no way back", good: &v0, want: &v0, change: func(p *platform) {
				p.versions["v0"], p.gone = "PROCESSED", "v1.zip"
			},
		},
		{
			name: "where no bundle is left to return to, the deployment does not begin", good: &v1, change: func(p *platform) { p.gone = "v1.zip" },
			fails: delivery.VersionNotFound, says: "the version to return to, v1, no longer exists, or its bundle does not",
		},
		{
			name: "whoever may not look into the bucket deploys all the same", good: &v1, want: &v1, change: func(p *platform) { p.locked = true },
		},
		{
			name: "a configuration that somebody changed stops the deployment", good: &v1, input: func(in *PrecheckInput) {
				in.Drift, in.Configuration = delivery.DriftStop, digestOf(t, "Rolling")
			},
			fails: delivery.Drift, says: "somebody changed the configuration of shop-production since the last deployment, in aws:elasticbeanstalk:command",
		},
		{
			name: "unless the stage adopts it", good: &v1, want: &v1, input: func(in *PrecheckInput) {
				in.Drift, in.Configuration = delivery.DriftAdopt, digestOf(t, "Rolling")
			},
		},
		{
			name: "or overwrites it", good: &v1, want: &v1, input: func(in *PrecheckInput) {
				in.Drift, in.Configuration = delivery.DriftOverwrite, digestOf(t, "Rolling")
			},
		},
		{
			name: "a configuration that is as it was stops nothing", good: &v1, want: &v1, input: func(in *PrecheckInput) {
				in.Drift, in.Configuration = delivery.DriftStop, digestOf(t, "Immutable")
			},
		},
		{
			name: "an alarm that does not exist could never be raised", good: &v1, input: func(in *PrecheckInput) { in.Alarms = []string{"errors", "latency", "typo"} },
			fails: delivery.InvalidInput, says: "does not have: latency, typo",
		},
		{
			name: "an alarm that is raised already does not stop the deployment that may mend it", good: &v1, want: &v1,
			input: func(in *PrecheckInput) { in.Alarms = []string{"errors"} },
		},
		{
			name: "a strategy that nobody knows is refused", good: &v1, input: func(in *PrecheckInput) { in.Strategy = "hope" },
			fails: delivery.InvalidInput, says: "hope",
		},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			p := newPlatform()
			if test.change != nil {
				test.change(p)
			}
			input := PrecheckInput{Found: found(), Wanted: version("v2"), Good: test.good, Strategy: delivery.Immutable, Accept: []string{"Ok", "Info"}}
			if test.bare {
				input.Found.VersionLabel = ""
			}
			if test.health != "" {
				input.Found.HealthStatus = test.health
			}
			if test.input != nil {
				test.input(&input)
			}
			b := p.steps()
			b.Bundles, b.Alarms = p, (&cloud{states: map[string]string{"errors": "ALARM"}}).client()
			answer, err := newSteps(t, b).ExecuteActivity(b.Precheck, input)
			if test.fails != "" {
				assert.Equal(t, test.fails, typeOf(t, err))
				assert.ErrorContains(t, err, test.says)
				return
			}
			require.NoError(t, err)
			var checked Prechecked
			require.NoError(t, answer.Get(&checked))
			assert.Equal(t, test.want, checked.Good)
			assert.Equal(t, digestOf(t, "Immutable"), checked.Configuration)
			assert.Zero(t, p.updates, "it changes nothing")
		})
	}
}

// digestOf is the digest of the environment's settings with a deployment policy.
func digestOf(t *testing.T, policy string) string {
	p := newPlatform()
	p.policy = policy
	configured, err := p.client().Configuration(t.Context(), "shop", "shop-production")
	require.NoError(t, err)
	return configured.Digest
}

func TestFindVersion(t *testing.T) {
	p := newPlatform()
	p.versions["broken"], p.versions["new"] = "FAILED", "PROCESSING"
	b := p.steps()
	find := func(label string) (FoundVersion, error) {
		answer, err := newSteps(t, b).ExecuteActivity(b.FindVersion, version(label))
		var found FoundVersion
		if err == nil {
			err = answer.Get(&found)
		}
		return found, err
	}
	t.Run("a version that was made before is found, with its revision", func(t *testing.T) {
		found, err := find("v1")
		require.NoError(t, err)
		require.NotNil(t, found.Version)
		assert.Equal(t, "v1.zip", found.Version.Key)
		assert.Equal(t, "sha-of-v1", found.Version.Revision.SHA)
	})
	t.Run("a version that was never made is an answer, not an error", func(t *testing.T) {
		found, err := find("v9")
		require.NoError(t, err)
		assert.Nil(t, found.Version)
	})
	t.Run("a version that is still processed is asked for again", func(t *testing.T) {
		_, err := find("new")
		assert.Equal(t, delivery.Unavailable, typeOf(t, err))
	})
}

func TestRegisteringTwiceFindsTheFirst(t *testing.T) {
	b := newPlatform().steps()
	made := version("v3")
	for range 2 {
		answer, err := newSteps(t, b).ExecuteActivity(b.RegisterVersion, made)
		require.NoError(t, err)
		var registered delivery.Version
		require.NoError(t, answer.Get(&registered))
		assert.Equal(t, made, registered)
	}
	made.Key = "somewhere-else.zip"
	_, err := newSteps(t, b).ExecuteActivity(b.RegisterVersion, made)
	assert.Equal(t, delivery.VersionConflict, typeOf(t, err))
}

func TestUpdate(t *testing.T) {
	input := UpdateInput{Found: found(), Version: "v2"}
	t.Run("that an update is about to be sent is on record before it is sent", func(t *testing.T) {
		p := newPlatform()
		b := p.steps()
		steps := newSteps(t, b)
		recorded := -1
		steps.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
			p.mu.Lock()
			defer p.mu.Unlock()
			recorded = p.updates
		})
		answer, err := steps.ExecuteActivity(b.Update, input)
		require.NoError(t, err)
		var started Update
		require.NoError(t, answer.Get(&started))
		assert.Equal(t, Update{Before: monday}, started)
		assert.Equal(t, 0, recorded, "Temporal knows before the platform does")
		assert.Equal(t, 1, p.updates)
	})
	t.Run("an attempt after one that sent adopts what that one sent", func(t *testing.T) {
		p := newPlatform()
		p.environment.Status, p.environment.DateUpdated = types.EnvironmentStatusUpdating, aws.Time(monday.Add(time.Hour))
		b := p.steps()
		steps := newSteps(t, b)
		steps.SetHeartbeatDetails("sending the update to v2")
		answer, err := steps.ExecuteActivity(b.Update, input)
		require.NoError(t, err)
		var started Update
		require.NoError(t, answer.Get(&started))
		assert.True(t, started.Adopted)
		assert.Zero(t, p.updates)
	})
	t.Run("a first attempt takes nothing for its own", func(t *testing.T) {
		p := newPlatform()
		p.environment.Status, p.environment.DateUpdated = types.EnvironmentStatusUpdating, aws.Time(monday.Add(time.Hour))
		b := p.steps()
		answer, err := newSteps(t, b).ExecuteActivity(b.Update, input)
		require.NoError(t, err)
		var started Update
		require.NoError(t, answer.Get(&started))
		assert.True(t, started.Busy)
		assert.Zero(t, p.updates)
	})
	t.Run("a refusal has its type", func(t *testing.T) {
		p := newPlatform()
		p.refuse = refused("Throttling", "Rate exceeded")
		b := p.steps()
		_, err := newSteps(t, b).ExecuteActivity(b.Update, input)
		assert.Equal(t, delivery.Throttled, typeOf(t, err))
		assert.Equal(t, 1, p.updates)
	})
}

func TestWaitsShowWhatTheySeeAndAnswerWithWhatTheySaw(t *testing.T) {
	p := newPlatform()
	p.environment.VersionLabel, p.environment.DateUpdated = aws.String("v2"), aws.Time(monday.Add(time.Hour))
	b := p.steps()
	later := time.Now().Add(time.Hour)
	health := delivery.Health{Accept: []string{"Ok"}, Steady: delivery.Duration(5 * time.Millisecond), Settle: delivery.Duration(time.Hour)}

	var proof delivery.Proof
	var ready, settled delivery.Observation
	for step, run := range map[string]struct {
		activity, input, answer any
	}{
		"AwaitReady":  {b.AwaitReady, AwaitReadyInput{Application: "shop", Environment: "shop-production", Until: later}, &ready},
		"AwaitHealth": {b.AwaitHealth, AwaitHealthInput{Application: "shop", Environment: "shop-production", Version: "v2", Started: Update{Before: monday}, Health: health, Deadline: later}, &proof},
		"Settle":      {b.Settle, SettleInput{Found: found(), Until: later}, &settled},
	} {
		steps, shown := newShownSteps(t, b)
		answer, err := steps.ExecuteActivity(run.activity, run.input)
		require.NoError(t, err, step)
		require.NoError(t, answer.Get(run.answer), step)
		require.NotEmpty(t, shown(), step)
		progress, ok := shown()[0].(beanstalk.Progress)
		require.True(t, ok, step)
		assert.Equal(t, "Ready v2", progress.Status+" "+progress.Version, step)
	}
	assert.Equal(t, "e-1", ready.ID)
	assert.Equal(t, delivery.VerdictHealthy, proof.Verdict, proof.Reason)
	assert.Equal(t, "v2", settled.VersionLabel)
}

func TestAWaitThatIsOverIsNotTriedAgain(t *testing.T) {
	p := newPlatform()
	p.environment.Status = types.EnvironmentStatusUpdating
	b := p.steps()
	_, err := newSteps(t, b).ExecuteActivity(b.AwaitReady, AwaitReadyInput{Application: "shop", Environment: "shop-production", Until: time.Now()})
	assert.Equal(t, delivery.EnvironmentBusy, typeOf(t, err))
	assert.ErrorContains(t, err, "is still Updating")
}
