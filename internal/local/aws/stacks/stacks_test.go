package stacks_test

import (
	"context"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	cf "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/cloudformation"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
)

// stand is a stand-in with the clients that tests reach it by.
type stand struct {
	*testing.T
	server    *aws.Server
	stacks    *cf.Client
	beanstalk *eb.Client
	s3        *s3.Client
}

func start(t *testing.T, change ...func(*aws.Options)) *stand {
	t.Helper()
	o := aws.Options{DataDir: t.TempDir(), Pace: aws.TestPace(), Seed: 1}
	for _, f := range change {
		f(&o)
	}
	server, err := aws.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return &stand{T: t, server: server, stacks: cf.NewFromConfig(server.Config()), beanstalk: eb.NewFromConfig(server.Config()),
		s3: s3.NewFromConfig(server.Config(), func(o *s3.Options) { o.UsePathStyle = true })}
}

func (s *stand) eventually(what string, is func() bool) {
	s.Helper()
	require.Eventually(s, is, time.Minute, 5*time.Millisecond, what)
}

// propose makes a change set and waits until it was worked out.
func (s *stand) propose(kind types.ChangeSetType, name, template string, parameters map[string]string) *cf.DescribeChangeSetOutput {
	s.Helper()
	made, err := s.stacks.CreateChangeSet(s.Context(), input(kind, name, template, parameters))
	require.NoError(s, err)
	var described *cf.DescribeChangeSetOutput
	s.eventually("the change set is worked out", func() bool {
		described, err = s.stacks.DescribeChangeSet(s.Context(), &cf.DescribeChangeSetInput{ChangeSetName: made.Id})
		require.NoError(s, err)
		return described.Status == types.ChangeSetStatusCreateComplete || described.Status == types.ChangeSetStatusFailed
	})
	return described
}

func input(kind types.ChangeSetType, name, template string, parameters map[string]string) *cf.CreateChangeSetInput {
	in := &cf.CreateChangeSetInput{StackName: sdk.String(name), ChangeSetName: sdk.String("change"), ChangeSetType: kind,
		TemplateBody: sdk.String(template), Capabilities: []types.Capability{types.CapabilityCapabilityIam}}
	for key, value := range parameters {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: sdk.String(key), ParameterValue: sdk.String(value)})
	}
	return in
}

// apply carries a definition out, and gives the stack as it ended.
func (s *stand) apply(kind types.ChangeSetType, name, template string, parameters map[string]string) types.Stack {
	s.Helper()
	proposed := s.propose(kind, name, template, parameters)
	require.Equal(s, types.ChangeSetStatusCreateComplete, proposed.Status, sdk.ToString(proposed.StatusReason))
	_, err := s.stacks.ExecuteChangeSet(s.Context(), &cf.ExecuteChangeSetInput{ChangeSetName: proposed.ChangeSetId})
	require.NoError(s, err)
	return s.ended(sdk.ToString(proposed.StackId))
}

// ended waits until nothing goes on in a stack.
func (s *stand) ended(id string) types.Stack {
	s.Helper()
	var found types.Stack
	s.eventually(id+" comes to an end", func() bool {
		found = s.stack(id)
		return !strings.HasSuffix(string(found.StackStatus), "_IN_PROGRESS")
	})
	return found
}

func (s *stand) stack(id string) types.Stack {
	s.Helper()
	out, err := s.stacks.DescribeStacks(s.Context(), &cf.DescribeStacksInput{StackName: sdk.String(id)})
	require.NoError(s, err)
	return out.Stacks[0]
}

func (s *stand) remove(id string) types.Stack {
	s.Helper()
	_, err := s.stacks.DeleteStack(s.Context(), &cf.DeleteStackInput{StackName: sdk.String(id)})
	require.NoError(s, err)
	return s.ended(id)
}

// statuses are the statuses that a resource went through, oldest first.
func (s *stand) statuses(id, logical string) []string {
	s.Helper()
	out, err := s.stacks.DescribeStackEvents(s.Context(), &cf.DescribeStackEventsInput{StackName: sdk.String(id)})
	require.NoError(s, err)
	var list []string
	for i := len(out.StackEvents) - 1; i >= 0; i-- {
		if sdk.ToString(out.StackEvents[i].LogicalResourceId) == logical {
			list = append(list, string(out.StackEvents[i].ResourceStatus))
		}
	}
	return list
}

func outputs(of types.Stack) map[string]string {
	values := map[string]string{}
	for _, output := range of.Outputs {
		values[sdk.ToString(output.OutputKey)] = sdk.ToString(output.OutputValue)
	}
	return values
}

func shipped(t *testing.T, name string) string {
	t.Helper()
	text, err := cloudformation.Template(name)
	require.NoError(t, err)
	return string(text)
}

// environmentOf are parameters for environment.yaml with as little as it asks for.
func environmentOf(bucket string) map[string]string {
	return map[string]string{"ApplicationName": "shop", "EnvironmentName": "shop-staging", "SolutionStackName": "64bit Amazon Linux 2023 v4.4.0 running Go 1",
		"VpcId": "vpc-0123456789abcdef0", "LoadBalancerSubnets": "subnet-00000001,subnet-00000002", "InstanceSubnets": "subnet-00000003,subnet-00000004",
		"ArtifactBucket": bucket, "HealthCheckPath": "/"}
}

const create, update = types.ChangeSetTypeCreate, types.ChangeSetTypeUpdate

func TestTheShippedTemplatesMakeAnEnvironmentThatServesAndGoAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	pipeline := s.apply(create, "gravity-shop", shipped(t, "pipeline"), map[string]string{"ApplicationName": "shop", "UseKmsKey": "true", "AllowProvisioning": "true"})
	require.Equal(t, types.StackStatusCreateComplete, pipeline.StackStatus, sdk.ToString(pipeline.StackStatusReason))
	told := outputs(pipeline)
	assert.Regexp(t, `^gravity-shop-bucket-[a-z0-9]{12}$`, told["Bucket"])
	assert.Regexp(t, `^arn:aws:iam::000000000000:role/gravity/gravity-shop-DeployerRole-[A-Z0-9]{12}$`, told["DeployerRoleArn"])
	assert.Regexp(t, `^arn:aws:kms:us-east-1:000000000000:key/[0-9a-f-]{36}$`, told["KeyArn"])
	_, err := s.s3.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: sdk.String(told["Bucket"])})
	require.NoError(t, err, "the bucket is there for real")

	environment := s.apply(create, "gravity-shop-staging", shipped(t, "environment"), environmentOf(told["Bucket"]))
	require.Equal(t, types.StackStatusCreateComplete, environment.StackStatus, sdk.ToString(environment.StackStatusReason))
	assert.Equal(t, "shop-staging", outputs(environment)["Environment"])
	assert.NotEmpty(t, outputs(environment)["Address"])
	found, err := s.beanstalk.DescribeEnvironments(t.Context(), &eb.DescribeEnvironmentsInput{EnvironmentNames: []string{"shop-staging"}})
	require.NoError(t, err)
	require.Len(t, found.Environments, 1)
	assert.Equal(t, ebtypes.EnvironmentStatusReady, found.Environments[0].Status)

	alarms := s.apply(create, "gravity-shop-alarms", shipped(t, "alarms"), map[string]string{"EnvironmentName": "shop-staging"})
	assert.Equal(t, "shop-staging-5xx", outputs(alarms)["Errors"])
	image := s.apply(create, "gravity-shop-image", shipped(t, "hardened-image"), map[string]string{"PlatformImageId": "ami-0123456789abcdef0",
		"SubnetId": "subnet-00000003", "VpcId": "vpc-0123456789abcdef0", "ApplicationName": "shop"})
	require.Equal(t, types.StackStatusCreateComplete, image.StackStatus, sdk.ToString(image.StackStatusReason))
	assert.Regexp(t, `^ami-[0-9a-f]{17}$`, outputs(image)["ImageId"])

	assert.Equal(t, types.StackStatusDeleteComplete, s.remove(sdk.ToString(environment.StackId)).StackStatus)
	found, err = s.beanstalk.DescribeEnvironments(t.Context(), &eb.DescribeEnvironmentsInput{EnvironmentNames: []string{"shop-staging"}, IncludeDeleted: sdk.Bool(false)})
	require.NoError(t, err)
	assert.Empty(t, found.Environments)
	assert.Equal(t, types.StackStatusDeleteComplete, s.remove(sdk.ToString(pipeline.StackId)).StackStatus)
	assert.Contains(t, s.statuses(sdk.ToString(pipeline.StackId), "Key"), "DELETE_SKIPPED", "what the template retains is kept")
}

func TestAChangeSetTellsWhatIsReplacedAndWhatIsNot(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.apply(create, "shop", shipped(t, "environment"), environmentOf("artifacts"))
	changed := environmentOf("artifacts")
	changed["MaxInstances"], changed["EnvironmentName"] = "6", "shop-renamed"
	proposed := s.propose(update, "shop", shipped(t, "environment"), changed)
	byName := map[string]types.ResourceChange{}
	for _, change := range proposed.Changes {
		byName[sdk.ToString(change.ResourceChange.LogicalResourceId)] = *change.ResourceChange
	}
	assert.Equal(t, types.ReplacementTrue, byName["Environment"].Replacement)
	assert.Equal(t, types.PolicyActionReplaceAndDelete, byName["Environment"].PolicyAction)
	assert.Equal(t, types.ReplacementFalse, byName["InstanceRole"].Replacement, "its description and its policy alone")
	assert.NotContains(t, byName, "Application")
	details := map[string]types.RequiresRecreation{}
	for _, detail := range byName["Environment"].Details {
		details[sdk.ToString(detail.Target.Name)] = detail.Target.RequiresRecreation
	}
	assert.Equal(t, map[string]types.RequiresRecreation{"EnvironmentName": types.RequiresRecreationAlways, "OptionSettings": types.RequiresRecreationNever}, details)

	_, err := s.stacks.DeleteChangeSet(t.Context(), &cf.DeleteChangeSetInput{ChangeSetName: proposed.ChangeSetId})
	require.NoError(t, err)
	unchanged := s.propose(update, "shop", shipped(t, "environment"), environmentOf("artifacts"))
	assert.Equal(t, types.ChangeSetStatusFailed, unchanged.Status)
	assert.Contains(t, sdk.ToString(unchanged.StatusReason), "didn't contain changes")
}

func TestAnUpdateReachesBeanstalkAndAFailedOneIsTakenBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.apply(create, "shop", shipped(t, "environment"), environmentOf("artifacts"))
	changed := environmentOf("artifacts")
	changed["MaxInstances"] = "6"
	assert.Equal(t, types.StackStatusUpdateComplete, s.apply(update, "shop", shipped(t, "environment"), changed).StackStatus)
	assert.Equal(t, "6", s.option("shop-staging", "aws:autoscaling:asg", "MaxSize"))

	require.NoError(t, s.server.SetFaults(aws.Faults{Stacks: []faults.Stack{{Resource: "Environment", Action: "update", Reason: "Beanstalk says no"}}}))
	changed["MaxInstances"] = "8"
	failed := s.apply(update, "shop", shipped(t, "environment"), changed)
	assert.Equal(t, types.StackStatusUpdateRollbackFailed, failed.StackStatus, "the way back fails too, for the same reason")
	require.NoError(t, s.server.SetFaults(aws.Faults{}))
	_, err := s.stacks.ContinueUpdateRollback(t.Context(), &cf.ContinueUpdateRollbackInput{StackName: sdk.String("shop")})
	require.NoError(t, err)
	assert.Equal(t, types.StackStatusUpdateRollbackComplete, s.ended("shop").StackStatus)
	assert.Equal(t, "6", s.option("shop-staging", "aws:autoscaling:asg", "MaxSize"))
}

func (s *stand) option(environment, namespace, name string) string {
	s.Helper()
	out, err := s.beanstalk.DescribeConfigurationSettings(s.Context(), &eb.DescribeConfigurationSettingsInput{ApplicationName: sdk.String("shop"), EnvironmentName: sdk.String(environment)})
	require.NoError(s, err)
	for _, setting := range out.ConfigurationSettings[0].OptionSettings {
		if sdk.ToString(setting.Namespace) == namespace && sdk.ToString(setting.OptionName) == name {
			return sdk.ToString(setting.Value)
		}
	}
	return ""
}

func TestAFailedCreationIsRolledBackAndSaysWhatFailed(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *aws.Options) {
		o.Faults.Stacks = []faults.Stack{{Stack: "gravity-shop", Resource: "DeployerRole", Action: "create", Reason: "Limit exceeded: 1000 roles"}}
	})
	failed := s.apply(create, "gravity-shop", shipped(t, "pipeline"), map[string]string{"ApplicationName": "shop"})
	assert.Equal(t, types.StackStatusRollbackComplete, failed.StackStatus)
	assert.Equal(t, []string{"CREATE_IN_PROGRESS", "CREATE_FAILED", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"}, s.statuses("gravity-shop", "DeployerRole"))
	list, err := s.s3.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	require.NoError(t, err)
	assert.Empty(t, list.Buckets)
}

func TestABucketThatIsNotEmptyIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.apply(create, "gravity-shop", shipped(t, "pipeline"), map[string]string{"ApplicationName": "shop"})
	_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String(outputs(made)["Bucket"]), Key: sdk.String("x"), Body: strings.NewReader("x")})
	require.NoError(t, err)
	failed := s.remove("gravity-shop")
	assert.Equal(t, types.StackStatusDeleteFailed, failed.StackStatus)
	assert.Contains(t, sdk.ToString(failed.StackStatusReason), "The following resource(s) failed to delete: [Bucket].")
}

func TestWhatSomebodyChangedByHandIsDrift(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.apply(create, "shop", shipped(t, "environment"), environmentOf("artifacts"))
	assert.Equal(t, types.StackDriftStatusInSync, s.drift("shop"))
	_, err := s.beanstalk.UpdateEnvironment(t.Context(), &eb.UpdateEnvironmentInput{EnvironmentName: sdk.String("shop-staging"), OptionSettings: []ebtypes.ConfigurationOptionSetting{
		{Namespace: sdk.String("aws:autoscaling:asg"), OptionName: sdk.String("MaxSize"), Value: sdk.String("9")}}})
	require.NoError(t, err)
	s.eventually("the change is in force", func() bool { return s.option("shop-staging", "aws:autoscaling:asg", "MaxSize") == "9" })
	assert.Equal(t, types.StackDriftStatusDrifted, s.drift("shop"))
	drifts, err := s.stacks.DescribeStackResourceDrifts(t.Context(), &cf.DescribeStackResourceDriftsInput{StackName: sdk.String("shop"),
		StackResourceDriftStatusFilters: []types.StackResourceDriftStatus{types.StackResourceDriftStatusModified}})
	require.NoError(t, err)
	require.Len(t, drifts.StackResourceDrifts, 1)
	difference := drifts.StackResourceDrifts[0].PropertyDifferences[0]
	assert.Equal(t, []string{"4", "9"}, []string{sdk.ToString(difference.ExpectedValue), sdk.ToString(difference.ActualValue)})
}

func (s *stand) drift(name string) types.StackDriftStatus {
	s.Helper()
	begun, err := s.stacks.DetectStackDrift(s.Context(), &cf.DetectStackDriftInput{StackName: sdk.String(name)})
	require.NoError(s, err)
	var found *cf.DescribeStackDriftDetectionStatusOutput
	s.eventually("the detection ends", func() bool {
		found, err = s.stacks.DescribeStackDriftDetectionStatus(s.Context(), &cf.DescribeStackDriftDetectionStatusInput{StackDriftDetectionId: begun.StackDriftDetectionId})
		require.NoError(s, err)
		return found.DetectionStatus != types.StackDriftDetectionStatusDetectionInProgress
	})
	return found.StackDriftStatus
}

func TestAnUnknownResourceTypeIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := s.stacks.CreateChangeSet(t.Context(), input(create, "queue", "Resources: {Queue: {Type: 'AWS::SQS::Queue'}}", nil))
	assert.ErrorContains(t, err, "Unrecognized resource types: [AWS::SQS::Queue]")
	_, err = s.stacks.DescribeStacks(t.Context(), &cf.DescribeStacksInput{StackName: sdk.String("queue")})
	assert.ErrorContains(t, err, "Stack with id queue does not exist")
}

func TestWhatATemplateOrItsParametersHaveWrongIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	for text, says := range map[string]string{
		"Resources: {A: {Type: 'AWS::SNS::Topic', Properties: {TopicName: !Ref B}}}":                                                                                     "unresolved resource dependencies [B]",
		"Resources: {A: {Type: 'AWS::SNS::Topic', DependsOn: B}, B: {Type: 'AWS::SNS::Topic', DependsOn: A}}":                                                            "Circular dependency",
		"Parameters: {P: {Type: Number, MaxValue: 3, Default: 4}}\nResources: {A: {Type: 'AWS::SNS::Topic'}}":                                                            "Parameter P failed to satisfy constraint: it must be at most 3",
		"Parameters: {P: {Type: String}}\nResources: {A: {Type: 'AWS::SNS::Topic'}}":                                                                                     "Parameters: [P] must have values",
		"Resources: {A: {Type: 'AWS::IAM::InstanceProfile', Properties: {Roles: [x]}}}\nTransform: AWS::Serverless":                                                      `has a section "Transform"`,
		"Rules: {R: {Assertions: [{Assert: !Equals [a, b], AssertDescription: never}]}}\nResources: {A: {Type: 'AWS::SNS::Topic'}}":                                      "Rule R: never",
		"Conditions: {C: !Equals [a, b]}\nResources: {A: {Type: 'AWS::SNS::Topic', Condition: C}, B: {Type: 'AWS::SNS::Topic', Properties: {TopicName: !GetAtt A.Arn}}}": "its condition C leaves it out",
	} {
		_, err := s.stacks.CreateChangeSet(t.Context(), input(create, "wrong", text, nil))
		assert.ErrorContains(t, err, says, text)
	}
}

func TestAStandInThatIsStartedAgainGoesOnWithItsStacks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first, err := aws.Start(context.Background(), aws.Options{DataDir: folder, Pace: aws.DemoPace(), Seed: 1})
	require.NoError(t, err)
	s := &stand{T: t, server: first, stacks: cf.NewFromConfig(first.Config())}
	proposed := s.propose(create, "gravity-shop", shipped(t, "pipeline"), map[string]string{"ApplicationName": "shop"})
	_, err = s.stacks.ExecuteChangeSet(t.Context(), &cf.ExecuteChangeSetInput{ChangeSetName: proposed.ChangeSetId})
	require.NoError(t, err)
	s.eventually("it is under way", func() bool { return len(s.statuses("gravity-shop", "Bucket")) > 0 })
	require.NoError(t, first.Close())

	again := start(t, func(o *aws.Options) { o.DataDir = folder })
	assert.Equal(t, types.StackStatusCreateComplete, again.ended("gravity-shop").StackStatus)
	assert.Len(t, again.statuses("gravity-shop", "DeployerRole"), 2)
}
