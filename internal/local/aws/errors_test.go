package aws_test

import (
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
)

func TestErrorsHaveAWSsCodesAndTexts(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.create("staging", "v1", "Immutable", 1)
	ctx := t.Context()
	version := func(application, label, key string) error {
		_, err := s.beanstalk.CreateApplicationVersion(ctx, &eb.CreateApplicationVersionInput{
			ApplicationName: sdk.String(application), VersionLabel: sdk.String(label),
			SourceBundle: &types.S3Location{S3Bucket: sdk.String(bucket), S3Key: sdk.String(key)}})
		return err
	}
	update := func(environment, label string, options ...types.ConfigurationOptionSetting) error {
		_, err := s.beanstalk.UpdateEnvironment(ctx, &eb.UpdateEnvironmentInput{
			EnvironmentName: sdk.String(environment), VersionLabel: sdk.String(label), OptionSettings: options})
		return err
	}
	_, noApplication := s.beanstalk.CreateApplication(ctx, &eb.CreateApplicationInput{ApplicationName: sdk.String(applicationName)})
	_, inUse := s.beanstalk.DeleteApplicationVersion(ctx, &eb.DeleteApplicationVersionInput{
		ApplicationName: sdk.String(applicationName), VersionLabel: sdk.String("v1")})
	_, unknown := s.beanstalk.ComposeEnvironments(ctx, &eb.ComposeEnvironmentsInput{})
	for want, err := range map[string]error{
		"InvalidParameterValue: Application site already exists.":                                                                           noApplication,
		"InvalidParameterValue: Application Version v1 already exists.":                                                                     version("site", "v1", "v1.zip"),
		"InvalidParameterValue: No Application named 'other' found.":                                                                        version("other", "v2", "v1.zip"),
		"InvalidParameterValue: Unable to download from S3 location (Bucket: bundles  Key: none.zip). Reason: Not Found":                    version("site", "v2", "none.zip"),
		"InvalidParameterValue: No Application Version named 'v9' found.":                                                                   update("staging", "v9"),
		"InvalidParameterValue: No Environment found for EnvironmentName = 'none'.":                                                         update("none", "v1"),
		"SourceBundleDeletionFailure: Unable to delete application version v1 because it is deployed to environment staging.":               inUse,
		"InvalidAction: Could not find operation ComposeEnvironments for version 2010-12-01.":                                               unknown,
		"InvalidParameterCombination: Cannot update both the application version and the configuration of environment staging in one call.": update("staging", "v1", setting("aws:autoscaling:asg", "MinSize", "2")),
	} {
		assert.Equal(t, want, code(err))
	}
}

func TestWhatRulesAnEnvironmentOutIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.create("staging", "v1", "Immutable", 1)
	create := func(change func(*eb.CreateEnvironmentInput)) error {
		in := &eb.CreateEnvironmentInput{ApplicationName: sdk.String(applicationName), EnvironmentName: sdk.String("other"), SolutionStackName: sdk.String(stack)}
		change(in)
		_, err := s.beanstalk.CreateEnvironment(t.Context(), in)
		return err
	}
	constraint := "failed to satisfy constraint: Member must contain only letters, digits, and the dash character and may not start or end with a dash"
	for want, change := range map[string]func(*eb.CreateEnvironmentInput){
		"InvalidParameterValue: Value a_name at 'EnvironmentName' " + constraint: func(in *eb.CreateEnvironmentInput) { in.EnvironmentName = sdk.String("a_name") },
		"InvalidParameterValue: Value -site at 'CNAMEPrefix' " + constraint:      func(in *eb.CreateEnvironmentInput) { in.CNAMEPrefix = sdk.String("-site") },
		"InvalidParameterValue: Environment staging already exists.":             func(in *eb.CreateEnvironmentInput) { in.EnvironmentName = sdk.String("staging") },
		"InvalidParameterValue: Environments of tier Worker/SQS/HTTP are not available.": func(in *eb.CreateEnvironmentInput) {
			in.Tier = &types.EnvironmentTier{Name: sdk.String("Worker"), Type: sdk.String("SQS/HTTP")}
		},
		"InvalidParameterCombination: SolutionStackName cannot be given together with PlatformArn or TemplateName.": func(in *eb.CreateEnvironmentInput) { in.TemplateName = sdk.String("usual") },
		"MissingRequiredParameter: The request must contain the parameter PlatformArn, SolutionStackName or TemplateName.": func(in *eb.CreateEnvironmentInput) {
			in.SolutionStackName = nil
		},
	} {
		assert.Equal(t, want, code(create(change)))
	}
	update := func(in eb.UpdateEnvironmentInput) error {
		in.EnvironmentName = sdk.String("staging")
		_, err := s.beanstalk.UpdateEnvironment(t.Context(), &in)
		return err
	}
	assert.Equal(t, "InvalidParameterValue: The tier of environment staging cannot be changed.", code(update(eb.UpdateEnvironmentInput{Tier: &types.EnvironmentTier{Name: sdk.String("Worker")}})))
	assert.Equal(t, "InvalidParameterValue: No Environment found for EnvironmentName = 'staging'.", code(update(eb.UpdateEnvironmentInput{ApplicationName: sdk.String("other")})))
	_, err := s.beanstalk.TerminateEnvironment(t.Context(), &eb.TerminateEnvironmentInput{EnvironmentName: sdk.String("staging"), TerminateResources: sdk.Bool(false)})
	assert.Contains(t, code(err), "InvalidParameterValue: TerminateResources false is not supported")
	_, err = s.beanstalk.TerminateEnvironment(t.Context(), &eb.TerminateEnvironmentInput{})
	assert.Equal(t, "MissingRequiredParameter: The request must contain the parameter EnvironmentName or EnvironmentId.", code(err))
	_, err = s.beanstalk.DescribeConfigurationSettings(t.Context(), &eb.DescribeConfigurationSettingsInput{ApplicationName: sdk.String(applicationName)})
	assert.Equal(t, "MissingRequiredParameter: The request must contain the parameter EnvironmentName or TemplateName.", code(err))
	assert.Equal(t, types.EnvironmentStatusReady, s.describe("staging").Status, "nothing was begun")
}
