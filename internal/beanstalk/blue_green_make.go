package beanstalk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
)

// Mark tells an environment that a deployment made from everybody else's. It is kept in the environment's tags.
type Mark struct {
	// Environment is the stage's own.
	Environment string `json:"environment"`
	// Deployment is for people; it may be given twice, when an environment's queue had to begin anew.
	Deployment string `json:"deployment"`
	// Request is given once.
	Request string `json:"request"`
}

const (
	tagPrefix      = "gravity:"
	tagEnvironment = tagPrefix + "environment"
	tagDeployment  = tagPrefix + "deployment"
	tagRequest     = tagPrefix + "request"
)

// digest is short, and another one for each request.
func (m Mark) digest() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(m.Request)))[:10] }

// template is the name of the saved configuration from which the environment is made.
func (m Mark) template() string { return "gravity-" + m.Environment + "-" + m.digest() }

// Beside is an environment to be made beside the live one.
type Beside struct {
	Live    delivery.Observation
	Name    string
	Version string
	Mark    Mark
}

// MakeBeside brings an environment on its way, exactly once, that is as the live one but for its name, its address and its
// version. What an earlier attempt made is adopted, what an earlier deployment left behind is ended first, and
// what is somebody else's is left alone: then it fails with Drift.
//
// madeBefore and announce are as with StartUpdate.
func (c *Client) MakeBeside(ctx context.Context, b Beside, madeBefore bool, until time.Time, announce func(), report func(Progress)) (delivery.Observation, error) {
	for {
		there, tags, err := c.tagged(ctx, b.Live.Application, b.Name)
		if delivery.TypeOf(err) == delivery.EnvironmentNotFound {
			if !madeBefore {
				return c.create(ctx, b, announce)
			}
			madeBefore = false
			// The change may have been made and not be visible yet.
			if err := wait(ctx, c.pace.Lag, func() { report(Progress{Environment: b.Name}) }); err != nil {
				return delivery.Observation{}, err
			}
			continue
		}
		if err != nil {
			return delivery.Observation{}, err
		}
		o := observed(there)
		if !ending(o) {
			switch {
			case tags[tagRequest] == b.Mark.Request:
				return o, nil
			case tags[tagEnvironment] != b.Mark.Environment:
				return delivery.Observation{}, delivery.Errorf(delivery.Drift,
					"%s, beside the live %s, is in the way, and Gravity did not make it; terminate it if nobody needs it", b.Name, b.Live.Name)
			}
			if err := c.terminate(ctx, o, b.Live.Address, false, until, func() {}, report); err != nil {
				return delivery.Observation{}, fmt.Errorf("ending what an earlier deployment left: %w", err)
			}
		}
		if err := c.awaitGone(ctx, o, until, report); err != nil {
			return delivery.Observation{}, err
		}
	}
}

// create makes the environment. That it is there already, by an answer that was lost, is left to the next attempt.
func (c *Client) create(ctx context.Context, b Beside, announce func()) (delivery.Observation, error) {
	live, tags, err := c.tagged(ctx, b.Live.Application, b.Live.Name)
	if err != nil {
		return delivery.Observation{}, err
	}
	if err := c.saveConfiguration(ctx, b); err != nil {
		return delivery.Observation{}, err
	}
	announce()
	if ctx.Err() != nil {
		return delivery.Observation{}, ctx.Err()
	}
	creating, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	out, err := c.api.CreateEnvironment(creating, &elasticbeanstalk.CreateEnvironmentInput{
		ApplicationName: aws.String(b.Live.Application),
		EnvironmentName: aws.String(b.Name),
		// Left to Beanstalk, the prefix would be the name, which may be what users know the pair by.
		CNAMEPrefix:    aws.String(b.Name + "-" + b.Mark.digest()),
		TemplateName:   aws.String(b.Mark.template()),
		VersionLabel:   aws.String(b.Version),
		Description:    live.Description,
		Tier:           live.Tier,
		OperationsRole: live.OperationsRole,
		Tags:           b.Mark.onto(tags),
	}, once)
	if alreadyExists(err) {
		return delivery.Observation{}, delivery.Errorf(delivery.Unavailable, "environment %s exists, but is not to be found yet: %w", b.Name, err)
	}
	if err != nil {
		return delivery.Observation{}, classify(err, "making environment "+b.Name)
	}
	return delivery.Observation{
		Application: b.Live.Application, Name: b.Name, ID: aws.ToString(out.EnvironmentId), Status: string(out.Status),
		VersionLabel: b.Version, Address: aws.ToString(out.CNAME), UpdatedAt: aws.ToTime(out.DateUpdated).UTC(),
	}, nil
}

// createTimeout is below any heartbeat timeout: another attempt must not begin while this one still sends.
const createTimeout = 15 * time.Second

// saveConfiguration makes the template. Its name is the request's own, so one that exists is an earlier attempt's.
func (c *Client) saveConfiguration(ctx context.Context, b Beside) error {
	_, err := c.api.CreateConfigurationTemplate(ctx, &elasticbeanstalk.CreateConfigurationTemplateInput{
		ApplicationName: aws.String(b.Live.Application),
		TemplateName:    aws.String(b.Mark.template()),
		EnvironmentId:   aws.String(b.Live.ID),
		Description:     aws.String(delivery.Clip("of "+b.Live.Name+" for "+b.Mark.Deployment, maxDescription)),
		Tags:            b.Mark.onto(nil),
	}, once)
	if alreadyExists(err) {
		return nil
	}
	return classify(err, "saving the configuration of "+b.Live.Name)
}

// onto adds the mark to the tags of the environment that is copied. Beanstalk's own and an earlier mark stay behind.
func (m Mark) onto(tags map[string]string) []types.Tag {
	var list []types.Tag
	add := func(key, value string) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		switch prefix, _, _ := strings.Cut(key, ":"); {
		case prefix == "aws", prefix == "elasticbeanstalk", strings.HasPrefix(key, tagPrefix), key == "Name":
		default:
			add(key, tags[key])
		}
	}
	add(tagEnvironment, m.Environment)
	add(tagDeployment, delivery.Clip(m.Deployment, maxTag))
	add(tagRequest, m.Request)
	return list
}

// maxTag is AWS's limit for the value of a tag, in characters.
const maxTag = 256

// tagged is an environment with all that the platform says of it, and its tags.
func (c *Client) tagged(ctx context.Context, application, name string) (types.EnvironmentDescription, map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	described, err := c.described(ctx, application, name)
	if err != nil || ending(observed(described)) {
		return described, nil, err // one that ends needs no telling apart any more
	}
	tags, err := c.tags(ctx, described)
	return described, tags, err
}

func (c *Client) tags(ctx context.Context, environment types.EnvironmentDescription) (map[string]string, error) {
	out, err := c.api.ListTagsForResource(ctx, &elasticbeanstalk.ListTagsForResourceInput{ResourceArn: environment.EnvironmentArn})
	if err != nil {
		return nil, classify(err, "reading the tags of "+aws.ToString(environment.EnvironmentName))
	}
	tags := map[string]string{}
	for _, tag := range out.ResourceTags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags, nil
}

// alreadyExists: "Environment … already exists." and "Configuration Template … already exists.", under
// InvalidParameterValue as most refusals.
func alreadyExists(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && strings.HasSuffix(api.ErrorMessage(), " already exists.")
}
