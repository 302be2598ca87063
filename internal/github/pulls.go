package github

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"gravity/internal/delivery"
)

// PullRequest is what of a pull request decides what a command under it means.
type PullRequest struct {
	Number  int    `json:"number"`
	HeadSHA string `json:"headSha"`
	HeadRef string `json:"headRef"` // a branch's name
	BaseRef string `json:"baseRef"`
	// Fork is true when the head is in another repository, or in one that was deleted.
	Fork   bool `json:"fork,omitempty"`
	Open   bool `json:"open,omitempty"`
	Merged bool `json:"merged,omitempty"`
	// MergeSHA is the commit on BaseRef that a merged one became.
	MergeSHA string `json:"mergeSha,omitempty"`
}

// PullRequest asks for a pull request as it is now.
func (c *Client) PullRequest(ctx context.Context, cloneURL string, number int) (PullRequest, error) {
	api, r, err := c.open(ctx, cloneURL)
	if err != nil {
		return PullRequest{}, err
	}
	found, _, err := api.PullRequests.Get(ctx, r.owner, r.name, number)
	if err != nil {
		return PullRequest{}, classify(err, "look at pull request %d of %s", number, r)
	}
	return PullRequest{
		Number: number, HeadSHA: found.GetHead().GetSHA(), HeadRef: found.GetHead().GetRef(), BaseRef: found.GetBase().GetRef(),
		Fork: !strings.EqualFold(found.GetHead().GetRepo().GetFullName(), r.String()),
		Open: found.GetState() == "open", Merged: found.GetMerged(), MergeSHA: found.GetMergeCommitSHA(),
	}, nil
}

// Resolve finds the commit that a full ref, such as refs/tags/v1, stands for.
func (c *Client) Resolve(ctx context.Context, cloneURL, ref string) (sha string, err error) {
	api, r, err := c.open(ctx, cloneURL)
	if err != nil {
		return "", err
	}
	found, _, err := api.Git.GetRef(ctx, r.owner, r.name, ref)
	if err != nil {
		return "", classify(err, "look for %s of %s", ref, r)
	}
	object := found.GetObject()
	// An annotated tag is an object of its own, and may stand for another one.
	for range 5 {
		if object.GetType() != "tag" {
			break
		}
		tag, _, err := api.Git.GetTag(ctx, r.owner, r.name, object.GetSHA())
		if err != nil {
			return "", classify(err, "look at tag %s of %s", ref, r)
		}
		object = tag.GetObject()
	}
	if object.GetType() != "commit" {
		return "", delivery.Errorf(delivery.RevisionNotFound, "%s of %s stands for a %s, which is no commit", ref, r, object.GetType())
	}
	return object.GetSHA(), nil
}

// Reply answers a command: with a reaction at the comment, and with a comment where there is something to
// say. Answering twice changes nothing.
func (c *Client) Reply(ctx context.Context, cloneURL string, number int, comment int64, done bool, text string) error {
	api, r, err := c.open(ctx, cloneURL)
	if err != nil {
		return err
	}
	reaction := "+1"
	if !done {
		reaction = "-1"
	}
	if _, _, err := api.Reactions.CreateIssueCommentReaction(ctx, r.owner, r.name, comment, reaction); err != nil {
		return classify(err, "react to a comment of %s", r)
	}
	if text == "" {
		return nil
	}
	marker := fmt.Sprintf("<!-- gravity: reply to %d -->", comment)
	found, err := findComment(ctx, api, r, number, marker)
	if err != nil || found != nil {
		return classify(err, "look through the comments of %s#%d", r, number)
	}
	_, _, err = api.Issues.CreateComment(ctx, r.owner, r.name, number, &github.IssueComment{Body: github.String(marker + "\n" + text)})
	return classify(err, "comment on %s#%d", r, number)
}

// recent is how far back a comment of Gravity's own is looked for.
const recent = 90 * 24 * time.Hour

// findComment looks for the comment that holds a marker.
func findComment(ctx context.Context, api *github.Client, r repository, number int, marker string) (*github.IssueComment, error) {
	since := time.Now().Add(-recent).UTC()
	options := &github.IssueListCommentsOptions{Since: &since, ListOptions: github.ListOptions{PerPage: 100}}
	for {
		page, response, err := api.Issues.ListComments(ctx, r.owner, r.name, number, options)
		if err != nil {
			return nil, err
		}
		for _, comment := range page {
			if strings.Contains(comment.GetBody(), marker) && isOwn(comment) {
				return comment, nil
			}
		}
		if options.Page = response.NextPage; options.Page == 0 {
			return nil, nil
		}
	}
}

// isOwn leaves out the comments of people who quote one of Gravity's: they begin with something else.
func isOwn(comment *github.IssueComment) bool {
	return strings.HasPrefix(comment.GetBody(), "<!-- gravity:")
}
