package stacks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
	"gravity/internal/stacks/template"
)

// Proposal is how a change is proposed.
type Proposal struct {
	// Name is the change set's: proposing twice by the same name finds the first.
	Name string
	// Plan leaves everything in the account as it is, the change set aside.
	Plan bool
}

// maxBody is the size in bytes up to which CloudFormation takes a template without a bucket.
const maxBody = 51200

// Propose makes a change set that brings a stack to what it is to be, and describes it. A stack of which nothing
// differs has no changes, and no change set is left. What a creation that failed has left is removed first.
func (c *Client) Propose(ctx context.Context, wanted delivery.Stack, how Proposal, progress func(delivery.StackEvent)) (delivery.StackPlan, error) {
	plan := delivery.StackPlan{Stack: wanted.Name}
	wanted, unknown, err := c.refer(ctx, wanted)
	if err != nil || unknown != "" {
		plan.Unknown = unknown
		return plan, err
	}
	plan.Role = wanted.Role
	kind, err := c.ready(ctx, wanted, how, progress)
	if err != nil {
		return plan, err
	}
	if kind == "" {
		plan.Unknown = "what a creation that failed has left is removed first"
		return plan, nil
	}
	plan.Create = kind == types.ChangeSetTypeCreate
	if err := c.create(ctx, wanted, kind, how); err != nil {
		return plan, err
	}
	described, err := c.worked(ctx, wanted.Name, how.Name)
	if err != nil {
		return plan, err
	}
	plan.StackID, plan.ChangeSet = aws.ToString(described.StackId), aws.ToString(described.ChangeSetId)
	if described.Status == types.ChangeSetStatusFailed {
		if err := c.discard(ctx, plan); err != nil {
			return plan, err
		}
		plan.ChangeSet = ""
		if nothing(aws.ToString(described.StatusReason)) {
			return plan, nil
		}
		return plan, delivery.Errorf(delivery.StackFailed, "stack %s: the change cannot be worked out: %s; mend the template or its parameters, and provision again",
			wanted.Name, delivery.Clip(aws.ToString(described.StatusReason), maxReason))
	}
	if !plan.Create {
		if plan.Environments, err = c.environments(ctx, plan.StackID); err != nil {
			return plan, err
		}
	}
	policies := policiesOf(wanted.Body)
	for _, change := range described.Changes {
		if change.ResourceChange != nil {
			plan.Changes = append(plan.Changes, describe(*change.ResourceChange, policies))
		}
	}
	return plan, nil
}

// environments are the Beanstalk environments of a stack, by name.
func (c *Client) environments(ctx context.Context, stackID string) ([]string, error) {
	resources, err := c.API.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: aws.String(stackID)})
	if err != nil {
		return nil, classify(err, "looking at the resources of stack "+stackID)
	}
	var names []string
	for _, resource := range resources.StackResources {
		name := aws.ToString(resource.PhysicalResourceId)
		if aws.ToString(resource.ResourceType) == "AWS::ElasticBeanstalk::Environment" && name != "" && resource.ResourceStatus != types.ResourceStatusDeleteComplete {
			names = append(names, name)
		}
	}
	return names, nil
}

// Resolve fills outputs of other stacks into a text. A stack that is not there is an InvalidInput.
func (c *Client) Resolve(ctx context.Context, text string) (string, error) {
	filled, err := delivery.Refer(text, c.output(ctx))
	if err != nil && delivery.TypeOf(err) == "" {
		return "", delivery.Errorf(delivery.InvalidInput, "%w", err)
	}
	return filled, err
}

// output looks outputs up, each stack once.
func (c *Client) output(ctx context.Context) func(stack, name string) (string, error) {
	known := map[string]map[string]string{}
	return func(of, name string) (string, error) {
		if known[of] == nil {
			values, there, err := c.Outputs(ctx, of)
			if err != nil {
				return "", err
			}
			if !there {
				return "", fmt.Errorf("stack %s is not there yet", of)
			}
			known[of] = values
		}
		value, told := known[of][name]
		if !told {
			return "", fmt.Errorf("stack %s has no output %s", of, name)
		}
		return value, nil
	}
}

// refer fills the outputs of other stacks into a stack's parameters.
func (c *Client) refer(ctx context.Context, stack delivery.Stack) (filled delivery.Stack, unknown string, failed error) {
	output := c.output(ctx)
	filled = stack
	filled.Parameters = map[string]string{}
	for _, key := range template.Sorted(stack.Parameters) {
		value, err := delivery.Refer(stack.Parameters[key], output)
		if delivery.TypeOf(err) != "" {
			return stack, "", err
		}
		if err != nil {
			return stack, fmt.Sprintf("parameter %s: %v", key, err), nil
		}
		filled.Parameters[key] = value
	}
	role, err := delivery.Refer(stack.Role, output)
	if delivery.TypeOf(err) != "" {
		return stack, "", err
	}
	if err != nil {
		return stack, fmt.Sprintf("role: %v", err), nil
	}
	filled.Role = role
	return filled, "", nil
}

// ready waits for an operation that is under way, clears away what a failed creation left, and says of which kind the
// change set has to be. Where nothing may be cleared away, it says none.
func (c *Client) ready(ctx context.Context, wanted delivery.Stack, how Proposal, progress func(delivery.StackEvent)) (types.ChangeSetType, error) {
	for {
		stack, err := c.find(ctx, wanted.Name)
		switch {
		case err != nil:
			return "", err
		case stack == nil, stack.StackStatus == types.StackStatusReviewInProgress:
			return types.ChangeSetTypeCreate, nil
		case whole(stack.StackStatus):
			return types.ChangeSetTypeUpdate, nil
		case busy(stack.StackStatus):
			if err := c.pause(ctx); err != nil {
				return "", err
			}
		case stack.StackStatus == types.StackStatusRollbackComplete && how.Plan:
			return "", nil
		case stack.StackStatus == types.StackStatusRollbackComplete:
			if _, err := c.Delete(ctx, aws.ToString(stack.StackId), wanted.Role, progress); err != nil {
				return "", err
			}
		default:
			return "", stuck(*stack)
		}
	}
}

// stuck says what to do with a stack that nothing but a person can bring further.
func stuck(stack types.Stack) error {
	name := aws.ToString(stack.StackName)
	next := "look at its events, and delete it with starter destroy " + name
	switch stack.StackStatus {
	case types.StackStatusUpdateRollbackFailed:
		next = "remove what keeps the rollback from ending, then run aws cloudformation continue-update-rollback --stack-name " + name + " and provision again"
	case types.StackStatusDeleteFailed:
		next = "run starter destroy " + name + " again once the reason is gone"
	default:
	}
	return delivery.Errorf(delivery.StackFailed, "stack %s is in %s: %s; %s", name, stack.StackStatus,
		delivery.Clip(aws.ToString(stack.StackStatusReason), maxReason), next)
}

// create makes the change set unless one of its name is there.
func (c *Client) create(ctx context.Context, wanted delivery.Stack, kind types.ChangeSetType, how Proposal) error {
	in := &cloudformation.CreateChangeSetInput{
		StackName: aws.String(wanted.Name), ChangeSetName: aws.String(how.Name), ChangeSetType: kind,
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}, IncludeNestedStacks: aws.Bool(false),
		Description: aws.String("Proposed by Gravity"), Tags: []types.Tag{{Key: aws.String("gravity:managed"), Value: aws.String("true")}},
	}
	if how.Plan && len(wanted.Body) <= maxBody {
		in.TemplateBody = aws.String(wanted.Body)
	} else {
		address, err := c.upload(ctx, wanted.Body)
		if err != nil {
			return err
		}
		in.TemplateURL = aws.String(address)
	}
	if wanted.Role != "" {
		in.RoleARN = aws.String(wanted.Role)
	}
	for _, key := range template.Sorted(wanted.Parameters) {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(key), ParameterValue: aws.String(wanted.Parameters[key])})
	}
	_, err := c.API.CreateChangeSet(ctx, in)
	var exists *types.AlreadyExistsException
	if errors.As(err, &exists) {
		return nil
	}
	return classify(err, "proposing a change of stack "+wanted.Name)
}

// worked waits until a change set was worked out, and reads all of it.
func (c *Client) worked(ctx context.Context, stack, name string) (*cloudformation.DescribeChangeSetOutput, error) {
	for {
		described, err := c.changes(ctx, stack, name)
		if err != nil {
			return nil, err
		}
		switch described.Status {
		case types.ChangeSetStatusCreatePending, types.ChangeSetStatusCreateInProgress:
			if err := c.pause(ctx); err != nil {
				return nil, err
			}
		default:
			return described, nil
		}
	}
}

func (c *Client) changes(ctx context.Context, stack, name string) (*cloudformation.DescribeChangeSetOutput, error) {
	var all *cloudformation.DescribeChangeSetOutput
	in := &cloudformation.DescribeChangeSetInput{StackName: aws.String(stack), ChangeSetName: aws.String(name)}
	for {
		page, err := c.API.DescribeChangeSet(ctx, in)
		if err != nil {
			return nil, classify(err, "reading the change of stack "+stack)
		}
		if all == nil {
			all = page
		} else {
			all.Changes = append(all.Changes, page.Changes...)
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return all, nil
		}
	}
}

// nothing reads CloudFormation's sentence for a change set without changes; there is no code for it.
func nothing(reason string) bool {
	return strings.Contains(reason, "didn't contain changes") || strings.Contains(reason, "No updates are to be performed")
}

// Discard removes a proposal that nobody wants, and the empty stack that was made for it.
func (c *Client) Discard(ctx context.Context, plan delivery.StackPlan) error {
	return c.discard(ctx, plan)
}

func (c *Client) discard(ctx context.Context, plan delivery.StackPlan) error {
	if plan.ChangeSet != "" {
		in := &cloudformation.DeleteChangeSetInput{ChangeSetName: aws.String(plan.ChangeSet)}
		if !strings.HasPrefix(plan.ChangeSet, "arn:") {
			in.StackName = aws.String(plan.Stack)
		}
		if _, err := c.API.DeleteChangeSet(ctx, in); err != nil && !gone(err) && !missing(err) {
			return classify(err, "discarding the change of stack "+plan.Stack)
		}
	}
	stack, err := c.find(ctx, plan.Stack)
	if err != nil || stack == nil || stack.StackStatus != types.StackStatusReviewInProgress {
		return err
	}
	return c.delete(ctx, *stack, plan.Role)
}

// gone tells whether a change set is there no more.
func gone(err error) bool {
	var none *types.ChangeSetNotFoundException
	var api smithy.APIError
	return errors.As(err, &none) || errors.As(err, &api) && api.ErrorCode() == "ChangeSetNotFound"
}

// holding are types whose resources hold data that nobody gets back.
var holding = []string{
	"AWS::DynamoDB::Table", "AWS::EC2::Volume", "AWS::EFS::FileSystem", "AWS::ElastiCache::ReplicationGroup", "AWS::KMS::Key", "AWS::Logs::LogGroup",
	"AWS::RDS::DBCluster", "AWS::RDS::DBInstance", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SecretsManager::Secret",
}

// policy is what a template says of the end of a resource.
type policy struct{ keeps, keepsReplaced bool }

func policiesOf(body string) map[string]policy {
	policies := map[string]policy{}
	parsed, err := template.Parse([]byte(body))
	if err != nil {
		return policies // CloudFormation has its own word on that
	}
	for name, resource := range parsed.Resources {
		policies[name] = policy{keeps: resource.DeletionPolicy == "Retain" || resource.DeletionPolicy == "RetainExceptOnCreate" || resource.DeletionPolicy == "Snapshot",
			keepsReplaced: resource.UpdateReplacePolicy == "Retain" || resource.UpdateReplacePolicy == "Snapshot"}
	}
	return policies
}

// describe says in words what happens to a resource. A replacement and a loss stand out.
func describe(change types.ResourceChange, policies map[string]policy) delivery.StackChange {
	name, kind, physical := aws.ToString(change.LogicalResourceId), aws.ToString(change.ResourceType), aws.ToString(change.PhysicalResourceId)
	told := delivery.StackChange{Resource: name, Type: kind}
	what := fmt.Sprintf("%s (%s)", name, strings.TrimPrefix(kind, "AWS::"))
	switch change.Action {
	case types.ChangeActionAdd:
		told.Text = "add " + what
	case types.ChangeActionImport:
		told.Text = "take over " + what
	case types.ChangeActionRemove:
		told.Text = fmt.Sprintf("REMOVE %s: %s is deleted", what, physical)
		if change.PolicyAction == types.PolicyActionRetain || change.PolicyAction == types.PolicyActionSnapshot {
			told.Text = fmt.Sprintf("let go of %s: %s stays, outside of the stack", what, physical)
			return told
		}
		told.Loss = loss(kind, physical)
	default:
		told = modification(told, change, what, physical, policies[name])
	}
	if told.Loss != "" {
		told.Text += "; DATA LOSS: " + told.Loss
	}
	return told
}

func modification(told delivery.StackChange, change types.ResourceChange, what, physical string, of policy) delivery.StackChange {
	keeps := of.keepsReplaced || change.PolicyAction == types.PolicyActionReplaceAndRetain || change.PolicyAction == types.PolicyActionReplaceAndSnapshot
	old := physical + " is deleted"
	if keeps {
		old = physical + " stays, outside of the stack"
	}
	switch change.Replacement {
	case types.ReplacementTrue:
		told.Replaces = true
		told.Text = fmt.Sprintf("REPLACE %s, since %s: another one is made, and %s", what, causes(change, types.RequiresRecreationAlways), old)
	case types.ReplacementConditional:
		told.Replaces = true
		told.Text = fmt.Sprintf("change %s, and PERHAPS REPLACE it, since %s; then %s", what, causes(change, types.RequiresRecreationConditionally), old)
	default:
		told.Text = fmt.Sprintf("change %s: %s", what, causes(change, ""))
		return told
	}
	if !keeps {
		told.Loss = loss(told.Type, physical)
	}
	return told
}

func loss(kind, physical string) string {
	if !slices.Contains(holding, kind) {
		return ""
	}
	return "everything in " + physical
}

// causes lists the properties that change, and of what.
func causes(change types.ResourceChange, recreation types.RequiresRecreation) string {
	var named []string
	for _, detail := range change.Details {
		if detail.Target == nil || recreation != "" && detail.Target.RequiresRecreation != recreation {
			continue
		}
		property := aws.ToString(detail.Target.Name)
		if property == "" {
			property = string(detail.Target.Attribute)
		}
		named = append(named, property)
	}
	slices.Sort(named)
	if named = slices.Compact(named); len(named) == 0 {
		return "what the template says of its end"
	}
	if len(named) == 1 {
		return named[0] + " changes"
	}
	return strings.Join(named, ", ") + " change"
}
