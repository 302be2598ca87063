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

// versions makes versions of these labels for fake applications.
func (s *steppedStand) versions(labels ...string) {
	s.Helper()
	s.application()
	for _, label := range labels {
		s.bundle(label, map[string]string{"Procfile": "web: true"})
	}
}

const (
	nsProperties = "aws:elasticbeanstalk:application:environment"
	nsRolling    = "aws:autoscaling:updatepolicy:rollingupdate"
)

func TestAChangeOfPropertiesThatFailsInPlaceIsBroughtBackOnEveryInstance(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"AllAtOnce", "Rolling", "RollingWithAdditionalBatch"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := startStepped(t)
			s.versions("v1")
			s.createStepped("staging", "v1", policy, setting(nsProperties, "COLOUR", "blue"))
			before := s.instances("staging")
			// Instances that are changed are healthy no more.
			request := s.configure("staging", setting(nsProperties, "COLOUR", "red"), setting(nsProperties, "SICK", "yes"))
			s.watch("staging", nil)
			s.clock.Advance(5 * time.Minute)
			messages := s.messages("staging", request)
			if policy == "AllAtOnce" { // which asks nobody how they are
				assert.Equal(t, "red", s.optionValue("staging", nsProperties, "COLOUR"))
				return
			}
			assert.Equal(t, []string{"INFO The environment was reverted to the previous configuration setting.",
				"ERROR Failed to deploy configuration."}, messages[len(messages)-2:])
			assert.Equal(t, "blue", s.optionValue("staging", nsProperties, "COLOUR"))
			assert.Equal(t, before, s.instances("staging"))
			assert.Equal(t, map[string]int{"v1 Deployed": 4}, s.byVersion("staging"))
			assert.Equal(t, types.EnvironmentHealthStatusOk, s.describe("staging").HealthStatus, "every instance is back on what is expected")
		})
	}
}

func TestSettingsThatOnlyNewInstancesCanHaveReplaceThem(t *testing.T) {
	t.Parallel()
	larger := setting("aws:autoscaling:launchconfiguration", "InstanceType", "m7g.large")
	for name, test := range map[string]struct {
		options []types.ConfigurationOptionSetting
		failing bool // users see that there is no instance for a time
		batches int
	}{
		"without rolling updates": {nil, true, 1},
		"batch by batch": {[]types.ConfigurationOptionSetting{setting(nsRolling, "RollingUpdateEnabled", "true"), setting(nsRolling, "RollingUpdateType", "Health"),
			setting(nsRolling, "MaxBatchSize", "4"), setting(nsRolling, "MinInstancesInService", "2")}, false, 2},
		"by time": {[]types.ConfigurationOptionSetting{setting(nsRolling, "RollingUpdateEnabled", "true"), setting(nsRolling, "MaxBatchSize", "1")}, false, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startStepped(t)
			s.versions("v1")
			s.createStepped("staging", "v1", "Rolling", test.options...)
			before := s.instances("staging")
			request := s.configure("staging", larger)
			_, seen := s.watch("staging", nil)
			s.clock.Advance(5 * time.Minute)
			assert.Equal(t, test.failing, seen["503"]+seen["502"] > 0, "%v", seen)
			for _, id := range s.instances("staging") {
				assert.NotContains(t, before, id)
			}
			assert.Len(t, s.instances("staging"), 4)
			assert.Equal(t, test.batches, strings.Count(strings.Join(s.messages("staging", request), "\n"), "Replacing instance(s)"))
			assert.Equal(t, types.EnvironmentHealthStatusOk, s.describe("staging").HealthStatus)
			out, err := s.beanstalk.DescribeInstancesHealth(t.Context(), &eb.DescribeInstancesHealthInput{EnvironmentName: sdk.String("staging"),
				AttributeNames: []types.InstancesHealthAttribute{types.InstancesHealthAttributeInstanceType}})
			require.NoError(t, err)
			assert.Equal(t, "m7g.large", *out.InstanceHealthList[0].InstanceType)
		})
	}
}

func TestAReplacementOfInstancesThatFailsLeavesAsManyOfTheOldKind(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.versions("v1")
	s.createStepped("staging", "v1", "Rolling", setting(nsRolling, "RollingUpdateEnabled", "true"), setting(nsRolling, "MaxBatchSize", "2"))
	require.NoError(t, s.server.SetFaults(aws.Faults{Instances: []faults.Instance{{Kind: faults.NeverBoots}}}))
	request := s.configure("staging", setting("aws:autoscaling:launchconfiguration", "InstanceType", "m7g.large"))
	s.clock.Advance(12 * time.Minute)
	require.NoError(t, s.server.SetFaults(aws.Faults{}))
	s.watch("staging", nil)
	s.clock.Advance(5 * time.Minute)
	messages := s.messages("staging", request)
	assert.Equal(t, "ERROR Failed to deploy configuration.", messages[len(messages)-1])
	assert.Equal(t, map[string]int{"v1 Deployed": 4}, s.byVersion("staging"))
	assert.Equal(t, "t3.micro", s.optionValue("staging", "aws:autoscaling:launchconfiguration", "InstanceType"))
}

func TestImmutableSettingsBesideAnotherDeploymentPolicyAreRefusedAsAnEvent(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.versions("v1")
	s.createStepped("staging", "v1", "Rolling", setting(nsRolling, "RollingUpdateType", "Immutable"))
	request := s.configure("staging", setting("aws:autoscaling:launchconfiguration", "InstanceType", "m7g.large"))
	s.watch("staging", nil)
	s.clock.Advance(time.Minute)
	assert.Contains(t, strings.Join(s.messages("staging", request), "\n"), "ERROR To enable immutable config and application deployments together, you must set both")
	assert.Equal(t, "t3.micro", s.optionValue("staging", "aws:autoscaling:launchconfiguration", "InstanceType"))
}

func TestAnotherPlatformComesWithNewInstances(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.versions("v1")
	s.createStepped("staging", "v1", "Immutable", setting(nsRolling, "RollingUpdateType", "Immutable"))
	before := s.instances("staging")
	docker := "64bit Amazon Linux 2023 v4.6.0 running Docker"
	_, err := s.beanstalk.UpdateEnvironment(t.Context(), &eb.UpdateEnvironmentInput{EnvironmentName: sdk.String("staging"), SolutionStackName: sdk.String(docker)})
	require.NoError(t, err)
	e, seen := s.watch("staging", nil)
	assert.Equal(t, []string{"v1"}, keysOf(seen))
	assert.Equal(t, docker, *e.SolutionStackName)
	assert.NotEqual(t, before, s.instances("staging"))
	_, err = s.beanstalk.UpdateEnvironment(t.Context(), &eb.UpdateEnvironmentInput{EnvironmentName: sdk.String("staging"), SolutionStackName: sdk.String("9bit")})
	assert.Equal(t, "InvalidParameterValue: No Solution Stack named '9bit' found.", code(err))
}

func TestBothReportedBehavioursOfAVersionWithSettingsCanBeHad(t *testing.T) {
	t.Parallel()
	for _, taken := range []bool{false, true} {
		s := startStepped(t, func(o *aws.Options) { o.VersionWithSettings = taken })
		s.versions("v1", "v2", "sick")
		s.createStepped("staging", "v1", "Immutable", setting(nsProperties, "COLOUR", "blue"))
		update := func(label, colour string) error {
			_, err := s.beanstalk.UpdateEnvironment(t.Context(), &eb.UpdateEnvironmentInput{EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String(label),
				OptionSettings: []types.ConfigurationOptionSetting{setting(nsProperties, "COLOUR", colour)}})
			return err
		}
		if err := update("v2", "red"); !taken {
			assert.True(t, strings.HasPrefix(code(err), "InvalidParameterCombination: "), code(err))
			assert.Equal(t, types.EnvironmentStatusReady, s.describe("staging").Status)
			continue
		} else {
			require.NoError(t, err)
		}
		e, _ := s.watch("staging", nil)
		assert.Equal(t, "v2", *e.VersionLabel)
		assert.Equal(t, "red", s.optionValue("staging", nsProperties, "COLOUR"))
		require.NoError(t, update("sick", "green"))
		e, _ = s.watch("staging", nil)
		assert.Equal(t, "v2", *e.VersionLabel, "both are taken back together")
		assert.Equal(t, "red", s.optionValue("staging", nsProperties, "COLOUR"))
	}
}

func TestBothReportedBehavioursOfAnAbortCanBeHad(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"Immutable", "TrafficSplitting"} {
		for stops, want := range map[bool]map[string]int{false: {"v1 Deployed": 4}, true: {"v1 Deployed": 4, "v2 Deployed": 4}} {
			s := startStepped(t, func(o *aws.Options) { o.AbortStops = stops })
			s.versions("v1", "v2")
			s.createStepped("staging", "v1", policy)
			request := s.update("staging", "v2")
			s.clock.Advance(6 * time.Minute)
			_, err := s.beanstalk.AbortEnvironmentUpdate(t.Context(), &eb.AbortEnvironmentUpdateInput{EnvironmentName: sdk.String("staging")})
			require.NoError(t, err)
			e, seen := s.watch("staging", nil)
			assert.Equal(t, "v1", *e.VersionLabel)
			assert.Equal(t, want, s.byVersion("staging"), "%s %v", policy, stops)
			assert.Zero(t, seen["502"]+seen["503"])
			s.clock.Advance(5 * time.Minute)
			messages := s.messages("staging", request)
			mixed := strings.HasPrefix(messages[len(messages)-1], "ERROR During an aborted deployment")
			assert.Equal(t, stops, mixed, messages)
			assert.Equal(t, stops, s.describe("staging").HealthStatus == types.EnvironmentHealthStatusDegraded)
			if !stops {
				continue
			}
			s.update("staging", "v2")
			e, _ = s.watch("staging", nil)
			assert.Equal(t, "v2", *e.VersionLabel, "another update puts it right")
			s.clock.Advance(5 * time.Minute)
			assert.Equal(t, types.EnvironmentHealthStatusOk, s.describe("staging").HealthStatus)
		}
	}
}

func TestAnEnvironmentInTheMiddleOfAnUpdateCannotBeTerminated(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.versions("v1", "v2")
	s.createStepped("staging", "v1", "Immutable")
	s.update("staging", "v2")
	_, err := s.beanstalk.TerminateEnvironment(t.Context(), &eb.TerminateEnvironmentInput{EnvironmentName: sdk.String("staging")})
	assert.Equal(t, "InvalidParameterValue: Cannot terminate environment named staging. It is currently pending deployment.", code(err))
}
