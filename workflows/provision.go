package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// ProvisionWorkflow is the name under which Provision is registered.
const ProvisionWorkflow = "Provision"

// ProvisionInput starts a provisioning. The stacks travel with it, templates and all.
type ProvisionInput struct {
	// Stacks in the order in which they need each other.
	Stacks []delivery.Stack `json:"stacks"`
	// Environments are those that Gravity deploys to: their workflows are told when a stack changes them.
	Environments []delivery.EnvironmentName `json:"environments,omitempty"`
	// Plan tells what would change, and changes nothing.
	Plan bool `json:"plan,omitempty"`
	// Destroy deletes the stacks instead, the last one first.
	Destroy bool `json:"destroy,omitempty"`
}

// Provision makes and changes CloudFormation stacks, one after another: a change set, what it would change in words,
// an approval where the stack asks for one, its execution. Or it deletes them.
//
// It accepts ApproveUpdate, RejectUpdate, ApproveSignal, RejectSignal and AbortSignal, and answers StatusQuery. An
// abort is obeyed at once where nothing is under way; what CloudFormation has begun is seen through first. It
// completes when every stack is as it is to be; otherwise it fails with a delivery.ErrorType as the error's
// type and its ProvisionStatus as details.
func Provision(ctx workflow.Context, input ProvisionInput) (ProvisionStatus, error) {
	p := newProvisioning(ctx, input)
	if err := p.setup(ctx); err != nil {
		return p.status, err
	}
	return p.end(ctx, p.run(ctx))
}

// ProvisionState is where a provisioning, or one of its stacks, stands.
type ProvisionState string

// The states of provisionings and stacks.
const (
	ProvisionPending   ProvisionState = "pending"
	ProvisionProposing ProvisionState = "proposing"
	ProvisionWaiting   ProvisionState = "waiting" // for an approval
	ProvisionChanging  ProvisionState = "changing"
	ProvisionDeleting  ProvisionState = "deleting"
	ProvisionPlanned   ProvisionState = "planned" // told, and not carried out
	ProvisionUnchanged ProvisionState = "unchanged"
	ProvisionSucceeded ProvisionState = "succeeded"
	ProvisionFailed    ProvisionState = "failed"
	ProvisionRejected  ProvisionState = "rejected"
	ProvisionAborted   ProvisionState = "aborted"
)

// ProvisionStatus is what a provisioning says of itself.
type ProvisionStatus struct {
	State  ProvisionState `json:"state"`
	Detail string         `json:"detail,omitempty"`
	Stacks []StackStatus  `json:"stacks"`
	// Plan and Destroy are those of the input.
	Plan    bool             `json:"plan,omitempty"`
	Destroy bool             `json:"destroy,omitempty"`
	Answers []RecordedAnswer `json:"answers,omitempty"`
	EndedAt time.Time        `json:"endedAt,omitzero"`
}

// StackStatus is one line of a provisioning's table.
type StackStatus struct {
	Stack  string                `json:"stack"`
	State  ProvisionState        `json:"state"`
	Detail string                `json:"detail,omitempty"`
	Plan   *delivery.StackPlan   `json:"plan,omitempty"`
	Result *delivery.StackResult `json:"result,omitempty"`
}

// provisioning is the state of one Provision workflow.
type provisioning struct {
	input    ProvisionInput
	status   ProvisionStatus
	changeID string
	approval *approval // that a stack waits for
	aborted  *Answer
	stop     workflow.CancelFunc // ends what may be ended at once
	shown    ProvisionState
}

func newProvisioning(ctx workflow.Context, input ProvisionInput) *provisioning {
	p := &provisioning{input: input, status: ProvisionStatus{State: ProvisionPending, Plan: input.Plan, Destroy: input.Destroy}}
	p.changeID = "gravity-" + workflow.GetInfo(ctx).WorkflowExecution.RunID
	for _, stack := range input.Stacks {
		p.status.Stacks = append(p.status.Stacks, StackStatus{Stack: stack.Name, State: ProvisionPending})
	}
	return p
}

func (p *provisioning) setup(ctx workflow.Context) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, StatusQuery, func() (ProvisionStatus, error) { return p.status, nil },
		workflow.QueryHandlerOptions{Description: "where the stacks stand, and what would change"}); err != nil {
		return err
	}
	if err := listen(ctx, p, &p.status, "the change of the stack that waits"); err != nil {
		return err
	}
	whenAborted(ctx, func(ctx workflow.Context, answer Answer) {
		p.aborted = &answer
		p.record(ctx, "abort", answer)
		p.show(ctx)
		if p.stop != nil {
			p.stop()
		}
	})
	p.show(ctx)
	return nil
}

// run takes the stacks in turn: forwards, or backwards when they are deleted.
func (p *provisioning) run(ctx workflow.Context) error {
	for n := range p.input.Stacks {
		i := n
		if p.input.Destroy {
			i = len(p.input.Stacks) - 1 - n
		}
		if p.aborted != nil {
			return &delivery.Error{Type: delivery.Aborted, Message: p.aborted.aborted()}
		}
		step := p.provision
		if p.input.Destroy {
			step = p.destroy
		}
		if err := step(ctx, p.input.Stacks[i], &p.status.Stacks[i]); err != nil {
			return err
		}
	}
	return nil
}

// provision brings one stack about.
func (p *provisioning) provision(ctx workflow.Context, stack delivery.Stack, status *StackStatus) error {
	p.enter(ctx, status, ProvisionProposing, "working out what would change")
	var plan delivery.StackPlan
	err := p.stoppable(ctx, func(ctx workflow.Context) error {
		return workflow.ExecuteActivity(stackOptions(ctx, stackProposal, "propose "+stack.Name), (*activities.Stacks).ProposeChange,
			activities.ProposeInput{Stack: stack, Name: p.changeID, Plan: p.input.Plan}).Get(ctx, &plan)
	})
	if err != nil {
		p.withdraw(ctx, delivery.StackPlan{Stack: stack.Name, ChangeSet: p.changeID, Role: stack.Role})
		return err
	}
	status.Plan = &plan
	switch {
	case p.input.Plan:
		p.enter(ctx, status, ProvisionPlanned, outline(plan))
		return p.discard(ctx, plan)
	case plan.Unknown != "":
		return delivery.Errorf(delivery.StackFailed, "stack %s: %s; name that stack in the file's stacks, or make it first", stack.Name, plan.Unknown)
	case plan.Empty():
		p.enter(ctx, status, ProvisionUnchanged, "it is as it is to be")
	default:
		if err := p.pass(ctx, stack, status, plan); err != nil {
			p.withdraw(ctx, plan)
			return err
		}
	}
	return p.execute(ctx, stack, status, plan)
}

// execute carries a plan out. Of a stack of which nothing differs it learns the outputs.
func (p *provisioning) execute(ctx workflow.Context, stack delivery.Stack, status *StackStatus, plan delivery.StackPlan) error {
	if !plan.Empty() {
		p.enter(ctx, status, ProvisionChanging, outline(plan))
	}
	// Before it begins: a deployment that is asked for meanwhile waits until the environment is Ready, and then finds
	// the new configuration.
	if err := p.tellEnvironments(ctx, plan, "before"); err != nil {
		p.withdraw(ctx, plan)
		return err
	}
	var result delivery.StackResult
	err := workflow.ExecuteActivity(stackOptions(ctx, stackChange, "change "+stack.Name), (*activities.Stacks).ExecuteChange,
		plan).Get(ctx, &result)
	if err != nil {
		return err
	}
	status.Result = &result
	// And after it: a deployment that was under way has left the old one on record.
	if err := p.tellEnvironments(ctx, plan, "after"); err != nil {
		return err
	}
	if !plan.Empty() {
		p.enter(ctx, status, ProvisionSucceeded, "took "+result.Took.String())
	}
	return nil
}

// tellEnvironments has the workflows of the environments that a plan changes forget the configuration that was
// left there: it would be drift to their next deployment.
func (p *provisioning) tellEnvironments(ctx workflow.Context, plan delivery.StackPlan, when string) error {
	var environments *activities.Environments
	for _, of := range p.input.Environments {
		if plan.Empty() || !slices.Contains(plan.Environments, of.Environment) {
			continue
		}
		err := workflow.ExecuteActivity(requestOptions(ctx, ForgetConfigurationUpdate+": tell "+of.Environment), environments.TellEnvironment, activities.TellEnvironmentInput{
			WorkflowID: delivery.EnvironmentID(of.Application, of.Environment),
			Update:     ForgetConfigurationUpdate,
			UpdateID:   ForgetConfigurationUpdate + "/" + p.changeID + "/" + plan.Stack + "/" + when,
			Argument:   Reconfiguration{Stack: plan.Stack, ChangeSet: plan.ChangeSet},
		}).Get(ctx, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// destroy deletes one stack.
func (p *provisioning) destroy(ctx workflow.Context, stack delivery.Stack, status *StackStatus) error {
	p.enter(ctx, status, ProvisionDeleting, "emptying its buckets and deleting it")
	var result delivery.StackResult
	err := workflow.ExecuteActivity(stackOptions(ctx, stackChange, "delete "+stack.Name), (*activities.Stacks).DeleteStack,
		activities.DeleteInput{Stack: stack.Name, Role: stack.Role}).Get(ctx, &result)
	if err != nil {
		return err
	}
	status.Result = &result
	detail := "deleted"
	if len(result.Kept) > 0 {
		detail = "deleted; kept, as its template says: " + strings.Join(result.Kept, ", ")
	}
	p.enter(ctx, status, ProvisionSucceeded, detail)
	return nil
}

// stoppable runs what an abort may end at once.
func (p *provisioning) stoppable(ctx workflow.Context, do func(workflow.Context) error) error {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	p.stop = cancel
	defer func() { p.stop = nil }()
	err := do(ctx)
	if p.aborted != nil {
		return &delivery.Error{Type: delivery.Aborted, Message: p.aborted.aborted(), Err: err}
	}
	return err
}

// pass waits at a stack's gate, if it has one.
func (p *provisioning) pass(ctx workflow.Context, stack delivery.Stack, status *StackStatus, plan delivery.StackPlan) error {
	if stack.Approval == nil {
		return nil
	}
	asked := &approval{stage: stack.Name, what: "the change of stack " + stack.Name, rule: *stack.Approval}
	asked.rule.Count = max(1, asked.rule.Count)
	p.approval = asked
	defer func() { p.approval = nil }()
	p.enter(ctx, status, ProvisionWaiting, outline(plan))
	return p.stoppable(ctx, func(ctx workflow.Context) error {
		inTime, err := awaitWithin(ctx, asked.rule.Timeout.Std(), stack.Name+" waits for an approval", asked.answered)
		switch {
		case err != nil:
			return err
		case asked.rejected != nil:
			return &delivery.Error{Type: delivery.Rejected, Message: asked.rejected.because("stack " + stack.Name + ": rejected by " + asked.rejected.who())}
		case !inTime && asked.rule.Otherwise == delivery.OtherwiseApprove:
			p.record(ctx, ApproveUpdate, Answer{By: "Gravity", Stage: stack.Name, Reason: "nobody answered within " + asked.rule.Timeout.String()})
			return nil
		case !inTime:
			return delivery.Errorf(delivery.Rejected, "stack %s: nobody approved within %s%s", stack.Name, asked.rule.Timeout, asked.soFar())
		default:
			return nil
		}
	})
}

// discard removes a proposal.
func (p *provisioning) discard(ctx workflow.Context, plan delivery.StackPlan) error {
	return workflow.ExecuteActivity(callOptions(ctx, "discard the proposal for "+plan.Stack), (*activities.Stacks).DiscardChange, plan).Get(ctx, nil)
}

// withdraw is discard where something else has failed already.
func (p *provisioning) withdraw(ctx workflow.Context, plan delivery.StackPlan) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	if err := p.discard(ctx, plan); err != nil {
		workflow.GetLogger(ctx).Warn("a proposal was left", "stack", plan.Stack, "error", err)
	}
}

// end turns the way it ended into its last status and its result.
func (p *provisioning) end(ctx workflow.Context, failure error) (ProvisionStatus, error) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	p.status.State, p.status.EndedAt = endOf(p.input, failure), workflow.Now(ctx)
	p.status.Detail = map[bool]string{false: "every stack is as it is to be", true: "every stack is gone"}[p.input.Destroy]
	if p.input.Plan {
		p.status.Detail = "nothing was changed"
	}
	if failure != nil {
		p.status.Detail = sentence(failure)
		p.closeOpen()
	}
	p.show(ctx)
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return p.status, err
	}
	if failure == nil {
		return p.status, nil
	}
	return p.status, toTemporal(&delivery.Error{Type: typeOf(failure), Message: p.status.Detail, Err: failure}, p.status)
}

func endOf(input ProvisionInput, failure error) ProvisionState {
	switch {
	case failure == nil && input.Plan:
		return ProvisionPlanned
	case failure == nil:
		return ProvisionSucceeded
	}
	switch typeOf(failure) {
	case delivery.Rejected:
		return ProvisionRejected
	case delivery.Aborted:
		return ProvisionAborted
	default:
		return ProvisionFailed
	}
}

// closeOpen marks the stack that was under way.
func (p *provisioning) closeOpen() {
	for i := range p.status.Stacks {
		stack := &p.status.Stacks[i]
		switch stack.State {
		case ProvisionProposing, ProvisionWaiting, ProvisionChanging, ProvisionDeleting:
			stack.State, stack.Detail = p.status.State, p.status.Detail
		default:
		}
	}
}

// outline is a plan in one line.
func outline(plan delivery.StackPlan) string {
	switch {
	case plan.Unknown != "":
		return "cannot be told yet: " + plan.Unknown
	case plan.Empty():
		return "nothing changes"
	case plan.Create:
		return fmt.Sprintf("a new stack of %d resources", len(plan.Changes))
	}
	replaced, lost := 0, 0
	for _, change := range plan.Changes {
		if change.Replaces {
			replaced++
		}
		if change.Loss != "" {
			lost++
		}
	}
	text := fmt.Sprintf("%d resources change", len(plan.Changes))
	if replaced > 0 {
		text += fmt.Sprintf(", %d are REPLACED", replaced)
	}
	if lost > 0 {
		text += fmt.Sprintf(", %d LOSE DATA", lost)
	}
	return text
}

// enter moves a stack, and with it the provisioning, to another state.
func (p *provisioning) enter(ctx workflow.Context, stack *StackStatus, state ProvisionState, detail string) {
	stack.State, stack.Detail = state, detail
	p.status.State, p.status.Detail = state, stack.Stack+": "+detail
	p.show(ctx)
}

func (p *provisioning) record(ctx workflow.Context, verb string, answer Answer) {
	p.status.Answers = append(p.status.Answers, RecordedAnswer{Answer: answer, Verb: verb, At: workflow.Now(ctx)})
}

// show puts the status where Temporal's web UI shows it.
func (p *provisioning) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, p.status.table())
	if p.shown == p.status.State {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, StateAttribute.ValueSet(string(p.status.State))); err != nil {
		workflow.GetLogger(ctx).Warn("could not set search attributes", "error", err)
		return
	}
	p.shown = p.status.State
}

// table is the status as Markdown.
func (s ProvisionStatus) table() string {
	lines := []string{fmt.Sprintf("**%s**: %s", s.State, plain(s.Detail)), "", "| stack | state | |", "|---|---|---|"}
	for _, stack := range s.Stacks {
		lines = append(lines, fmt.Sprintf("| %s | %s | %s |", stack.Stack, stack.State, plain(stack.Detail)))
	}
	lines = append(lines, "")
	for _, stack := range s.Stacks {
		if stack.Plan == nil {
			continue
		}
		for _, change := range stack.Plan.Changes {
			lines = append(lines, fmt.Sprintf("- %s: %s", stack.Stack, plain(change.Text)))
		}
	}
	for _, answer := range s.Answers {
		lines = append(lines, fmt.Sprintf("- %s by %s%s", answer.Verb, plain(answer.who()), plain(answer.because(""))))
	}
	return strings.Join(lines, "\n")
}

// Bounds of steps on stacks.
const (
	// stackProposal: a change set is worked out in seconds, but what goes on in the stack is waited for.
	stackProposal = 2 * time.Hour
	// stackChange: an environment's creation takes a quarter of an hour, an image's an hour.
	stackChange = 3 * time.Hour
)

// stackOptions: one activity that follows CloudFormation to the end.
func stackOptions(ctx workflow.Context, limit time.Duration, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              PlatformQueue,
		ScheduleToCloseTimeout: limit,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: networkRetry.InitialInterval, BackoffCoefficient: networkRetry.BackoffCoefficient, MaximumInterval: networkRetry.MaximumInterval,
			NonRetryableErrorTypes: nonRetryable(delivery.InvalidInput, delivery.StackFailed),
		},
		Summary: summary,
	})
}
