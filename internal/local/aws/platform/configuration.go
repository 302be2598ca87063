package platform

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// settings reads the options of a request.
func (p *Platform) settings(list []types.ConfigurationOptionSetting) (Settings, error) {
	settings := Settings{}
	for _, given := range list {
		option := Option{aws.ToString(given.Namespace), aws.ToString(given.OptionName)}
		value := aws.ToString(given.Value)
		if wrong := p.problem(option, value); wrong != "" {
			return nil, fault("ConfigurationValidationException", "Configuration validation exception: %s", wrong)
		}
		settings[option] = value
	}
	return settings, nil
}

// consistent checks settings that depend on each other.
func (p *Platform) consistent(e *Environment) error {
	policy := p.value(e, Option{nsCommand, "DeploymentPolicy"})
	if (policy == immutable || policy == trafficSplitting) && !p.enhanced(e) {
		return fault("ConfigurationValidationException",
			"Configuration validation exception: DeploymentPolicy %s requires enhanced health reporting (Namespace: '%s', OptionName: 'SystemType').",
			policy, nsHealth)
	}
	if p.number(e, Option{nsGroup, "MinSize"}) > p.number(e, Option{nsGroup, "MaxSize"}) {
		return fault("ConfigurationValidationException",
			"Configuration validation exception: MinSize must not be greater than MaxSize (Namespace: '%s').", nsGroup)
	}
	return nil
}

// DescribeConfigurationSettings shows an environment's options with their values.
func (p *Platform) DescribeConfigurationSettings(_ Call, in *eb.DescribeConfigurationSettingsInput) (*eb.DescribeConfigurationSettingsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	switch {
	case in.EnvironmentName == nil && in.TemplateName == nil:
		return nil, missingRequired("EnvironmentName or TemplateName")
	case in.EnvironmentName != nil && in.TemplateName != nil:
		return nil, fault("InvalidParameterCombination", "Only one of EnvironmentName and TemplateName can be given.")
	}
	if in.TemplateName != nil {
		t, err := a.template(*in.TemplateName)
		if err != nil {
			return nil, err
		}
		return &eb.DescribeConfigurationSettingsOutput{ConfigurationSettings: []types.ConfigurationSettingsDescription{p.describeTemplate(a, t)}}, nil
	}
	e, err := p.environment(in.EnvironmentName, nil)
	if err != nil {
		return nil, err
	}
	if e.Application != *in.ApplicationName {
		return nil, invalid("No Environment found for EnvironmentName = '%s'.", e.Name)
	}
	descriptions := []types.ConfigurationSettingsDescription{p.describeSettings(e, types.ConfigurationDeploymentStatusDeployed)}
	if e.Update != nil && e.Update.Configures {
		// What is on its way comes beside what is deployed.
		deployed := &Environment{Application: e.Application, Name: e.Name, Description: e.Description, SolutionStack: e.SolutionStack,
			PlatformArn: e.PlatformArn, Created: e.Created, Updated: e.Updated, Settings: e.Update.Before.Settings, Extensions: e.Update.Before.Extensions}
		descriptions[0] = p.describeSettings(deployed, types.ConfigurationDeploymentStatusDeployed)
		descriptions = append(descriptions, p.describeSettings(e, types.ConfigurationDeploymentStatusPending))
	}
	return &eb.DescribeConfigurationSettingsOutput{ConfigurationSettings: descriptions}, nil
}

func (p *Platform) describeSettings(e *Environment, status types.ConfigurationDeploymentStatus) types.ConfigurationSettingsDescription {
	all := Settings{}
	for option := range p.rules {
		all[option] = p.value(e, option)
	}
	for option, value := range e.Extensions.with(e.Settings) {
		all[option] = value
	}
	return types.ConfigurationSettingsDescription{
		ApplicationName: aws.String(e.Application), EnvironmentName: aws.String(e.Name), Description: optional(e.Description),
		SolutionStackName: optional(e.SolutionStack), PlatformArn: optional(e.PlatformArn),
		DateCreated: aws.Time(e.Created), DateUpdated: aws.Time(e.Updated), DeploymentStatus: status, OptionSettings: listed(all),
	}
}

func listed(settings Settings) []types.ConfigurationOptionSetting {
	list := []types.ConfigurationOptionSetting{}
	for _, option := range settings.sorted() {
		setting := types.ConfigurationOptionSetting{Namespace: aws.String(option.Namespace), OptionName: aws.String(option.Name)}
		setting.Value = optional(settings[option])
		list = append(list, setting)
	}
	return list
}

// DescribeConfigurationOptions lists the options that there are, with their defaults and limits.
func (p *Platform) DescribeConfigurationOptions(_ Call, in *eb.DescribeConfigurationOptionsInput) (*eb.DescribeConfigurationOptionsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &eb.DescribeConfigurationOptionsOutput{Options: []types.ConfigurationOptionDescription{}}
	if in.EnvironmentName != nil {
		e, err := p.environment(in.EnvironmentName, nil)
		if err != nil {
			return nil, err
		}
		out.SolutionStackName, out.PlatformArn = optional(e.SolutionStack), optional(e.PlatformArn)
	}
	if err := p.checkPlatform(aws.ToString(in.SolutionStackName), aws.ToString(in.PlatformArn)); err != nil {
		return nil, err
	}
	if in.SolutionStackName != nil || in.PlatformArn != nil {
		out.SolutionStackName, out.PlatformArn = in.SolutionStackName, in.PlatformArn
	}
	all := Settings{}
	for option, rule := range p.rules {
		all[option] = rule.fallback
	}
	for _, option := range all.sorted() {
		if in.Options == nil || specified(in.Options, option) {
			out.Options = append(out.Options, p.rules[option].described(option))
		}
	}
	return out, nil
}

// specified tells whether a list names an option; a name left out stands for all.
func specified(list []types.OptionSpecification, option Option) bool {
	for _, wanted := range list {
		if (wanted.Namespace == nil || *wanted.Namespace == option.Namespace) && (wanted.OptionName == nil || *wanted.OptionName == option.Name) {
			return true
		}
	}
	return false
}

func (r optionRule) described(option Option) types.ConfigurationOptionDescription {
	description := types.ConfigurationOptionDescription{
		Namespace: aws.String(option.Namespace), Name: aws.String(option.Name), DefaultValue: optional(r.fallback),
		ChangeSeverity: aws.String("NoInterruption"), UserDefined: aws.Bool(false),
		ValueType: types.ConfigurationOptionValueTypeScalar, ValueOptions: r.values,
	}
	if r.max > 0 {
		description.MinValue, description.MaxValue = aws.Int32(int32(r.min)), aws.Int32(int32(r.max))
	}
	return description
}

// ValidateConfigurationSettings says what is wrong with settings, without using them.
func (p *Platform) ValidateConfigurationSettings(_ Call, in *eb.ValidateConfigurationSettingsInput) (*eb.ValidateConfigurationSettingsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err == nil && in.EnvironmentName != nil {
		_, err = p.environment(in.EnvironmentName, nil)
	}
	if err == nil && in.TemplateName != nil {
		_, err = a.template(*in.TemplateName)
	}
	if err != nil {
		return nil, err
	}
	out := &eb.ValidateConfigurationSettingsOutput{Messages: []types.ValidationMessage{}}
	for _, given := range in.OptionSettings {
		wrong := p.problem(Option{aws.ToString(given.Namespace), aws.ToString(given.OptionName)}, aws.ToString(given.Value))
		if wrong != "" {
			out.Messages = append(out.Messages, types.ValidationMessage{Message: aws.String(wrong),
				Severity: types.ValidationSeverityError, Namespace: given.Namespace, OptionName: given.OptionName})
		}
	}
	return out, nil
}

// DeleteEnvironmentConfiguration discards a draft that a failed change of settings left. Ours leave
// none: a change that fails is taken back.
func (p *Platform) DeleteEnvironmentConfiguration(_ Call, in *eb.DeleteEnvironmentConfigurationInput) (*eb.DeleteEnvironmentConfigurationOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.application(*in.ApplicationName); err != nil {
		return nil, err
	}
	if _, err := p.environment(in.EnvironmentName, nil); err != nil {
		return nil, err
	}
	return &eb.DeleteEnvironmentConfigurationOutput{}, nil
}
