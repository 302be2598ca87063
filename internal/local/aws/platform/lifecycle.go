package platform

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// Lifecycle says which of an application's versions are removed when a new one is made.
type Lifecycle struct {
	ServiceRole string
	Count       Rule // by number
	Age         Rule // by days
}

// Rule is one of a lifecycle's two rules.
type Rule struct {
	Enabled      bool
	Limit        int
	DeleteSource bool
}

// maxRemoved is how many versions one pass of a lifecycle removes at most.
const maxRemoved = 100

// UpdateApplicationResourceLifecycle changes an application's lifecycle.
func (p *Platform) UpdateApplicationResourceLifecycle(_ Call, in *eb.UpdateApplicationResourceLifecycleInput) (*eb.UpdateApplicationResourceLifecycleOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	if err := a.Lifecycle.change(in.ResourceLifecycleConfig); err != nil {
		return nil, err
	}
	if err := p.saveApplication(a); err != nil {
		return nil, err
	}
	return &eb.UpdateApplicationResourceLifecycleOutput{ApplicationName: aws.String(a.Name), ResourceLifecycleConfig: a.Lifecycle.described()}, nil
}

func (l *Lifecycle) change(to *types.ApplicationResourceLifecycleConfig) error {
	changed := *l
	if to.ServiceRole != nil {
		changed.ServiceRole = *to.ServiceRole
	}
	if rules := to.VersionLifecycleConfig; rules != nil {
		if rule := rules.MaxCountRule; rule != nil {
			changed.Count = Rule{aws.ToBool(rule.Enabled), int(aws.ToInt32(rule.MaxCount)), aws.ToBool(rule.DeleteSourceFromS3)}
		}
		if rule := rules.MaxAgeRule; rule != nil {
			changed.Age = Rule{aws.ToBool(rule.Enabled), int(aws.ToInt32(rule.MaxAgeInDays)), aws.ToBool(rule.DeleteSourceFromS3)}
		}
	}
	switch enabled := changed.Count.Enabled || changed.Age.Enabled; {
	case changed.Count.Enabled && changed.Age.Enabled:
		return invalid("Only one of MaxCountRule and MaxAgeRule can be enabled.")
	case enabled && changed.ServiceRole == "":
		return invalid("ServiceRole is required when a version lifecycle rule is enabled.")
	case changed.Count.Enabled && changed.Count.Limit < 1 || changed.Age.Enabled && changed.Age.Limit < 1:
		return invalid("The limit of a version lifecycle rule has to be at least 1.")
	}
	*l = changed
	return nil
}

func (l Lifecycle) described() *types.ApplicationResourceLifecycleConfig {
	return &types.ApplicationResourceLifecycleConfig{
		ServiceRole: optional(l.ServiceRole),
		VersionLifecycleConfig: &types.ApplicationVersionLifecycleConfig{
			MaxCountRule: &types.MaxCountRule{Enabled: aws.Bool(l.Count.Enabled), MaxCount: aws.Int32(int32(l.Count.Limit)), DeleteSourceFromS3: aws.Bool(l.Count.DeleteSource)},
			MaxAgeRule:   &types.MaxAgeRule{Enabled: aws.Bool(l.Age.Enabled), MaxAgeInDays: aws.Int32(int32(l.Age.Limit)), DeleteSourceFromS3: aws.Bool(l.Age.DeleteSource)},
		},
	}
}

// applyLifecycle removes versions, oldest first, before a new one is added. Versions that an
// environment runs stay, whatever the rules say.
func (p *Platform) applyLifecycle(a *Application) {
	rule := a.Lifecycle.Count
	if a.Lifecycle.Age.Enabled {
		rule = a.Lifecycle.Age
	}
	if !rule.Enabled {
		return
	}
	tooMany := len(a.Versions) - rule.Limit
	tooOld := p.now().Add(-time.Duration(rule.Limit) * 24 * time.Hour)
	var kept []*Version
	removed := 0
	for _, v := range a.Versions {
		outlived := removed < tooMany
		if a.Lifecycle.Age.Enabled {
			outlived = v.Created.Before(tooOld)
		}
		if !outlived || removed == maxRemoved || p.runs(a.Name, v.Label) != nil {
			kept = append(kept, v)
			continue
		}
		removed++
		if rule.DeleteSource {
			// A bundle that is gone already is as good as deleted.
			_ = p.options.Objects.Delete(v.Bucket, v.Key)
		}
	}
	a.Versions = kept
}

// UpdateApplication changes an application's description.
func (p *Platform) UpdateApplication(_ Call, in *eb.UpdateApplicationInput) (*eb.UpdateApplicationOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	if in.Description != nil {
		a.Description = *in.Description
	}
	a.Updated = p.now()
	if err := p.saveApplication(a); err != nil {
		return nil, err
	}
	return &eb.UpdateApplicationOutput{Application: p.describeApplication(a)}, nil
}

// UpdateApplicationVersion changes a version's description; nothing else of a version can change.
func (p *Platform) UpdateApplicationVersion(_ Call, in *eb.UpdateApplicationVersionInput) (*eb.UpdateApplicationVersionOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	v := a.version(*in.VersionLabel)
	if v == nil {
		return nil, invalid("No Application Version named '%s' found.", *in.VersionLabel)
	}
	if in.Description != nil {
		v.Description = *in.Description
	}
	v.Updated = p.now()
	if err := p.saveApplication(a); err != nil {
		return nil, err
	}
	return &eb.UpdateApplicationVersionOutput{ApplicationVersion: p.describeVersion(a, v)}, nil
}

// DeleteApplication removes an application with its versions and saved configurations. Running
// environments keep it from that, unless they are to be terminated first.
func (p *Platform) DeleteApplication(call Call, in *eb.DeleteApplicationInput) (*eb.DeleteApplicationOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	for _, e := range p.environments {
		if e.Application != a.Name || e.Status == types.EnvironmentStatusTerminated {
			continue
		}
		if !aws.ToBool(in.TerminateEnvByForce) {
			return nil, fault("OperationInProgressFailure",
				"Unable to delete application %s because it has a version that is deployed to a running environment.", a.Name)
		}
		p.startTermination(call, e)
	}
	delete(p.applications, a.Name)
	if err := removeFile(p.applicationFile(a.Name)); err != nil {
		return nil, internal(err)
	}
	return &eb.DeleteApplicationOutput{}, nil
}
