package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"gravity/internal/delivery"
)

// release is the part of GitHub's release payload that decides something.
type release struct {
	Action     string     `json:"action"`
	Repository repository `json:"repository"`
	Release    struct {
		ID          int64  `json:"id"`
		TagName     string `json:"tag_name"`
		Name        string `json:"name"`
		Draft       bool   `json:"draft"`
		PublishedAt moment `json:"published_at"`
		Author      user   `json:"author"`
	} `json:"release"`
}

func (e release) about() (repository, ref string) { return e.Repository.name(), e.Release.TagName }
func (e release) at() time.Time                   { return e.Release.PublishedAt.Time }

// release hands on that one was published: which commit its tag stands for, the payload does not say.
func (r *Receiver) release(ctx context.Context, e release) Answer {
	ref := "refs/tags/" + e.Release.TagName
	switch {
	case e.Action != "published" || e.Release.Draft:
		return ignored("only a release that was published is deployed")
	case e.Release.TagName == "" || !wellNamed(ref):
		return refused(http.StatusBadRequest, "the release names no tag that git allows")
	}
	pipelines, none := r.serving(e.Repository, delivery.OnRelease)
	if none != nil {
		return *none
	}
	pipelines = slices.DeleteFunc(pipelines, func(p delivery.Pipeline) bool { return len(p.Reached(ref, "")) == 0 })
	if len(pipelines) == 0 {
		return ignored(fmt.Sprintf("no stage names tag %.100q", e.Release.TagName))
	}
	return r.hand(ctx, delivery.GitHubEvent{
		ID: fmt.Sprintf("release/%d", e.Release.ID), Kind: delivery.EventRelease, Repository: e.Repository.CloneURL,
		Pipelines: pipelines, At: e.at(),
		Revision: delivery.Revision{Ref: ref, Message: delivery.FirstLine(e.Release.Name), Author: delivery.FirstLine(e.Release.Author.Login)},
	})
}

// deployment is the part of GitHub's deployment payload that decides something.
type deployment struct {
	Action     string     `json:"action"`
	Repository repository `json:"repository"`
	Deployment struct {
		ID          int64           `json:"id"`
		SHA         string          `json:"sha"`
		Ref         string          `json:"ref"`
		Environment string          `json:"environment"`
		Description string          `json:"description"`
		Payload     json.RawMessage `json:"payload"`
		CreatedAt   moment          `json:"created_at"`
		Creator     user            `json:"creator"`
	} `json:"deployment"`
}

func (e deployment) about() (repository, ref string) { return e.Repository.name(), e.Deployment.Ref }
func (e deployment) at() time.Time                   { return e.Deployment.CreatedAt.Time }

// deployment starts a run up to the stage that somebody created a deployment for at GitHub. Only who
// may write to the repository can. Those that Gravity itself creates, to tell of its own, mean nothing.
func (r *Receiver) deployment(ctx context.Context, e deployment) Answer {
	wanted := e.Deployment
	ref := "refs/heads/" + wanted.Ref
	switch {
	case e.Action != "created":
		return ignored("only a deployment that was created means something")
	case delivery.IsOwnDeployment(wanted.Payload):
		return ignored("Gravity tells of its own deployment by this")
	case !isCommit(wanted.SHA) || wanted.Ref == "" || !wellNamed(ref):
		return refused(http.StatusBadRequest, "the deployment has no full commit hash, or no ref that git allows")
	}
	pipelines, none := r.serving(e.Repository, delivery.OnDeployment)
	if none != nil {
		return *none
	}
	var starts []Start
	for _, pipeline := range pipelines {
		stage, ok := pipeline.Named(wanted.Environment)
		if !ok {
			continue
		}
		revision := delivery.Revision{
			SHA: wanted.SHA, Ref: ref, Message: delivery.FirstLine(wanted.Description), Author: delivery.FirstLine(wanted.Creator.Login),
		}
		if len(pipeline.Reached(ref, stage.Name)) == 0 {
			revision.Ref = "refs/tags/" + wanted.Ref // GitHub does not say which of the two it is
		}
		if len(pipeline.Reached(revision.Ref, stage.Name)) > 0 {
			starts = append(starts, Start{
				Pipeline: pipeline, Revision: revision, Until: stage.Name, Request: fmt.Sprintf("deployment/%d", wanted.ID),
			})
		}
	}
	if len(starts) == 0 {
		return ignored(fmt.Sprintf("no stage is called %.100q and takes %.100q: name it in the stage's branches, tags or requests", wanted.Environment, wanted.Ref))
	}
	return r.start(ctx, starts)
}
