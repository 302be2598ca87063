package beanstalk

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/delivery"
)

// twins is an account with environments that can be made, swapped and ended. Time passes with each look.
type twins struct {
	API // what is called beyond the methods below has no place in these tests

	mu           sync.Mutex
	environments []*twin
	settings     map[setting]string
	dns          map[string]string // prefix to address, for addresses that do not begin with it
	templates    map[string]string // name to environment ID
	created      []*elasticbeanstalk.CreateEnvironmentInput
	calls        map[string]int
	// lose are answers to lose after the change was made, refuse are answers instead of it; one a call.
	lose   map[string]int
	refuse map[string][]error
	// lag is how many looks do not show a change; takes is how many an operation lasts.
	lag, takes int
	ignoreSwap bool
	ending     func(context.Context) // is called when an end is asked for
}

// twin is one environment.
type twin struct {
	types.EnvironmentDescription
	tags map[string]string
	busy int    // looks until the operation is over
	then func() // and what happens then
	seen *types.EnvironmentDescription
	hide int
}

// pairOfShop has users on shop-production, and made says whether its green environment is there.
func pairOfShop(made bool) *twins {
	t := &twins{calls: map[string]int{}, lose: map[string]int{}, refuse: map[string][]error{}, templates: map[string]string{}, takes: 2}
	t.add("shop-production", "e-1", "v1", "shop-production.eu-west-1.elasticbeanstalk.com")
	if made {
		t.add("shop-production-green", "e-2", "v2", "shop-production-green-abc.eu-west-1.elasticbeanstalk.com").tags = tagsOf(shopMark.onto(nil))
	}
	return t
}

var shopMark = Mark{Environment: "shop-production", Deployment: "deployment/shop/shop-production/7", Request: "production/r-7"}

func tagsOf(list []types.Tag) map[string]string {
	tags := map[string]string{}
	for _, tag := range list {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags
}

func (t *twins) client() *Client { return NewFromAPI(t, quick) }

func (t *twins) add(name, id, version, address string) *twin {
	added := &twin{EnvironmentDescription: types.EnvironmentDescription{
		ApplicationName: aws.String("shop"), EnvironmentName: aws.String(name), EnvironmentId: aws.String(id), EnvironmentArn: aws.String("arn:" + id),
		Status: types.EnvironmentStatusReady, HealthStatus: types.EnvironmentHealthStatusOk, VersionLabel: aws.String(version),
		CNAME: aws.String(address), DateUpdated: aws.Time(monday), Tier: &types.EnvironmentTier{Name: aws.String("WebServer"), Type: aws.String("Standard")},
	}}
	t.environments = append(t.environments, added)
	return added
}

// named is the newest environment of a name.
func (t *twins) named(name string) *twin {
	var found *twin
	for _, e := range t.environments {
		if aws.ToString(e.EnvironmentName) == name {
			found = e
		}
	}
	return found
}

func (t *twins) byID(id *string) *twin {
	for _, e := range t.environments {
		if aws.ToString(e.EnvironmentId) == aws.ToString(id) {
			return e
		}
	}
	return nil
}

// see is an environment as it is described now.
func (t *twins) see(name string) delivery.Observation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return observed(t.named(name).EnvironmentDescription)
}

// count is how often an operation was called.
func (t *twins) count(operation string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[operation]
}

// begin starts an operation on an environment, which shows late and ends later.
func (t *twins) begin(e *twin, status types.EnvironmentStatus, then func()) {
	before := e.EnvironmentDescription
	e.seen, e.hide = &before, t.lag
	e.Status, e.DateUpdated = status, aws.Time(aws.ToTime(e.DateUpdated).Add(time.Minute))
	e.busy, e.then = t.takes, then
}

func (e *twin) pass() {
	if e.hide > 0 {
		e.hide--
	}
	if e.busy == 0 {
		return
	}
	if e.busy--; e.busy > 0 {
		return
	}
	e.Status = types.EnvironmentStatusReady
	e.then()
}

// answer counts a call, and says what goes wrong with it: refused before the change, or lost after it.
func (t *twins) answer(operation string, change func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[operation]++
	if errs := t.refuse[operation]; len(errs) > 0 {
		t.refuse[operation] = errs[1:]
		return errs[0]
	}
	if err := change(); err != nil {
		return err
	}
	if t.lose[operation] > 0 {
		t.lose[operation]--
		return errLost
	}
	return nil
}

func (t *twins) DescribeEnvironments(_ context.Context, in *elasticbeanstalk.DescribeEnvironmentsInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEnvironmentsOutput, error) {
	var out elasticbeanstalk.DescribeEnvironmentsOutput
	err := t.answer("DescribeEnvironments", func() error {
		for _, e := range t.environments {
			e.pass()
			described := e.EnvironmentDescription
			if e.seen != nil && e.hide > 0 {
				described = *e.seen
			}
			for _, name := range in.EnvironmentNames {
				if aws.ToString(e.EnvironmentName) == name && described.Status != types.EnvironmentStatusTerminated && described.EnvironmentId != nil {
					out.Environments = append(out.Environments, described)
				}
			}
		}
		return nil
	})
	return &out, err
}

func (t *twins) CheckDNSAvailability(_ context.Context, in *elasticbeanstalk.CheckDNSAvailabilityInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CheckDNSAvailabilityOutput, error) {
	var out elasticbeanstalk.CheckDNSAvailabilityOutput
	err := t.answer("CheckDNSAvailability", func() error {
		address, taken := t.dns[aws.ToString(in.CNAMEPrefix)]
		out.Available, out.FullyQualifiedCNAME = aws.Bool(!taken), aws.String(address)
		return nil
	})
	return &out, err
}

func (t *twins) DescribeConfigurationSettings(context.Context, *elasticbeanstalk.DescribeConfigurationSettingsInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeConfigurationSettingsOutput, error) {
	var listed []types.ConfigurationOptionSetting
	err := t.answer("DescribeConfigurationSettings", func() error {
		for o, value := range t.settings {
			listed = append(listed, types.ConfigurationOptionSetting{Namespace: aws.String(o.namespace), OptionName: aws.String(o.name), Value: aws.String(value)})
		}
		return nil
	})
	return &elasticbeanstalk.DescribeConfigurationSettingsOutput{ConfigurationSettings: []types.ConfigurationSettingsDescription{{OptionSettings: listed}}}, err
}

func (t *twins) DescribeEnvironmentHealth(_ context.Context, in *elasticbeanstalk.DescribeEnvironmentHealthInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error) {
	var out elasticbeanstalk.DescribeEnvironmentHealthOutput
	err := t.answer("DescribeEnvironmentHealth", func() error {
		out.HealthStatus = aws.String(string(t.byID(in.EnvironmentId).HealthStatus))
		return nil
	})
	return &out, err
}

func (t *twins) DescribeInstancesHealth(context.Context, *elasticbeanstalk.DescribeInstancesHealthInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
	return &elasticbeanstalk.DescribeInstancesHealthOutput{}, nil
}

func (t *twins) ListTagsForResource(_ context.Context, in *elasticbeanstalk.ListTagsForResourceInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.ListTagsForResourceOutput, error) {
	var out elasticbeanstalk.ListTagsForResourceOutput
	err := t.answer("ListTagsForResource", func() error {
		for _, e := range t.environments {
			if aws.ToString(e.EnvironmentArn) == aws.ToString(in.ResourceArn) {
				for key, value := range e.tags {
					out.ResourceTags = append(out.ResourceTags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
				}
			}
		}
		return nil
	})
	return &out, err
}

func (t *twins) CreateConfigurationTemplate(_ context.Context, in *elasticbeanstalk.CreateConfigurationTemplateInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateConfigurationTemplateOutput, error) {
	return &elasticbeanstalk.CreateConfigurationTemplateOutput{}, t.answer("CreateConfigurationTemplate", func() error {
		name := aws.ToString(in.TemplateName)
		if _, there := t.templates[name]; there {
			return refused("InvalidParameterValue", "Configuration Template "+name+" already exists.")
		}
		t.templates[name] = aws.ToString(in.EnvironmentId)
		return nil
	})
}

func (t *twins) DeleteConfigurationTemplate(_ context.Context, in *elasticbeanstalk.DeleteConfigurationTemplateInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DeleteConfigurationTemplateOutput, error) {
	return &elasticbeanstalk.DeleteConfigurationTemplateOutput{}, t.answer("DeleteConfigurationTemplate", func() error {
		name := aws.ToString(in.TemplateName)
		if _, there := t.templates[name]; !there {
			return refused("InvalidParameterValue", "No Configuration Template named 'shop/"+name+"' found.")
		}
		delete(t.templates, name)
		return nil
	})
}

func (t *twins) CreateEnvironment(_ context.Context, in *elasticbeanstalk.CreateEnvironmentInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateEnvironmentOutput, error) {
	var out elasticbeanstalk.CreateEnvironmentOutput
	err := t.answer("CreateEnvironment", func() error {
		name := aws.ToString(in.EnvironmentName)
		if there := t.named(name); there != nil && there.Status != types.EnvironmentStatusTerminated {
			return refused("InvalidParameterValue", "Environment "+name+" already exists.")
		}
		if _, there := t.templates[aws.ToString(in.TemplateName)]; !there {
			return refused("InvalidParameterValue", "No Configuration Template named 'shop/"+aws.ToString(in.TemplateName)+"' found.")
		}
		t.created = append(t.created, in)
		e := t.add(name, "e-9", aws.ToString(in.VersionLabel), aws.ToString(in.CNAMEPrefix)+".eu-west-1.elasticbeanstalk.com")
		e.tags = tagsOf(in.Tags)
		t.begin(e, types.EnvironmentStatusLaunching, func() {})
		*e.seen = types.EnvironmentDescription{} // what does not show yet is not there
		out.EnvironmentId, out.Status, out.CNAME, out.DateUpdated = e.EnvironmentId, e.Status, e.CNAME, e.DateUpdated
		return nil
	})
	return &out, err
}

func (t *twins) SwapEnvironmentCNAMEs(_ context.Context, in *elasticbeanstalk.SwapEnvironmentCNAMEsInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.SwapEnvironmentCNAMEsOutput, error) {
	return &elasticbeanstalk.SwapEnvironmentCNAMEsOutput{}, t.answer("SwapEnvironmentCNAMEs", func() error {
		a, b := t.byID(in.SourceEnvironmentId), t.byID(in.DestinationEnvironmentId)
		for _, e := range []*twin{a, b} {
			if e.Status != types.EnvironmentStatusReady {
				return errMustBeReady
			}
		}
		t.begin(a, types.EnvironmentStatusUpdating, func() {
			if !t.ignoreSwap {
				a.CNAME, b.CNAME = b.CNAME, a.CNAME
			}
		})
		t.begin(b, types.EnvironmentStatusUpdating, func() {})
		return nil
	})
}

func (t *twins) TerminateEnvironment(ctx context.Context, in *elasticbeanstalk.TerminateEnvironmentInput, _ ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.TerminateEnvironmentOutput, error) {
	if t.ending != nil {
		t.ending(ctx)
	}
	return &elasticbeanstalk.TerminateEnvironmentOutput{}, t.answer("TerminateEnvironment", func() error {
		e := t.byID(in.EnvironmentId)
		if e.Status != types.EnvironmentStatusReady {
			return refused("InvalidParameterValue", strings.ReplaceAll("Environment named X is in an invalid state for this operation. Must be Ready.", "X", aws.ToString(e.EnvironmentName)))
		}
		t.begin(e, types.EnvironmentStatusTerminating, func() { e.Status = types.EnvironmentStatusTerminated })
		return nil
	})
}

// setting names an option of an environment.
type setting struct{ namespace, name string }
