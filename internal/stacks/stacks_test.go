package stacks_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	templates "gravity/cloudformation"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/internal/stacks"
)

// account is a fresh one, with the client under test.
type account struct {
	*testing.T
	server *aws.Server
	*stacks.Client
	s3     *s3.Client
	events []string
}

func fresh(t *testing.T, change ...func(*aws.Options)) *account {
	t.Helper()
	t.Parallel()
	o := aws.Options{DataDir: t.TempDir(), Pace: aws.TestPace(), Seed: 1}
	for _, f := range change {
		f(&o)
	}
	server, err := aws.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	platform := beanstalk.New(server.Config(), beanstalk.DefaultPace)
	return &account{T: t, server: server, Client: stacks.New(server.Config(), 5*time.Millisecond, platform.Bucket),
		s3: s3.NewFromConfig(server.Config(), func(o *s3.Options) { o.UsePathStyle = true })}
}

func (a *account) note(event delivery.StackEvent) { a.events = append(a.events, event.String()) }

func (a *account) propose(stack delivery.Stack) delivery.StackPlan {
	a.Helper()
	plan, err := a.Propose(a.Context(), stack, stacks.Proposal{Name: "proposal"}, a.note)
	require.NoError(a, err)
	return plan
}

// provision brings a stack about.
func (a *account) provision(stack delivery.Stack) (delivery.StackResult, error) {
	a.Helper()
	return a.Execute(a.Context(), a.propose(stack), a.note)
}

func shipped(t *testing.T, name, template string, parameters map[string]string) delivery.Stack {
	t.Helper()
	body, err := templates.Template(template)
	require.NoError(t, err)
	return delivery.Stack{Name: name, Body: string(body), Parameters: parameters}
}

func pipeline(t *testing.T) delivery.Stack {
	return shipped(t, "shop-pipeline", "pipeline", map[string]string{"ApplicationName": "shop", "UseKmsKey": "true"})
}

func environment(t *testing.T) delivery.Stack {
	return shipped(t, "shop-staging", "environment", map[string]string{"ApplicationName": "shop", "EnvironmentName": "shop-staging",
		"SolutionStackName": "64bit Amazon Linux 2023 v4.4.0 running Go 1", "VpcId": "vpc-0123456789abcdef0", "HealthCheckPath": "/",
		"LoadBalancerSubnets": "subnet-00000001,subnet-00000002", "InstanceSubnets": "subnet-00000003,subnet-00000004",
		"ArtifactBucket": "${shop-pipeline.Bucket}", "ArtifactKeyArn": "${shop-pipeline.KeyArn}"})
}

func texts(plan delivery.StackPlan) string {
	var lines []string
	for _, change := range plan.Changes {
		lines = append(lines, change.Text)
	}
	return strings.Join(lines, "\n")
}

func TestAStackIsProposedInWordsAndThenMade(t *testing.T) {
	a := fresh(t)
	plan := a.propose(pipeline(t))
	assert.True(t, plan.Create)
	assert.Contains(t, texts(plan), "add Bucket (S3::Bucket)\n")
	assert.False(t, plan.Grave())
	result, err := a.Execute(t.Context(), plan, a.note)
	require.NoError(t, err)
	assert.Equal(t, "CREATE_COMPLETE", result.Status)
	assert.NotEmpty(t, result.Outputs["Bucket"])
	assert.Contains(t, a.events, "Bucket create complete")

	again, err := a.Execute(t.Context(), plan, a.note)
	require.NoError(t, err, "what was executed is followed, not executed again")
	assert.Equal(t, result.Outputs, again.Outputs)
	assert.True(t, a.propose(pipeline(t)).Empty(), "nothing differs any more")
}

func TestAStackThatNeedsAnotherOneGetsItsOutputs(t *testing.T) {
	a := fresh(t)
	plan := a.propose(environment(t))
	assert.Equal(t, "parameter ArtifactBucket: stack shop-pipeline is not there yet", plan.Unknown)
	made, err := a.provision(pipeline(t))
	require.NoError(t, err)
	_, err = a.provision(environment(t))
	require.NoError(t, err)
	out, err := cloudformation.NewFromConfig(a.server.Config()).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: sdk.String("shop-staging")})
	require.NoError(t, err)
	given := map[string]string{}
	for _, parameter := range out.Stacks[0].Parameters {
		given[sdk.ToString(parameter.ParameterKey)] = sdk.ToString(parameter.ParameterValue)
	}
	assert.Equal(t, made.Outputs["Bucket"], given["ArtifactBucket"])
	assert.Equal(t, made.Outputs["KeyArn"], given["ArtifactKeyArn"])
}

func TestAReplacementAndALossStandOut(t *testing.T) {
	a := fresh(t)
	_, err := a.provision(pipeline(t))
	require.NoError(t, err)
	_, err = a.provision(environment(t))
	require.NoError(t, err)

	renamed := environment(t)
	renamed.Parameters["EnvironmentName"], renamed.Parameters["MaxInstances"] = "shop-qa", "9"
	plan := a.propose(renamed)
	assert.True(t, plan.Grave())
	assert.Equal(t, []string{"shop-staging"}, plan.Environments)
	assert.Contains(t, texts(plan), "REPLACE Environment (ElasticBeanstalk::Environment), since EnvironmentName changes: another one is made, and shop-staging is deleted")
	assert.Contains(t, texts(plan), "change InstanceRole (IAM::Role): Description, Policies change")
	require.NoError(t, a.Discard(t.Context(), plan))

	without := pipeline(t)
	without.Body = "Resources: {Topic: {Type: 'AWS::SNS::Topic'}}"
	without.Parameters = nil
	plan = a.propose(without)
	assert.Regexp(t, `REMOVE Bucket \(S3::Bucket\): (shop-pipeline-bucket-\w+) is deleted; DATA LOSS: everything in shop-pipeline-bucket-`, texts(plan))
	assert.Contains(t, texts(plan), "let go of Key (KMS::Key)", "the template keeps it")
}

func TestAPlanThatNobodyWantsLeavesNothing(t *testing.T) {
	a := fresh(t)
	plan := a.propose(pipeline(t))
	require.NoError(t, a.Discard(t.Context(), plan))
	require.NoError(t, a.Discard(t.Context(), plan), "twice")
	_, there, err := a.Outputs(t.Context(), "shop-pipeline")
	require.NoError(t, err)
	assert.False(t, there)
	drift, err := a.Drift(t.Context(), "shop-pipeline")
	require.NoError(t, err)
	assert.Contains(t, drift.Problem, "there is no such stack")
}

// failing makes a resource fail.
func failing(resource, action, reason string) func(*aws.Options) {
	return func(o *aws.Options) {
		o.Faults.Stacks = []faults.Stack{{Resource: resource, Action: action, Reason: reason}}
	}
}

func TestEveryFailureOfACreationNamesResourceReasonAndNextStep(t *testing.T) {
	for name, of := range map[string]struct{ reason, next string }{
		"a name that is taken":         {"shop-5xx already exists", "the name is taken: choose another one"},
		"a limit that is reached":      {"You have reached the limit of 75 applications (Error Code: TooManyApplicationsException)", "remove what is no longer needed or ask for a higher quota"},
		"a permission that is lacking": {"User: arn:aws:iam::1:user/x is not authorized to perform: kms:CreateKey", "give the role that provisions this permission"},
		"anything else":                {"Internal error", "mend the template or its parameters"},
	} {
		t.Run(name, func(t *testing.T) {
			a := fresh(t, failing("Key", "create", of.reason))
			_, err := a.provision(pipeline(t))
			require.Equal(t, delivery.StackFailed, delivery.TypeOf(err), "%v", err)
			assert.ErrorContains(t, err, "stack shop-pipeline: Key (AWS::KMS::Key) failed: "+of.reason+"; what was made is removed again; "+of.next)
			_, there, err := a.Outputs(t.Context(), "shop-pipeline")
			require.NoError(t, err)
			assert.False(t, there, "a failed creation leaves no stack")
			require.NoError(t, a.server.SetFaults(aws.Faults{}))
			_, err = a.provision(pipeline(t))
			assert.NoError(t, err, "once the reason is gone")
		})
	}
}

func TestACreationWhoseRollbackFailsSaysBoth(t *testing.T) {
	a := fresh(t, func(o *aws.Options) {
		o.Faults.Stacks = []faults.Stack{{Resource: "DeployerRole", Action: "create", Reason: "no such policy"}, {Resource: "Bucket", Action: "delete", Reason: "it is held"}}
	})
	_, err := a.provision(pipeline(t))
	assert.ErrorContains(t, err, "DeployerRole (AWS::IAM::Role) failed: no such policy; and Bucket could not be removed again: it is held; remove that reason, run starter destroy shop-pipeline")
	_, err = a.Propose(t.Context(), pipeline(t), stacks.Proposal{Name: "again"}, a.note)
	assert.ErrorContains(t, err, "stack shop-pipeline is in ROLLBACK_FAILED")
}

func TestAnUpdateThatFailsIsRolledBackAndSaysWhy(t *testing.T) {
	a := fresh(t)
	_, err := a.provision(pipeline(t))
	require.NoError(t, err)
	require.NoError(t, a.server.SetFaults(aws.Faults{Stacks: []faults.Stack{{Resource: "DeployerPolicy", Action: "create", Reason: "The policy is larger than 6144 characters"}}}))
	changed := pipeline(t)
	changed.Parameters["ApplicationName"] = "store"
	_, err = a.provision(changed)
	assert.ErrorContains(t, err, "DeployerPolicy (AWS::IAM::ManagedPolicy) failed: The policy is larger than 6144 characters; everything is as before; mend")
	outputs, there, err := a.Outputs(t.Context(), "shop-pipeline")
	require.NoError(t, err)
	assert.True(t, there)
	assert.NotEmpty(t, outputs["Bucket"])

	require.NoError(t, a.server.SetFaults(aws.Faults{Stacks: []faults.Stack{
		{Resource: "DeployerPolicy", Action: "create", Reason: "too large"}, {Resource: "Bucket", Action: "update", Reason: "it is held"}}}))
	_, err = a.provision(changed)
	assert.ErrorContains(t, err, "Bucket (AWS::S3::Bucket) failed: it is held; and the way back failed at Bucket: it is held; remove that reason, run aws cloudformation continue-update-rollback --stack-name shop-pipeline")
}

func TestAChangeThatNoLongerFitsIsNotCarriedOut(t *testing.T) {
	a := fresh(t)
	plan := a.propose(pipeline(t))
	require.NoError(t, a.Discard(t.Context(), plan))
	_, err := a.Execute(t.Context(), plan, a.note)
	assert.ErrorContains(t, err, "somebody changed it after this change was proposed")
}

func TestADeletionEmptiesBucketsAndTellsWhatIsKept(t *testing.T) {
	a := fresh(t)
	made, err := a.provision(pipeline(t))
	require.NoError(t, err)
	for _, key := range []string{"gravity/shop/1.zip", "gravity/shop/2.zip"} {
		_, err = a.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String(made.Outputs["Bucket"]), Key: sdk.String(key), Body: strings.NewReader("x")})
		require.NoError(t, err)
	}
	result, err := a.Delete(t.Context(), "shop-pipeline", "", a.note)
	require.NoError(t, err)
	require.Len(t, result.Kept, 1)
	assert.Regexp(t, `^Key \(AWS::KMS::Key\) [0-9a-f-]{36}$`, result.Kept[0])
	_, err = a.s3.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: sdk.String(made.Outputs["Bucket"])})
	assert.Error(t, err)
	_, err = a.Delete(t.Context(), "shop-pipeline", "", a.note)
	assert.NoError(t, err, "what is gone is no error")
}

func TestADeletionThatFailsNamesResourceReasonAndNextStep(t *testing.T) {
	a := fresh(t, failing("Bucket", "delete", "The bucket you tried to delete is not empty"))
	_, err := a.provision(pipeline(t))
	require.NoError(t, err)
	_, err = a.Delete(t.Context(), "shop-pipeline", "", a.note)
	assert.ErrorContains(t, err, "Bucket (AWS::S3::Bucket) could not be deleted: The bucket you tried to delete is not empty; somebody filled it meanwhile: stop that, and run starter destroy shop-pipeline again")
}

func TestDriftIsToldPropertyByProperty(t *testing.T) {
	a := fresh(t)
	_, err := a.provision(pipeline(t))
	require.NoError(t, err)
	_, err = a.provision(environment(t))
	require.NoError(t, err)
	drift, err := a.Drift(t.Context(), "shop-staging")
	require.NoError(t, err)
	assert.Equal(t, "IN_SYNC", drift.Status)
	platform := elasticbeanstalk.NewFromConfig(a.server.Config())
	_, err = platform.UpdateEnvironment(t.Context(), &elasticbeanstalk.UpdateEnvironmentInput{EnvironmentName: sdk.String("shop-staging"),
		OptionSettings: []ebtypes.ConfigurationOptionSetting{{Namespace: sdk.String("aws:autoscaling:asg"), OptionName: sdk.String("MinSize"), Value: sdk.String("1")}}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		drift, err = a.Drift(t.Context(), "shop-staging")
		return err == nil && drift.Status == "DRIFTED"
	}, time.Minute, 10*time.Millisecond)
	require.Len(t, drift.Differences, 1)
	assert.Regexp(t, `^Environment shop-staging/OptionSettings/\d+/Value is "1" instead of "2"$`, drift.Differences[0])
}

// deletions remembers the roles with which stacks were deleted.
type deletions struct {
	stacks.API
	roles []string
}

func (d *deletions) DeleteStack(ctx context.Context, in *cloudformation.DeleteStackInput, options ...func(*cloudformation.Options)) (*cloudformation.DeleteStackOutput, error) {
	d.roles = append(d.roles, sdk.ToString(in.RoleARN))
	return d.API.DeleteStack(ctx, in, options...)
}

func TestEveryDeletionOfAStackIsByItsRole(t *testing.T) {
	const role = "arn:aws:iam::000000000000:role/gravity/provision"
	a := fresh(t)
	seen := &deletions{API: a.API}
	a.API = seen
	stack := pipeline(t)
	stack.Role = role
	require.NoError(t, a.Discard(t.Context(), a.propose(stack)))
	require.NoError(t, a.server.SetFaults(aws.Faults{Stacks: []faults.Stack{{Resource: "Key", Action: "create", Reason: "no"}}}))
	_, err := a.provision(stack)
	require.Error(t, err)
	require.NoError(t, a.server.SetFaults(aws.Faults{}))
	_, err = a.provision(stack)
	require.NoError(t, err)
	_, err = a.Delete(t.Context(), stack.Name, role, a.note)
	require.NoError(t, err)
	assert.Equal(t, []string{role, role, role}, seen.roles, "a proposal discarded, a failed creation removed, a deletion: without the role, the deployer may not")
}

func TestANameThatBeanstalkHasAlreadyIsTaken(t *testing.T) {
	a := fresh(t)
	_, err := a.provision(pipeline(t))
	require.NoError(t, err)
	_, err = a.provision(environment(t))
	require.NoError(t, err)
	second := environment(t)
	second.Name, second.Parameters["CreateApplication"] = "shop-second", "false"
	_, err = a.provision(second)
	assert.ErrorContains(t, err, "stack shop-second: Environment (AWS::ElasticBeanstalk::Environment) failed: ")
	assert.ErrorContains(t, err, "shop-staging already exists")
	assert.ErrorContains(t, err, "what was made is removed again; the name is taken: choose another one, or remove what has it, and provision again")
	_, there, err := a.Outputs(t.Context(), "shop-staging")
	require.NoError(t, err)
	assert.True(t, there, "the one that has the name is untouched")
}

func TestALimitOfTheAccountIsNamed(t *testing.T) {
	a := fresh(t)
	api := elasticbeanstalk.NewFromConfig(a.server.Config())
	for n := 0; ; n++ {
		_, err := api.CreateApplication(t.Context(), &elasticbeanstalk.CreateApplicationInput{ApplicationName: sdk.String("taken" + strconv.Itoa(n))})
		if err != nil {
			require.ErrorContains(t, err, "limit")
			break
		}
	}
	_, err := a.provision(pipeline(t))
	require.NoError(t, err)
	_, err = a.provision(environment(t))
	assert.ErrorContains(t, err, "Application (AWS::ElasticBeanstalk::Application) failed: You have reached the limit of")
	assert.ErrorContains(t, err, "ask for a higher quota in Service Quotas")
}

func TestTroubleOnTheWayIsTriedAgainByItsType(t *testing.T) {
	a := fresh(t, func(o *aws.Options) { o.Faults.ThrottleCalls = 1 })
	_, _, err := a.Outputs(t.Context(), "shop-pipeline")
	assert.Equal(t, delivery.Throttled, delivery.TypeOf(err))
	require.NoError(t, a.server.SetFaults(aws.Faults{FailCalls: 1}))
	_, _, err = a.Outputs(t.Context(), "shop-pipeline")
	assert.Equal(t, delivery.Unavailable, delivery.TypeOf(err))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = a.Outputs(ctx, "shop-pipeline")
	assert.True(t, errors.Is(err, context.Canceled))
}
