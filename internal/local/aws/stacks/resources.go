package stacks

import (
	"context"
	"strings"
	"time"

	"gravity/internal/stacks/template"
)

// handler makes, changes and removes the resources of a type. Its calls may be made twice: the stand-in can end
// between a call and the note that it was made.
type handler interface {
	// make begins to make a resource; again tells that one found may be our own.
	make(ctx context.Context, r *resource, again bool) error
	// change begins to bring a resource to its new properties.
	change(ctx context.Context, r *resource, before map[string]any) error
	remove(ctx context.Context, r *resource) error
	// settled tells whether what was begun is done, and fills in attributes.
	settled(ctx context.Context, r *resource, action string, since time.Time) (bool, error)
	// actual is what there is in place of the properties, for drift; nil when the resource is gone, and all false
	// when nothing is known of it.
	actual(ctx context.Context, r *resource) (properties map[string]any, known bool, err error)
}

func (s *Stacks) handler(resourceType string) handler {
	switch resourceType {
	case "AWS::ElasticBeanstalk::Application":
		return applications{s.beanstalk}
	case "AWS::ElasticBeanstalk::Environment":
		return environments{s.beanstalk}
	case "AWS::S3::Bucket":
		return buckets{s.buckets}
	default:
		return records{}
	}
}

// durations are about what AWS was seen to take for a resource beside its waiting for others.
var durations = map[string]time.Duration{
	"AWS::CloudWatch::Alarm":                         2 * time.Second,
	"AWS::EC2::SecurityGroup":                        6 * time.Second,
	"AWS::ElasticBeanstalk::Application":             2 * time.Second,
	"AWS::ElasticBeanstalk::Environment":             0, // Beanstalk itself takes the time
	"AWS::IAM::InstanceProfile":                      125 * time.Second,
	"AWS::IAM::ManagedPolicy":                        18 * time.Second,
	"AWS::IAM::OIDCProvider":                         3 * time.Second,
	"AWS::IAM::Role":                                 18 * time.Second,
	"AWS::ImageBuilder::Image":                       30 * time.Minute,
	"AWS::ImageBuilder::Component":                   5 * time.Second,
	"AWS::ImageBuilder::ImagePipeline":               5 * time.Second,
	"AWS::ImageBuilder::ImageRecipe":                 5 * time.Second,
	"AWS::ImageBuilder::InfrastructureConfiguration": 5 * time.Second,
	"AWS::KMS::Key":                                  25 * time.Second,
	"AWS::S3::Bucket":                                22 * time.Second,
	"AWS::S3::BucketPolicy":                          2 * time.Second,
	"AWS::SNS::Topic":                                12 * time.Second,
	"AWS::SNS::TopicPolicy":                          2 * time.Second,
}

// duration of an action; deletions are quick.
func duration(resourceType, action string) time.Duration {
	took := durations[resourceType]
	if action == actionDelete {
		took = min(took, 2*time.Second)
	}
	return took
}

// records are resources with nothing behind them.
type records struct{}

func (records) make(context.Context, *resource, bool) error             { return nil }
func (records) change(context.Context, *resource, map[string]any) error { return nil }
func (records) remove(context.Context, *resource) error                 { return nil }

func (records) settled(context.Context, *resource, string, time.Time) (bool, error) { return true, nil }

func (records) actual(context.Context, *resource) (map[string]any, bool, error) {
	return nil, false, nil
}

// physical is the ID that a new resource gets: the name that its properties say, or one that is made up as
// CloudFormation makes them up.
func (s *Stacks) physical(of *stack, r *resource) string {
	switch r.Type {
	case "AWS::EC2::SecurityGroup":
		return "sg-" + s.identifier(17, hexadecimal)
	case "AWS::KMS::Key":
		return s.uuid()
	case "AWS::S3::BucketPolicy":
		return template.Text(r.Properties["Bucket"])
	case "AWS::SNS::TopicPolicy":
		return of.Name + "-" + r.Logical + "-" + s.identifier(12, capitals)
	}
	name := s.name(of, r)
	reference := s.published.Types[r.Type].Reference
	if len(reference) == 1 && strings.HasSuffix(reference[0], "Arn") {
		return s.resourceArn(r, name)
	}
	return name
}

// name is a resource's own name.
func (s *Stacks) name(of *stack, r *resource) string {
	for _, property := range []string{"AlarmName", "ApplicationName", "BucketName", "EnvironmentName", "InstanceProfileName", "ManagedPolicyName", "Name", "RoleName", "TopicName"} {
		belongs := strings.HasSuffix(r.Type, "::"+strings.TrimSuffix(property, "Name")) || property == "Name"
		if given := template.Text(r.Properties[property]); belongs && given != "" {
			return given
		}
	}
	name := of.Name + "-" + r.Logical + "-" + s.identifier(12, capitals)
	if r.Type == "AWS::S3::Bucket" {
		return strings.ToLower(name)
	}
	return name
}

// arnForms are the ARNs that AWS's specification gives no form of.
var arnForms = map[string]string{
	"AWS::ImageBuilder::Component":                   "arn:${Partition}:imagebuilder:${Region}:${Account}:component/${Name}/1.0.0/1",
	"AWS::ImageBuilder::Image":                       "arn:${Partition}:imagebuilder:${Region}:${Account}:image/${Name}/1.0.0/1",
	"AWS::ImageBuilder::ImagePipeline":               "arn:${Partition}:imagebuilder:${Region}:${Account}:image-pipeline/${Name}",
	"AWS::ImageBuilder::ImageRecipe":                 "arn:${Partition}:imagebuilder:${Region}:${Account}:image-recipe/${Name}/1.0.0",
	"AWS::ImageBuilder::InfrastructureConfiguration": "arn:${Partition}:imagebuilder:${Region}:${Account}:infrastructure-configuration/${Name}",
}

// resourceArn fills a resource's name into the form of its type's ARNs.
func (s *Stacks) resourceArn(r *resource, name string) string {
	form := s.published.Types[r.Type].Arn
	if form == "" {
		form = arnForms[r.Type]
	}
	withPath := strings.TrimPrefix(template.Text(r.Properties["Path"]), "/") + name
	filled := strings.NewReplacer("${Partition}", "aws", "${Region}", s.ground.Region, "${Account}", s.ground.Account).Replace(form)
	before, rest, _ := strings.Cut(filled, "${")
	variable, after, _ := strings.Cut(rest, "}")
	if strings.HasSuffix(variable, "WithPath") {
		name = withPath
	}
	return before + name + after
}

// describeAttributes fills in what GetAtt answers with for a resource that is there.
func (s *Stacks) describeAttributes(r *resource) {
	if r.Attributes == nil {
		r.Attributes = map[string]string{}
	}
	set := func(name, value string) {
		if _, there := r.Attributes[name]; !there {
			r.Attributes[name] = value
		}
	}
	for name := range s.published.Types[r.Type].Attributes {
		switch {
		case name == "Arn" || strings.HasSuffix(name, "Arn") && !strings.Contains(name, "."):
			if strings.HasPrefix(r.Physical, "arn:") {
				set(name, r.Physical)
			} else {
				set(name, s.resourceArn(r, r.Physical))
			}
		case name == "GroupId" || name == "Id" || name == "KeyId":
			set(name, r.Physical)
		case name == "VpcId":
			set(name, template.Text(r.Properties["VpcId"]))
		case name == "RoleId":
			set(name, "AROA"+s.identifier(17, capitals))
		case name == "ImageId":
			set(name, "ami-"+s.identifier(17, hexadecimal))
		case name == "TopicName":
			set(name, r.Physical[strings.LastIndex(r.Physical, ":")+1:])
		case name == "DomainName":
			set(name, r.Physical+".s3.amazonaws.com")
		case name == "RegionalDomainName":
			set(name, r.Physical+".s3."+s.ground.Region+".amazonaws.com")
		}
	}
}
