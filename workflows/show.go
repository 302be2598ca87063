package workflows

import (
	"fmt"
	"net/url"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// The search attributes of runs, environments and deployments. A namespace must have them before the
// first workflow starts; worker and `starter up` see to it.
var (
	PipelineAttribute    = temporal.NewSearchAttributeKeyKeyword("GravityPipeline")
	EnvironmentAttribute = temporal.NewSearchAttributeKeyKeyword("GravityEnvironment")
	RevisionAttribute    = temporal.NewSearchAttributeKeyKeyword("GravityRevision")
	VersionAttribute     = temporal.NewSearchAttributeKeyKeyword("GravityVersion")
	StateAttribute       = temporal.NewSearchAttributeKeyKeyword("GravityState")
)

// SearchAttributes lists them by name, all of them keywords.
func SearchAttributes() []string {
	return []string{
		PipelineAttribute.GetName(), EnvironmentAttribute.GetName(), RevisionAttribute.GetName(),
		VersionAttribute.GetName(), StateAttribute.GetName(),
	}
}

// enter moves a stage, and with it the run, to another state.
func (r *run) enter(ctx workflow.Context, stage *StageStatus, state RunState, detail string) {
	if stage.State != state {
		workflow.GetLogger(ctx).Info("stage", "stage", stage.Stage, "environment", stage.Environment, "state", string(state))
	}
	stage.State, stage.Detail, stage.Since = state, detail, workflow.Now(ctx)
	if !state.Ended() {
		r.status.State = state
	}
	r.note(ctx, stage.Stage+": "+detail)
}

// note says what the run is doing now.
func (r *run) note(ctx workflow.Context, detail string) {
	r.status.Detail = detail
	r.show(ctx)
}

// show puts the run's status where Temporal's web UI shows it without opening the history. The
// search attributes are sent only when one changed, since each sending is an event.
func (r *run) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, r.status.table(workflow.GetInfo(ctx).Namespace))
	r.tell()
	if r.shown == r.status.State && r.shownVersion == r.status.Version {
		return
	}
	updates := []temporal.SearchAttributeUpdate{StateAttribute.ValueSet(string(r.status.State))}
	if r.status.Version != "" {
		updates = append(updates, VersionAttribute.ValueSet(r.status.Version))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("could not set search attributes", "error", err)
		return
	}
	r.shown, r.shownVersion = r.status.State, r.status.Version
}

// table is the status as Markdown. It is narrow, since the web UI gives it half a page, and leads on to the
// queues of the environments, which have the deployments.
func (s RunStatus) table(namespace string) string {
	lines := []string{
		fmt.Sprintf("**%s**: %s", s.State, plain(s.Detail)), "",
		"| stage | environment | state | |", "|---|---|---|---|",
		fmt.Sprintf("| build | | %s | %s |", s.Build, plain(s.Version)),
	}
	if s.Tests != nil {
		lines = append(lines, fmt.Sprintf("| test | %s | %s |", s.Tests.state(), plain(s.Tests.String())))
	}
	for _, stage := range s.Stages {
		lines = append(lines, fmt.Sprintf("| %s | [%s](%s) | %s | %s |", stage.Stage, stage.Environment,
			workflowPath(namespace, delivery.EnvironmentID(s.Application, stage.Environment)), stage.State, plain(s.brief(stage))))
	}
	lines = append(lines, "")
	for _, answer := range s.Answers {
		lines = append(lines, fmt.Sprintf("- %s by %s%s", answer.Verb, plain(answer.who()), plain(answer.because(""))))
	}
	return strings.Join(lines, "\n")
}

// brief is a stage's detail without what stands elsewhere in the table.
func (s RunStatus) brief(stage StageStatus) string {
	if s.Version != "" {
		return strings.TrimSuffix(stage.Detail, " on "+s.Version)
	}
	return stage.Detail
}

// workflowPath is where the web UI shows a workflow, from the page of another one.
func workflowPath(namespace, workflowID string) string {
	return "/namespaces/" + url.PathEscape(namespace) + "/workflows/" + url.PathEscape(workflowID)
}

// plain keeps text from outside from becoming Markdown structure, links, or images that the reader's browser
// would fetch.
func plain(text string) string {
	text = strings.NewReplacer(
		"\n", " ", "\r", " ", "\\", "\\\\", "|", "\\|", "<", "&lt;", "`", "'", "[", "\\[", "]", "\\]", "*", "\\*",
	).Replace(text)
	return delivery.Clip(text, 300)
}

// verdict turns the way in which a run ended into its state and the error that says why.
func (r *run) verdict(err error) (RunState, error) {
	if err == nil {
		return StateSucceeded, nil
	}
	kind := typeOf(err)
	if kind == "" && temporal.IsCanceledError(err) || kind == delivery.Aborted {
		text := r.whyAborted().aborted()
		if kind == delivery.Aborted {
			text = sentence(err) // which also says what the environment was left on
		}
		return StateAborted, &delivery.Error{Type: delivery.Aborted, Message: text}
	}
	failure := &delivery.Error{Type: kind, Message: sentence(err), Err: err}
	switch kind {
	case delivery.Rejected:
		return StateRejected, failure
	case delivery.Superseded:
		return StateSuperseded, failure
	case delivery.NeedsAttention:
		return StateNeedsAttention, failure
	default:
		return StateFailed, failure
	}
}
