package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"gravity/internal/delivery"
	"gravity/internal/trigger"
)

// push is the part of GitHub's push payload that decides something.
type push struct {
	Ref        string       `json:"ref"`
	After      string       `json:"after"`
	Created    bool         `json:"created"`
	Deleted    bool         `json:"deleted"`
	Forced     bool         `json:"forced"`
	Repository repository   `json:"repository"`
	HeadCommit *headCommit  `json:"head_commit"`
	Commits    []pathChange `json:"commits"`
	Sender     user         `json:"sender"`
}

type headCommit struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	Author  struct {
		Name     string `json:"name"`
		Email    string `json:"email"`
		Username string `json:"username"`
	} `json:"author"`
}

type pathChange struct {
	Added    []string `json:"added"`
	Removed  []string `json:"removed"`
	Modified []string `json:"modified"`
}

// maxCommits is how many commits GitHub lists with a push.
const maxCommits = 2048

func (p push) about() (repository, ref string) { return p.Repository.name(), p.Ref }
func (p push) at() time.Time                   { return p.Repository.PushedAt.Time }

// push starts the runs of a push.
func (r *Receiver) push(ctx context.Context, push push) Answer {
	revision := delivery.Revision{Ref: push.Ref}
	switch {
	case push.Ref == "":
		return refused(http.StatusBadRequest, "the push names no ref")
	case revision.Branch() == "" && revision.Tag() == "":
		return ignored(fmt.Sprintf("%.100q is neither a branch nor a tag", push.Ref))
	case push.Deleted:
		return ignored(fmt.Sprintf("%.100q was deleted", revision.RefName()))
	}
	revision, err := push.revision()
	if err != nil {
		return refused(http.StatusBadRequest, err.Error())
	}
	pipelines, none := r.serving(push.Repository, delivery.OnPush)
	if none != nil {
		return *none
	}
	pipelines, reason := push.wanted(pipelines)
	if len(pipelines) == 0 {
		return ignored(reason)
	}
	var starts []Start
	for _, pipeline := range pipelines {
		starts = append(starts, Start{Pipeline: pipeline, Revision: revision})
	}
	return r.start(ctx, starts)
}

// wanted leaves out the pipelines that the push does not reach, and says why when none is left.
func (p push) wanted(pipelines []delivery.Pipeline) (wanted []delivery.Pipeline, reason string) {
	changes := p.changes()
	var reasons []string
	for _, pipeline := range pipelines {
		reason := trigger.LeftOut(pipeline, changes)
		if len(pipeline.Reached(p.Ref, "")) == 0 {
			reason = fmt.Sprintf("no stage names %.100q", delivery.Revision{Ref: p.Ref}.RefName())
		}
		if reason == "" {
			wanted = append(wanted, pipeline)
		} else {
			reasons = append(reasons, fmt.Sprintf("pipeline %s: %s", pipeline.Name, reason))
		}
	}
	return wanted, delivery.Clip(strings.Join(reasons, "; "), 1000)
}

// changes is what the rules of triggers look at. A ref that is new or was forced has no list of
// commits that says what changes for the stage, so no rule about paths leaves it out.
func (p push) changes() trigger.Push {
	changes := trigger.Push{Bot: p.Sender.bot(), Complete: !p.Created && !p.Forced && len(p.Commits) < maxCommits}
	if p.HeadCommit != nil {
		changes.Message = p.HeadCommit.Message
	}
	for _, commit := range p.Commits {
		for _, paths := range [][]string{commit.Added, commit.Removed, commit.Modified} {
			changes.Paths = append(changes.Paths, paths...)
		}
	}
	return changes
}

// revision checks and reads the pushed commit. The commit's time stays zero: it is part of the
// version label, so it comes from the repository itself, by the checkout.
func (p push) revision() (delivery.Revision, error) {
	if !wellNamed(p.Ref) {
		return delivery.Revision{}, errors.New("the pushed ref is no name that git allows")
	}
	// An annotated tag is an object of its own, and "after" is that; what is deployed is its commit.
	if (delivery.Revision{Ref: p.Ref}).Tag() != "" && p.HeadCommit != nil {
		p.After = p.HeadCommit.ID
	}
	if !isCommit(p.After) {
		return delivery.Revision{}, errors.New(`the push has no full commit hash in "after"`)
	}
	revision := delivery.Revision{SHA: p.After, Ref: p.Ref, People: delivery.People(p.Sender.Login)}
	if p.HeadCommit == nil {
		return revision, nil
	}
	if p.HeadCommit.ID != p.After {
		return delivery.Revision{}, errors.New(`the push's "head_commit" is not its "after"`)
	}
	revision.Message = delivery.FirstLine(p.HeadCommit.Message)
	author := p.HeadCommit.Author
	revision.Author = delivery.FirstLine(author.Name)
	revision.People = delivery.People(p.Sender.Login, author.Username, author.Email)
	return revision, nil
}

func wellNamed(ref string) bool {
	return len(ref) <= 1024 && !strings.ContainsFunc(ref, unicode.IsControl) && !strings.Contains(ref, "..")
}
