package platform

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// UpdateEnvironment starts a deployment, or a change of settings.
func (p *Platform) UpdateEnvironment(call Call, in *eb.UpdateEnvironmentInput) (*eb.UpdateEnvironmentOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	if err := p.checkUpdate(e, in); err != nil {
		return nil, err
	}
	if in.VersionLabel != nil || changesSettings(in) {
		if err := p.startUpdate(call, e, in); err != nil {
			return nil, err
		}
	}
	if in.Description != nil {
		e.Description = *in.Description
	}
	p.save(e)
	out := eb.UpdateEnvironmentOutput(describedAs(p.describe(e)))
	return &out, nil
}

func changesSettings(in *eb.UpdateEnvironmentInput) bool {
	return len(in.OptionSettings) > 0 || len(in.OptionsToRemove) > 0 || in.TemplateName != nil || in.SolutionStackName != nil || in.PlatformArn != nil
}

// checkUpdate finds what rules an update out, whatever it is to change.
func (p *Platform) checkUpdate(e *Environment, in *eb.UpdateEnvironmentInput) error {
	tier := in.Tier
	switch {
	case in.ApplicationName != nil && *in.ApplicationName != e.Application:
		return invalid("No Environment found for EnvironmentName = '%s'.", e.Name)
	case tier != nil && (differs(tier.Name, e.Tier.Name) || differs(tier.Type, e.Tier.Type) || differs(tier.Version, e.Tier.Version)):
		return invalid("The tier of environment %s cannot be changed.", e.Name)
	case in.SolutionStackName != nil && in.PlatformArn != nil:
		return fault("InvalidParameterCombination", "Only one of SolutionStackName and PlatformArn can be given.")
	case in.VersionLabel != nil && changesSettings(in) && !p.options.VersionWithSettings:
		// What the API reference says; the harder of the behaviours for a caller.
		return fault("InvalidParameterCombination", "Cannot update both the application version and the configuration of environment %s in one call.", e.Name)
	case e.Status != types.EnvironmentStatusReady || e.Update != nil:
		return notReady(e)
	}
	return p.checkPlatform(aws.ToString(in.SolutionStackName), aws.ToString(in.PlatformArn))
}

// differs tells whether something is given, and is not what is there.
func differs(given, there *string) bool { return given != nil && aws.ToString(there) != *given }

// startUpdate begins to bring a version, settings, or both to the environment's instances.
func (p *Platform) startUpdate(call Call, e *Environment, in *eb.UpdateEnvironmentInput) error {
	a, err := p.application(e.Application)
	if err != nil {
		return err
	}
	u := &Update{Version: e.Version, Before: e.present(), Plan: p.deploymentPlan(e)}
	var broken error
	if in.VersionLabel != nil {
		broken, err = p.takeVersion(a, e, u, *in.VersionLabel)
	}
	if err == nil && changesSettings(in) {
		err = p.takeSettings(a, e, u, in)
	}
	if err != nil {
		e.Settings, e.Extensions = u.Before.Settings, u.Before.Extensions
		e.SolutionStack, e.PlatformArn = u.Before.SolutionStack, u.Before.PlatformArn
		return err
	}
	if u.Plan == planImmutable && p.deploymentPlan(e) != planImmutable && u.Configures {
		broken = errors.New(msgBothImmutable.text)
	}
	p.applyCheck(e)
	p.begin(call, e, u)
	if broken != nil {
		// What is wrong shows when the update begins: the call is answered, and then it fails.
		(&turn{Platform: p, e: e, u: u, now: p.now()}).fail(broken)
	}
	return nil
}

// takeVersion makes a version the one to deploy, with the settings that its bundle has. The first
// error is one of the bundle's.
func (p *Platform) takeVersion(a *Application, e *Environment, u *Update, label string) (broken, err error) {
	v := a.version(label)
	if v == nil {
		return nil, invalid("No Application Version named '%s' found.", label)
	}
	extensions, broken := p.extensions(v)
	if broken == nil {
		e.Extensions = extensions
	}
	u.Version, u.Deploys = label, true
	return broken, nil
}

// takeSettings puts settings in force. Those that instances get to see are brought to them like a
// version, by the deployment policy; those that only new instances can have, by replacing them.
func (p *Platform) takeSettings(a *Application, e *Environment, u *Update, in *eb.UpdateEnvironmentInput) error {
	given, err := p.settings(in.OptionSettings)
	if err != nil {
		return err
	}
	changed := e.Settings
	if in.TemplateName != nil {
		saved, err := a.template(*in.TemplateName)
		if err != nil {
			return err
		}
		changed = changed.with(saved.Settings)
	}
	properties, instances := p.properties(e), p.instanceSettings(e)
	e.Settings = changed.with(given).without(in.OptionsToRemove)
	if in.SolutionStackName != nil || in.PlatformArn != nil {
		e.SolutionStack, e.PlatformArn = aws.ToString(in.SolutionStackName), aws.ToString(in.PlatformArn)
	}
	if err := p.consistent(e); err != nil {
		return err
	}
	u.Configures = true
	switch {
	case instances != p.instanceSettings(e):
		u.Plan, u.Deploys = p.replacementPlan(e), true
	case u.Deploys || !sameProperties(properties, p.properties(e)):
		u.Plan, u.Deploys = p.deploymentPlan(e), true
	default:
		u.Plan = planSettings
	}
	return nil
}

func sameProperties(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		if other, there := b[name]; !there || other != value {
			return false
		}
	}
	return true
}

// instanceSettings is all of an environment that an instance has from its launch to its end.
func (p *Platform) instanceSettings(e *Environment) string {
	all := e.SolutionStack + "\n" + e.PlatformArn
	for _, option := range replacing() {
		all += "\n" + p.value(e, option)
	}
	return all
}

// replacing are the options whose change takes new instances.
func replacing() []Option {
	return []Option{
		{nsLaunch, "ImageId"}, {nsLaunch, "InstanceType"}, {nsLaunch, "IamInstanceProfile"}, {nsLaunch, "EC2KeyName"},
		{nsLaunch, "SecurityGroups"}, {nsLaunch, "DisableIMDSv1"}, {nsLaunch, "MonitoringInterval"}, {nsLaunch, "BlockDeviceMappings"},
		{nsLaunch, "RootVolumeType"}, {nsLaunch, "RootVolumeSize"}, {nsLaunch, "RootVolumeIOPS"},
		{nsInstances, "InstanceTypes"}, {nsInstances, "EnableSpot"}, {nsInstances, "SupportedArchitectures"},
		{nsNetwork, "VPCId"}, {nsNetwork, "Subnets"}, {nsNetwork, "AssociatePublicIpAddress"},
	}
}

// replacementPlan is the plan that the type of rolling updates asks for.
func (p *Platform) replacementPlan(e *Environment) string {
	if p.value(e, Option{nsRolling, "RollingUpdateType"}) == immutable {
		return planImmutable
	}
	return planReplace
}

// deploymentPlan is the plan that the environment's deployment policy asks for.
func (p *Platform) deploymentPlan(e *Environment) string {
	switch p.value(e, Option{nsCommand, "DeploymentPolicy"}) {
	case immutable:
		return planImmutable
	case trafficSplitting:
		return planSplitting
	case rolling:
		return planRolling
	case rollingAdditional:
		return planAdditional
	default:
		return planAllAtOnce
	}
}

// begin makes an update the operation of its environment.
func (p *Platform) begin(call Call, e *Environment, u *Update) {
	p.remember(e)
	now := p.now()
	e.Status, e.Updated = types.EnvironmentStatusUpdating, now
	if u.Deploys {
		e.DeploymentID++
		u.DeploymentID = e.DeploymentID
	}
	u.RequestID, u.Began = call.RequestID, now
	u.Old = instanceIDs(e.staying())
	u.Wanted = len(u.Old)
	e.Update = u
	p.write(e, u.RequestID, msgUpdateStarting)
	p.wake(e)
}
