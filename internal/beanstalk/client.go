// Package beanstalk reads and changes Elastic Beanstalk environments and application versions over
// the AWS SDK, and watches environments until something can be said of them.
//
// It trusts the platform in little: a status of Ready comes back after a failed update as well, a
// version label changes early in one call's answer and late in another's, and an answer that was
// lost may belong to a change that was made. What is known about that, and from where, is said
// where it matters.
package beanstalk

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
)

// API is what this package calls; *elasticbeanstalk.Client satisfies it.
type API interface {
	AbortEnvironmentUpdate(context.Context, *elasticbeanstalk.AbortEnvironmentUpdateInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.AbortEnvironmentUpdateOutput, error)
	CreateApplicationVersion(context.Context, *elasticbeanstalk.CreateApplicationVersionInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateApplicationVersionOutput, error)
	CreateStorageLocation(context.Context, *elasticbeanstalk.CreateStorageLocationInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.CreateStorageLocationOutput, error)
	DeleteApplicationVersion(context.Context, *elasticbeanstalk.DeleteApplicationVersionInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DeleteApplicationVersionOutput, error)
	DescribeApplicationVersions(context.Context, *elasticbeanstalk.DescribeApplicationVersionsInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeApplicationVersionsOutput, error)
	DescribeConfigurationSettings(context.Context, *elasticbeanstalk.DescribeConfigurationSettingsInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeConfigurationSettingsOutput, error)
	DescribeEnvironmentHealth(context.Context, *elasticbeanstalk.DescribeEnvironmentHealthInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error)
	DescribeEnvironments(context.Context, *elasticbeanstalk.DescribeEnvironmentsInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEnvironmentsOutput, error)
	DescribeEvents(context.Context, *elasticbeanstalk.DescribeEventsInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeEventsOutput, error)
	DescribeInstancesHealth(context.Context, *elasticbeanstalk.DescribeInstancesHealthInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.DescribeInstancesHealthOutput, error)
	RequestEnvironmentInfo(context.Context, *elasticbeanstalk.RequestEnvironmentInfoInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.RequestEnvironmentInfoOutput, error)
	RetrieveEnvironmentInfo(context.Context, *elasticbeanstalk.RetrieveEnvironmentInfoInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.RetrieveEnvironmentInfoOutput, error)
	UpdateEnvironment(context.Context, *elasticbeanstalk.UpdateEnvironmentInput, ...func(*elasticbeanstalk.Options)) (*elasticbeanstalk.UpdateEnvironmentOutput, error)
	pairAPI
}

// Pace says how often the platform is asked, and how far its answers may lag behind.
type Pace struct {
	// Fast and Slow bound the time between two looks at the environments that are waited for: fast
	// while something changes, slower and slower while nothing does.
	Fast, Slow time.Duration
	// Idle is the most between two looks at an update that cannot have ended yet. Default: Slow.
	Idle time.Duration
	// Events is the least time between two reads of one environment's events while it updates.
	Events time.Duration
	// Lag is how long an accepted change may stay unseen in the answers of DescribeEnvironments.
	Lag time.Duration
	// Drain is how long after a swap name servers may still lead to the environment that had the address before.
	Drain time.Duration
}

// apart is the least time between two looks for so many waits: each may want one at the fast pace, and all of them
// together get them half as often as health reports come, which is about as often as one wait looks on average.
func (p Pace) apart(waits int) time.Duration {
	return max(p.Fast, min(time.Duration(waits)*p.Fast, p.Slow*3/2))
}

// DefaultPace suits AWS: its health reports come every 10 s, and its rate limits, which it
// does not publish, are shared with the console and every other tool of the account. Its addresses are
// to be remembered for a minute, which not every name server keeps to.
var DefaultPace = Pace{
	Fast: time.Second, Slow: 10 * time.Second, Idle: time.Minute, Events: 2 * time.Minute, Lag: 5 * time.Second, Drain: 3 * time.Minute,
}

// Client is one account and region.
type Client struct {
	api     API
	pace    Pace
	watcher *Watcher
	// http fetches the logs that the platform puts into S3, on whatever way leads to AWS from here.
	http aws.HTTPClient
}

// New makes a client from the SDK's configuration; credentials, region and endpoint come from its default chain.
func New(config aws.Config, pace Pace) *Client {
	client := NewFromAPI(elasticbeanstalk.NewFromConfig(config), pace)
	if config.HTTPClient != nil {
		client.http = config.HTTPClient
	}
	return client
}

// NewFromAPI makes a client over any implementation of the API.
func NewFromAPI(api API, pace Pace) *Client {
	client := &Client{api: api, pace: pace, http: http.DefaultClient}
	client.watcher = newWatcher(client.describe, pace)
	return client
}

// once keeps the SDK from repeating a change by itself: an answer that was lost may belong to a
// change that was made, so whoever tries again has to look first.
func once(options *elasticbeanstalk.Options) { options.Retryer = aws.NopRetryer{} }
