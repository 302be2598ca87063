package github

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"gravity/internal/delivery"
)

var loginForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,99}(\[bot\])?$`)

// MemberOf reports whether a user is an active member of a team now. The team is written as
// organization/team, by its slug. Members of teams inside it count, as they do for GitHub.
func (c *Client) MemberOf(ctx context.Context, team, login string) (bool, error) {
	organization, slug, both := strings.Cut(team, "/")
	if !both || !nameForm.MatchString(organization) || !nameForm.MatchString(slug) {
		return false, delivery.Errorf(delivery.InvalidInput, "%q is no team; write it as organization/team", delivery.Clip(team, 100))
	}
	if !loginForm.MatchString(login) {
		return false, nil // no such user can be a member
	}
	api, err := c.api(ctx, organization, "")
	if err != nil {
		return false, err
	}
	membership, _, err := api.Teams.GetTeamMembershipBySlug(ctx, organization, slug, login)
	if missing(err) {
		// Not a member and no such team look alike. Which of them it is decides whether anybody ever can approve.
		if _, _, err := api.Teams.GetTeamBySlug(ctx, organization, slug); err != nil {
			return false, classify(err, "look for team %s", team)
		}
		return false, nil
	}
	if err != nil {
		return false, classify(err, "ask whether %s is in team %s", login, team)
	}
	return membership.GetState() == "active", nil
}

// writing are the permissions, from the legacy set that GitHub maps every role to, that allow to push.
var writing = []string{"admin", "write"}

// MayWrite reports whether a user may push to a repository, which is what it takes to command a deployment of it.
func (c *Client) MayWrite(ctx context.Context, cloneURL, login string) (bool, error) {
	r, err := c.repository(cloneURL)
	if err != nil {
		return false, err
	}
	if !loginForm.MatchString(login) {
		return false, nil
	}
	api, err := c.api(ctx, r.owner, r.name)
	if err != nil {
		return false, err
	}
	level, _, err := api.Repositories.GetPermissionLevel(ctx, r.owner, r.name, login)
	if missing(err) {
		return false, nil // not a collaborator
	}
	if err != nil {
		return false, classify(err, "ask what %s may do in %s", login, r)
	}
	return slices.Contains(writing, level.GetPermission()), nil
}
