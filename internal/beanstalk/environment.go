package beanstalk

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

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

// Environments looks at environments by name, in as few calls as the platform allows. Those that there
// are not are missing from the answer; those of other applications are not.
func (c *Client) Environments(ctx context.Context, names []string) ([]delivery.Observation, error) {
	var all []delivery.Observation
	for batch := range slices.Chunk(names, maxNames) {
		observed, err := c.describe(ctx, batch)
		if err != nil {
			return nil, err
		}
		all = append(all, observed...)
	}
	return all, nil
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
		"application %q has no environment %q in this account and region; if somebody terminated it, create it again under that name, "+
			"with enhanced health and the stage's deployment policy, and deploy again; otherwise correct gravity.yaml", application, name)
}

// describe looks at environments by name, all in one call. Without MaxRecords the answer is whole.
func (c *Client) describe(ctx context.Context, names []string) ([]delivery.Observation, error) {
	out, err := c.api.DescribeEnvironments(ctx, &elasticbeanstalk.DescribeEnvironmentsInput{
		EnvironmentNames: names, IncludeDeleted: aws.Bool(false),
	})
	if err != nil {
		return nil, classify(err, "describing environments")
	}
	all := make([]delivery.Observation, 0, len(out.Environments))
	for _, e := range out.Environments {
		all = append(all, observed(e))
	}
	return all, nil
}

func observed(e types.EnvironmentDescription) delivery.Observation {
	return delivery.Observation{
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
	}
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
