package platform

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// Template is a saved configuration, which environments can be made from.
type Template struct {
	Name          string
	Description   string
	SolutionStack string
	PlatformArn   string
	Settings      Settings
	Created       time.Time
	Updated       time.Time
	Tags          map[string]string
}

func (a *Application) template(name string) (*Template, error) {
	for _, t := range a.Templates {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, invalid("No Configuration Template named '%s/%s' found.", a.Name, name)
}

// CreateConfigurationTemplate saves a configuration: an environment's, another template's, or one
// that begins with nothing but a platform.
func (p *Platform) CreateConfigurationTemplate(_ Call, in *eb.CreateConfigurationTemplateInput) (*eb.CreateConfigurationTemplateOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	if _, err := a.template(*in.TemplateName); err == nil {
		return nil, invalid("Configuration Template %s already exists.", *in.TemplateName)
	}
	now := p.now()
	t := &Template{Name: *in.TemplateName, Description: aws.ToString(in.Description), SolutionStack: aws.ToString(in.SolutionStackName),
		PlatformArn: aws.ToString(in.PlatformArn), Created: now, Updated: now, Tags: tagMap(in.Tags)}
	if err := p.copySource(a, in, t); err != nil {
		return nil, err
	}
	if t.SolutionStack == "" && t.PlatformArn == "" {
		return nil, missingRequired("PlatformArn, SolutionStackName, EnvironmentId or SourceConfiguration")
	}
	given, err := p.settings(in.OptionSettings)
	if err != nil {
		return nil, err
	}
	t.Settings = t.Settings.with(given)
	a.Templates = append(a.Templates, t)
	if err := p.saveApplication(a); err != nil {
		return nil, err
	}
	out := eb.CreateConfigurationTemplateOutput(configurationAs(p.describeTemplate(a, t)))
	return &out, nil
}

// copySource takes over what the new template is made from.
func (p *Platform) copySource(a *Application, in *eb.CreateConfigurationTemplateInput, t *Template) error {
	if in.SourceConfiguration != nil {
		source := a
		if in.SourceConfiguration.ApplicationName != nil {
			var err error
			if source, err = p.application(*in.SourceConfiguration.ApplicationName); err != nil {
				return err
			}
		}
		from, err := source.template(aws.ToString(in.SourceConfiguration.TemplateName))
		if err != nil {
			return err
		}
		t.Settings, t.SolutionStack, t.PlatformArn = from.Settings, from.SolutionStack, from.PlatformArn
	}
	if in.EnvironmentId != nil {
		e, err := p.environment(nil, in.EnvironmentId)
		if err != nil {
			return err
		}
		t.Settings, t.SolutionStack, t.PlatformArn = e.Settings, e.SolutionStack, e.PlatformArn
	}
	return p.checkPlatform(t.SolutionStack, t.PlatformArn)
}

// UpdateConfigurationTemplate changes a saved configuration.
func (p *Platform) UpdateConfigurationTemplate(_ Call, in *eb.UpdateConfigurationTemplateInput) (*eb.UpdateConfigurationTemplateOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	t, err := a.template(*in.TemplateName)
	if err != nil {
		return nil, err
	}
	given, err := p.settings(in.OptionSettings)
	if err != nil {
		return nil, err
	}
	t.Settings = t.Settings.with(given).without(in.OptionsToRemove)
	if in.Description != nil {
		t.Description = *in.Description
	}
	t.Updated = p.now()
	if err := p.saveApplication(a); err != nil {
		return nil, err
	}
	out := eb.UpdateConfigurationTemplateOutput(configurationAs(p.describeTemplate(a, t)))
	return &out, nil
}

// without returns these settings with some left out.
func (s Settings) without(removed []types.OptionSpecification) Settings {
	left := s.with(nil)
	for _, option := range removed {
		delete(left, Option{aws.ToString(option.Namespace), aws.ToString(option.OptionName)})
	}
	return left
}

// DeleteConfigurationTemplate removes a saved configuration. Environments made from it stay.
func (p *Platform) DeleteConfigurationTemplate(_ Call, in *eb.DeleteConfigurationTemplateInput) (*eb.DeleteConfigurationTemplateOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	t, err := a.template(*in.TemplateName)
	if err != nil {
		return nil, err
	}
	for n, other := range a.Templates {
		if other == t {
			a.Templates = append(a.Templates[:n:n], a.Templates[n+1:]...)
			break
		}
	}
	return &eb.DeleteConfigurationTemplateOutput{}, p.saveApplication(a)
}

func (p *Platform) describeTemplate(a *Application, t *Template) types.ConfigurationSettingsDescription {
	return types.ConfigurationSettingsDescription{
		ApplicationName: aws.String(a.Name), TemplateName: aws.String(t.Name), Description: optional(t.Description),
		SolutionStackName: optional(t.SolutionStack), PlatformArn: optional(t.PlatformArn),
		DateCreated: aws.Time(t.Created), DateUpdated: aws.Time(t.Updated), OptionSettings: listed(t.Settings),
	}
}

// configurationAs makes a description the output of the operations that answer with one.
func configurationAs(d types.ConfigurationSettingsDescription) eb.UpdateConfigurationTemplateOutput {
	return eb.UpdateConfigurationTemplateOutput{
		ApplicationName: d.ApplicationName, TemplateName: d.TemplateName, Description: d.Description,
		SolutionStackName: d.SolutionStackName, PlatformArn: d.PlatformArn,
		DateCreated: d.DateCreated, DateUpdated: d.DateUpdated, OptionSettings: d.OptionSettings,
	}
}
