package webhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gravity/internal/delivery"
	"gravity/internal/trigger"
)

// workflowRun is the part of GitHub's workflow_run payload that decides something.
type workflowRun struct {
	Action      string     `json:"action"`
	Repository  repository `json:"repository"`
	WorkflowRun struct {
		ID             int64       `json:"id"`
		Attempt        int64       `json:"run_attempt"`
		Name           string      `json:"name"`
		Event          string      `json:"event"`
		Conclusion     string      `json:"conclusion"`
		HeadBranch     string      `json:"head_branch"`
		HeadSHA        string      `json:"head_sha"`
		HeadCommit     *headCommit `json:"head_commit"`
		HeadRepository repository  `json:"head_repository"`
		UpdatedAt      moment      `json:"updated_at"`
	} `json:"workflow_run"`
}

func (e workflowRun) about() (repository, ref string) {
	return e.Repository.name(), e.WorkflowRun.HeadBranch
}
func (e workflowRun) at() time.Time { return e.WorkflowRun.UpdatedAt.Time }

// workflowRun looks, when a workflow of GitHub's Actions became green, whether all is green now.
func (r *Receiver) workflowRun(ctx context.Context, e workflowRun) Answer {
	run := e.WorkflowRun
	switch {
	case e.Action != "completed" || run.Conclusion != "success":
		return ignored("only a workflow that ended well can make a commit green")
	case run.HeadRepository.FullName != e.Repository.FullName:
		return ignored(fmt.Sprintf("the workflow ran for %.100q, which is a fork", run.HeadRepository.name()))
	case strings.HasPrefix(run.Event, "pull_request"):
		return ignored("the workflow ran for a pull request; what was pushed to a branch is deployed")
	}
	return r.green(ctx, e.Repository, run.HeadBranch, run.HeadSHA, run.HeadCommit, run.UpdatedAt.Time,
		fmt.Sprintf("workflow-run/%d/%d", run.ID, run.Attempt))
}

// checkSuite is the part of GitHub's check_suite payload that decides something.
type checkSuite struct {
	Action     string     `json:"action"`
	Repository repository `json:"repository"`
	CheckSuite struct {
		ID         int64       `json:"id"`
		Conclusion string      `json:"conclusion"`
		HeadBranch *string     `json:"head_branch"`
		HeadSHA    string      `json:"head_sha"`
		HeadCommit *headCommit `json:"head_commit"`
		UpdatedAt  moment      `json:"updated_at"`
	} `json:"check_suite"`
}

func (e checkSuite) about() (repository, ref string) {
	if e.CheckSuite.HeadBranch == nil {
		return e.Repository.name(), ""
	}
	return e.Repository.name(), *e.CheckSuite.HeadBranch
}
func (e checkSuite) at() time.Time { return e.CheckSuite.UpdatedAt.Time }

// checkSuite looks, when all checks of an App became green, whether all is green now.
func (r *Receiver) checkSuite(ctx context.Context, e checkSuite) Answer {
	suite := e.CheckSuite
	switch {
	case e.Action != "completed" || suite.Conclusion != "success":
		return ignored("only checks that ended well can make a commit green")
	case suite.HeadBranch == nil:
		return ignored("the checks ran for a commit of no branch here, as those of a fork do")
	}
	return r.green(ctx, e.Repository, *suite.HeadBranch, suite.HeadSHA, suite.HeadCommit, suite.UpdatedAt.Time,
		fmt.Sprintf("check-suite/%d/%d", suite.ID, suite.UpdatedAt.Unix()))
}

// green hands on that something became green at a commit. One of several checks says nothing of the
// others, so GitHub is asked before anything starts.
func (r *Receiver) green(ctx context.Context, from repository, branch, sha string, head *headCommit, at time.Time, id string) Answer {
	ref := "refs/heads/" + branch
	if branch == "" || !wellNamed(ref) || !isCommit(sha) {
		return refused(http.StatusBadRequest, "the event names no branch or no full commit hash")
	}
	pipelines, none := r.serving(from, delivery.OnChecks)
	if none != nil {
		return *none
	}
	changes := trigger.Push{}
	if head != nil && head.ID == sha {
		changes.Message = head.Message
	}
	pipelines = slices.DeleteFunc(pipelines, func(p delivery.Pipeline) bool {
		return len(p.Reached(ref, "")) == 0 || trigger.LeftOut(p, changes) != ""
	})
	if len(pipelines) == 0 {
		return ignored(fmt.Sprintf("no stage names %.100q, or the commit's message says to skip it", branch))
	}
	revision := delivery.Revision{SHA: sha, Ref: ref}
	if head != nil && head.ID == sha {
		revision.Message, revision.Author = delivery.FirstLine(head.Message), delivery.FirstLine(head.Author.Name)
	}
	return r.hand(ctx, delivery.GitHubEvent{
		ID: id, Kind: delivery.EventChecks, Repository: from.CloneURL, Pipelines: pipelines, At: at, Revision: revision,
	})
}

// checkRun is the part of GitHub's check_run payload that decides something.
type checkRun struct {
	Action     string     `json:"action"`
	Repository repository `json:"repository"`
	CheckRun   struct {
		ID          int64  `json:"id"`
		ExternalID  string `json:"external_id"`
		HeadSHA     string `json:"head_sha"`
		CompletedAt moment `json:"completed_at"`
		CheckSuite  struct {
			HeadBranch *string `json:"head_branch"`
		} `json:"check_suite"`
	} `json:"check_run"`
	Sender user `json:"sender"`
}

func (e checkRun) about() (repository, ref string) { return e.Repository.name(), e.CheckRun.ExternalID }

// at is not known: a check run can be asked for again long after it ended, and says not when.
func (e checkRun) at() time.Time { return time.Time{} }

// checkRun runs a revision once more when somebody who may, which GitHub sees to, asks for Gravity's own check again.
func (r *Receiver) checkRun(ctx context.Context, e checkRun) Answer {
	if e.Action != "rerequested" {
		return ignored("a check run starts something only when it is asked for again")
	}
	if !isCommit(e.CheckRun.HeadSHA) {
		return refused(http.StatusBadRequest, "the check run has no full commit hash")
	}
	pipelines, none := r.serving(e.Repository, "")
	if none != nil {
		return *none
	}
	for _, pipeline := range pipelines {
		if delivery.RunID(pipeline.Name, e.CheckRun.HeadSHA) != e.CheckRun.ExternalID {
			continue
		}
		revision := delivery.Revision{SHA: e.CheckRun.HeadSHA}
		if branch := e.CheckRun.CheckSuite.HeadBranch; branch != nil && wellNamed(*branch) {
			revision.Ref = "refs/heads/" + *branch
		}
		return r.start(ctx, []Start{{Pipeline: pipeline, Revision: revision, Request: fmt.Sprintf("check-run/%d", e.CheckRun.ID)}})
	}
	return ignored("the check run is none of Gravity's")
}
