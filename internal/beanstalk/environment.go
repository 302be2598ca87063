package beanstalk

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
)

// Environment looks at one environment.
func (c *Client) Environment(ctx context.Context, application, name string) (delivery.Observation, error) {
	observed, err := c.describe(ctx, []string{name})
	if err != nil {
		return delivery.Observation{}, err
	}
	return find(observed, application, name)
}

// find picks an environment of an application out of an answer. Environment names are unique in an
// account and region, but that of another application must not pass for ours.
func find(observed []delivery.Observation, application, name string) (delivery.Observation, error) {
	for _, o := range observed {
		if o.Name == name && o.Application == application && o.Status != "Terminated" {
			return o, nil
		}
	}
	return delivery.Observation{}, delivery.Errorf(delivery.EnvironmentNotFound,
		"application %q has no environment %q in this account and region; create it, or correct gravity.yaml", application, name)
}

// describe looks at environments by name, all in one call. Without MaxRecords the answer is whole.
func (c *Client) describe(ctx context.Context, names []string) ([]delivery.Observation, error) {
	out, err := c.api.DescribeEnvironments(ctx, &elasticbeanstalk.DescribeEnvironmentsInput{
		EnvironmentNames: names, IncludeDeleted: aws.Bool(false),
	})
	if err != nil {
		return nil, classify(err, "describing environments")
	}
	observed := make([]delivery.Observation, 0, len(out.Environments))
	for _, e := range out.Environments {
		observed = append(observed, delivery.Observation{
			Application:  aws.ToString(e.ApplicationName),
			Name:         aws.ToString(e.EnvironmentName),
			ID:           aws.ToString(e.EnvironmentId),
			Status:       string(e.Status),
			Health:       string(e.Health),
			HealthStatus: string(e.HealthStatus),
			VersionLabel: aws.ToString(e.VersionLabel),
			Address:      aws.ToString(e.CNAME),
			UpdatedAt:    aws.ToTime(e.DateUpdated).UTC(),
			Abortable:    aws.ToBool(e.AbortableOperationInProgress),
		})
	}
	return observed, nil
}

// Health adds the causes of an environment's health and its instances to an observation.
func (c *Client) Health(ctx context.Context, observed *delivery.Observation) error {
	health, err := c.api.DescribeEnvironmentHealth(ctx, &elasticbeanstalk.DescribeEnvironmentHealthInput{
		EnvironmentId:  aws.String(observed.ID),
		AttributeNames: []types.EnvironmentHealthAttribute{types.EnvironmentHealthAttributeHealthStatus, types.EnvironmentHealthAttributeCauses},
	})
	if err != nil {
		return c.basicHealth(err, observed)
	}
	observed.HealthStatus, observed.Causes = aws.ToString(health.HealthStatus), bounded(health.Causes)
	observed.Instances = nil
	var token *string
	for {
		out, err := c.api.DescribeInstancesHealth(ctx, &elasticbeanstalk.DescribeInstancesHealthInput{
			EnvironmentId: aws.String(observed.ID), NextToken: token,
			AttributeNames: []types.InstancesHealthAttribute{
				types.InstancesHealthAttributeHealthStatus, types.InstancesHealthAttributeCauses, types.InstancesHealthAttributeDeployment,
			},
		})
		if err != nil {
			return classify(err, "describing the health of the instances of "+observed.Name)
		}
		for _, i := range out.InstanceHealthList {
			observed.Instances = append(observed.Instances, instance(i))
		}
		if token = out.NextToken; aws.ToString(token) == "" {
			return nil
		}
	}
}

func instance(i types.SingleInstanceHealth) delivery.Instance {
	converted := delivery.Instance{ID: aws.ToString(i.InstanceId), HealthStatus: aws.ToString(i.HealthStatus), Causes: bounded(i.Causes)}
	if i.Deployment != nil {
		converted.VersionLabel = aws.ToString(i.Deployment.VersionLabel)
		converted.Deployment = aws.ToString(i.Deployment.Status)
	}
	return converted
}

// basicHealth explains the one refusal that a team can mend: with basic health reporting, nobody
// can tell which version an instance runs, and immutable updates are not possible either.
func (c *Client) basicHealth(err error, observed *delivery.Observation) error {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "InvalidRequestException" {
		return delivery.Errorf(delivery.InvalidInput, "environment %s reports basic health only; set SystemType in "+
			"aws:elasticbeanstalk:healthreporting:system to enhanced: %w", observed.Name, err)
	}
	return classify(err, "describing the health of "+observed.Name)
}

// Update asks the platform for another version, once. An error of type Unavailable leaves open whether the
// update was accepted; EnvironmentBusy says that another one is under way.
func (c *Client) Update(ctx context.Context, environmentID, label string) (requestID string, err error) {
	out, err := c.api.UpdateEnvironment(ctx, &elasticbeanstalk.UpdateEnvironmentInput{
		EnvironmentId: aws.String(environmentID), VersionLabel: aws.String(label),
	}, once)
	if err != nil {
		return "", classify(err, "updating to "+label)
	}
	// The label in the answer proves nothing, and is left unread.
	return requestIDOf(out.ResultMetadata), nil
}

// Abort ends the update under way, if there is one that can be ended.
func (c *Client) Abort(ctx context.Context, environmentID string) error {
	_, err := c.api.AbortEnvironmentUpdate(ctx, &elasticbeanstalk.AbortEnvironmentUpdateInput{EnvironmentId: aws.String(environmentID)}, once)
	return classify(err, "aborting the update")
}

// Policy is the deployment policy that the environment is configured with, in AWS's spelling.
func (c *Client) Policy(ctx context.Context, application, name string) (string, error) {
	out, err := c.api.DescribeConfigurationSettings(ctx, &elasticbeanstalk.DescribeConfigurationSettingsInput{
		ApplicationName: aws.String(application), EnvironmentName: aws.String(name),
	})
	if err != nil {
		return "", classify(err, "reading the configuration of "+name)
	}
	for _, settings := range out.ConfigurationSettings {
		// After a failed change there are two sets; the deployed one is what holds.
		if settings.DeploymentStatus == types.ConfigurationDeploymentStatusFailed || settings.DeploymentStatus == types.ConfigurationDeploymentStatusPending {
			continue
		}
		for _, option := range settings.OptionSettings {
			if aws.ToString(option.Namespace) == "aws:elasticbeanstalk:command" && aws.ToString(option.OptionName) == "DeploymentPolicy" {
				if policy := aws.ToString(option.Value); policy != "" {
					return policy, nil
				}
			}
		}
	}
	return "AllAtOnce", nil // the documented default
}

// Events lists an environment's events since a moment of the platform's clock, oldest first. They
// explain; they prove nothing.
func (c *Client) Events(ctx context.Context, environmentID string, since time.Time) ([]delivery.Event, error) {
	out, err := c.api.DescribeEvents(ctx, &elasticbeanstalk.DescribeEventsInput{
		EnvironmentId: aws.String(environmentID), StartTime: aws.Time(since), MaxRecords: aws.Int32(100),
	})
	if err != nil {
		return nil, classify(err, "reading events")
	}
	return converted(out.Events), nil
}

// converted turns events, which come newest first, around.
func converted(described []types.EventDescription) []delivery.Event {
	events := make([]delivery.Event, 0, len(described))
	for _, e := range described {
		events = append(events, delivery.Event{
			At: aws.ToTime(e.EventDate), Severity: string(e.Severity), Message: aws.ToString(e.Message),
			RequestID: aws.ToString(e.RequestId), Version: aws.ToString(e.VersionLabel),
		})
	}
	slices.Reverse(events)
	return events
}
