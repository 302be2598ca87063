package stacks

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"gravity/internal/delivery"
)

// maxDifferences bounds how much of a drift is told; a stack of which everything differs is told of once.
const maxDifferences = 50

// Drift has CloudFormation look for what was changed by hand. A stack that cannot be looked at now is told as
// such and is no error.
func (c *Client) Drift(ctx context.Context, name string) (delivery.StackDrift, error) {
	drift := delivery.StackDrift{Stack: name, Status: string(types.StackDriftStatusNotChecked)}
	stack, err := c.find(ctx, name)
	switch {
	case err != nil:
		return drift, err
	case stack == nil:
		drift.Problem = "there is no such stack; starter provision makes it"
		return drift, nil
	case !whole(stack.StackStatus):
		drift.Problem = "it is in " + string(stack.StackStatus)
		return drift, nil
	}
	begun, err := c.API.DetectStackDrift(ctx, &cloudformation.DetectStackDriftInput{StackName: stack.StackId})
	if err != nil {
		return drift, classify(err, "looking for drift of stack "+name)
	}
	for {
		found, err := c.API.DescribeStackDriftDetectionStatus(ctx, &cloudformation.DescribeStackDriftDetectionStatusInput{StackDriftDetectionId: begun.StackDriftDetectionId})
		if err != nil {
			return drift, classify(err, "looking for drift of stack "+name)
		}
		if found.DetectionStatus == types.StackDriftDetectionStatusDetectionInProgress {
			if err := c.pause(ctx); err != nil {
				return drift, err
			}
			continue
		}
		drift.Status, drift.At, drift.Problem = string(found.StackDriftStatus), aws.ToTime(found.Timestamp), aws.ToString(found.DetectionStatusReason)
		drift.Differences, err = c.differences(ctx, stack.StackId)
		return drift, err
	}
}

func (c *Client) differences(ctx context.Context, stackID *string) ([]string, error) {
	var told []string
	in := &cloudformation.DescribeStackResourceDriftsInput{StackName: stackID, StackResourceDriftStatusFilters: []types.StackResourceDriftStatus{
		types.StackResourceDriftStatusModified, types.StackResourceDriftStatusDeleted}}
	for {
		page, err := c.API.DescribeStackResourceDrifts(ctx, in)
		if err != nil {
			return told, classify(err, "reading the drift of stack "+aws.ToString(stackID))
		}
		for _, drift := range page.StackResourceDrifts {
			told = append(told, sentences(drift)...)
		}
		if in.NextToken = page.NextToken; in.NextToken == nil || len(told) >= maxDifferences {
			return told[:min(len(told), maxDifferences)], nil
		}
	}
}

func sentences(drift types.StackResourceDrift) []string {
	name := fmt.Sprintf("%s %s", aws.ToString(drift.LogicalResourceId), aws.ToString(drift.PhysicalResourceId))
	if drift.StackResourceDriftStatus == types.StackResourceDriftStatusDeleted {
		return []string{name + " was deleted"}
	}
	var told []string
	for _, difference := range drift.PropertyDifferences {
		told = append(told, delivery.Clip(fmt.Sprintf("%s%s is %q instead of %q", name, aws.ToString(difference.PropertyPath),
			aws.ToString(difference.ActualValue), aws.ToString(difference.ExpectedValue)), maxReason))
	}
	return told
}
