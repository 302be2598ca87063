package platform

import (
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// environment finds an environment that has not been terminated.
func (p *Platform) environment(name, id *string) (*Environment, error) {
	if name == nil && id == nil {
		return nil, missingRequired("EnvironmentName or EnvironmentId")
	}
	for _, e := range p.environments {
		if e.Status != types.EnvironmentStatusTerminated &&
			(id == nil || *id == e.ID) && (name == nil || *name == e.Name) {
			return e, nil
		}
	}
	if id != nil {
		return nil, invalid("No Environment found for EnvironmentId = '%s'.", *id)
	}
	return nil, invalid("No Environment found for EnvironmentName = '%s'.", *name)
}

// idleEnvironment finds an environment that no operation holds.
func (p *Platform) idleEnvironment(name, id *string) (*Environment, error) {
	e, err := p.environment(name, id)
	if err != nil {
		return nil, err
	}
	if e.Update != nil {
		return nil, notReady(e)
	}
	return e, nil
}

func notReady(e *Environment) error {
	return invalid("Environment named %s is in an invalid state for this operation. Must be Ready.", e.Name)
}

// CreateEnvironment makes an environment and starts its launch.
func (p *Platform) CreateEnvironment(call Call, in *eb.CreateEnvironmentInput) (*eb.CreateEnvironmentOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	e, err := p.newEnvironment(a, in)
	if err != nil {
		return nil, err
	}
	version := sampleVersion
	if in.VersionLabel != nil {
		version = *in.VersionLabel
		v := a.version(version)
		if v == nil {
			return nil, invalid("No Application Version named '%s' found.", version)
		}
		if e.Extensions, err = p.extensions(v); err != nil {
			return nil, fault("ConfigurationValidationException", "%v", err)
		}
	}
	if err := p.open(e); err != nil {
		return nil, internal(err)
	}
	p.environments[e.ID] = e
	e.Version, e.DeploymentID = version, 1
	e.Update = &Update{RequestID: call.RequestID, Plan: planLaunch, Version: version, DeploymentID: 1, Deploys: true, Began: e.Created}
	p.write(e, call.RequestID, msgCreateStarting)
	p.save(e)
	p.wake(e)
	out := eb.CreateEnvironmentOutput(describedAs(p.describe(e)))
	return &out, nil
}

// newEnvironment checks what was asked for, and makes the environment's record.
func (p *Platform) newEnvironment(a *Application, in *eb.CreateEnvironmentInput) (*Environment, error) {
	if p.running() >= maxEnvironments {
		return nil, fault("TooManyEnvironmentsException", "You have reached the limit of %d environments.", maxEnvironments)
	}
	if err := checkEnvironment(in); err != nil {
		return nil, err
	}
	name := aws.ToString(in.EnvironmentName)
	if name == "" {
		name = p.identifier("env-", 12, lettersAndDigits)
	}
	if _, err := p.environment(&name, nil); err == nil {
		return nil, invalid("Environment %s already exists.", name)
	}
	prefix := aws.ToString(in.CNAMEPrefix)
	if prefix == "" {
		prefix = p.identifier(name+".eba-", 8, lettersAndDigits)
	} else if p.holder(prefix) != nil {
		return nil, invalid("DNS name (%s.%s.elasticbeanstalk.com) is not available.", prefix, p.options.Region)
	}
	base := &Template{SolutionStack: aws.ToString(in.SolutionStackName), PlatformArn: aws.ToString(in.PlatformArn)}
	if in.TemplateName != nil {
		var err error
		if base, err = a.template(*in.TemplateName); err != nil {
			return nil, err
		}
	}
	if err := p.checkPlatform(base.SolutionStack, base.PlatformArn); err != nil {
		return nil, err
	}
	if base.SolutionStack == "" && base.PlatformArn == "" {
		return nil, missingRequired("PlatformArn, SolutionStackName or TemplateName")
	}
	settings, err := p.settings(in.OptionSettings)
	if err != nil {
		return nil, err
	}
	settings = base.Settings.with(settings).without(in.OptionsToRemove)
	now := p.now()
	e := &Environment{
		ID: p.identifier("e-", 10, lettersAndDigits), Name: name, Application: a.Name, Description: aws.ToString(in.Description),
		SolutionStack: base.SolutionStack, PlatformArn: base.PlatformArn, Template: aws.ToString(in.TemplateName), CNAMEPrefix: prefix,
		OperationsRole: aws.ToString(in.OperationsRole),
		Tier:           types.EnvironmentTier{Name: aws.String(webServer), Type: aws.String(standard), Version: aws.String("1.0")},
		Status:         types.EnvironmentStatusLaunching, Created: now, Updated: now, Settings: settings, Tags: tagMap(in.Tags),
	}
	return e, p.consistent(e)
}

// The tier that there is.
const (
	webServer = "WebServer"
	standard  = "Standard"
)

var dnsLabel = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// checkEnvironment finds what rules a new environment out by itself.
func checkEnvironment(in *eb.CreateEnvironmentInput) error {
	for _, name := range []struct {
		parameter string
		value     *string
	}{{"EnvironmentName", in.EnvironmentName}, {"CNAMEPrefix", in.CNAMEPrefix}} {
		if name.value != nil && !dnsLabel.MatchString(*name.value) {
			return invalid("Value %s at '%s' failed to satisfy constraint: Member must contain only letters, digits, and the dash character and may not start or end with a dash",
				*name.value, name.parameter)
		}
	}
	tier := in.Tier
	switch {
	case in.SolutionStackName != nil && (in.PlatformArn != nil || in.TemplateName != nil):
		return fault("InvalidParameterCombination", "SolutionStackName cannot be given together with PlatformArn or TemplateName.")
	case tier != nil && (tier.Name != nil && *tier.Name != webServer || tier.Type != nil && *tier.Type != standard):
		return invalid("Environments of tier %s/%s are not available.", aws.ToString(tier.Name), aws.ToString(tier.Type))
	case len(in.Tags) > maxTags:
		return fault("TooManyTagsException", "The number of tags in the resource would exceed %d.", maxTags)
	}
	return nil
}

// running counts the environments that have not been terminated.
func (p *Platform) running() int {
	count := 0
	for _, e := range p.environments {
		if e.Status != types.EnvironmentStatusTerminated {
			count++
		}
	}
	return count
}

// holder is the environment that has a CNAME prefix; nil while it is free.
func (p *Platform) holder(prefix string) *Environment {
	for _, e := range p.environments {
		if e.Status != types.EnvironmentStatusTerminated && strings.EqualFold(e.CNAMEPrefix, prefix) {
			return e
		}
	}
	return nil
}

// AbortEnvironmentUpdate ends the update under way.
func (p *Platform) AbortEnvironmentUpdate(call Call, in *eb.AbortEnvironmentUpdateInput) (*eb.AbortEnvironmentUpdateOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	if e.Update == nil || !abortable(e.Update) {
		return nil, invalid("Environment named %s is in an invalid state for this operation. Must be pending deployment.", e.Name)
	}
	e.Status = types.EnvironmentStatusAborting
	e.Update.Aborted = true
	p.write(e, call.RequestID, msgAbortRequested)
	t := &turn{Platform: p, e: e, u: e.Update, now: p.now()}
	t.follow(takeBack(e.Update))
	if p.options.AbortStops && (e.Update.Plan == planImmutableBack || e.Update.Plan == planSplittingBack) {
		t.follow(planStop, "")
	}
	p.save(e)
	p.wake(e)
	return &eb.AbortEnvironmentUpdateOutput{}, nil
}

func abortable(u *Update) bool {
	return !u.Final && !u.Aborted && !u.Failed && u.Plan != planLaunch && u.Plan != planTerminate
}

// TerminateEnvironment begins to take an environment down.
func (p *Platform) TerminateEnvironment(call Call, in *eb.TerminateEnvironmentInput) (*eb.TerminateEnvironmentOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	if e.Update != nil {
		return nil, invalid("Cannot terminate environment named %s. It is currently pending deployment.", e.Name)
	}
	if in.TerminateResources != nil && !*in.TerminateResources {
		return nil, invalid("TerminateResources false is not supported: nothing could operate the resources of environment %s.", e.Name)
	}
	p.startTermination(call, e)
	out := eb.TerminateEnvironmentOutput(describedAs(p.describe(e)))
	return &out, nil
}

// startTermination begins to take an environment down, whatever else goes on there.
func (p *Platform) startTermination(call Call, e *Environment) {
	p.remember(e)
	e.Status, e.Updated = types.EnvironmentStatusTerminating, p.now()
	e.Update = &Update{RequestID: call.RequestID, Plan: planTerminate, Version: e.Version, Began: e.Updated, Final: true}
	p.write(e, call.RequestID, msgTerminateStarting)
	p.save(e)
	p.wake(e)
}

// describedAs makes a description the output of the operations that answer with one.
func describedAs(d types.EnvironmentDescription) environmentOutput {
	return environmentOutput{
		AbortableOperationInProgress: d.AbortableOperationInProgress, ApplicationName: d.ApplicationName, CNAME: d.CNAME,
		DateCreated: d.DateCreated, DateUpdated: d.DateUpdated, Description: d.Description, EndpointURL: d.EndpointURL,
		EnvironmentArn: d.EnvironmentArn, EnvironmentId: d.EnvironmentId, EnvironmentLinks: d.EnvironmentLinks,
		EnvironmentName: d.EnvironmentName, Health: d.Health, HealthStatus: d.HealthStatus, OperationsRole: d.OperationsRole,
		PlatformArn: d.PlatformArn, Resources: d.Resources, SolutionStackName: d.SolutionStackName, Status: d.Status,
		TemplateName: d.TemplateName, Tier: d.Tier, VersionLabel: d.VersionLabel,
	}
}

// environmentOutput has the fields of CreateEnvironmentOutput, UpdateEnvironmentOutput and
// TerminateEnvironmentOutput, which are the same.
type environmentOutput = eb.UpdateEnvironmentOutput
