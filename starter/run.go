package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
	"gravity/internal/webhook"
	"gravity/workflows"
)

// maxSummary is below what Temporal takes for a summary, 400 bytes.
const maxSummary = 350

// The memo of a run: what lists of runs show without asking each of them.
const (
	memoMessage = "message"
	memoAuthor  = "author"
	memoRef     = "ref"
)

// startRun starts the run of a revision through a pipeline, or finds the one that there was. With
// again, one that has ended is no hindrance; one that still goes on is, with an InvalidInput.
// Without again, one that ended for another branch is none either, where this one reaches further.
// When Temporal is out of reach the error's type is Unavailable, and the start can be tried again.
func startRun(ctx context.Context, c client.Client, pipeline delivery.Pipeline, revision delivery.Revision, again bool) (webhook.Started, error) {
	return startInput(ctx, c, workflows.PipelineInput{Pipeline: pipeline, Revision: revision}, again)
}

// startInput is startRun for whoever wants more of a run than a push does.
func startInput(ctx context.Context, c client.Client, input workflows.PipelineInput, again bool) (webhook.Started, error) {
	pipeline, revision := input.Pipeline, input.Revision
	started := webhook.Started{RunID: delivery.RunID(pipeline.Name, revision.SHA)}
	options := client.StartWorkflowOptions{
		ID:                                       started.RunID,
		TaskQueue:                                workflows.Queue,
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            summary(pipeline, revision),
		StaticDetails:                            details(pipeline, revision),
		Memo:                                     map[string]any{memoMessage: revision.Message, memoAuthor: revision.Author, memoRef: revision.Ref},
		TypedSearchAttributes: temporal.NewSearchAttributes(
			workflows.PipelineAttribute.ValueSet(pipeline.Name),
			workflows.RevisionAttribute.ValueSet(revision.SHA),
			workflows.StateAttribute.ValueSet(string(workflows.StateBuilding)),
		),
	}
	if again {
		options.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	_, err := c.ExecuteWorkflow(ctx, options, workflows.PipelineWorkflow, input)
	var existing *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case err == nil:
		return started, nil
	case errors.As(err, &existing) && again:
		return started, delivery.Errorf(delivery.InvalidInput, "%s is running already: watch it, or abort it first", started.RunID)
	case errors.As(err, &existing):
		return startFurther(ctx, c, pipeline, revision)
	default:
		return started, startError(started.RunID, err)
	}
}

// startFurther finds the run that a revision had. When that was for another branch, which reaches fewer
// stages, the revision is run once more: what release/7 took to staging and main then points to is to
// reach production as well. Its version is not made again.
func startFurther(ctx context.Context, c client.Client, pipeline delivery.Pipeline, revision delivery.Revision) (webhook.Started, error) {
	found := webhook.Started{RunID: delivery.RunID(pipeline.Name, revision.SHA), Existing: true}
	described, err := c.DescribeWorkflowExecution(ctx, found.RunID, "")
	if err != nil {
		return found, startError(found.RunID, err)
	}
	run := runOf(dataOf(c), described.GetWorkflowExecutionInfo())
	before := delivery.Revision{Ref: run.Ref}
	if before.Branch() == "" || !reachesFurther(pipeline, revision.Branch(), before.Branch()) {
		return found, nil
	}
	if run.goingOn() {
		return found, delivery.Errorf(delivery.InvalidInput,
			"%s still goes on for branch %s: when it has ended, deliver the push again, or run starter deploy %s --branch %s --revision %s",
			found.RunID, before.Branch(), pipeline.Name, revision.Branch(), revision.SHA)
	}
	return startRun(ctx, c, pipeline, revision, true)
}

// reachesFurther reports whether a branch reaches a stage that another one does not.
func reachesFurther(pipeline delivery.Pipeline, branch, other string) bool {
	reached := map[string]bool{}
	for _, stage := range pipeline.StagesFor(other) {
		reached[stage.Name] = true
	}
	return slices.ContainsFunc(pipeline.StagesFor(branch), func(stage delivery.Stage) bool { return !reached[stage.Name] })
}

// startError tells what passes from what another attempt would meet again.
func startError(runID string, err error) error {
	kind := delivery.Unavailable
	var invalid *serviceerror.InvalidArgument
	var missing *serviceerror.NamespaceNotFound
	var denied *serviceerror.PermissionDenied
	switch {
	case errors.As(err, &denied):
		kind = delivery.AccessDenied
	case errors.As(err, &missing):
		return delivery.Errorf(delivery.InvalidInput, "starting %s: %w; create the namespace, or set TEMPORAL_NAMESPACE", runID, err)
	case errors.As(err, &invalid):
		return delivery.Errorf(delivery.InvalidInput, "starting %s: %w; a worker that was started once in this namespace prepares it", runID, err)
	}
	return delivery.Errorf(kind, "starting %s: %w", runID, err)
}

// summary is a run's title in Temporal's web UI.
func summary(pipeline delivery.Pipeline, revision delivery.Revision) string {
	text := fmt.Sprintf("%s: %s %s", pipeline.Name, revision.Short(), markdown(revision.Message))
	return delivery.Clip(strings.TrimSpace(text), maxSummary)
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
	return strings.NewReplacer(
		"\\", "\\\\", "`", "'", "<", "&lt;", "[", "\\[", "]", "\\]", "*", "\\*", "|", "\\|",
	).Replace(delivery.Clip(clean(text), delivery.MaxMessageLength))
}
