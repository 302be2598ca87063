package cloudformation_test

import (
	"encoding/json"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/activities"
	"gravity/internal/alarms"
	"gravity/internal/beanstalk"
	"gravity/internal/bundle"
	"gravity/internal/stacks"
	"gravity/internal/stacks/template"
)

// account stands for what a stack finds where it is made.
var account = map[string]string{
	"AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::URLSuffix": "amazonaws.com", "AWS::StackName": "gravity-shop",
}

// pipelineScope resolves the pipeline's template with parameters, as a stack of it would be.
func pipelineScope(t *testing.T, parameters map[string]string) *template.Scope {
	t.Helper()
	pipeline := parsed(t, "pipeline")
	values, problems := pipeline.Values(parameters)
	require.Empty(t, problems)
	scope := &template.Scope{Template: pipeline, Parameters: values, Pseudo: account}
	scope.Ref = func(name string) (any, error) {
		switch pipeline.Resources[name].Type {
		case "AWS::S3::Bucket":
			return "artifacts", nil
		case "AWS::IAM::ManagedPolicy":
			return "arn:aws:iam::123456789012:policy/gravity/" + name, nil
		default:
			return name, nil
		}
	}
	scope.Attribute = func(name, attribute string) (any, error) {
		require.Equal(t, "Arn", attribute)
		switch pipeline.Resources[name].Type {
		case "AWS::S3::Bucket":
			return "arn:aws:s3:::artifacts", nil
		case "AWS::KMS::Key":
			return "arn:aws:kms:eu-central-1:123456789012:key/" + name, nil
		default:
			return "arn:aws:iam::123456789012:role/gravity/" + name, nil
		}
	}
	return scope
}

// deployer are the statements that the deployer's role has.
func deployer(t *testing.T, parameters map[string]string) policy {
	t.Helper()
	scope := pipelineScope(t, parameters)
	attached, err := scope.Resolve(scope.Template.Resources["DeployerRole"].Properties["ManagedPolicyArns"])
	require.NoError(t, err)
	var all policy
	for _, arn := range attached.([]any) {
		document, err := scope.Resolve(scope.Template.Resources[path.Base(arn.(string))].Properties["PolicyDocument"])
		require.NoError(t, err)
		all = append(all, statements(t, document)...)
	}
	require.NotEmpty(t, all)
	return all
}

// policy and statement are IAM's, as far as the templates use them.
type policy []statement

type statement struct {
	Sid, Effect                 string
	Action, NotAction, Resource texts
	Condition                   map[string]map[string]texts
}

// texts is a text, or a list of them.
type texts []string

func (l *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = texts{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

func statements(t *testing.T, document any) policy {
	t.Helper()
	encoded, err := json.Marshal(document)
	require.NoError(t, err)
	var decoded struct{ Statement policy }
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	return decoded.Statement
}

// call is one request to AWS as IAM sees it.
type call struct {
	action, resource string
	context          map[string]string
}

// allows decides as IAM does: a deny beats an allow, and without an allow nothing is allowed.
func (p policy) allows(c call) bool {
	allowed := false
	for _, s := range p {
		if !s.applies(c) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s statement) applies(c call) bool {
	matches := func(patterns texts, value string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return glob(pattern, value) })
	}
	if len(s.NotAction) > 0 && matches(s.NotAction, c.action) || len(s.NotAction) == 0 && !matches(s.Action, c.action) {
		return false
	}
	if !matches(s.Resource, c.resource) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, wanted := range keys {
			value, there := c.context[key]
			switch operator {
			case "StringEquals", "ArnEquals", "Bool":
				there = there && slices.Contains(wanted, value)
			case "StringLike", "ArnLike":
				there = there && matches(wanted, value)
			default:
				panic("a condition operator that this test does not know: " + operator)
			}
			if !there {
				return false
			}
		}
	}
	return true
}

// glob matches as IAM does: * stands for anything, slashes and colons too. Actions are not case sensitive, but
// the templates write them as AWS does.
func glob(pattern, value string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == value
	}
	rest, ok := strings.CutPrefix(value, before)
	if !ok {
		return false
	}
	for i := range len(rest) + 1 {
		if glob(after, rest[i:]) {
			return true
		}
	}
	return false
}

const (
	shopEnvironment = "arn:aws:elasticbeanstalk:eu-central-1:123456789012:environment/shop/shop-production"
	shopTemplate    = "arn:aws:elasticbeanstalk:eu-central-1:123456789012:configurationtemplate/shop/gravity-shop-production"
	shopVersion     = "arn:aws:elasticbeanstalk:eu-central-1:123456789012:applicationversion/shop/shop-1"
	ownBundle       = "arn:aws:s3:::artifacts/gravity/shop/shop-1.zip"
	defaultBundle   = "arn:aws:s3:::elasticbeanstalk-eu-central-1-123456789012/gravity/shop/shop-1.zip"
)

// onBeanstalk says on which resources the worker makes each call of beanstalk.API. A call that is added there and
// not here fails the test, and so does one for which the role has no permission.
var onBeanstalk = map[string][]string{
	"CheckDNSAvailability":          {"*"},
	"AbortEnvironmentUpdate":        {shopEnvironment},
	"CreateApplicationVersion":      {shopVersion},
	"CreateStorageLocation":         {"*"},
	"DescribeApplicationVersions":   {shopVersion},
	"DescribeConfigurationSettings": {shopEnvironment},
	"DescribeEnvironmentHealth":     {shopEnvironment},
	"DescribeEnvironments":          {shopEnvironment, "*"},
	"DescribeEvents":                {shopEnvironment},
	"DescribeInstancesHealth":       {shopEnvironment},
	"DeleteApplicationVersion":      {shopVersion},
	"RequestEnvironmentInfo":        {shopEnvironment},
	"RetrieveEnvironmentInfo":       {shopEnvironment},
	"UpdateEnvironment":             {shopEnvironment},
}

// onPairs are those that a blue/green deployment makes beside them.
var onPairs = map[string][]string{
	"CreateConfigurationTemplate": {shopTemplate},
	"CreateEnvironment":           {shopEnvironment},
	"DeleteConfigurationTemplate": {shopTemplate},
	"ListTagsForResource":         {shopEnvironment},
	"SwapEnvironmentCNAMEs":       {shopEnvironment},
	"TerminateEnvironment":        {shopEnvironment},
}

// onBundles says which action each call of the bundles' store needs: several of S3's calls have none of their own.
var onBundles = map[string]call{
	// With the rules of the template there is nothing to put.
	"GetBucketLifecycleConfiguration": {action: "s3:GetLifecycleConfiguration", resource: "arn:aws:s3:::artifacts"},

	"AbortMultipartUpload":    {action: "s3:AbortMultipartUpload", resource: ownBundle},
	"CompleteMultipartUpload": {action: "s3:PutObject", resource: ownBundle},
	"CreateMultipartUpload":   {action: "s3:PutObject", resource: ownBundle},
	"GetObject":               {action: "s3:GetObject", resource: ownBundle},
	"HeadObject":              {action: "s3:GetObject", resource: ownBundle},
	"ListObjectsV2":           {action: "s3:ListBucket", resource: "arn:aws:s3:::artifacts"},
	"PutObject":               {action: "s3:PutObject", resource: ownBundle},
	"UploadPart":              {action: "s3:PutObject", resource: ownBundle},
}

func methods[T any]() []string {
	api := reflect.TypeFor[T]()
	names := make([]string, api.NumMethod())
	for i := range names {
		names[i] = api.Method(i).Name
	}
	return names
}

func TestTheDeployersRoleAllowsEveryCallThatTheWorkerMakes(t *testing.T) {
	for _, kms := range []string{"false", "true"} {
		role := deployer(t, map[string]string{"ApplicationName": "shop", "UseKmsKey": kms})
		blueGreen := deployer(t, map[string]string{"ApplicationName": "shop", "UseKmsKey": kms, "AllowBlueGreen": "true"})
		for _, name := range methods[beanstalk.API]() {
			if resources, pair := onPairs[name]; pair {
				for _, resource := range resources {
					needed := call{action: "elasticbeanstalk:" + name, resource: resource}
					assert.True(t, blueGreen.allows(needed), "%s on %s", name, resource)
					assert.False(t, role.allows(needed), "%s without a blue/green stage", name)
				}
				continue
			}
			require.Contains(t, onBeanstalk, name, "a call of beanstalk.API that this test does not know")
			for _, resource := range onBeanstalk[name] {
				assert.True(t, role.allows(call{action: "elasticbeanstalk:" + name, resource: resource}), "%s on %s", name, resource)
			}
		}
		for _, name := range methods[bundle.API]() {
			if name == "PutBucketLifecycleConfiguration" {
				continue
			}
			needed, known := onBundles[name]
			require.True(t, known, "a call of the bundles' store that this test does not know: %s", name)
			assert.True(t, role.allows(needed), name)
		}
		for _, action := range []string{"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"} {
			assert.True(t, role.allows(call{action: action, resource: defaultBundle}), "%s in the bucket that Beanstalk keeps", action)
		}
		for _, removed := range []string{ownBundle, defaultBundle} { // what Beanstalk does when a version goes with its bundle
			assert.True(t, role.allows(call{action: "s3:DeleteObject", resource: removed}), removed)
		}
		for _, name := range methods[alarms.API]() {
			assert.True(t, role.allows(call{action: "cloudwatch:" + name, resource: "*"}), name)
		}
	}
	role := deployer(t, map[string]string{"ApplicationName": "shop", "UseKmsKey": "true"})
	for _, name := range methods[activities.MetricsAPI]() {
		assert.True(t, role.allows(call{action: "cloudwatch:" + name, resource: "*", context: map[string]string{"cloudwatch:namespace": "Gravity"}}), name)
		assert.False(t, role.allows(call{action: "cloudwatch:" + name, resource: "*", context: map[string]string{"cloudwatch:namespace": "AWS/ElasticBeanstalk"}}), name)
	}
	for _, action := range []string{"kms:GenerateDataKey", "kms:Decrypt"} {
		assert.True(t, role.allows(call{action: action, resource: "arn:aws:kms:eu-central-1:123456789012:key/Key",
			context: map[string]string{"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}), action)
	}
}

func TestTheDeployersRoleAllowsWhatBeanstalkDoesInItsName(t *testing.T) {
	role := deployer(t, map[string]string{"ApplicationName": "shop"})
	ec2, of := "arn:aws:ec2:eu-central-1:123456789012:", map[string]string{"aws:ResourceTag/aws:cloudformation:stack-name": "awseb-e-abc-stack"}
	for _, needed := range []call{
		{action: "cloudformation:CreateStack", resource: "arn:aws:cloudformation:eu-central-1:123456789012:stack/awseb-e-abc-immutable-stack/1"},
		{action: "cloudformation:UpdateStack", resource: "arn:aws:cloudformation:eu-central-1:123456789012:stack/awseb-e-abc-stack/1"},
		{action: "autoscaling:AttachInstances", resource: "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:autoScalingGroupName/awseb-e-abc-stack-AWSEBAutoScalingGroup-X"},
		{action: "elasticloadbalancing:RegisterTargets", resource: "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/awseb-AWSEB-X/1"},
		{action: "ec2:RunInstances", resource: ec2 + "instance/*", context: map[string]string{"ec2:LaunchTemplate": ec2 + "launch-template/lt-1"}},
		{action: "ec2:TerminateInstances", resource: ec2 + "instance/i-1", context: of},
		{action: "ec2:CreateLaunchTemplateVersion", resource: ec2 + "launch-template/lt-1", context: of},
		{action: "iam:PassRole", resource: "arn:aws:iam::123456789012:role/gravity/shop/instances", context: map[string]string{"iam:PassedToService": "ec2.amazonaws.com"}},
	} {
		assert.True(t, role.allows(needed), "%s on %s", needed.action, needed.resource)
	}
}

// tempting is what somebody who got hold of a worker would try.
func tempting() []call {
	const ec2, iam = "arn:aws:ec2:eu-central-1:123456789012:", "arn:aws:iam::123456789012:"
	of := func(action, resource string) call { return call{action: action, resource: resource} }
	return []call{
		of("elasticbeanstalk:UpdateEnvironment", "arn:aws:elasticbeanstalk:eu-central-1:123456789012:environment/billing/billing-production"),
		of("elasticbeanstalk:CreateApplicationVersion", "arn:aws:elasticbeanstalk:eu-central-1:123456789012:applicationversion/billing/1"),
		of("elasticbeanstalk:DescribeConfigurationSettings", "arn:aws:elasticbeanstalk:eu-central-1:123456789012:environment/billing/billing-production"),
		of("elasticbeanstalk:TerminateEnvironment", shopEnvironment),
		of("elasticbeanstalk:SwapEnvironmentCNAMEs", shopEnvironment),
		of("elasticbeanstalk:DeleteApplicationVersion", "arn:aws:elasticbeanstalk:eu-central-1:123456789012:applicationversion/billing/1"),
		of("elasticbeanstalk:DeleteApplication", "arn:aws:elasticbeanstalk:eu-central-1:123456789012:application/shop"),
		of("s3:DeleteBucket", "arn:aws:s3:::artifacts"),
		of("s3:PutBucketPolicy", "arn:aws:s3:::artifacts"),
		of("s3:PutBucketVersioning", "arn:aws:s3:::artifacts"),
		of("s3:PutLifecycleConfiguration", "arn:aws:s3:::artifacts"), // a rule that removes everything
		of("s3:PutLifecycleConfiguration", "arn:aws:s3:::elasticbeanstalk-eu-central-1-123456789012"),
		of("s3:GetObject", "arn:aws:s3:::payroll/2026.csv"),
		of("s3:PutObject", "arn:aws:s3:::artifacts/elsewhere"),
		of("s3:PutObjectAcl", ownBundle),
		of("iam:CreateUser", iam+"user/me"),
		of("iam:CreateAccessKey", iam+"user/root"),
		of("iam:AttachRolePolicy", iam+"role/gravity/DeployerRole"),
		of("iam:PutRolePolicy", iam+"role/gravity/shop/instances"),
		of("iam:CreatePolicyVersion", iam+"policy/gravity/DeployerPolicy"),
		of("iam:UpdateAssumeRolePolicy", iam+"role/gravity/DeployerRole"),
		{action: "iam:PassRole", resource: iam + "role/admin", context: map[string]string{"iam:PassedToService": "ec2.amazonaws.com"}},
		{action: "iam:PassRole", resource: iam + "role/gravity/billing/instances", context: map[string]string{"iam:PassedToService": "ec2.amazonaws.com"}},
		{action: "iam:PassRole", resource: iam + "role/gravity/shop/instances", context: map[string]string{"iam:PassedToService": "lambda.amazonaws.com"}},
		of("sts:AssumeRole", iam+"role/admin"),
		of("ec2:RunInstances", ec2+"instance/*"), // without a launch template that Beanstalk made
		of("ec2:TerminateInstances", ec2+"instance/i-1"),
		of("ec2:AuthorizeSecurityGroupIngress", ec2+"security-group/sg-1"),
		of("ec2:CreateSnapshot", ec2+"volume/vol-1"),
		of("ssm:SendCommand", ec2+"instance/i-1"),
		of("ssm:StartSession", ec2+"instance/i-1"),
		of("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:database"),
		of("ssm:GetParameter", "arn:aws:ssm:eu-central-1:123456789012:parameter/database"),
		of("kms:ScheduleKeyDeletion", "arn:aws:kms:eu-central-1:123456789012:key/Key"),
		of("kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/other"),
		of("cloudtrail:StopLogging", "arn:aws:cloudtrail:eu-central-1:123456789012:trail/all"),
		of("cloudformation:DeleteStack", "arn:aws:cloudformation:eu-central-1:123456789012:stack/network/1"),
		of("cloudformation:CreateChangeSet", "arn:aws:cloudformation:eu-central-1:123456789012:stack/gravity-shop/1"), // without CloudFormation's role
		of("rds:DeleteDBInstance", "arn:aws:rds:eu-central-1:123456789012:db:shop"),
	}
}

func TestTheDeployersRoleAllowsNothingThatIsTempting(t *testing.T) {
	for _, parameters := range []map[string]string{
		{"ApplicationName": "shop"},
		{"ApplicationName": "shop", "UseKmsKey": "true", "AllowProvisioning": "true"},
	} {
		role := deployer(t, parameters)
		for _, forbidden := range tempting() {
			assert.False(t, role.allows(forbidden), "%s on %s", forbidden.action, forbidden.resource)
		}
	}
	blueGreen := deployer(t, map[string]string{"ApplicationName": "shop", "AllowBlueGreen": "true"})
	for _, action := range []string{"CreateEnvironment", "SwapEnvironmentCNAMEs", "TerminateEnvironment"} {
		assert.True(t, blueGreen.allows(call{action: "elasticbeanstalk:" + action, resource: shopEnvironment}), action)
		assert.False(t, blueGreen.allows(call{action: "elasticbeanstalk:" + action, resource: strings.ReplaceAll(shopEnvironment, "shop", "billing")}), action)
	}
	withoutProvisioning := deployer(t, map[string]string{"ApplicationName": "shop"})
	assert.False(t, withoutProvisioning.allows(call{action: "s3:DeleteObjectVersion", resource: ownBundle}), "what is removed can be brought back")
	assert.False(t, withoutProvisioning.allows(call{action: "s3:DeleteObject", resource: "arn:aws:s3:::artifacts/gravity/logs/shop/1"}), "logs are evidence")
}

// onStacks says on which resource the worker makes each call of stacks.API, and with what.
func onStacks(name string) call {
	made := call{action: "cloudformation:" + name, resource: "arn:aws:cloudformation:eu-central-1:123456789012:stack/gravity-shop-staging/1"}
	switch name {
	case "CreateChangeSet", "DeleteStack":
		made.context = map[string]string{"cloudformation:RoleArn": "arn:aws:iam::123456789012:role/gravity/ProvisionRole"}
	case "DescribeStackDriftDetectionStatus":
		made.resource = "*"
	}
	return made
}

// onTemplates says which action each call of stacks.Objects needs.
var onTemplates = map[string]call{
	"DeleteObjects":      {action: "s3:DeleteObjectVersion", resource: ownBundle},
	"ListObjectVersions": {action: "s3:ListBucketVersions", resource: "arn:aws:s3:::artifacts"},
	"PutObject":          {action: "s3:PutObject", resource: "arn:aws:s3:::elasticbeanstalk-eu-central-1-123456789012/gravity/templates/1.yaml"},
}

func TestTheDeployersRoleAllowsEveryCallOfAProvisioningWhereItIsToProvision(t *testing.T) {
	role := deployer(t, map[string]string{"ApplicationName": "shop", "AllowProvisioning": "true"})
	deploysOnly := deployer(t, map[string]string{"ApplicationName": "shop"})
	for _, name := range methods[stacks.API]() {
		assert.True(t, role.allows(onStacks(name)), name)
		if name != "DescribeStacks" { // whose outputs name the bucket
			assert.False(t, deploysOnly.allows(onStacks(name)), "%s for a worker that deploys alone", name)
		}
	}
	for _, name := range methods[stacks.Objects]() {
		needed, known := onTemplates[name]
		require.True(t, known, "a call of stacks.Objects that this test does not know: %s", name)
		assert.True(t, role.allows(needed), name)
	}
	passed := call{action: "iam:PassRole", resource: "arn:aws:iam::123456789012:role/gravity/ProvisionRole", context: map[string]string{"iam:PassedToService": "cloudformation.amazonaws.com"}}
	assert.True(t, role.allows(passed))
	assert.False(t, deploysOnly.allows(passed))
}

func TestARoleThatTheWorkersStacksMakeStaysWithinTheBoundary(t *testing.T) {
	scope := pipelineScope(t, map[string]string{"ApplicationName": "shop", "AllowProvisioning": "true"})
	inline, err := scope.Resolve(scope.Template.Resources["ProvisionRole"].Properties["Policies"].([]any)[0])
	require.NoError(t, err)
	role := statements(t, inline.(map[string]any)["PolicyDocument"])
	boundary := map[string]string{"iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/gravity/Boundary"}
	own, others := "arn:aws:iam::123456789012:role/gravity/shop/instances", "arn:aws:iam::123456789012:role/gravity/DeployerRole"
	for _, action := range []string{"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"} {
		assert.True(t, role.allows(call{action: action, resource: own, context: boundary}), action)
		assert.False(t, role.allows(call{action: action, resource: own}), "%s without the boundary", action)
		assert.False(t, role.allows(call{action: action, resource: others, context: boundary}), "%s on the deployer's own role", action)
	}
	assert.False(t, role.allows(call{action: "iam:DeleteRolePermissionsBoundary", resource: own}))

	document, err := scope.Resolve(scope.Template.Resources["Boundary"].Properties["PolicyDocument"])
	require.NoError(t, err)
	most := statements(t, document)
	assert.True(t, most.allows(call{action: "s3:GetObject", resource: ownBundle}))
	assert.False(t, most.allows(call{action: "iam:CreateUser", resource: "*"}))
	assert.False(t, most.allows(call{action: "sts:AssumeRole", resource: "arn:aws:iam::123456789012:role/admin"}))
}

func TestTheRoleTrustsOneSubjectOfTheIssuer(t *testing.T) {
	issuer := map[string]string{"ApplicationName": "shop", "OidcIssuer": "oidc.eks.eu-central-1.amazonaws.com/id/ABC"}
	scope := pipelineScope(t, issuer)
	broken, err := scope.Broken()
	require.NoError(t, err)
	require.Len(t, broken, 1, "an issuer without a subject would let everybody in")
	assert.Contains(t, broken[0], "OidcIssuer needs OidcSubject")

	issuer["OidcSubject"] = "system:serviceaccount:gravity:worker"
	scope = pipelineScope(t, issuer)
	broken, err = scope.Broken()
	require.NoError(t, err)
	assert.Empty(t, broken)
	trust, err := scope.Resolve(scope.Template.Resources["DeployerRole"].Properties["AssumeRolePolicyDocument"])
	require.NoError(t, err)
	assert.JSONEq(t, `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
		"Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABC"},
		"Condition": {"StringEquals": {"oidc.eks.eu-central-1.amazonaws.com/id/ABC:sub": "system:serviceaccount:gravity:worker",
			"oidc.eks.eu-central-1.amazonaws.com/id/ABC:aud": "sts.amazonaws.com"}}}]}`, trust.(string))
	_, problems := scope.Template.Values(map[string]string{"ApplicationName": "shop", "OidcSubject": "repo:example/*"})
	assert.Len(t, problems, 1, "a subject with a wildcard")
}
