// Package stacks makes, changes and deletes CloudFormation stacks: by change sets that are described in words
// first, with the stack's events followed to the end, and with the reason in the message where it fails.
//
// Each step can be taken again after it was interrupted anywhere. An execution is recognised by the change set that
// the stack says it was made from, a change set by its name.
package stacks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
	"gravity/internal/refusal"
)

// API is what this package calls of CloudFormation; *cloudformation.Client satisfies it.
type API interface {
	CreateChangeSet(context.Context, *cloudformation.CreateChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.CreateChangeSetOutput, error)
	DeleteChangeSet(context.Context, *cloudformation.DeleteChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.DeleteChangeSetOutput, error)
	DeleteStack(context.Context, *cloudformation.DeleteStackInput, ...func(*cloudformation.Options)) (*cloudformation.DeleteStackOutput, error)
	DescribeChangeSet(context.Context, *cloudformation.DescribeChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeChangeSetOutput, error)
	DescribeStackDriftDetectionStatus(context.Context, *cloudformation.DescribeStackDriftDetectionStatusInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStackDriftDetectionStatusOutput, error)
	DescribeStackEvents(context.Context, *cloudformation.DescribeStackEventsInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStackEventsOutput, error)
	DescribeStackResourceDrifts(context.Context, *cloudformation.DescribeStackResourceDriftsInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStackResourceDriftsOutput, error)
	DescribeStackResources(context.Context, *cloudformation.DescribeStackResourcesInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStackResourcesOutput, error)
	DescribeStacks(context.Context, *cloudformation.DescribeStacksInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error)
	DetectStackDrift(context.Context, *cloudformation.DetectStackDriftInput, ...func(*cloudformation.Options)) (*cloudformation.DetectStackDriftOutput, error)
	ExecuteChangeSet(context.Context, *cloudformation.ExecuteChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.ExecuteChangeSetOutput, error)
	GetTemplate(context.Context, *cloudformation.GetTemplateInput, ...func(*cloudformation.Options)) (*cloudformation.GetTemplateOutput, error)
}

// Objects is what this package calls of S3; *s3.Client satisfies it.
type Objects interface {
	DeleteObjects(context.Context, *s3.DeleteObjectsInput, ...func(*s3.Options)) (*s3.DeleteObjectsOutput, error)
	ListObjectVersions(context.Context, *s3.ListObjectVersionsInput, ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Client is one account and region.
type Client struct {
	API     API
	Objects Objects
	// Bucket answers with the bucket that templates go through.
	Bucket func(context.Context) (string, error)
	// Address is where a key of a bucket is found, for CloudFormation.
	Address func(bucket, key string) string
	// Pace is how often something that goes on is asked. Default 5 s.
	Pace time.Duration
}

// New makes a client from the SDK's configuration. Bucket answers with the bucket that templates go through.
func New(config aws.Config, pace time.Duration, bucket func(context.Context) (string, error)) *Client {
	endpoint := aws.ToString(config.BaseEndpoint)
	return &Client{
		API:     cloudformation.NewFromConfig(config),
		Objects: s3.NewFromConfig(config, func(options *s3.Options) { options.UsePathStyle = endpoint != "" }),
		Bucket:  bucket, Pace: pace,
		Address: func(bucket, key string) string {
			if endpoint != "" {
				return strings.TrimSuffix(endpoint, "/") + "/" + bucket + "/" + key
			}
			domain := "amazonaws.com"
			if strings.HasPrefix(config.Region, "cn-") {
				domain += ".cn"
			}
			return (&url.URL{Scheme: "https", Host: bucket + ".s3." + config.Region + "." + domain, Path: "/" + key}).String()
		},
	}
}

const defaultPace = 5 * time.Second

// pause waits until something is worth asking again.
func (c *Client) pause(ctx context.Context) error {
	pace := c.Pace
	if pace == 0 {
		pace = defaultPace
	}
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// upload puts a template where CloudFormation reads it. Its name is its content's hash, so that it is there once.
func (c *Client) upload(ctx context.Context, body string) (address string, err error) {
	bucket, err := c.Bucket(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(body))
	key := "gravity/templates/" + hex.EncodeToString(sum[:]) + ".yaml"
	_, err = c.Objects.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: strings.NewReader(body), ContentType: aws.String("application/yaml"),
	})
	if err != nil {
		return "", classify(err, "uploading the template to s3://"+bucket+"/"+key)
	}
	return c.Address(bucket, key), nil
}

// find is a stack by name or ID; nil when there is none, or no more.
func (c *Client) find(ctx context.Context, nameOrID string) (*types.Stack, error) {
	found, err := c.API.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(nameOrID)})
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, classify(err, "looking at stack "+nameOrID)
	}
	if len(found.Stacks) == 0 || found.Stacks[0].StackStatus == types.StackStatusDeleteComplete && nameOrID != aws.ToString(found.Stacks[0].StackId) {
		return nil, nil
	}
	return &found.Stacks[0], nil
}

// Outputs are what a stack tells; the second result says whether it is there and whole.
func (c *Client) Outputs(ctx context.Context, name string) (map[string]string, bool, error) {
	stack, err := c.find(ctx, name)
	if err != nil || stack == nil || !whole(stack.StackStatus) {
		return nil, false, err
	}
	return outputs(*stack), true, nil
}

func outputs(stack types.Stack) map[string]string {
	values := map[string]string{}
	for _, output := range stack.Outputs {
		values[aws.ToString(output.OutputKey)] = aws.ToString(output.OutputValue)
	}
	return values
}

// whole tells whether a stack has come about and can be changed.
func whole(status types.StackStatus) bool {
	switch status {
	case types.StackStatusCreateComplete, types.StackStatusUpdateComplete, types.StackStatusUpdateRollbackComplete, types.StackStatusImportComplete:
		return true
	default:
		return false
	}
}

// busy tells whether an operation is under way.
func busy(status types.StackStatus) bool {
	return strings.HasSuffix(string(status), "_IN_PROGRESS") && status != types.StackStatusReviewInProgress
}

// missing tells whether CloudFormation says that there is no such stack: it has no error code of its own for that.
func missing(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "does not exist")
}

// maxReason bounds what is kept of AWS's own words, in bytes.
const maxReason = 1000

// classify gives an error of the SDK the type that someone decides by.
func classify(err error, doing string) error { return refusal.Wrap(err, doing, own) }

// own knows that CloudFormation calls a quota that is used up as other services call throttling.
func own(code, _ string) delivery.ErrorType {
	if code == "LimitExceededException" {
		return delivery.InvalidInput
	}
	return ""
}
