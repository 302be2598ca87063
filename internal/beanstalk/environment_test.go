package beanstalk

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestPolicy(t *testing.T) {
	set := func(status types.ConfigurationDeploymentStatus, policy *string) types.ConfigurationSettingsDescription {
		return types.ConfigurationSettingsDescription{DeploymentStatus: status, OptionSettings: []types.ConfigurationOptionSetting{
			{Namespace: aws.String("aws:autoscaling:asg"), OptionName: aws.String("DeploymentPolicy"), Value: aws.String("Nonsense")},
			{Namespace: aws.String("aws:elasticbeanstalk:command"), OptionName: aws.String("Timeout"), Value: aws.String("600")},
			{Namespace: aws.String("aws:elasticbeanstalk:command"), OptionName: aws.String("DeploymentPolicy"), Value: policy},
		}}
	}
	const deployed, pending, failed = types.ConfigurationDeploymentStatusDeployed, types.ConfigurationDeploymentStatusPending, types.ConfigurationDeploymentStatusFailed
	cases := []struct {
		name     string
		settings []types.ConfigurationSettingsDescription
		want     string
	}{
		{"the policy that is deployed holds", []types.ConfigurationSettingsDescription{set(deployed, aws.String("Immutable"))}, "Immutable"},
		{"one that failed to be deployed does not", []types.ConfigurationSettingsDescription{set(failed, aws.String("Rolling")), set(deployed, aws.String("Immutable"))}, "Immutable"},
		{"one that is pending does not yet", []types.ConfigurationSettingsDescription{set(pending, aws.String("Immutable")), set(deployed, aws.String("Rolling"))}, "Rolling"},
		{"an environment that says nothing has the platform's default", []types.ConfigurationSettingsDescription{{DeploymentStatus: deployed}}, "AllAtOnce"},
		{"an option without a value has the platform's default", []types.ConfigurationSettingsDescription{set(deployed, nil)}, "AllAtOnce"},
		{"a set without a status holds", []types.ConfigurationSettingsDescription{set("", aws.String("Immutable"))}, "Immutable"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			api := &fakeAPI{settings: func(in *elasticbeanstalk.DescribeConfigurationSettingsInput) ([]types.ConfigurationSettingsDescription, error) {
				assert.Equal(t, "shop", aws.ToString(in.ApplicationName))
				assert.Equal(t, "shop-production", aws.ToString(in.EnvironmentName))
				return test.settings, nil
			}}
			configured, err := NewFromAPI(api, quick).Configuration(t.Context(), "shop", "shop-production")
			require.NoError(t, err)
			assert.Equal(t, test.want, configured.Policy)
		})
	}
}

func TestEventsComeOldestFirst(t *testing.T) {
	api := &fakeAPI{events: func(in *elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error) {
		assert.Equal(t, "e-1", aws.ToString(in.EnvironmentId), "an environment made anew under the same name has other events")
		var newestFirst []types.EventDescription
		for i := 3; i > 0; i-- {
			newestFirst = append(newestFirst, types.EventDescription{
				EventDate: aws.Time(monday.Add(time.Duration(i) * time.Second)), Severity: types.EventSeverityInfo,
				Message: aws.String(fmt.Sprintf("event %d", i)), RequestId: aws.String("r-1"), VersionLabel: aws.String("v2"),
			})
		}
		return newestFirst, nil
	}}
	events, err := NewFromAPI(api, quick).Events(t.Context(), "e-1", monday)
	require.NoError(t, err)
	require.Len(t, events, 3)
	assert.Equal(t, delivery.Event{At: monday.Add(time.Second), Severity: "INFO", Message: "event 1", RequestID: "r-1", Version: "v2"}, events[0])
	assert.Equal(t, "event 3", events[2].Message)
}

func TestEveryPageOfInstancesIsRead(t *testing.T) {
	api := &fakeAPI{}
	api.script(onV1())
	api.instances = func(_ context.Context, token string) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
		page := map[string]string{"": "1", "1": "2", "2": ""}[token]
		instance := delivery.Instance{ID: "i-" + token, HealthStatus: "Ok", VersionLabel: "v1", Deployment: "Deployed"}
		return &elasticbeanstalk.DescribeInstancesHealthOutput{InstanceHealthList: reported([]delivery.Instance{instance}), NextToken: aws.String(page)}, nil
	}
	observed := onV1()
	require.NoError(t, NewFromAPI(api, quick).Health(t.Context(), &observed))
	assert.Len(t, observed.Instances, 3, "the last instance counts as much as the first")
}

func TestAnInstanceThatSaysNothingOfItsDeploymentHasNone(t *testing.T) {
	api := &fakeAPI{}
	api.script(onV1())
	api.instances = func(context.Context, string) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
		return &elasticbeanstalk.DescribeInstancesHealthOutput{InstanceHealthList: []types.SingleInstanceHealth{{InstanceId: aws.String("i-1")}}}, nil
	}
	observed := onV1()
	require.NoError(t, NewFromAPI(api, quick).Health(t.Context(), &observed))
	assert.Equal(t, []delivery.Instance{{ID: "i-1"}}, observed.Instances)
}

func TestAnEnvironmentIsSeenAsThePlatformDescribesIt(t *testing.T) {
	api := &fakeAPI{}
	api.script(with(onV1(), abortable))
	observed, err := NewFromAPI(api, quick).Environment(t.Context(), "shop", "shop-production")
	require.NoError(t, err)
	assert.Equal(t, with(onV1(), abortable), observed)
}

func TestAnEnvironmentThatWasMadeAnewIsFoundBesideItsTerminatedNamesake(t *testing.T) {
	api := &fakeAPI{environments: func(context.Context, []string) ([]types.EnvironmentDescription, error) {
		return described(with(onV1(), status("Terminated")), with(onV1(), recreated)), nil
	}}
	observed, err := NewFromAPI(api, quick).Environment(t.Context(), "shop", "shop-production")
	require.NoError(t, err)
	assert.Equal(t, "e-2", observed.ID)
}
