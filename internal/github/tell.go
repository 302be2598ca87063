package github

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"gravity/internal/delivery"
)

// maxDescription is what GitHub takes as the description of a status, in characters; bytes are never fewer.
const maxDescription = 140

// Status is a commit status.
type Status struct {
	Context     string // names it at the commit
	State       string // pending, success, failure or error
	Description string
	URL         string
}

// SetStatus sets a commit status; the last one set under its context counts.
func (c *Client) SetStatus(ctx context.Context, cloneURL, sha string, status Status) error {
	return c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		_, _, err := api.Repositories.CreateStatus(ctx, r.owner, r.name, sha, &github.RepoStatus{
			State: &status.State, Context: &status.Context, TargetURL: optional(status.URL),
			Description: github.String(delivery.Clip(status.Description, maxDescription)),
		})
		return classify(err, "set status %s of %s at %s", status.Context, sha, r)
	})
}

// Deployment is a deployment to be shown at GitHub.
type Deployment struct {
	// Passage tells it from one of the same commit before.
	Passage     string
	SHA         string
	Environment string
	Description string
	Production  bool
}

// EnsureDeployment creates a deployment, or finds the one that an earlier attempt created.
func (c *Client) EnsureDeployment(ctx context.Context, cloneURL string, d Deployment) (id int64, err error) {
	err = c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		found, _, err := api.Repositories.ListDeployments(ctx, r.owner, r.name, &github.DeploymentsListOptions{
			SHA: d.SHA, Environment: d.Environment, ListOptions: github.ListOptions{PerPage: 100},
		})
		if err != nil {
			return classify(err, "look for deployments of %s at %s", d.SHA, r)
		}
		for _, deployment := range found {
			if delivery.IsOwnDeploymentOf(deployment.Payload, d.Passage) {
				id = deployment.GetID()
				return nil
			}
		}
		made, _, err := api.Repositories.CreateDeployment(ctx, r.owner, r.name, &github.DeploymentRequest{
			Ref: &d.SHA, Environment: &d.Environment, Description: github.String(delivery.Clip(d.Description, maxDescription)),
			AutoMerge:        github.Bool(false),
			RequiredContexts: &[]string{}, // it is told of, not asked for
			Payload:          delivery.OwnDeployment(d.Passage), ProductionEnvironment: &d.Production,
		})
		id = made.GetID()
		return classify(err, "create a deployment of %s at %s", d.SHA, r)
	})
	return id, err
}

// DeploymentStatus is where a deployment stands.
type DeploymentStatus struct {
	State          string // queued, in_progress, success, failure, error or inactive
	Description    string
	LogURL         string
	EnvironmentURL string
}

// SetDeploymentStatus says where a deployment stands.
func (c *Client) SetDeploymentStatus(ctx context.Context, cloneURL string, id int64, status DeploymentStatus) error {
	return c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		_, _, err := api.Repositories.CreateDeploymentStatus(ctx, r.owner, r.name, id, &github.DeploymentStatusRequest{
			State: &status.State, Description: github.String(delivery.Clip(status.Description, maxDescription)),
			LogURL: optional(status.LogURL), EnvironmentURL: optional(status.EnvironmentURL),
		})
		return classify(err, "set the status of deployment %d of %s", id, r)
	})
}

// CheckRun is a check at a commit, in the App's name.
type CheckRun struct {
	Name, SHA string
	// RunID comes back when somebody asks for the check again; Passage tells it from the one of before.
	RunID, Passage string
	URL            string
	StartedAt      time.Time
	// Conclusion is empty while it goes on.
	Conclusion     string
	CompletedAt    time.Time
	Title, Summary string
	Annotations    []Annotation
}

// Annotation is shown at a line of a file.
type Annotation struct {
	Path    string
	Line    int
	Title   string
	Message string
}

// Limits of GitHub's for a check run.
const (
	maxAnnotations = 50 // in one request
	maxSummary     = 60_000
)

// SetCheckRun creates a check run, or changes it; id is what the last call answered, or 0. Annotations are
// added once: with the call that concludes it.
func (c *Client) SetCheckRun(ctx context.Context, cloneURL string, id int64, run CheckRun) (int64, error) {
	err := c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		if id == 0 {
			var err error
			if id, err = findCheckRun(ctx, api, r, run); err != nil {
				return classify(err, "look for check %s at %s", run.Name, r)
			}
		}
		status := "in_progress"
		output := &github.CheckRunOutput{Title: &run.Title, Summary: github.String(delivery.Clip(run.Summary, maxSummary))}
		var completed *github.Timestamp
		if run.Conclusion != "" {
			status, completed = "completed", &github.Timestamp{Time: run.CompletedAt}
			output.Annotations = annotations(run.Annotations)
		}
		if id == 0 {
			made, _, err := api.Checks.CreateCheckRun(ctx, r.owner, r.name, github.CreateCheckRunOptions{
				Name: run.Name, HeadSHA: run.SHA, ExternalID: &run.RunID, DetailsURL: optional(run.URL), Status: &status,
				StartedAt: &github.Timestamp{Time: run.StartedAt}, Conclusion: optional(run.Conclusion), CompletedAt: completed, Output: output,
			})
			id = made.GetID()
			return classify(err, "create check %s at %s", run.Name, r)
		}
		_, _, err := api.Checks.UpdateCheckRun(ctx, r.owner, r.name, id, github.UpdateCheckRunOptions{
			Name: run.Name, ExternalID: &run.RunID, DetailsURL: optional(run.URL), Status: &status,
			Conclusion: optional(run.Conclusion), CompletedAt: completed, Output: output,
		})
		return classify(err, "change check %s at %s", run.Name, r)
	})
	return id, err
}

// findCheckRun finds the one that an attempt whose answer was lost made. Those that ended belong to an
// earlier passage.
func findCheckRun(ctx context.Context, api *github.Client, r repository, run CheckRun) (int64, error) {
	page, _, err := api.Checks.ListCheckRunsForRef(ctx, r.owner, r.name, run.SHA, &github.ListCheckRunsOptions{
		CheckName: &run.Name, Filter: github.String("latest"), ListOptions: github.ListOptions{PerPage: 100},
	})
	if err != nil {
		return 0, err
	}
	for _, found := range page.CheckRuns {
		if found.GetExternalID() == run.RunID && found.GetStartedAt().Time.Truncate(time.Second).Equal(run.StartedAt.Truncate(time.Second)) {
			return found.GetID(), nil
		}
	}
	return 0, nil
}

func annotations(of []Annotation) []*github.CheckRunAnnotation {
	made := make([]*github.CheckRunAnnotation, 0, len(of))
	for _, a := range of[:min(len(of), maxAnnotations)] {
		line := max(1, a.Line)
		made = append(made, &github.CheckRunAnnotation{
			Path: github.String(a.Path), StartLine: &line, EndLine: &line, AnnotationLevel: github.String("failure"),
			Title: github.String(delivery.Clip(a.Title, 250)), Message: github.String(delivery.Clip(a.Message, 4000)),
		})
	}
	return made
}

// PullRequestsOf lists the pull requests that a commit belongs to, by their numbers.
func (c *Client) PullRequestsOf(ctx context.Context, cloneURL, sha string) (numbers []int, err error) {
	err = c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		found, _, err := api.PullRequests.ListPullRequestsWithCommit(ctx, r.owner, r.name, sha, &github.ListOptions{PerPage: 100})
		for _, pull := range found {
			numbers = append(numbers, pull.GetNumber())
		}
		slices.Sort(numbers)
		return classify(err, "look for the pull requests of %s at %s", sha, r)
	})
	return numbers, err
}

// Kept is a comment that is kept current: one for each pipeline and pull request.
type Kept struct {
	// Name tells it from Gravity's other comments there.
	Name string
	// Since is when what it tells of began: something newer in it is left alone.
	Since time.Time
	Body  string
}

// KeepComment writes the comment, or changes it; id is what the last call answered, or 0.
func (c *Client) KeepComment(ctx context.Context, cloneURL string, number int, id int64, kept Kept) (int64, error) {
	prefix := fmt.Sprintf("<!-- gravity: %s since ", kept.Name)
	body := prefix + kept.Since.UTC().Format(time.RFC3339Nano) + " -->\n" + kept.Body
	err := c.at(ctx, cloneURL, func(api *github.Client, r repository) error {
		var comment *github.IssueComment
		var err error
		if id != 0 {
			comment, _, err = api.Issues.GetComment(ctx, r.owner, r.name, id)
			if missing(err) { // somebody deleted it, and wants none
				return nil
			}
		} else {
			comment, err = findComment(ctx, api, r, number, prefix)
		}
		if err != nil {
			return classify(err, "look for the comment on %s#%d", r, number)
		}
		if comment == nil {
			comment, _, err = api.Issues.CreateComment(ctx, r.owner, r.name, number, &github.IssueComment{Body: &body})
			id = comment.GetID()
			return classify(err, "comment on %s#%d", r, number)
		}
		id = comment.GetID()
		if comment.GetBody() == body || newer(comment.GetBody(), prefix, kept.Since) {
			return nil
		}
		_, _, err = api.Issues.EditComment(ctx, r.owner, r.name, id, &github.IssueComment{Body: &body})
		return classify(err, "change the comment on %s#%d", r, number)
	})
	return id, err
}

// newer reports whether a comment tells of something that began later.
func newer(body, prefix string, since time.Time) bool {
	stamp, _, _ := strings.Cut(strings.TrimPrefix(body, prefix), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	return err == nil && at.After(since)
}

// at does something at a repository.
func (c *Client) at(ctx context.Context, cloneURL string, do func(*github.Client, repository) error) error {
	api, r, err := c.open(ctx, cloneURL)
	if err != nil {
		return err
	}
	return do(api, r)
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
