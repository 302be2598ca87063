package github

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"

	"gravity/internal/delivery"
	"gravity/internal/trigger"
)

// Head is a branch and the commit that it points to.
type Head struct {
	Branch string `json:"branch"`
	SHA    string `json:"sha"`
}

// Heads are the branches of a repository, in the order of their names.
type Heads struct {
	// Unchanged is true where nothing changed since the tags were given; Heads is empty then.
	Unchanged bool   `json:"unchanged,omitempty"`
	Heads     []Head `json:"heads,omitempty"`
	// Tags make the next question one that costs nothing of the rate limit when nothing changed.
	Tags []string `json:"tags,omitempty"`
}

const (
	branchesPerPage = 100
	// maxBranchPages bounds what is listed: a repository of 10,000 branches has other troubles.
	maxBranchPages = 100
)

// Heads lists the branches. Tags are those of the last answer, one a page: when every page still has its
// own, nothing changed, and GitHub counts none of the requests.
func (c *Client) Heads(ctx context.Context, cloneURL string, tags []string) (Heads, error) {
	var found Heads
	err := c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		if len(tags) > 0 {
			unchanged, err := branchesUnchanged(ctx, api, r, tags)
			if err != nil || unchanged {
				found = Heads{Unchanged: unchanged, Tags: tags}
				return classify(err, "list the branches of %s", r)
			}
		}
		for page := 1; page <= maxBranchPages; page++ {
			branches, tag, _, err := branchPage(ctx, api, r, page, "")
			if err != nil {
				return classify(err, "list the branches of %s", r)
			}
			found.Tags = append(found.Tags, tag)
			for _, branch := range branches {
				found.Heads = append(found.Heads, Head{branch.GetName(), branch.GetCommit().GetSHA()})
			}
			// The page after a full one is asked for although it may be empty: a new branch would be there.
			if len(branches) < branchesPerPage {
				break
			}
		}
		slices.SortFunc(found.Heads, func(a, b Head) int { return cmp.Compare(a.Branch, b.Branch) })
		return nil
	})
	return found, err
}

func branchesUnchanged(ctx context.Context, api *github.Client, r repository, tags []string) (bool, error) {
	for i, tag := range tags {
		_, _, same, err := branchPage(ctx, api, r, i+1, tag)
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func branchPage(ctx context.Context, api *github.Client, r repository, page int, tag string) (branches []*github.Branch, newTag string, same bool, err error) {
	request, err := api.NewRequest(http.MethodGet, fmt.Sprintf("repos/%s/%s/branches?per_page=%d&page=%d", r.owner, r.name, branchesPerPage, page), nil)
	if err != nil {
		return nil, "", false, err
	}
	if tag != "" {
		request.Header.Set("If-None-Match", tag)
	}
	response, err := api.Do(ctx, request, &branches)
	if answered(err, http.StatusNotModified) {
		return nil, tag, true, nil
	}
	if err != nil {
		return nil, "", false, err
	}
	return branches, response.Header.Get("ETag"), false, nil
}

// Pushed is what a webhook would have said of a push.
type Pushed struct {
	Revision delivery.Revision
	Changes  trigger.Push
}

// maxComparedFiles is how many changed files GitHub lists.
const maxComparedFiles = 300

// Pushed finds out about a push whose webhook never came: from before, empty for a new branch, to after.
func (c *Client) Pushed(ctx context.Context, cloneURL, branch, before, after string) (Pushed, error) {
	pushed := Pushed{Revision: delivery.Revision{SHA: after, Ref: "refs/heads/" + branch}}
	err := c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		head, _, err := api.Repositories.GetCommit(ctx, r.owner, r.name, after, &github.ListOptions{PerPage: 1})
		if err != nil {
			return classify(err, "look at %s of %s", after, r)
		}
		pushed.Changes.Message = head.GetCommit().GetMessage()
		pushed.Changes.Bot = head.GetAuthor().GetType() == "Bot" || strings.HasSuffix(head.GetAuthor().GetLogin(), "[bot]")
		pushed.Revision.Message = delivery.FirstLine(pushed.Changes.Message)
		pushed.Revision.Author = delivery.FirstLine(head.GetCommit().GetAuthor().GetName())
		if before == "" {
			return nil // a new branch; no rule about paths leaves it out
		}
		compared, _, err := api.Repositories.CompareCommits(ctx, r.owner, r.name, before, after, &github.ListOptions{PerPage: 100})
		if missing(err) {
			return nil // the old commit is gone
		}
		if err != nil {
			return classify(err, "compare %s with %s of %s", before, after, r)
		}
		for _, file := range compared.Files {
			pushed.Changes.Paths = append(pushed.Changes.Paths, file.GetFilename())
			if file.GetPreviousFilename() != "" {
				pushed.Changes.Paths = append(pushed.Changes.Paths, file.GetPreviousFilename())
			}
		}
		pushed.Changes.Complete = compared.GetStatus() == "ahead" && len(compared.Files) < maxComparedFiles
		return nil
	})
	return pushed, err
}
