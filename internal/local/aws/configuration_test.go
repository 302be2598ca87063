package aws_test

import (
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
)

// configure changes options of an environment and returns the request's ID.
func (s *stand) configure(name string, options ...types.ConfigurationOptionSetting) string {
	s.Helper()
	out, err := s.beanstalk.UpdateEnvironment(s.Context(), &eb.UpdateEnvironmentInput{EnvironmentName: sdk.String(name), OptionSettings: options})
	require.NoError(s, err)
	return requestID(s, out.ResultMetadata)
}

func (s *stand) optionValue(environment, namespace, name string) string {
	s.Helper()
	out, err := s.beanstalk.DescribeConfigurationSettings(s.Context(), &eb.DescribeConfigurationSettingsInput{
		ApplicationName: sdk.String(applicationName), EnvironmentName: sdk.String(environment)})
	require.NoError(s, err)
	for _, option := range out.ConfigurationSettings[0].OptionSettings {
		if *option.Namespace == namespace && *option.OptionName == name {
			return sdk.ToString(option.Value)
		}
	}
	return ""
}

func TestTheNumberOfInstancesFollowsTheGroupsLimits(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 1)
	users := s.users(e, 2)
	request := s.configure("staging", setting("aws:autoscaling:asg", "MinSize", "3"))
	s.ready("staging")
	assert.Equal(t, map[string]int{"v1 Deployed": 3}, s.byVersion("staging"))
	assert.Contains(t, s.messages("staging", request), "INFO Successfully deployed new configuration to environment.")
	s.configure("staging", setting("aws:autoscaling:asg", "MinSize", "1"), setting("aws:autoscaling:asg", "MaxSize", "2"))
	s.ready("staging")
	assert.Len(t, s.instances("staging"), 2)
	users.leave()
	assert.Empty(t, users.problems)
}

func TestAConfigurationThatFailsIsReverted(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.createStepped("staging", "v1", "Immutable", setting("aws:elasticbeanstalk:application:environment", "COLOUR", "blue"))
	// From now on no instance comes up any more.
	require.NoError(t, s.server.SetFaults(aws.Faults{Instances: []faults.Instance{{Kind: faults.NeverBoots}}}))
	before := s.instances("staging")
	request := s.configure("staging", setting("aws:elasticbeanstalk:application:environment", "COLOUR", "red"))
	assert.Equal(t, "blue", s.optionValue("staging", "aws:elasticbeanstalk:application:environment", "COLOUR"), "what is deployed comes first")
	both, err := s.beanstalk.DescribeConfigurationSettings(t.Context(), &eb.DescribeConfigurationSettingsInput{
		ApplicationName: sdk.String(applicationName), EnvironmentName: sdk.String("staging")})
	require.NoError(t, err)
	require.Len(t, both.ConfigurationSettings, 2)
	assert.Equal(t, types.ConfigurationDeploymentStatusPending, both.ConfigurationSettings[1].DeploymentStatus)
	assert.Contains(t, both.ConfigurationSettings[1].OptionSettings, setting("aws:elasticbeanstalk:application:environment", "COLOUR", "red"))
	_, seen := s.watch("staging", nil)
	assert.Equal(t, []string{"v1"}, keysOf(seen), "users notice nothing")
	assert.Equal(t, before, s.instances("staging"))
	assert.Equal(t, "blue", s.optionValue("staging", "aws:elasticbeanstalk:application:environment", "COLOUR"))
	s.clock.Advance(time.Minute)
	messages := s.messages("staging", request)
	assert.Equal(t, []string{"INFO The environment was reverted to the previous configuration setting.",
		"ERROR Failed to deploy configuration."}, messages[len(messages)-2:])
}

func keysOf(m map[string]int) []string {
	var list []string
	for key := range m {
		list = append(list, key)
	}
	return list
}

func TestAZoneWhoseInstancesNeverBootFailsTheUpdateThatNeedsIt(t *testing.T) {
	t.Parallel()
	s := startStepped(t, func(o *aws.Options) {
		o.Faults.Instances = []faults.Instance{{Kind: faults.NeverBoots, Version: "v2", Zone: "us-east-1c"}}
	})
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.bundle("v2", map[string]string{"Procfile": "web: true"})
	s.createStepped("staging", "v1", "Immutable")
	request := s.update("staging", "v2")
	e, seen := s.watch("staging", nil)
	assert.Equal(t, "v1", *e.VersionLabel)
	assert.NotZero(t, seen["v2"], "the test instance was in another zone, and served")
	assert.Zero(t, seen["502"])
	s.clock.Advance(time.Minute)
	assert.Contains(t, shaped(s.messages("staging", request)),
		"WARN The following instances have not responded in the allowed command timeout time (they might still finish eventually on their own): [i ].")
}

func TestTheSuccessThresholdSaysWhichHealthADeploymentAccepts(t *testing.T) {
	t.Parallel()
	for threshold, label := range map[string]string{"Ok": "v1", "Severe": "sick"} {
		t.Run(threshold, func(t *testing.T) {
			s := startStepped(t)
			s.application()
			s.bundle("v1", map[string]string{"Procfile": "web: true"})
			s.bundle("sick", map[string]string{"Procfile": "web: true"})
			s.createStepped("staging", "v1", "Immutable", setting("aws:elasticbeanstalk:healthreporting:system", "HealthCheckSuccessThreshold", threshold))
			s.update("staging", "sick")
			e, _ := s.watch("staging", nil)
			assert.Equal(t, label, *e.VersionLabel)
		})
	}
}

func TestOptionsOfNamedProcessesAreTakenAndWrongOnesRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	validate := func(option types.ConfigurationOptionSetting) int {
		out, err := s.beanstalk.ValidateConfigurationSettings(t.Context(), &eb.ValidateConfigurationSettingsInput{
			ApplicationName: sdk.String(applicationName), OptionSettings: []types.ConfigurationOptionSetting{option}})
		require.NoError(t, err)
		return len(out.Messages)
	}
	assert.Zero(t, validate(setting("aws:elasticbeanstalk:environment:process:admin", "HealthCheckPath", "/admin")))
	assert.Zero(t, validate(setting("aws:elbv2:listener:443", "SSLCertificateArns", "arn")))
	assert.Equal(t, 1, validate(setting("aws:elasticbeanstalk:environment:process:admin", "HealthCheckInterval", "4")))
	assert.Equal(t, 1, validate(setting("aws:elasticbeanstalk:environment:process:admin", "Colour", "blue")))
}
