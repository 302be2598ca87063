package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// command carries out what a comment asks for, if its author may, and answers under it.
func (h *happening) command(ctx workflow.Context) (EventResult, error) {
	err := h.obey(ctx)
	if kind := typeOf(err); err != nil && !kind.Retryable() && kind != "" {
		h.say("%s", sentence(err))
		err = nil
	}
	if err != nil {
		h.say("it could not be found out whether this may be done")
	}
	var gitHub *activities.GitHub
	comment := h.event.Command
	// That the answer is late, or lost, changes nothing of what was done.
	answered := workflow.ExecuteActivity(gitHubOptions(ctx, "answer"), gitHub.Reply, activities.ReplyInput{
		Repository: h.event.Repository, Number: comment.Number, Comment: comment.ID, Done: h.result.Done, Text: h.reply(),
	}).Get(ctx, nil)
	if answered != nil {
		workflow.GetLogger(ctx).Warn("could not answer a command", "error", answered)
	}
	return h.result, err
}

// reply is the answer in Markdown; what was simply done needs no words.
func (h *happening) reply() string {
	if h.result.Text == "" {
		return ""
	}
	if h.result.Done {
		return plain(h.result.Text) + "."
	}
	return "Not done: " + plain(h.result.Text) + "."
}

func (h *happening) obey(ctx workflow.Context) error {
	comment := h.event.Command
	var gitHub *activities.GitHub
	var permission activities.Permission
	err := workflow.ExecuteActivity(asking(ctx, "may "+comment.Login+"?"), gitHub.MayWrite, activities.MayWriteInput{
		Repository: h.event.Repository, Login: comment.Login,
	}).Get(ctx, &permission)
	if err != nil {
		return err
	}
	if !permission.May {
		return delivery.Errorf(delivery.Rejected, "%s may not write to this repository, and so may not command its deployments", comment.Login)
	}
	if comment.Verb == "rollback" {
		return h.rollback(ctx)
	}
	if !comment.PullRequest {
		return delivery.Errorf(delivery.InvalidInput, "/%s is said under a pull request, whose commit it is about", comment.Verb)
	}
	var pull activities.FoundPullRequest
	err = workflow.ExecuteActivity(asking(ctx, "look at the pull request"), gitHub.PullRequest, activities.PullRequestInput{
		Repository: h.event.Repository, Number: comment.Number,
	}).Get(ctx, &pull)
	if err != nil {
		return err
	}
	switch comment.Verb {
	case "deploy":
		return h.deploy(ctx, pull)
	case "approve":
		return h.eachRun(ctx, pull, "approved", h.approve)
	case "abort":
		return h.eachRun(ctx, pull, "aborting", h.abort)
	default:
		return delivery.Errorf(delivery.InvalidInput, "there is no command /%s", comment.Verb)
	}
}

// deploy takes the pull request's commit, or what it became by merging, up to the stage that was named.
func (h *happening) deploy(ctx workflow.Context, pull activities.FoundPullRequest) error {
	comment := h.event.Command
	revision := delivery.Revision{SHA: pull.HeadSHA, Ref: "refs/heads/" + pull.HeadRef}
	switch {
	case pull.Merged:
		revision = delivery.Revision{SHA: pull.MergeSHA, Ref: "refs/heads/" + pull.BaseRef}
	case pull.Fork:
		return delivery.Errorf(delivery.Rejected, "the pull request comes from a fork, whose code is never deployed")
	case !pull.Open:
		return delivery.Errorf(delivery.InvalidInput, "the pull request was closed without being merged")
	}
	known := false
	for _, pipeline := range h.event.Pipelines {
		stage, ok := pipeline.Named(comment.Target)
		if !ok {
			continue
		}
		known = true
		if len(pipeline.Reached(revision.Ref, stage.Name)) == 0 {
			h.say("%s: stage %s takes no branch %s; its branches and requests in gravity.yaml say which it takes",
				pipeline.Name, stage.Name, revision.RefName())
			continue
		}
		if err := h.start(ctx, pipeline, revision, stage.Name, h.event.ID); err != nil {
			return err
		}
	}
	if !known {
		return delivery.Errorf(delivery.InvalidInput, "no pipeline of this repository has a stage %s", comment.Target)
	}
	return nil
}

// eachRun does something to the runs that go on of what the pull request is about.
func (h *happening) eachRun(ctx workflow.Context, pull activities.FoundPullRequest, doing string, do func(workflow.Context, string) error) error {
	revisions := []string{pull.HeadSHA}
	if pull.Merged {
		revisions = []string{pull.MergeSHA, pull.HeadSHA}
	}
	var refusals []string
	for _, pipeline := range h.event.Pipelines {
		for _, sha := range revisions {
			runID := delivery.RunID(pipeline.Name, sha)
			err := do(ctx, runID)
			switch kind := typeOf(err); {
			case err == nil:
				h.result.Done, h.result.Runs = true, append(h.result.Runs, runID)
				h.say("%s %s", doing, runID)
			case kind.Retryable() || kind == "":
				return err
			default:
				refusals = append(refusals, runID+": "+sentence(err))
			}
		}
	}
	if !h.result.Done {
		return delivery.Errorf(delivery.InvalidInput, "%s", strings.Join(refusals, "; "))
	}
	return nil
}

func (h *happening) answer() Answer {
	return Answer{By: h.event.Command.Login, Reason: clip(h.event.Command.Text)}
}

func (h *happening) approve(ctx workflow.Context, runID string) error {
	var runs *activities.Runs
	return workflow.ExecuteActivity(commandRequestOptions(ctx, "approve "+runID), runs.TellRun, activities.TellRunInput{
		RunID: runID, Update: ApproveUpdate, UpdateID: h.event.ID, Argument: h.answer(),
	}).Get(ctx, nil)
}

func (h *happening) abort(ctx workflow.Context, runID string) error {
	if err := workflow.SignalExternalWorkflow(ctx, runID, "", AbortSignal, h.answer()).Get(ctx, nil); err != nil {
		return delivery.Errorf(delivery.InvalidInput, "it is not going on")
	}
	return nil
}

// rollback asks the queue of an environment for its earlier version.
func (h *happening) rollback(ctx workflow.Context) error {
	comment := h.event.Command
	for _, pipeline := range h.event.Pipelines {
		stage, ok := pipeline.Named(comment.Target)
		if !ok {
			continue
		}
		var runs *activities.Runs
		var status *EnvironmentStatus
		id := delivery.EnvironmentID(pipeline.Application, stage.Environment)
		err := workflow.ExecuteActivity(commandRequestOptions(ctx, "look at "+stage.Environment), runs.Status, activities.StatusInput{
			WorkflowID: id, Query: StatusQuery,
		}).Get(ctx, &status)
		if err != nil {
			return err
		}
		if status == nil {
			return delivery.Errorf(delivery.InvalidInput, "nothing was ever deployed to %s", stage.Environment)
		}
		// Whether it still exists is looked at by the deployment, before anything is changed.
		version, err := RollbackTarget(*status, func(string) bool { return true })
		if err != nil {
			return err
		}
		version.Application = pipeline.Application
		return h.askRollback(ctx, pipeline, stage, version)
	}
	return delivery.Errorf(delivery.InvalidInput, "no pipeline of this repository has a stage or environment %s", comment.Target)
}

func (h *happening) askRollback(ctx workflow.Context, pipeline delivery.Pipeline, stage delivery.Stage, version delivery.Version) error {
	// Whoever rolls back has looked at the environment, so that somebody deployed there by hand is no reason to stop.
	stage.Drift = delivery.DriftOverwrite
	request := delivery.Request{
		ID: RollbackPrefix + h.event.ID, Pipeline: pipeline.Name, Stage: stage, Version: version, Rollback: true,
		By: h.event.Command.Login, Reason: clip(h.event.Command.Text),
	}
	var environments *activities.Environments
	var receipt Receipt
	err := workflow.ExecuteActivity(commandRequestOptions(ctx, "roll back "+stage.Environment), environments.Ask, activities.AskInput{
		Workflow: EnvironmentWorkflow, TaskQueue: Queue,
		WorkflowID: delivery.EnvironmentID(pipeline.Application, stage.Environment),
		Start:      EnvironmentInput{Application: pipeline.Application, Environment: stage.Environment},
		Update:     DeployUpdate, UpdateID: request.ID, Argument: request,
	}).Get(ctx, &receipt)
	if err != nil {
		return err
	}
	h.result.Done = true
	h.say("%s goes back to %s", stage.Environment, version.Label)
	if receipt.Frozen != "" {
		h.say("but it is frozen: %s", receipt.Frozen)
	}
	return nil
}

// commandRequestOptions is requestOptions for somebody who waits.
func commandRequestOptions(ctx workflow.Context, summary string) workflow.Context {
	options := workflow.GetActivityOptions(requestOptions(ctx, summary))
	options.ScheduleToCloseTimeout = eventPatience
	return workflow.WithActivityOptions(ctx, options)
}
