package platform

import (
	"net/http"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// maxTags is how many tags a resource takes.
const maxTags = 50

// tagged finds the tags of a resource by its name, and how to save them.
func (p *Platform) tagged(arn string) (tags *map[string]string, save func() error, err error) {
	unknown := &Fault{Code: "ResourceNotFoundException", Message: "Resource not found: " + arn, Status: http.StatusBadRequest}
	resource, ours := strings.CutPrefix(arn, p.arn(""))
	kind, name, named := strings.Cut(resource, "/")
	if !ours || !named {
		return nil, nil, unknown
	}
	application, rest, _ := strings.Cut(name, "/")
	a := p.applications[application]
	if a == nil {
		return nil, nil, unknown
	}
	saveApplication := func() error { return p.saveApplication(a) }
	switch kind {
	case "application":
		return &a.Tags, saveApplication, nil
	case "applicationversion":
		if v := a.version(rest); v != nil {
			return &v.Tags, saveApplication, nil
		}
	case "configurationtemplate":
		if t, err := a.template(rest); err == nil {
			return &t.Tags, saveApplication, nil
		}
	case "environment":
		e, err := p.environment(&rest, nil)
		if err != nil {
			return nil, nil, unknown
		}
		return &e.Tags, func() error {
			if e.Update != nil {
				return fault("OperationInProgressFailure", "Environment %s is being changed by another operation.", e.Name)
			}
			p.save(e)
			return nil
		}, nil
	default:
		return nil, nil, fault("ResourceTypeNotSupportedException", "Resource type %s does not support tagging.", kind)
	}
	return nil, nil, unknown
}

// ListTagsForResource lists a resource's tags by key.
func (p *Platform) ListTagsForResource(_ Call, in *eb.ListTagsForResourceInput) (*eb.ListTagsForResourceOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	tags, _, err := p.tagged(*in.ResourceArn)
	if err != nil {
		return nil, err
	}
	out := &eb.ListTagsForResourceOutput{ResourceArn: in.ResourceArn, ResourceTags: []types.Tag{}}
	for key, value := range *tags {
		out.ResourceTags = append(out.ResourceTags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	sort.Slice(out.ResourceTags, func(i, j int) bool { return *out.ResourceTags[i].Key < *out.ResourceTags[j].Key })
	return out, nil
}

// UpdateTagsForResource adds tags to a resource, and takes some away.
func (p *Platform) UpdateTagsForResource(_ Call, in *eb.UpdateTagsForResourceInput) (*eb.UpdateTagsForResourceOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	tags, save, err := p.tagged(*in.ResourceArn)
	if err != nil {
		return nil, err
	}
	changed := map[string]string{}
	for key, value := range *tags {
		changed[key] = value
	}
	for _, key := range in.TagsToRemove {
		delete(changed, key)
	}
	for key, value := range tagMap(in.TagsToAdd) {
		changed[key] = value
	}
	if len(changed) > maxTags {
		return nil, fault("TooManyTagsException", "The number of tags in the resource would exceed %d.", maxTags)
	}
	before := *tags
	*tags = changed
	if err := save(); err != nil {
		*tags = before
		return nil, err
	}
	return &eb.UpdateTagsForResourceOutput{}, nil
}
