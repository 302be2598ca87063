package activities

import (
	"context"

	"gravity/internal/delivery"
	"gravity/internal/github"
)

// GitHub has the steps that ask GitHub.
type GitHub struct {
	// Client is nil where a worker was given no credentials for GitHub; its steps then say so.
	Client *github.Client
}

// ready is what every step asks first, since a worker may have no credentials. It is retried: another worker of the
// fleet may have them, and this one may be given them.
func (g *GitHub) ready() error {
	if g.Client == nil {
		return toTemporal(delivery.Errorf(delivery.AccessDenied,
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

// ChecksGreenInput names a commit, and the checks that have to be green; none: all of them.
type ChecksGreenInput struct {
	Repository string   `json:"repository"` // clone URL
	SHA        string   `json:"sha"`
	Names      []string `json:"names,omitempty"`
}

// ChecksGreen asks once where the checks of a commit stand: check runs and commit statuses alike.
func (g *GitHub) ChecksGreen(ctx context.Context, input ChecksGreenInput) (github.Checks, error) {
	if err := g.ready(); err != nil {
		return github.Checks{}, err
	}
	checks, err := g.Client.ChecksGreen(ctx, input.Repository, input.SHA, input.Names)
	return checks, toTemporal(err)
}
