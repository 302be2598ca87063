package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/workflows"
)

func newRollback(g *globals) *cobra.Command {
	var to string
	var list, detach bool
	answer := workflows.Answer{}
	command := &cobra.Command{
		Use:   "rollback ENVIRONMENT --reason WHY",
		Short: "Bring an environment back to an earlier version, and prove that it is healthy there",
		Long: `Bring an environment back to an earlier version, and prove that it is healthy there. It goes before
everything that waits for the environment, and by the stage's own rules in gravity.yaml.

Without --to: the last good version, when the environment is not on it; or else the one before. A version can be
gone back to when it was proven healthy on that environment, and still exists; --list shows them.
` + environmentForms + ".",
		Example: `  starter rollback site-production --reason "checkout fails for guests"
  starter rollback site-production --list
  starter rollback site/production --to site-20261120T101500Z-4f2a91c07d1e --reason "orders are lost since"`,
		Args: exactly("ENVIRONMENT"),
		RunE: func(command *cobra.Command, arguments []string) error {
			if answer.Reason == "" && !list {
				return wrongUse("say why with --reason: it is kept on record")
			}
			return g.rollback(command.Context(), arguments[0], to, answer, list, detach)
		},
	}
	command.Flags().StringVar(&to, "to", "", "the version's label, or the first digits of its hash")
	command.Flags().BoolVar(&list, "list", false, "only list the versions that it can go back to")
	command.Flags().BoolVar(&detach, "detach", false, "only ask for it; do not watch")
	personFlags(command, &answer)
	return command
}

// requested is the JSON answer of rollback --detach.
type requested struct {
	RequestID string            `json:"requestId"`
	Version   delivery.Version  `json:"version"`
	Receipt   workflows.Receipt `json:"receipt"`
}

func (g *globals) rollback(ctx context.Context, argument, to string, answer workflows.Answer, list, detach bool) error {
	if _, err := g.load(); err != nil {
		return err // the stage's rules are needed
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	p, err := g.resolveEnvironment(ctx, c, argument)
	if err != nil {
		return err
	}
	if p.stage == nil {
		return wrongUse("no stage of %s deploys to %s, so its rules are not known; add the stage, or name another file with --config", g.configPath, p.environment)
	}
	view, err := g.observeEnvironment(ctx, c, p.id())
	if err != nil {
		return g.explain(err, "asking the queue of "+p.environment)
	}
	var existing []delivery.Version
	if err := askQueue(ctx, c, p, workflows.TargetsUpdate, uuid.NewString(), nil, &existing); err != nil {
		return g.explainAsked(err, "asking what "+p.environment+" can be rolled back to")
	}
	if list {
		return g.show(existing, func(w io.Writer) { renderVersions(w, p, existing, styleOf(w)) })
	}
	version, err := target(view.EnvironmentStatus, existing, to)
	if err != nil {
		return err
	}
	version.Application = p.application
	request := rollbackRequest(p, version, answer)
	var receipt workflows.Receipt
	if err := askQueue(ctx, c, p, workflows.DeployUpdate, request.ID, request, &receipt); err != nil {
		return g.explainAsked(err, "rolling back "+p.environment)
	}
	if detach {
		return g.show(requested{request.ID, version, receipt}, func(w io.Writer) {
			printf(w, "%s\n", asked(p, version, receipt))
		})
	}
	if !g.json() {
		printf(g.stdout, "%s\n", asked(p, version, receipt))
	}
	return g.followRequest(ctx, c, p, request)
}

// rollbackRequest asks by the stage's rules, except one: whoever rolls back has looked at the environment, so
// that somebody deployed there by hand is no reason to stop.
func rollbackRequest(p place, version delivery.Version, answer workflows.Answer) delivery.Request {
	stage := *p.stage
	stage.Drift = delivery.DriftOverwrite
	return delivery.Request{
		ID: workflows.RollbackPrefix + uuid.NewString(), Pipeline: p.pipeline, Stage: stage, Version: version,
		Rollback: true, By: answer.By, Reason: answer.Reason,
	}
}

// asked says what was asked for, and what it waits for.
func asked(p place, version delivery.Version, receipt workflows.Receipt) string {
	text := "rolling back " + p.environment + " to " + clean(version.Label)
	switch {
	case receipt.Frozen != "":
		text += "; it waits, since the environment is frozen (" + clean(receipt.Frozen) + "): starter thaw " + p.environment
	case receipt.Ahead > 0:
		text += "; it begins when the deployment under way has ended, or was aborted"
	}
	return text
}

// target finds the version to go back to, among those that exist.
func target(status workflows.EnvironmentStatus, existing []delivery.Version, to string) (delivery.Version, error) {
	if to != "" {
		return named(status.Environment, existing, to)
	}
	version, err := workflows.RollbackTarget(status, func(label string) bool { return indexOf(existing, label) >= 0 })
	if err != nil {
		return version, wrongUse("%w%s", err, offered(existing))
	}
	return version, nil
}

func indexOf(versions []delivery.Version, label string) int {
	return slices.IndexFunc(versions, func(version delivery.Version) bool { return version.Label == label })
}

// named finds the version that somebody asked for, by its label or the first digits of its hash.
func named(environment string, existing []delivery.Version, to string) (delivery.Version, error) {
	const shortest = 4
	if i := indexOf(existing, to); i >= 0 {
		return existing[i], nil
	}
	var byHash []delivery.Version
	for _, version := range existing {
		if len(to) >= shortest && strings.HasPrefix(version.Revision.SHA, to) {
			byHash = append(byHash, version)
		}
	}
	switch len(byHash) {
	case 0:
		return delivery.Version{}, wrongUse("%q was never proven good on %s, or no longer exists%s", delivery.Clip(to, 100), environment, offered(existing))
	case 1:
		return byHash[0], nil
	default:
		return delivery.Version{}, wrongUse("%s fits %s and %s; give more digits", to, byHash[0].Label, byHash[1].Label)
	}
}

// offered lists what there is instead, newest first.
func offered(existing []delivery.Version) string {
	const most = 5
	if len(existing) == 0 {
		return "; there is none to go back to"
	}
	var labels []string
	for _, version := range existing[:min(len(existing), most)] {
		labels = append(labels, version.Label)
	}
	return "; there is " + strings.Join(labels, ", ")
}

// renderVersions lists what an environment can go back to.
func renderVersions(w io.Writer, p place, versions []delivery.Version, s style) {
	if len(versions) == 0 {
		printf(w, "no version that still exists was proven good on %s\n", clean(p.environment))
		return
	}
	rows := [][]string{{s.dim("VERSION"), s.dim("CHANGE")}}
	for _, version := range versions {
		rows = append(rows, []string{clean(version.Label), clean(version.Revision.Message)})
	}
	table(w, "", rows)
}

// requestSight is a request in an environment's queue that is watched.
type requestSight struct {
	environmentView
	id     string
	result *delivery.Result
}

func (r requestSight) ended() bool                 { return r.result != nil }
func (r requestSight) render(w io.Writer, s style) { renderEnvironment(w, r.environmentView, s) }
func (r requestSight) document() any {
	return struct {
		environmentView
		RequestID string           `json:"requestId"`
		Result    *delivery.Result `json:"result,omitempty"`
	}{r.environmentView, r.id, r.result}
}

func (r requestSight) headlines() []string {
	var lines []string
	switch {
	case r.result != nil:
		lines = append(lines, string(r.result.Outcome)+": "+clean(r.result.Reason))
	case r.Running != nil && r.Running.ID == r.id:
		lines = append(lines, "deploying "+clean(r.Running.Version.Label)+" ("+r.Running.Deployment+")")
	case r.Frozen != nil:
		lines = append(lines, "waits, since the environment is frozen: "+clean(r.Frozen.Reason))
	default:
		lines = append(lines, "waits for the deployment under way")
	}
	for _, step := range r.Live {
		lines = append(lines, step.String())
	}
	return lines
}

// followRequest watches a request until it was answered, and turns the answer into a verdict.
func (g *globals) followRequest(ctx context.Context, c client.Client, p place, request delivery.Request) error {
	var result delivery.Result
	err := g.follow(ctx, "asking the queue of "+p.environment, func(ctx context.Context) (sight, error) {
		view, err := g.observeEnvironment(ctx, c, p.id())
		if err != nil {
			return nil, err
		}
		seen := requestSight{environmentView: view, id: request.ID, result: resultOf(view.EnvironmentStatus, request.ID)}
		if seen.result != nil {
			result = *seen.result
		}
		return seen, nil
	})
	if err != nil {
		return err
	}
	if result.Outcome != delivery.OutcomeDeployed {
		return &failedRelease{verdict: "the rollback of " + p.environment + " ended as " + string(result.Outcome) + ": " + result.Reason}
	}
	return nil
}

func resultOf(status workflows.EnvironmentStatus, requestID string) *delivery.Result {
	for _, record := range status.Recent {
		if record.Result.RequestID == requestID {
			return &record.Result
		}
	}
	return nil
}
