package subject

import (
	"context"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/workflows"
)

// headerKey is where a step finds what it is about. It is not encrypted where payloads are: search attributes
// and workflow IDs, which say the same, cannot be either.
const headerKey = "gravity-subject"

// Intercept makes workers that are made of the client know what their workflows and steps are about. Interceptors
// that want to know it too, such as those of traces, come after it.
func (s *Subjects) Intercept(options *client.Options) {
	options.Interceptors = append([]interceptor.ClientInterceptor{&intercepting{subjects: s}}, options.Interceptors...)
}

type intercepting struct {
	interceptor.InterceptorBase
	subjects *Subjects
}

// InterceptWorkflow implements interceptor.WorkerInterceptor.
func (i *intercepting) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &workflowInbound{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, subjects: i.subjects}
}

// workflowInbound belongs to one workflow.
type workflowInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	subjects *Subjects
	run      string
}

// Init puts the outbound half into its place.
func (w *workflowInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return w.Next.Init(&workflowOutbound{WorkflowOutboundInterceptorBase: interceptor.WorkflowOutboundInterceptorBase{Next: next}, inbound: w})
}

// ExecuteWorkflow finds out which run the workflow belongs to.
func (w *workflowInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	w.run = runOf(workflow.GetInfo(ctx), in.Args)
	w.remember(ctx)
	return w.Next.ExecuteWorkflow(ctx, in)
}

func (w *workflowInbound) remember(ctx workflow.Context) {
	w.subjects.remember(workflow.GetInfo(ctx).WorkflowExecution.ID, w.about(ctx))
}

func runOf(info *workflow.Info, arguments []any) string {
	if info.WorkflowType.Name == workflows.PipelineWorkflow {
		return info.WorkflowExecution.ID
	}
	for _, argument := range arguments {
		switch input := argument.(type) {
		case workflows.DeploymentInput:
			return input.Request.RunID
		case workflows.TellingInput:
			return input.First.RunID
		}
	}
	return ""
}

func (w *workflowInbound) about(ctx workflow.Context) Subject {
	attributes := workflow.GetTypedSearchAttributes(ctx)
	about := Subject{Run: w.run}
	about.Pipeline, _ = attributes.GetKeyword(workflows.PipelineAttribute)
	about.Environment, _ = attributes.GetKeyword(workflows.EnvironmentAttribute)
	about.Revision, _ = attributes.GetKeyword(workflows.RevisionAttribute)
	return about
}

type workflowOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	inbound *workflowInbound
}

// UpsertTypedSearchAttributes takes note: an environment's workflow names its environment when it has begun.
func (w *workflowOutbound) UpsertTypedSearchAttributes(ctx workflow.Context, attributes ...temporal.SearchAttributeUpdate) error {
	err := w.Next.UpsertTypedSearchAttributes(ctx, attributes...)
	w.inbound.remember(ctx)
	return err
}

// ExecuteActivity tells the step what it is about. The header of a command plays no part in a replay.
func (w *workflowOutbound) ExecuteActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	if about := w.inbound.about(ctx); about != (Subject{}) {
		if payload, err := converter.GetDefaultDataConverter().ToPayload(about); err == nil {
			interceptor.WorkflowHeader(ctx)[headerKey] = payload
		}
	}
	return w.Next.ExecuteActivity(ctx, activityType, args...)
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (i *intercepting) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &activityInbound{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, subjects: i.subjects}
}

type activityInbound struct {
	interceptor.ActivityInboundInterceptorBase
	subjects *Subjects
}

// ExecuteActivity runs a step that knows what it is about.
func (a *activityInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	about := told(interceptor.Header(ctx))
	if about != (Subject{}) {
		a.subjects.remember(activity.GetInfo(ctx).WorkflowExecution.ID, about)
		ctx = context.WithValue(ctx, key{}, about)
	}
	return a.Next.ExecuteActivity(ctx, in)
}

func told(header map[string]*commonpb.Payload) Subject {
	var about Subject
	payload := header[headerKey]
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &about) != nil {
		return Subject{}
	}
	return about
}
