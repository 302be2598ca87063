package aws_test

import (
	"strings"
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

func TestTheOptionsOfADeploymentDoWhatTheySay(t *testing.T) {
	t.Parallel()
	const command = "aws:elasticbeanstalk:command"
	for name, test := range map[string]struct {
		policy  string
		options []types.ConfigurationOptionSetting
		version string
		label   string // that the environment is on afterwards
		says    map[string]int
		within  time.Duration // 0 when it does not matter
	}{
		"batches in percent": {"Rolling", []types.ConfigurationOptionSetting{setting(command, "BatchSizeType", "Percentage"), setting(command, "BatchSize", "25")},
			"v2", "v2", map[string]int{"Completed application deployment.": 4, "De-registering instance(s)": 4}, 0},
		"a small share is still one instance": {"Rolling", []types.ConfigurationOptionSetting{setting(command, "BatchSizeType", "Percentage"), setting(command, "BatchSize", "10")},
			"v2", "v2", map[string]int{"Completed application deployment.": 4}, 0},
		"health ignored": {"Rolling", []types.ConfigurationOptionSetting{setting(command, "IgnoreHealthCheck", "true")},
			"sick", "sick", map[string]int{"did not pass health check": 0}, 2 * time.Minute},
		"a short timeout": {"Immutable", []types.ConfigurationOptionSetting{setting(command, "Timeout", "120")},
			"sick", "v1", map[string]int{"did not pass health check": 1}, 5 * time.Minute},
		"a long timeout": {"Immutable", []types.ConfigurationOptionSetting{setting(command, "Timeout", "3600")},
			"sick", "v1", map[string]int{"did not pass health check": 1}, 70 * time.Minute},
		"settings of the version's own": {"Immutable", nil, "patient", "patient", map[string]int{"Environment update completed successfully.": 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startStepped(t)
			s.versions("v1", "v2", "sick")
			s.bundle("patient", map[string]string{".ebextensions/command.config": "option_settings:\n  " + command + ":\n    Timeout: 1800\n"})
			s.createStepped("staging", "v1", test.policy, test.options...)
			began := s.clock.Now()
			request := s.update("staging", test.version)
			e, _ := s.watch("staging", nil)
			if test.within > 0 {
				assert.Less(t, s.clock.Now().Sub(began), test.within)
				assert.Greater(t, s.clock.Now().Sub(began), test.within/2)
			}
			s.clock.Advance(time.Minute)
			assert.Equal(t, test.label, *e.VersionLabel)
			messages := strings.Join(s.messages("staging", request), "\n")
			for message, times := range test.says {
				assert.Equal(t, times, strings.Count(messages, message), "%s in\n%s", message, messages)
			}
			if name == "settings of the version's own" {
				assert.Equal(t, "1800", s.optionValue("staging", command, "Timeout"))
			}
		})
	}
}

func TestTheOptionsOfTheHealthCheckSayWhenAnInstanceIsUnhealthy(t *testing.T) {
	t.Parallel()
	const process = "aws:elasticbeanstalk:environment:process:default"
	s := startStepped(t)
	s.versions("v1")
	_, err := s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{ApplicationName: sdk.String(applicationName),
		EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String("v1"), SolutionStackName: sdk.String(stack),
		OptionSettings: []types.ConfigurationOptionSetting{setting(process, "HealthCheckInterval", "100"), setting(process, "UnhealthyThresholdCount", "3")}})
	require.NoError(t, err)
	s.clock.Advance(10 * time.Minute)
	assert.Equal(t, types.EnvironmentHealthGreen, s.describe("staging").Health, "of an environment with basic health")
	s.configure("staging", setting(process, "Port", "9090"))
	s.clock.Advance(3 * time.Minute)
	assert.Equal(t, types.EnvironmentHealthGreen, s.describe("staging").Health, "three checks take longer")
	s.clock.Advance(3 * time.Minute)
	assert.Equal(t, types.EnvironmentHealthRed, s.describe("staging").Health)
	s.configure("staging", setting(process, "Port", "80"), setting(process, "HealthCheckInterval", "10"), setting(process, "HealthyThresholdCount", "2"))
	s.clock.Advance(3 * time.Minute)
	assert.Equal(t, types.EnvironmentHealthGreen, s.describe("staging").Health)
}
