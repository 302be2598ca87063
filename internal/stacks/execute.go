package stacks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"gravity/internal/delivery"
)

// Execute carries a proposal out and follows the stack's events to the end. Executing again what was executed
// follows it. A creation that fails is removed again, an update that fails is rolled back by CloudFormation;
// either way the error has type StackFailed and names resource, reason and next step.
func (c *Client) Execute(ctx context.Context, plan delivery.StackPlan, progress func(delivery.StackEvent)) (delivery.StackResult, error) {
	result := delivery.StackResult{Stack: plan.Stack}
	if plan.Empty() {
		stack, err := c.find(ctx, plan.Stack)
		if err != nil || stack == nil {
			return result, err
		}
		result.Status, result.Outputs = string(stack.StackStatus), outputs(*stack)
		return result, nil
	}
	_, err := c.API.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: aws.String(plan.ChangeSet)})
	if err != nil {
		executed, lookErr := c.executed(ctx, plan)
		switch {
		case lookErr != nil:
			return result, lookErr
		case !executed && (gone(err) || unfit(err)):
			return result, delivery.Errorf(delivery.StackFailed,
				"stack %s: somebody changed it after this change was proposed, so that it no longer fits; provision again to see what would change now", plan.Stack)
		case !executed:
			return result, classify(err, "changing stack "+plan.Stack)
		}
	}
	stack, events, err := c.follow(ctx, plan.StackID, progress)
	if err != nil {
		return result, err
	}
	result.Status, result.Outputs, result.Took = string(stack.StackStatus), outputs(stack), delivery.Duration(took(events))
	if stack.StackStatus == types.StackStatusCreateComplete || stack.StackStatus == types.StackStatusUpdateComplete {
		return result, nil
	}
	return result, c.explain(ctx, stack, events, plan.Role, progress)
}

// executed tells whether a stack was made from a proposal before.
func (c *Client) executed(ctx context.Context, plan delivery.StackPlan) (bool, error) {
	stack, err := c.find(ctx, plan.StackID)
	return err == nil && stack != nil && aws.ToString(stack.ChangeSetId) == plan.ChangeSet, err
}

// unfit tells whether a change set can be executed no more.
func unfit(err error) bool {
	var invalid *types.InvalidChangeSetStatusException
	return errors.As(err, &invalid)
}

// follow tells of a stack's events until its operation has ended, and gives those of this operation, oldest first.
func (c *Client) follow(ctx context.Context, stackID string, progress func(delivery.StackEvent)) (types.Stack, []types.StackEvent, error) {
	told := map[string]bool{}
	for {
		// The status first: what it says has its events by then.
		stack, err := c.find(ctx, stackID)
		if err != nil {
			return types.Stack{}, nil, err
		}
		if stack == nil {
			return types.Stack{}, nil, delivery.Errorf(delivery.StackFailed, "stack %s is gone: somebody deleted it meanwhile; provision again", stackID)
		}
		events, err := c.events(ctx, stackID)
		if err != nil {
			return types.Stack{}, nil, err
		}
		for _, event := range events {
			if id := aws.ToString(event.EventId); !told[id] {
				told[id] = true
				progress(eventOf(event))
			}
		}
		if !busy(stack.StackStatus) && stack.StackStatus != types.StackStatusReviewInProgress {
			return *stack, events, nil
		}
		if err := c.pause(ctx); err != nil {
			return types.Stack{}, nil, err
		}
	}
}

// events are those of the stack's last operation, oldest first.
func (c *Client) events(ctx context.Context, stackID string) ([]types.StackEvent, error) {
	var events []types.StackEvent
	in := &cloudformation.DescribeStackEventsInput{StackName: aws.String(stackID)}
	for {
		page, err := c.API.DescribeStackEvents(ctx, in)
		if err != nil {
			return nil, classify(err, "reading the events of stack "+stackID)
		}
		for _, event := range page.StackEvents { // newest first
			events = append(events, event)
			if begins(event) {
				slices.Reverse(events)
				return events, nil
			}
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			slices.Reverse(events)
			return events, nil
		}
	}
}

// begins tells whether an event is the first of an operation.
func begins(event types.StackEvent) bool {
	if aws.ToString(event.PhysicalResourceId) != aws.ToString(event.StackId) {
		return false
	}
	switch event.ResourceStatus {
	case types.ResourceStatusCreateInProgress, types.ResourceStatusUpdateInProgress, types.ResourceStatusDeleteInProgress:
		return true
	default:
		return false
	}
}

func eventOf(event types.StackEvent) delivery.StackEvent {
	return delivery.StackEvent{
		At: aws.ToTime(event.Timestamp), Resource: aws.ToString(event.LogicalResourceId), Type: aws.ToString(event.ResourceType),
		Status: string(event.ResourceStatus), Reason: delivery.Clip(aws.ToString(event.ResourceStatusReason), maxReason),
	}
}

func took(events []types.StackEvent) time.Duration {
	if len(events) == 0 {
		return 0
	}
	return aws.ToTime(events[len(events)-1].Timestamp).Sub(aws.ToTime(events[0].Timestamp))
}

// explain makes the message of an operation that failed, and removes what a failed creation left.
func (c *Client) explain(ctx context.Context, stack types.Stack, events []types.StackEvent, role string, progress func(delivery.StackEvent)) error {
	name := aws.ToString(stack.StackName)
	resource, reason := cause(events)
	next := nextStep(reason)
	state := "it is in " + string(stack.StackStatus)
	switch stack.StackStatus {
	case types.StackStatusRollbackComplete:
		state = "what was made is removed again"
		if _, err := c.Delete(ctx, aws.ToString(stack.StackId), role, progress); err != nil {
			state = "what was made could not be removed: " + err.Error()
		}
	case types.StackStatusUpdateRollbackComplete:
		state = "everything is as before"
	case types.StackStatusUpdateRollbackFailed:
		undone, why := lastFailure(events)
		return delivery.Errorf(delivery.StackFailed, "stack %s: %s failed: %s; and the way back failed at %s: %s; remove that reason, run aws cloudformation continue-update-rollback --stack-name %s, and then: %s",
			name, resource, reason, undone, why, name, next)
	case types.StackStatusRollbackFailed:
		undone, why := lastFailure(events)
		return delivery.Errorf(delivery.StackFailed, "stack %s: %s failed: %s; and %s could not be removed again: %s; remove that reason, run starter destroy %s, and then: %s",
			name, resource, reason, undone, why, name, next)
	default:
	}
	return delivery.Errorf(delivery.StackFailed, "stack %s: %s failed: %s; %s; %s", name, resource, reason, state, next)
}

// cause is the first failure of an operation; those that follow from it say so.
func cause(events []types.StackEvent) (resource, reason string) {
	for _, event := range events {
		reason := aws.ToString(event.ResourceStatusReason)
		if failed(event) && !strings.Contains(reason, "cancelled") {
			return fmt.Sprintf("%s (%s)", aws.ToString(event.LogicalResourceId), aws.ToString(event.ResourceType)), delivery.Clip(reason, maxReason)
		}
	}
	return "a resource", "CloudFormation gives no reason"
}

func lastFailure(events []types.StackEvent) (resource, reason string) {
	for _, event := range slices.Backward(events) {
		if failed(event) && aws.ToString(event.PhysicalResourceId) != aws.ToString(event.StackId) {
			return aws.ToString(event.LogicalResourceId), delivery.Clip(aws.ToString(event.ResourceStatusReason), maxReason)
		}
	}
	return "a resource", "CloudFormation gives no reason"
}

func failed(event types.StackEvent) bool {
	return strings.HasSuffix(string(event.ResourceStatus), "_FAILED")
}

// nextStep reads AWS's reason for advice; nothing is decided by it.
func nextStep(reason string) string {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(reason), word) })
	}
	switch {
	case has("already exists", "alreadyexists", "not available", "already owned"):
		return "the name is taken: choose another one, or remove what has it, and provision again"
	case has("limit", "quota", "too many", "toomany", "maximum"):
		return "remove what is no longer needed or ask for a higher quota in Service Quotas, and provision again"
	case has("not authorized", "accessdenied", "access denied", "insufficientprivileges", "is unable to assume"):
		return "give the role that provisions this permission, and provision again"
	case has("must be ready", "invalid state"):
		return "something else changes the environment now: wait until it is Ready, and provision again"
	case has("not empty"):
		return "empty it, and try again"
	case has("no solution stack"):
		return "take a platform that aws elasticbeanstalk list-available-solution-stacks lists, and provision again"
	default:
		return "mend the template or its parameters, and provision again"
	}
}
