// Package runs starts runs, each once. The command line, the webhook receiver and the workers share it, so
// that a run is the same whoever began it.
package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
	"gravity/internal/runner"
	"gravity/worker/connection"
	"gravity/workflows"
)

// MaxSummary is below what Temporal takes for a summary, 400 bytes.
const MaxSummary = 350

// The memo of a run: what lists of runs show without asking each of them, and what tells one passage
// of a revision from another.
const (
	MemoMessage = "message"
	MemoAuthor  = "author"
	MemoRef     = "ref"
	// MemoUntil is the stage after which a run that somebody asked for ends.
	MemoUntil = "until"
	// MemoRequest names what somebody asked for.
	MemoRequest = "request"
)

// Request says which run is to start.
type Request struct {
	Pipeline delivery.Pipeline
	Revision delivery.Revision
	// Until is the stage after which the run ends; empty: it passes all that its ref reaches.
	Until string
	// Retry and Hotfix are the run's own; see workflows.PipelineInput.
	Retry  *workflows.Retry
	Hotfix *workflows.Answer
	// Again runs a revision once more that had its run.
	Again bool
	// Name names what somebody asked for at GitHub, such as comment/987. It runs a revision once more
	// that had its run, and does so once, however often it comes.
	Name string
}

// Started is a run, and whether it was there before.
type Started struct {
	RunID    string
	Existing bool
}

// Start starts the run of a revision through a pipeline, or finds the one that there was. With
// Again, one that has ended is no hindrance; one that still goes on is, with an InvalidInput.
// Otherwise one that ended is none either, where this one reaches further.
// When Temporal is out of reach the error's type is Unavailable, and the start can be tried again.
func Start(ctx context.Context, c client.Client, request Request) (Started, error) {
	started := Started{RunID: delivery.RunID(request.Pipeline.Name, request.Revision.SHA)}
	if request.Name != "" && request.Revision.Ref == "" {
		// It asks for the same once more; what that was, the run of before knows.
		return startNamed(ctx, c, request, started)
	}
	err := execute(ctx, c, request)
	var existing *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case err == nil:
		return started, nil
	case errors.As(err, &existing) && request.Again:
		return started, delivery.Errorf(delivery.InvalidInput, "%s is running already: watch it, or abort it first", started.RunID)
	case errors.As(err, &existing) && request.Name != "":
		return startNamed(ctx, c, request, started)
	case errors.As(err, &existing):
		return startFurther(ctx, c, request)
	default:
		return started, StartError(started.RunID, err)
	}
}

func execute(ctx context.Context, c client.Client, request Request) error {
	pipeline, revision := request.Pipeline, request.Revision
	memo := map[string]any{MemoMessage: revision.Message, MemoAuthor: revision.Author, MemoRef: revision.Ref}
	if request.Until != "" {
		memo[MemoUntil] = request.Until
	}
	if request.Name != "" {
		memo[MemoRequest] = request.Name
	}
	options := client.StartWorkflowOptions{
		ID:                                       delivery.RunID(pipeline.Name, revision.SHA),
		TaskQueue:                                workflows.Queue,
		Priority:                                 workflows.RunPriority(pipeline.Name, request.Hotfix != nil),
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            summary(pipeline, revision),
		StaticDetails:                            details(pipeline, revision),
		Memo:                                     memo,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			workflows.PipelineAttribute.ValueSet(pipeline.Name),
			workflows.RevisionAttribute.ValueSet(revision.SHA),
			workflows.StateAttribute.ValueSet(string(workflows.StateBuilding)),
		),
	}
	if request.Again {
		options.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	_, err := c.ExecuteWorkflow(ctx, options, workflows.PipelineWorkflow,
		workflows.PipelineInput{
			Pipeline: pipeline, Revision: revision, Until: request.Until, Retry: request.Retry, Hotfix: request.Hotfix,
		})
	return err
}

// startFurther finds the run that a revision had. When that was for another branch, which reaches fewer
// stages, the revision is run once more: what release/7 took to staging and main then points to is to
// reach production as well. Its version is not made again.
func startFurther(ctx context.Context, c client.Client, request Request) (Started, error) {
	pipeline, revision := request.Pipeline, request.Revision
	found := Started{RunID: delivery.RunID(pipeline.Name, revision.SHA), Existing: true}
	before, err := latest(ctx, c, found.RunID)
	if err != nil {
		return found, err
	}
	if before.ref == "" || !reachesFurther(pipeline, revision.Ref, request.Until, before.ref, before.until) {
		return found, nil
	}
	if before.goesOn {
		return found, delivery.Errorf(delivery.InvalidInput,
			"%s still goes on for %s: when it has ended, deliver the push again, or run starter deploy %s --branch %s --revision %s",
			found.RunID, nameOf(before.ref), pipeline.Name, revision.Branch(), revision.SHA)
	}
	request.Again = true
	return Start(ctx, c, request)
}

func nameOf(ref string) string {
	kind := "tag "
	if (delivery.Revision{Ref: ref}).Branch() != "" {
		kind = "branch "
	}
	return kind + delivery.Revision{Ref: ref}.RefName()
}

// startNamed runs a revision once more because somebody asked for it, unless this very request did so before.
func startNamed(ctx context.Context, c client.Client, request Request, found Started) (Started, error) {
	before, err := latest(ctx, c, found.RunID)
	if err != nil {
		return found, err
	}
	found.Existing = true
	if before.goesOn || before.request == request.Name {
		return found, nil
	}
	if done, err := wasDone(ctx, c, found.RunID, request.Name); err != nil || done {
		return found, err
	}
	if request.Revision.Ref == "" {
		request.Revision.Ref, request.Until = before.ref, before.until
		request.Revision.Message, request.Revision.Author = before.message, before.author
	}
	request.Again = true
	err = execute(ctx, c, request)
	var existing *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &existing) { // the same request, delivered twice at once
		return found, nil
	}
	if err != nil {
		return found, StartError(found.RunID, err)
	}
	return Started{RunID: found.RunID}, nil
}

// passage is what an execution says of itself.
type passage struct {
	ref, until, request, message, author string
	goesOn                               bool
}

func passageOf(data converter.DataConverter, execution *workflow.WorkflowExecutionInfo) passage {
	memo := func(key string) string { return connection.Text(data, execution.GetMemo().GetFields()[key]) }
	return passage{
		ref: memo(MemoRef), until: memo(MemoUntil), request: memo(MemoRequest), message: memo(MemoMessage), author: memo(MemoAuthor),
		goesOn: execution.GetCloseTime() == nil,
	}
}

func latest(ctx context.Context, c client.Client, runID string) (passage, error) {
	described, err := c.DescribeWorkflowExecution(ctx, runID, "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return passage{}, delivery.Errorf(delivery.InvalidInput, "%s is not known any more, so it cannot be run once more: start it with starter deploy", runID)
	}
	if err != nil {
		return passage{}, StartError(runID, err)
	}
	return passageOf(connection.DataOf(c), described.GetWorkflowExecutionInfo()), nil
}

// wasDone looks through the earlier runs of a revision for one that the request began.
func wasDone(ctx context.Context, c client.Client, runID, name string) (bool, error) {
	list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowId = '%s'", runID), PageSize: 100,
	})
	if err != nil {
		return false, StartError(runID, err)
	}
	return slices.ContainsFunc(list.GetExecutions(), func(execution *workflow.WorkflowExecutionInfo) bool {
		return passageOf(connection.DataOf(c), execution).request == name
	}), nil
}

// reachesFurther reports whether a ref reaches a stage that another one did not.
func reachesFurther(pipeline delivery.Pipeline, ref, until, before, beforeUntil string) bool {
	reached := map[string]bool{}
	for _, stage := range pipeline.Reached(before, beforeUntil) {
		reached[stage.Name] = true
	}
	return slices.ContainsFunc(pipeline.Reached(ref, until), func(stage delivery.Stage) bool { return !reached[stage.Name] })
}

// StartError tells what passes from what another attempt would meet again.
func StartError(runID string, err error) error {
	var invalid *serviceerror.InvalidArgument
	var missing *serviceerror.NamespaceNotFound
	denied := connection.Denied(err, "starting "+runID, "")
	switch {
	case denied != nil:
		return denied
	case errors.As(err, &missing):
		return delivery.Errorf(delivery.InvalidInput, "starting %s: %w; create the namespace, or set TEMPORAL_NAMESPACE", runID, err)
	case errors.As(err, &invalid):
		return delivery.Errorf(delivery.InvalidInput, "starting %s: %w; a worker that starts in this namespace prepares it, or logs the command that does", runID, err)
	}
	return delivery.Errorf(delivery.Unavailable, "starting %s: %w", runID, err)
}

// Hand starts the workflow that handles an event of GitHub's, or finds the one that does.
func Hand(ctx context.Context, c client.Client, event delivery.GitHubEvent) (Started, error) {
	started := Started{RunID: delivery.EventID(event)}
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       started.RunID,
		TaskQueue:                                workflows.Queue,
		Priority:                                 workflows.EventPriority(event),
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            delivery.Clip(markdown(workflows.EventSummary(event)), MaxSummary),
	}, workflows.GitHubEventWorkflow, event)
	var existing *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &existing) {
		started.Existing = true
		return started, nil
	}
	if err != nil {
		return started, StartError(started.RunID, err)
	}
	return started, nil
}

// summary is a run's title in Temporal's web UI.
func summary(pipeline delivery.Pipeline, revision delivery.Revision) string {
	text := fmt.Sprintf("%s: %s %s", pipeline.Name, revision.Short(), markdown(revision.Message))
	return delivery.Clip(strings.TrimSpace(text), MaxSummary)
}

func details(pipeline delivery.Pipeline, revision delivery.Revision) string {
	lines := []string{"- repository: " + markdown(pipeline.Repository), "- revision: " + revision.SHA}
	if revision.Ref != "" {
		lines = append(lines, "- ref: "+markdown(revision.Ref))
	}
	if revision.Author != "" {
		lines = append(lines, "- author: "+markdown(revision.Author))
	}
	return strings.Join(lines, "\n")
}

// markdown keeps text from outside from becoming structure, links or images where the web UI shows it.
func markdown(text string) string {
	clean := strings.Join(strings.Fields(runner.Clean(text)), " ")
	return strings.NewReplacer(
		"\\", "\\\\", "`", "'", "<", "&lt;", "[", "\\[", "]", "\\]", "*", "\\*", "|", "\\|",
	).Replace(delivery.Clip(clean, delivery.MaxMessageLength))
}
