package activities

import (
	"context"
	"time"

	"gravity/internal/delivery"
	"gravity/internal/github"
)

// GitHub has the steps that ask GitHub.
type GitHub struct {
	// Client is nil where a worker was given no credentials for GitHub; its steps then say so.
	Client *github.Client
	// Pause is the time between two looks at the checks of a commit. Default 20 s.
	Pause time.Duration
}

// ready is what every step asks first, since a worker may have no credentials. It is final: to try again
// would only keep somebody waiting for the sentence.
func (g *GitHub) ready() error {
	if g.Client == nil {
		return toTemporal(delivery.GaveUp(delivery.AccessDenied,
			"this worker has no credentials for GitHub: start it with --github-token-file, or with --github-app and --github-app-key-file"))
	}
	return nil
}

// IsMemberInput names a team as organization/team, and a user.
type IsMemberInput struct {
	Team  string `json:"team"`
	Login string `json:"login"`
}

// Membership says whether a user is in a team now.
type Membership struct {
	Member bool `json:"member"`
}

// IsMember asks whether a user is an active member of a team at this moment.
func (g *GitHub) IsMember(ctx context.Context, input IsMemberInput) (Membership, error) {
	if err := g.ready(); err != nil {
		return Membership{}, err
	}
	member, err := g.Client.MemberOf(ctx, input.Team, input.Login)
	return Membership{Member: member}, toTemporal(err)
}

// Checks is where the checks of a commit stand.
type Checks = github.Checks

// FoundPullRequest is a pull request as it was found.
type FoundPullRequest = github.PullRequest

// ChecksGreenInput names a commit, and the checks that have to be green; none: all of them.
type ChecksGreenInput struct {
	Repository string   `json:"repository"` // clone URL
	SHA        string   `json:"sha"`
	Names      []string `json:"names,omitempty"`
}

// ChecksGreen asks once where the checks of a commit stand: check runs and commit statuses alike.
func (g *GitHub) ChecksGreen(ctx context.Context, input ChecksGreenInput) (Checks, error) {
	if err := g.ready(); err != nil {
		return Checks{}, err
	}
	checks, err := g.Client.ChecksGreen(ctx, input.Repository, input.SHA, input.Names)
	return checks, toTemporal(err)
}

// MayWriteInput names a repository and a user.
type MayWriteInput struct {
	Repository string `json:"repository"` // clone URL
	Login      string `json:"login"`
}

// Permission says whether a user may do something.
type Permission struct {
	May bool `json:"may"`
}

// MayWrite asks whether a user may push to a repository at this moment.
func (g *GitHub) MayWrite(ctx context.Context, input MayWriteInput) (Permission, error) {
	if err := g.ready(); err != nil {
		return Permission{}, err
	}
	may, err := g.Client.MayWrite(ctx, input.Repository, input.Login)
	return Permission{May: may}, toTemporal(err)
}

// PullRequestInput names a pull request.
type PullRequestInput struct {
	Repository string `json:"repository"` // clone URL
	Number     int    `json:"number"`
}

// PullRequest asks for a pull request as it is now.
func (g *GitHub) PullRequest(ctx context.Context, input PullRequestInput) (FoundPullRequest, error) {
	if err := g.ready(); err != nil {
		return FoundPullRequest{}, err
	}
	found, err := g.Client.PullRequest(ctx, input.Repository, input.Number)
	return found, toTemporal(err)
}

// ResolveInput names a ref in full, such as refs/tags/v1.
type ResolveInput struct {
	Repository string `json:"repository"` // clone URL
	Ref        string `json:"ref"`
}

// Resolved is the commit that a ref stands for.
type Resolved struct {
	SHA string `json:"sha"`
}

// Resolve finds the commit that a ref stands for.
func (g *GitHub) Resolve(ctx context.Context, input ResolveInput) (Resolved, error) {
	if err := g.ready(); err != nil {
		return Resolved{}, err
	}
	sha, err := g.Client.Resolve(ctx, input.Repository, input.Ref)
	return Resolved{SHA: sha}, toTemporal(err)
}

// ReplyInput is the answer to a command in a comment.
type ReplyInput struct {
	Repository string `json:"repository"` // clone URL
	Number     int    `json:"number"`     // of the issue or pull request
	Comment    int64  `json:"comment"`
	Done       bool   `json:"done"`
	Text       string `json:"text,omitempty"` // Markdown; without it there is a reaction alone
}

// Reply answers a command where it was given. Answering twice changes nothing.
func (g *GitHub) Reply(ctx context.Context, input ReplyInput) error {
	if err := g.ready(); err != nil {
		return err
	}
	return toTemporal(g.Client.Reply(ctx, input.Repository, input.Number, input.Comment, input.Done, input.Text))
}
