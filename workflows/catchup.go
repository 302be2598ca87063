package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// CatchUpWorkflow is the name under which CatchUp is registered, and CatchUpID its workflow ID and that of
// its schedule.
const (
	CatchUpWorkflow = "CatchUp"
	CatchUpID       = "catch-up"
)

// CatchUpInput is what to look after.
type CatchUpInput struct {
	Pipelines []delivery.Pipeline `json:"pipelines"`
}

// CatchUpResult is what was seen. The next CatchUp begins with it.
type CatchUpResult struct {
	Repositories []SeenRepository `json:"repositories,omitempty"`
	// Started are the runs that no webhook had started.
	Started []string `json:"started,omitempty"`
	// Problems are what could not be looked at; it is looked at again the next time.
	Problems []string `json:"problems,omitempty"`
}

// SeenRepository is a repository as it was seen last.
type SeenRepository struct {
	Repository string            `json:"repository"`
	Heads      []activities.Head `json:"heads,omitempty"`
	// Tags are empty where something is still to be done, so that the next look is a whole one.
	Tags []string `json:"tags,omitempty"`
}

func (s SeenRepository) head(branch string) string {
	for _, head := range s.Heads {
		if head.Branch == branch {
			return head.SHA
		}
	}
	return ""
}

// CatchUp finds pushes whose webhook never came: a schedule starts it, it compares the heads of branches with
// those it saw the last time, and starts what has no run. A repository that it sees for the first time is
// only remembered: what was pushed before Gravity was there is nobody's loss. It accepts no messages and never
// fails: what could not be looked at is among the problems, and looked at again the next time.
func CatchUp(ctx workflow.Context, input CatchUpInput) (CatchUpResult, error) {
	var before CatchUpResult
	if workflow.HasLastCompletionResult(ctx) {
		if err := workflow.GetLastCompletionResult(ctx, &before); err != nil {
			workflow.GetLogger(ctx).Warn("what was seen the last time cannot be read; beginning anew", "error", err)
		}
	}
	c := &catchUp{}
	var looked []string
	for i, pipeline := range input.Pipelines {
		if slices.Contains(looked, pipeline.Repository) {
			continue
		}
		looked = append(looked, pipeline.Repository)
		c.look(ctx, ofRepository(input.Pipelines[i:], pipeline.Repository), before)
	}
	return c.result, nil
}

// catchUp is the state of one CatchUp workflow.
type catchUp struct{ result CatchUpResult }

func ofRepository(pipelines []delivery.Pipeline, repository string) []delivery.Pipeline {
	var found []delivery.Pipeline
	for _, pipeline := range pipelines {
		if pipeline.Repository == repository {
			found = append(found, pipeline)
		}
	}
	return found
}

// look looks at one repository, whose pipelines are given.
func (c *catchUp) look(ctx workflow.Context, pipelines []delivery.Pipeline, before CatchUpResult) {
	repository := pipelines[0].Repository
	last, known := SeenRepository{Repository: repository}, false
	for _, seen := range before.Repositories {
		if seen.Repository == repository {
			last, known = seen, true
		}
	}
	var gitHub *activities.GitHub
	var heads activities.Heads
	err := workflow.ExecuteActivity(catchUpOptions(ctx, "heads of "+repository), gitHub.Heads, activities.HeadsInput{
		Repository: repository, Tags: last.Tags,
	}).Get(ctx, &heads)
	switch {
	case err != nil:
		c.problem("%s: %s", repository, sentence(err))
		if known {
			c.result.Repositories = append(c.result.Repositories, last)
		}
		return
	case heads.Unchanged:
		c.result.Repositories = append(c.result.Repositories, last)
		return
	}
	now := SeenRepository{Repository: repository, Heads: heads.Heads, Tags: heads.Tags}
	for i := range now.Heads {
		head := &now.Heads[i]
		old := last.head(head.Branch)
		if !known || old == head.SHA || c.branch(ctx, pipelines, *head, old) {
			continue
		}
		head.SHA, now.Tags = old, nil // to be looked at again
	}
	c.result.Repositories = append(c.result.Repositories, now)
}

// branch looks at a branch that moved, and reports whether that is done with.
func (c *catchUp) branch(ctx workflow.Context, pipelines []delivery.Pipeline, head activities.Head, before string) bool {
	missing, ok := c.missing(ctx, pipelines, head)
	if !ok || len(missing) == 0 {
		return ok
	}
	var gitHub *activities.GitHub
	var push activities.SeenPush
	err := workflow.ExecuteActivity(catchUpOptions(ctx, "look at "+head.Branch), gitHub.LookAtPush, activities.LookAtPushInput{
		Repository: missing[0].Repository, Branch: head.Branch, Before: before, After: head.SHA, Pipelines: missing,
	}).Get(ctx, &push)
	if err != nil {
		c.problem("%s at %s: %s", head.Branch, head.SHA, sentence(err))
		return false
	}
	done := true
	for i, pipeline := range missing {
		if i < len(push.LeftOut) && push.LeftOut[i] != "" {
			workflow.GetLogger(ctx).Info("left out", "pipeline", pipeline.Name, "branch", head.Branch, "reason", push.LeftOut[i])
			continue
		}
		done = c.start(ctx, pipeline, push.Revision) && done
	}
	return done
}

// missing lists the pipelines that a push to the branch starts and that have no run of its head.
func (c *catchUp) missing(ctx workflow.Context, pipelines []delivery.Pipeline, head activities.Head) (missing []delivery.Pipeline, ok bool) {
	var runs *activities.Runs
	for _, pipeline := range pipelines {
		if len(pipeline.Reached("refs/heads/"+head.Branch, "")) == 0 || !pipeline.Starts(delivery.OnPush) && !pipeline.Starts(delivery.OnChecks) {
			continue
		}
		var found activities.FoundRun
		runID := delivery.RunID(pipeline.Name, head.SHA)
		err := workflow.ExecuteActivity(catchUpRequestOptions(ctx, "look for "+runID), runs.FindRun, activities.FindRunInput{RunID: runID}).Get(ctx, &found)
		if err != nil {
			c.problem("%s: %s", runID, sentence(err))
			return nil, false
		}
		if !found.Found {
			missing = append(missing, pipeline)
		}
	}
	return missing, true
}

// start starts the run of a push that was lost, and reports whether the push is done with: where checks start
// runs, it is when they are green.
func (c *catchUp) start(ctx workflow.Context, pipeline delivery.Pipeline, revision delivery.Revision) bool {
	if !pipeline.Starts(delivery.OnPush) {
		var gitHub *activities.GitHub
		var checks activities.Checks
		err := workflow.ExecuteActivity(catchUpOptions(ctx, "are all checks green?"), gitHub.ChecksGreen, activities.ChecksGreenInput{
			Repository: pipeline.Repository, SHA: revision.SHA, Names: pipeline.Trigger.Checks,
		}).Get(ctx, &checks)
		if err != nil {
			c.problem("the checks of %s: %s", revision.SHA, sentence(err))
		}
		if err != nil || !checks.Green {
			return false
		}
	}
	var runs *activities.Runs
	var started activities.StartedRun
	err := workflow.ExecuteActivity(catchUpRequestOptions(ctx, "start "+pipeline.Name), runs.StartRun, activities.StartRunInput{
		Pipeline: pipeline, Revision: revision,
	}).Get(ctx, &started)
	if err != nil {
		c.problem("starting %s at %s: %s", pipeline.Name, revision.SHA, sentence(err))
		return false
	}
	if !started.Existing { // its webhook may have come meanwhile
		c.result.Started = append(c.result.Started, started.RunID)
	}
	return true
}

func (c *catchUp) problem(format string, arguments ...any) {
	const most = 50
	if len(c.result.Problems) < most {
		c.result.Problems = append(c.result.Problems, delivery.Clip(fmt.Sprintf(format, arguments...), 500))
	}
}

// catchUpPatience bounds each step: the next CatchUp tries again anyhow.
const catchUpPatience = 5 * time.Minute

func catchUpOptions(ctx workflow.Context, summary string) workflow.Context {
	options := workflow.GetActivityOptions(gitHubOptions(ctx, summary))
	options.ScheduleToCloseTimeout = catchUpPatience
	return workflow.WithActivityOptions(ctx, options)
}

func catchUpRequestOptions(ctx workflow.Context, summary string) workflow.Context {
	options := workflow.GetActivityOptions(requestOptions(ctx, summary))
	options.ScheduleToCloseTimeout = catchUpPatience
	return workflow.WithActivityOptions(ctx, options)
}
