package stacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
)

// Delete empties a stack's buckets and deletes it; the result says what its template kept, and what the outputs were. A stack that is gone
// is no error. Buckets that the template keeps are not emptied.
func (c *Client) Delete(ctx context.Context, nameOrID, role string, progress func(delivery.StackEvent)) (delivery.StackResult, error) {
	result := delivery.StackResult{Stack: nameOrID, Status: string(types.StackStatusDeleteComplete)}
	stack, err := c.idle(ctx, nameOrID)
	if err != nil || stack == nil || stack.StackStatus == types.StackStatusDeleteComplete {
		return result, err
	}
	result.Stack, result.Outputs = aws.ToString(stack.StackName), outputs(*stack)
	if stack.StackStatus != types.StackStatusDeleteInProgress {
		if err := c.empty(ctx, aws.ToString(stack.StackId)); err != nil {
			return result, err
		}
		if err := c.delete(ctx, *stack, role); err != nil {
			return result, err
		}
	}
	ended, events, err := c.follow(ctx, aws.ToString(stack.StackId), progress)
	if err != nil {
		return result, err
	}
	for _, event := range events {
		if event.ResourceStatus == types.ResourceStatusDeleteSkipped {
			result.Kept = append(result.Kept, fmt.Sprintf("%s (%s) %s", aws.ToString(event.LogicalResourceId), aws.ToString(event.ResourceType), aws.ToString(event.PhysicalResourceId)))
		}
	}
	result.Status, result.Took = string(ended.StackStatus), delivery.Duration(took(events))
	if ended.StackStatus != types.StackStatusDeleteComplete {
		resource, reason := cause(events)
		return result, delivery.Errorf(delivery.StackFailed, "stack %s: %s could not be deleted: %s; %s, and run starter destroy %s again",
			result.Stack, resource, reason, nextDeletion(reason), result.Stack)
	}
	return result, nil
}

func (c *Client) delete(ctx context.Context, stack types.Stack, role string) error {
	in := &cloudformation.DeleteStackInput{StackName: stack.StackId}
	if role != "" {
		in.RoleARN = aws.String(role)
	}
	_, err := c.API.DeleteStack(ctx, in)
	return classify(err, "deleting stack "+aws.ToString(stack.StackName))
}

// idle waits until nothing but a deletion goes on in a stack.
func (c *Client) idle(ctx context.Context, nameOrID string) (*types.Stack, error) {
	for {
		stack, err := c.find(ctx, nameOrID)
		if err != nil || stack == nil || !busy(stack.StackStatus) || stack.StackStatus == types.StackStatusDeleteInProgress {
			return stack, err
		}
		if err := c.pause(ctx); err != nil {
			return nil, err
		}
	}
}

func nextDeletion(reason string) string {
	if step := nextStep(reason); step == "empty it, and try again" {
		return "somebody filled it meanwhile: stop that"
	}
	return "remove that reason"
}

// empty removes every object, in every version, of the buckets that go with a stack.
func (c *Client) empty(ctx context.Context, stackID string) error {
	resources, err := c.API.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: aws.String(stackID)})
	if err != nil {
		return classify(err, "looking at the resources of stack "+stackID)
	}
	var policies map[string]policy
	for _, resource := range resources.StackResources {
		bucket := aws.ToString(resource.PhysicalResourceId)
		if aws.ToString(resource.ResourceType) != "AWS::S3::Bucket" || bucket == "" || resource.ResourceStatus == types.ResourceStatusDeleteComplete {
			continue
		}
		if policies == nil {
			body, err := c.API.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: aws.String(stackID)})
			if err != nil {
				return classify(err, "reading the template of stack "+stackID)
			}
			policies = policiesOf(aws.ToString(body.TemplateBody))
		}
		if policies[aws.ToString(resource.LogicalResourceId)].keeps {
			continue
		}
		if err := c.emptyBucket(ctx, bucket); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) emptyBucket(ctx context.Context, bucket string) error {
	in := &s3.ListObjectVersionsInput{Bucket: aws.String(bucket)}
	for {
		page, err := c.Objects.ListObjectVersions(ctx, in)
		if noBucket(err) {
			return nil
		}
		if err != nil {
			return classify(err, "emptying bucket "+bucket)
		}
		var found []s3types.ObjectIdentifier
		for _, version := range page.Versions {
			found = append(found, s3types.ObjectIdentifier{Key: version.Key, VersionId: version.VersionId})
		}
		for _, marker := range page.DeleteMarkers {
			found = append(found, s3types.ObjectIdentifier{Key: marker.Key, VersionId: marker.VersionId})
		}
		if err := c.deleteObjects(ctx, bucket, found); err != nil {
			return err
		}
		if !aws.ToBool(page.IsTruncated) {
			return nil
		}
		in.KeyMarker, in.VersionIdMarker = page.NextKeyMarker, page.NextVersionIdMarker
	}
}

// deleteObjects deletes a page of versions, of which S3 takes a thousand in one call.
func (c *Client) deleteObjects(ctx context.Context, bucket string, found []s3types.ObjectIdentifier) error {
	if len(found) == 0 {
		return nil
	}
	deleted, err := c.Objects.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &s3types.Delete{Objects: found, Quiet: aws.Bool(true)}})
	if err != nil {
		return classify(err, "emptying bucket "+bucket)
	}
	if len(deleted.Errors) > 0 {
		first := deleted.Errors[0]
		return delivery.Errorf(delivery.StackFailed, "emptying bucket %s: %d objects cannot be deleted, the first is %s: %s; remove what holds them, and run it again",
			bucket, len(deleted.Errors), aws.ToString(first.Key), delivery.Clip(aws.ToString(first.Message), maxReason))
	}
	return nil
}

// noBucket tells whether a bucket is there no more.
func noBucket(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket"
}
