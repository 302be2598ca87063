package notice

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gravity/internal/delivery"
	"gravity/internal/github"
)

// GitHub tells at the commit: a status for the build and for each stage, deployments, a check with the
// reasons of a failure, and one comment on the pull request.
type GitHub struct{ Client *github.Client }

// part is one of the things that GitHub is told.
type part struct {
	name string
	tell func(*GitHub, context.Context, Message, Memory) error
}

var parts = []part{
	{"statuses", (*GitHub).statuses},
	{"deployments", (*GitHub).deployments},
	{"check", (*GitHub).check},
	{"comment", (*GitHub).comment},
}

// Tell implements Receiver. The parts do not depend on each other: what the credentials do not allow is
// left out from then on, and what fails otherwise is tried again with the next attempt. Where GitHub
// asks to wait, the others wait as well.
func (g *GitHub) Tell(ctx context.Context, m Message, memory Memory) error {
	forgetOthers(memory, m.Execution)
	var failures []error
	for _, part := range parts {
		off := "off/" + part.name
		if memory[off] != "" {
			continue
		}
		err := part.tell(g, ctx, m, memory)
		if _, wait := retryAfter(err); wait {
			return errors.Join(append([]error{err}, failures...)...)
		}
		switch kind := delivery.TypeOf(err); {
		case err == nil:
		case kind == delivery.AccessDenied || kind == delivery.InvalidInput:
			memory[off] = delivery.Clip(err.Error(), 300) // the reason stays where an operator finds it
		default:
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// forgetOthers drops what belongs to an earlier passage of the same revision, and tries again what was not allowed then.
func forgetOthers(memory Memory, execution string) {
	if memory["execution"] == execution {
		return
	}
	maps.DeleteFunc(memory, func(key, _ string) bool { return !strings.HasPrefix(key, "comment/") })
	memory["execution"] = execution
}

// statuses sets those commit statuses that changed.
func (g *GitHub) statuses(ctx context.Context, m Message, memory Memory) error {
	if err := g.status(ctx, m, memory, "build", delivery.NoticeStage{Stage: "build", State: m.Build, Detail: m.buildDetail()}); err != nil {
		return err
	}
	for _, stage := range m.Stages {
		if err := g.status(ctx, m, memory, stage.Stage, stage); err != nil {
			return err
		}
	}
	return nil
}

func (g *GitHub) status(ctx context.Context, m Message, memory Memory, name string, stage delivery.NoticeStage) error {
	status := github.Status{
		Context: github.CheckNamePrefix + m.Pipeline + "/" + name, State: statusState(m.Notice, stage.State),
		Description: strings.TrimSpace(state(m.Notice, stage) + ": " + detail(m.Notice, stage)), URL: m.URL,
	}
	said := status.State + " " + status.Description
	if memory.told("status/"+name, said) {
		return nil
	}
	if err := g.Client.SetStatus(ctx, m.Repository, m.Revision.SHA, status); err != nil {
		return err
	}
	memory["status/"+name] = said
	return nil
}

// buildDetail is what of the run's own detail is about its build.
func (m Message) buildDetail() string {
	switch {
	case m.Version != "":
		return m.Version
	case m.Build == delivery.NoticeBuilding || m.Ended:
		return m.Detail
	default:
		return ""
	}
}

func statusState(n delivery.Notice, state string) string {
	switch state {
	case delivery.NoticeSucceeded:
		return "success"
	case delivery.NoticeFailed, delivery.NoticeAttention:
		return "failure"
	case delivery.NoticePending, delivery.NoticeBuilding, delivery.NoticeWaiting, delivery.NoticeDeploying:
		if n.Ended {
			return "error" // it was never reached
		}
		return "pending"
	default: // rejected, aborted, superseded
		return "error"
	}
}

// deployments tells of each stage that was reached.
func (g *GitHub) deployments(ctx context.Context, m Message, memory Memory) error {
	for i, stage := range m.Stages {
		state := deploymentState(stage.State)
		if state == "" {
			continue
		}
		status := github.DeploymentStatus{State: state, Description: stage.Detail, LogURL: m.URL, EnvironmentURL: stage.URL}
		said := fmt.Sprintf("%s %s %s", status.State, status.Description, status.EnvironmentURL)
		if memory.told("told/"+stage.Stage, said) {
			continue
		}
		id, err := g.deployment(ctx, m, memory, stage, i == len(m.Stages)-1)
		if err != nil {
			return err
		}
		if err := g.Client.SetDeploymentStatus(ctx, m.Repository, id, status); err != nil {
			return err
		}
		memory["told/"+stage.Stage] = said
	}
	return nil
}

func (g *GitHub) deployment(ctx context.Context, m Message, memory Memory, stage delivery.NoticeStage, last bool) (int64, error) {
	key := "deployment/" + stage.Stage
	if id, err := strconv.ParseInt(memory[key], 10, 64); err == nil {
		return id, nil
	}
	id, err := g.Client.EnsureDeployment(ctx, m.Repository, github.Deployment{
		Passage: m.RunID + " " + m.Execution, SHA: m.Revision.SHA, Environment: stage.Environment,
		Description: m.Pipeline + " " + m.Version, Production: last,
	})
	if err == nil {
		memory[key] = strconv.FormatInt(id, 10)
	}
	return id, err
}

// deploymentState is GitHub's word for a stage's state; "" for a stage that nothing was done to.
func deploymentState(state string) string {
	switch state {
	case delivery.NoticePending, delivery.NoticeBuilding:
		return ""
	case delivery.NoticeWaiting:
		return "queued"
	case delivery.NoticeDeploying:
		return "in_progress"
	case delivery.NoticeSucceeded:
		return "success"
	case delivery.NoticeFailed, delivery.NoticeAttention:
		return "failure"
	default: // rejected, aborted, superseded
		return "error"
	}
}

// check keeps one check current; GitHub takes checks from Apps alone.
func (g *GitHub) check(ctx context.Context, m Message, memory Memory) error {
	if !g.Client.IsApp() {
		return nil
	}
	run := github.CheckRun{
		Name: github.CheckNamePrefix + m.Pipeline, SHA: m.Revision.SHA, RunID: m.RunID, Passage: m.Execution,
		URL: m.URL, StartedAt: m.StartedAt, Title: title(m.Notice), Summary: summary(m),
	}
	if m.Ended {
		run.CompletedAt, run.Conclusion, run.Annotations = m.At, conclusion(m.State), annotations(m.Notice)
		run.Summary += evidence(m.Notice)
	}
	if memory.told("check", run.Title+run.Summary) {
		return nil
	}
	id, _ := strconv.ParseInt(memory["check/id"], 10, 64)
	id, err := g.Client.SetCheckRun(ctx, m.Repository, id, run)
	if err != nil {
		return err
	}
	memory["check/id"], memory["check"] = strconv.FormatInt(id, 10), run.Title+run.Summary
	return nil
}

func conclusion(state string) string {
	switch state {
	case delivery.NoticeSucceeded:
		return "success"
	case delivery.NoticeFailed:
		return "failure"
	case delivery.NoticeAttention:
		return "action_required"
	default: // rejected, aborted, superseded
		return "cancelled"
	}
}

// comment keeps one comment current on each pull request that the commit belongs to. A pull request may be
// opened after the run began, so they are looked for until the run has ended.
func (g *GitHub) comment(ctx context.Context, m Message, memory Memory) error {
	body := summary(m)
	if memory.told("body", body) {
		return nil
	}
	numbers, err := g.Client.PullRequestsOf(ctx, m.Repository, m.Revision.SHA)
	if err != nil {
		return err
	}
	for _, number := range slices.Compact(numbers) {
		key := fmt.Sprintf("comment/%d", number)
		id, _ := strconv.ParseInt(memory[key], 10, 64)
		id, err := g.Client.KeepComment(ctx, m.Repository, number, id, github.Kept{Name: "state of " + m.Pipeline, Since: m.StartedAt, Body: body})
		if err != nil {
			return err
		}
		memory[key] = strconv.FormatInt(id, 10)
	}
	memory["body"] = body
	return nil
}
