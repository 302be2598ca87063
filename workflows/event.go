package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// GitHubEventWorkflow is the name under which GitHubEvent is registered.
const GitHubEventWorkflow = "GitHubEvent"

// EventResult says what an event came to.
type EventResult struct {
	// Done is false when what was asked for was refused, for the reason in Text.
	Done bool   `json:"done"`
	Text string `json:"text,omitempty"`
	// Runs are those that were started or found.
	Runs []string `json:"runs,omitempty"`
}

// GitHubEvent handles what takes a question back to GitHub: a command in a comment, checks that became
// green, a release. The webhook receiver starts it and answers at once; its workflow ID names what
// happened, so that it is handled once. It accepts no messages, and completes with what it came to,
// refusals among that; it fails only when GitHub could not be asked.
func GitHubEvent(ctx workflow.Context, event delivery.GitHubEvent) (EventResult, error) {
	h := &happening{event: event}
	switch event.Kind {
	case delivery.EventChecks:
		return h.checks(ctx)
	case delivery.EventRelease:
		return h.release(ctx)
	case delivery.EventCommand:
		return h.command(ctx)
	default:
		return EventResult{}, toTemporal(delivery.Errorf(delivery.InvalidInput, "%q is no kind of event", event.Kind), nil)
	}
}

// EventSummary is the title of an event in Temporal's web UI.
func EventSummary(event delivery.GitHubEvent) string {
	if event.Command != nil {
		return fmt.Sprintf("%s: /%s %s", event.Command.Login, event.Command.Verb, event.Command.Target)
	}
	return fmt.Sprintf("%s %s %s", event.Kind, event.Revision.RefName(), event.Revision.Short())
}

// happening is the state of one GitHubEvent workflow.
type happening struct {
	event  delivery.GitHubEvent
	result EventResult
}

// eventPatience bounds the questions behind one command: a person who commands looks at the answer.
const eventPatience = 10 * time.Minute

// asking is gitHubOptions for somebody who waits.
func asking(ctx workflow.Context, summary string) workflow.Context {
	options := workflow.GetActivityOptions(gitHubOptions(ctx, summary))
	options.ScheduleToCloseTimeout = eventPatience
	return workflow.WithActivityOptions(ctx, options)
}

// checks starts the run of a commit that is green now. One that is not is looked at again with the next event.
func (h *happening) checks(ctx workflow.Context) (EventResult, error) {
	var gitHub *activities.GitHub
	for _, pipeline := range h.event.Pipelines {
		var checks activities.Checks
		err := workflow.ExecuteActivity(gitHubOptions(ctx, "are all checks green?"), gitHub.ChecksGreen, activities.ChecksGreenInput{
			Repository: h.event.Repository, SHA: h.event.Revision.SHA, Names: pipeline.Trigger.Checks,
		}).Get(ctx, &checks)
		if err != nil {
			return h.result, err
		}
		if !checks.Green {
			h.say("%s: not green yet: %s", pipeline.Name, strings.Join(append(checks.Failed, checks.Pending...), ", "))
			continue
		}
		if err := h.start(ctx, pipeline, h.event.Revision, "", ""); err != nil {
			return h.result, err
		}
	}
	return h.result, nil
}

// release starts the runs of a release, as soon as it is known which commit its tag stands for.
func (h *happening) release(ctx workflow.Context) (EventResult, error) {
	var gitHub *activities.GitHub
	var resolved activities.Resolved
	err := workflow.ExecuteActivity(gitHubOptions(ctx, "which commit is it?"), gitHub.Resolve, activities.ResolveInput{
		Repository: h.event.Repository, Ref: h.event.Revision.Ref,
	}).Get(ctx, &resolved)
	if err != nil {
		return h.result, err
	}
	revision := h.event.Revision
	revision.SHA = resolved.SHA
	for _, pipeline := range h.event.Pipelines {
		if err := h.start(ctx, pipeline, revision, "", ""); err != nil {
			return h.result, err
		}
	}
	return h.result, nil
}

func (h *happening) start(ctx workflow.Context, pipeline delivery.Pipeline, revision delivery.Revision, until, name string) error {
	var runs *activities.Runs
	var started activities.StartedRun
	err := workflow.ExecuteActivity(requestOptions(ctx, "start "+pipeline.Name), runs.StartRun, activities.StartRunInput{
		Pipeline: pipeline, Revision: revision, Until: until, Name: name,
	}).Get(ctx, &started)
	if err != nil {
		return err
	}
	h.result.Done, h.result.Runs = true, append(h.result.Runs, started.RunID)
	if started.Existing {
		h.say("%s has its run of %s already", pipeline.Name, revision.Short())
	}
	return nil
}

// say adds a sentence to what the event came to.
func (h *happening) say(format string, arguments ...any) {
	if h.result.Text != "" {
		h.result.Text += "; "
	}
	h.result.Text = delivery.Clip(h.result.Text+fmt.Sprintf(format, arguments...), 1000)
}
