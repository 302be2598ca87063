package github

import (
	"context"
	"slices"

	"github.com/google/go-github/v60/github"
)

// CheckNamePrefix begins the names of everything that Gravity itself shows at a commit, so that it
// never waits for itself.
const CheckNamePrefix = "gravity/"

// Checks is where the checks of a commit stand.
type Checks struct {
	// Green is true when none is pending and none failed; and when there is at least one, if nobody said which.
	Green   bool     `json:"green"`
	Pending []string `json:"pending,omitempty"`
	Failed  []string `json:"failed,omitempty"`
}

// verdict of one check.
type verdict int

const (
	pending verdict = iota
	green
	failed
)

// ChecksGreen asks for the check runs and the commit statuses of a commit: for those that are named,
// where one that is not there yet is pending, or for all of them but Gravity's own.
func (c *Client) ChecksGreen(ctx context.Context, cloneURL, sha string, names []string) (Checks, error) {
	api, r, err := c.open(ctx, cloneURL)
	if err != nil {
		return Checks{}, err
	}
	found := map[string]verdict{}
	if err := checkRuns(ctx, api, r, sha, found); err != nil {
		return Checks{}, classify(err, "ask for the check runs of %s at %s", r, sha)
	}
	if err := statuses(ctx, api, r, sha, found); err != nil {
		return Checks{}, classify(err, "ask for the commit statuses of %s at %s", r, sha)
	}
	return judge(found, names), nil
}

func judge(found map[string]verdict, names []string) Checks {
	if len(names) == 0 {
		for name := range found {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	var checks Checks
	for _, name := range names {
		switch found[name] {
		case pending:
			checks.Pending = append(checks.Pending, name)
		case failed:
			checks.Failed = append(checks.Failed, name)
		case green:
		}
	}
	checks.Green = len(names) > 0 && len(checks.Pending) == 0 && len(checks.Failed) == 0
	return checks
}

// note keeps the worst verdict under a name: two Apps may use the same.
func note(found map[string]verdict, name string, v verdict) {
	if len(name) >= len(CheckNamePrefix) && name[:len(CheckNamePrefix)] == CheckNamePrefix {
		return
	}
	before, known := found[name]
	if !known || before == green || v == failed {
		found[name] = v
	}
}

func checkRuns(ctx context.Context, api *github.Client, r repository, sha string, found map[string]verdict) error {
	options := &github.ListCheckRunsOptions{Filter: github.String("latest"), ListOptions: github.ListOptions{PerPage: 100}}
	for {
		page, response, err := api.Checks.ListCheckRunsForRef(ctx, r.owner, r.name, sha, options)
		if err != nil {
			return err
		}
		for _, run := range page.CheckRuns {
			v := pending
			if run.GetStatus() == "completed" {
				switch run.GetConclusion() {
				case "success", "neutral", "skipped":
					v = green
				default:
					v = failed
				}
			}
			note(found, run.GetName(), v)
		}
		if options.Page = response.NextPage; options.Page == 0 {
			return nil
		}
	}
}

func statuses(ctx context.Context, api *github.Client, r repository, sha string, found map[string]verdict) error {
	options := &github.ListOptions{PerPage: 100}
	for {
		combined, response, err := api.Repositories.GetCombinedStatus(ctx, r.owner, r.name, sha, options)
		if err != nil {
			return err
		}
		for _, status := range combined.Statuses {
			v := failed
			switch status.GetState() {
			case "success":
				v = green
			case "pending":
				v = pending
			}
			note(found, status.GetContext(), v)
		}
		if options.Page = response.NextPage; options.Page == 0 {
			return nil
		}
	}
}
