package activities

import (
	"context"

	"gravity/internal/delivery"
	"gravity/internal/github"
	"gravity/internal/trigger"
)

// Head is a branch and the commit that it points to.
type Head = github.Head

// Heads are the branches of a repository.
type Heads = github.Heads

// HeadsInput names a repository, and the tags of the last answer.
type HeadsInput struct {
	Repository string   `json:"repository"` // clone URL
	Tags       []string `json:"tags,omitempty"`
}

// Heads lists the branches of a repository; where nothing changed that costs nothing of the rate limit.
func (g *GitHub) Heads(ctx context.Context, input HeadsInput) (Heads, error) {
	if err := g.ready(); err != nil {
		return Heads{}, err
	}
	heads, err := g.Client.Heads(ctx, input.Repository, input.Tags)
	return heads, toTemporal(err)
}

// LookAtPushInput is a push that no webhook told of.
type LookAtPushInput struct {
	Repository string              `json:"repository"` // clone URL
	Branch     string              `json:"branch"`
	Before     string              `json:"before,omitempty"` // empty for a new branch
	After      string              `json:"after"`
	Pipelines  []delivery.Pipeline `json:"pipelines"`
}

// SeenPush is what a webhook would have said, judged by the rules of the pipelines' triggers.
type SeenPush struct {
	Revision delivery.Revision `json:"revision"`
	// LeftOut says, for each pipeline in turn, why the push starts no run of it; "" where it does.
	LeftOut []string `json:"leftOut"`
}

// LookAtPush finds out about a push, and which pipelines leave it out.
func (g *GitHub) LookAtPush(ctx context.Context, input LookAtPushInput) (SeenPush, error) {
	if err := g.ready(); err != nil {
		return SeenPush{}, err
	}
	pushed, err := g.Client.Pushed(ctx, input.Repository, input.Branch, input.Before, input.After)
	if err != nil {
		return SeenPush{}, toTemporal(err)
	}
	seen := SeenPush{Revision: pushed.Revision}
	for _, pipeline := range input.Pipelines {
		seen.LeftOut = append(seen.LeftOut, trigger.LeftOut(pipeline, pushed.Changes))
	}
	return seen, nil
}
