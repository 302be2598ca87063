package platform

import (
	"os"
	"sort"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// Application is an application with its versions.
type Application struct {
	Name        string
	Description string
	Created     time.Time
	Updated     time.Time
	Versions    []*Version // oldest first
	Tags        map[string]string
	Templates   []*Template
	Lifecycle   Lifecycle
}

// Version is an application version. Its bundle's place never changes.
type Version struct {
	Label       string
	Description string
	Bucket      string
	Key         string
	Created     time.Time
	Updated     time.Time
	Status      string // upper case, as the service sends it
	Tags        map[string]string
}

// maxBundle is the size in bytes up to which Beanstalk takes a source bundle.
const maxBundle = 524288000

// The states of a version.
const (
	unprocessed      = "UNPROCESSED"
	processed        = "PROCESSED"
	processing       = "PROCESSING"
	processingFailed = "FAILED"
)

func (a *Application) version(label string) *Version {
	for _, v := range a.Versions {
		if v.Label == label {
			return v
		}
	}
	return nil
}

func (p *Platform) application(name string) (*Application, error) {
	if a := p.applications[name]; a != nil {
		return a, nil
	}
	return nil, invalid("No Application named '%s' found.", name)
}

// openBundle opens a version's source bundle, on behalf of an instance.
func (p *Platform) openBundle(application, label string) (*os.File, error) {
	p.mu.Lock()
	a := p.applications[application]
	var v *Version
	if a != nil {
		v = a.version(label)
	}
	p.mu.Unlock()
	if v == nil {
		return nil, invalid("No Application Version named '%s' found.", label)
	}
	return p.options.Objects.Open(v.Bucket, v.Key)
}

// CreateApplication makes an application.
func (p *Platform) CreateApplication(_ Call, in *eb.CreateApplicationInput) (*eb.CreateApplicationOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := *in.ApplicationName
	if p.applications[name] != nil {
		return nil, invalid("Application %s already exists.", name)
	}
	var lifecycle Lifecycle
	if in.ResourceLifecycleConfig != nil {
		if err := lifecycle.change(in.ResourceLifecycleConfig); err != nil {
			return nil, err
		}
	}
	a, err := p.createApplication(Application{Name: name, Description: aws.ToString(in.Description), Tags: tagMap(in.Tags), Lifecycle: lifecycle})
	if err != nil {
		return nil, err
	}
	return &eb.CreateApplicationOutput{Application: p.describeApplication(a)}, nil
}

func (p *Platform) createApplication(a Application) (*Application, error) {
	if len(p.applications) >= maxApplications {
		return nil, fault("TooManyApplicationsException", "You have reached the limit of %d applications.", maxApplications)
	}
	a.Created = p.now()
	a.Updated = a.Created
	if err := p.saveApplication(&a); err != nil {
		return nil, err
	}
	p.applications[a.Name] = &a
	return &a, nil
}

// now is the time as it goes over the wire: to the millisecond.
func (p *Platform) now() time.Time { return p.options.Clock.Now().Truncate(time.Millisecond) }

// DescribeApplications lists applications by name.
func (p *Platform) DescribeApplications(_ Call, in *eb.DescribeApplicationsInput) (*eb.DescribeApplicationsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &eb.DescribeApplicationsOutput{Applications: []types.ApplicationDescription{}}
	for name, a := range p.applications {
		if in.ApplicationNames == nil || contains(in.ApplicationNames, name) {
			out.Applications = append(out.Applications, *p.describeApplication(a))
		}
	}
	sort.Slice(out.Applications, func(i, j int) bool {
		return *out.Applications[i].ApplicationName < *out.Applications[j].ApplicationName
	})
	return out, nil
}

func (p *Platform) describeApplication(a *Application) *types.ApplicationDescription {
	labels := []string{}
	for n := len(a.Versions) - 1; n >= 0; n-- {
		labels = append(labels, a.Versions[n].Label)
	}
	templates := []string{}
	for _, t := range a.Templates {
		templates = append(templates, t.Name)
	}
	return &types.ApplicationDescription{
		ApplicationArn: aws.String(p.arn("application/" + a.Name)), ApplicationName: aws.String(a.Name),
		Description: optional(a.Description), DateCreated: aws.Time(a.Created), DateUpdated: aws.Time(a.Updated),
		Versions: labels, ConfigurationTemplates: templates, ResourceLifecycleConfig: a.Lifecycle.described(),
	}
}
