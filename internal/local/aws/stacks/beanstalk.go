package stacks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"

	"gravity/internal/stacks/template"
)

// applications are Elastic Beanstalk's, made for real.
type applications struct{ client *eb.Client }

func (a applications) make(ctx context.Context, r *resource, again bool) error {
	there, err := a.find(ctx, r)
	if err != nil {
		return err
	}
	if there != nil && again {
		return nil
	}
	_, err = a.client.CreateApplication(ctx, &eb.CreateApplicationInput{
		ApplicationName: aws.String(r.Physical), Description: property(r.Properties, "Description"),
	})
	return plain(err)
}

func (a applications) find(ctx context.Context, r *resource) (*types.ApplicationDescription, error) {
	found, err := a.client.DescribeApplications(ctx, &eb.DescribeApplicationsInput{ApplicationNames: []string{r.Physical}})
	if err != nil || len(found.Applications) == 0 {
		return nil, plain(err)
	}
	return &found.Applications[0], nil
}

func (a applications) change(ctx context.Context, r *resource, _ map[string]any) error {
	_, err := a.client.UpdateApplication(ctx, &eb.UpdateApplicationInput{
		ApplicationName: aws.String(r.Physical), Description: aws.String(template.Text(r.Properties["Description"])),
	})
	return plain(err)
}

func (a applications) remove(ctx context.Context, r *resource) error {
	there, err := a.find(ctx, r)
	if err != nil || there == nil {
		return err
	}
	_, err = a.client.DeleteApplication(ctx, &eb.DeleteApplicationInput{ApplicationName: aws.String(r.Physical)})
	return plain(err)
}

func (a applications) settled(context.Context, *resource, string, time.Time) (bool, error) {
	return true, nil
}

func (a applications) actual(ctx context.Context, r *resource) (map[string]any, bool, error) {
	there, err := a.find(ctx, r)
	if err != nil || there == nil {
		return nil, true, err
	}
	return map[string]any{"Description": aws.ToString(there.Description)}, true, nil
}

// environments are Elastic Beanstalk's, made for real.
type environments struct{ client *eb.Client }

func (e environments) make(ctx context.Context, r *resource, again bool) error {
	if again {
		if there, err := e.find(ctx, r); err != nil || there != nil {
			return err
		}
	}
	p := r.Properties
	in := &eb.CreateEnvironmentInput{
		ApplicationName: property(p, "ApplicationName"), EnvironmentName: aws.String(r.Physical), Description: property(p, "Description"),
		SolutionStackName: property(p, "SolutionStackName"), PlatformArn: property(p, "PlatformArn"), CNAMEPrefix: property(p, "CNAMEPrefix"),
		TemplateName: property(p, "TemplateName"), VersionLabel: property(p, "VersionLabel"), OptionSettings: settings(p),
	}
	_, err := e.client.CreateEnvironment(ctx, in)
	return plain(err)
}

func (e environments) find(ctx context.Context, r *resource) (*types.EnvironmentDescription, error) {
	found, err := e.client.DescribeEnvironments(ctx, &eb.DescribeEnvironmentsInput{EnvironmentNames: []string{r.Physical}, IncludeDeleted: aws.Bool(false)})
	if err != nil || len(found.Environments) == 0 {
		return nil, plain(err)
	}
	return &found.Environments[0], nil
}

// change sends what differs; options that the template no longer has keep their values, as on AWS.
func (e environments) change(ctx context.Context, r *resource, before map[string]any) error {
	in := &eb.UpdateEnvironmentInput{EnvironmentName: aws.String(r.Physical)}
	if !same(before["Description"], r.Properties["Description"]) {
		in.Description = aws.String(template.Text(r.Properties["Description"]))
	}
	old := map[string]string{}
	for _, setting := range settings(before) {
		old[optionOf(setting)] = aws.ToString(setting.Value)
	}
	for _, setting := range settings(r.Properties) {
		if value, there := old[optionOf(setting)]; !there || value != aws.ToString(setting.Value) {
			in.OptionSettings = append(in.OptionSettings, setting)
		}
	}
	if !same(before["VersionLabel"], r.Properties["VersionLabel"]) {
		in.VersionLabel = property(r.Properties, "VersionLabel")
	}
	_, err := e.client.UpdateEnvironment(ctx, in)
	return plain(err)
}

func (e environments) remove(ctx context.Context, r *resource) error {
	there, err := e.find(ctx, r)
	if err != nil || there == nil || there.Status == types.EnvironmentStatusTerminating {
		return err
	}
	_, err = e.client.TerminateEnvironment(ctx, &eb.TerminateEnvironmentInput{EnvironmentName: aws.String(r.Physical)})
	return plain(err)
}

func (e environments) settled(ctx context.Context, r *resource, action string, since time.Time) (bool, error) {
	there, err := e.find(ctx, r)
	switch {
	case err != nil:
		return false, err
	case there == nil && action == actionDelete:
		return true, nil
	case there == nil:
		return false, fmt.Errorf("environment %s was terminated: %s", r.Physical, e.lastError(ctx, r, since))
	case there.Status == types.EnvironmentStatusTerminated:
		return action == actionDelete, nil
	case action == actionDelete || there.Status != types.EnvironmentStatusReady:
		return false, nil
	}
	if reason := e.lastError(ctx, r, since); reason != "" {
		return false, errors.New(reason)
	}
	r.Attributes = map[string]string{"EndpointURL": aws.ToString(there.EndpointURL)}
	return true, nil
}

// lastError is the newest error among an environment's events, which is the reason that CloudFormation gives.
func (e environments) lastError(ctx context.Context, r *resource, since time.Time) string {
	found, err := e.client.DescribeEvents(ctx, &eb.DescribeEventsInput{
		EnvironmentName: aws.String(r.Physical), Severity: types.EventSeverityError, StartTime: aws.Time(since), MaxRecords: aws.Int32(1),
	})
	if err != nil || len(found.Events) == 0 {
		return ""
	}
	return aws.ToString(found.Events[0].Message)
}

func (e environments) actual(ctx context.Context, r *resource) (map[string]any, bool, error) {
	there, err := e.find(ctx, r)
	if err != nil || there == nil {
		return nil, true, err
	}
	found, err := e.client.DescribeConfigurationSettings(ctx, &eb.DescribeConfigurationSettingsInput{
		ApplicationName: there.ApplicationName, EnvironmentName: aws.String(r.Physical),
	})
	if err != nil || len(found.ConfigurationSettings) == 0 {
		return nil, true, plain(err)
	}
	values := map[string]string{}
	for _, setting := range found.ConfigurationSettings[0].OptionSettings {
		values[optionOf(setting)] = aws.ToString(setting.Value)
	}
	actual := map[string]any{"Description": aws.ToString(there.Description)}
	// Only what the template says is compared; the other options are Beanstalk's.
	options, _ := r.Properties["OptionSettings"].([]any)
	for i, option := range options {
		object, _ := option.(map[string]any)
		key := template.Text(object["Namespace"]) + " " + template.Text(object["OptionName"])
		actual[fmt.Sprintf("OptionSettings/%d/Value", i)] = values[key]
	}
	return actual, true, nil
}

func optionOf(setting types.ConfigurationOptionSetting) string {
	return aws.ToString(setting.Namespace) + " " + aws.ToString(setting.OptionName)
}

func settings(properties map[string]any) []types.ConfigurationOptionSetting {
	options, _ := properties["OptionSettings"].([]any)
	var list []types.ConfigurationOptionSetting
	for _, option := range options {
		object, _ := option.(map[string]any)
		list = append(list, types.ConfigurationOptionSetting{
			Namespace: property(object, "Namespace"), OptionName: property(object, "OptionName"), Value: property(object, "Value"),
		})
	}
	return list
}

func property(of map[string]any, name string) *string {
	value, there := of[name]
	if !there {
		return nil
	}
	return aws.String(template.Text(value))
}

// plain is an error of a service in the form that CloudFormation's reasons have.
func plain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s (Service: AWSElasticBeanstalk; Error Code: %s)", strings.TrimSpace(api.ErrorMessage()), api.ErrorCode())
	}
	return err
}
