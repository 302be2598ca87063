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
	var detach bool
	answer := workflows.Answer{}
	command := &cobra.Command{
		Use:   "rollback ENVIRONMENT --reason WHY",
		Short: "Bring an environment back to an earlier version, and prove that it is healthy there",
		Long: `Bring an environment back to an earlier version, and prove that it is healthy there. It goes before
everything that waits for the environment, and by the stage's own rules in gravity.yaml.

Without --to: the last good version, when the environment is not on it; or else the one before.
` + environmentForms + ".",
		Example: `  starter rollback site-production --reason "checkout fails for guests"
  starter rollback site/production --to site-20261120T101500Z-4f2a91c07d1e --reason "orders are lost since"`,
		Args: exactly("ENVIRONMENT"),
		RunE: func(command *cobra.Command, arguments []string) error {
			if answer.Reason == "" {
				return wrongUse("say why with --reason: it is kept on record")
			}
			return g.rollback(command.Context(), arguments[0], to, answer, detach)
		},
	}
	command.Flags().StringVar(&to, "to", "", "the version's label, or its hash when it was deployed there lately")
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

func (g *globals) rollback(ctx context.Context, argument, to string, answer workflows.Answer, detach bool) error {
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
	version, err := target(view.EnvironmentStatus, to)
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

// target finds the version to go back to.
func target(status workflows.EnvironmentStatus, to string) (delivery.Version, error) {
	if to != "" {
		return named(status, to)
	}
	return workflows.RollbackTarget(status)
}

func indexOf(versions []delivery.Version, label string) int {
	return slices.IndexFunc(versions, func(version delivery.Version) bool { return version.Label == label })
}

// named finds the version that somebody asked for. One that is not on record here is taken by its
// label: the platform knows whether it exists.
func named(status workflows.EnvironmentStatus, to string) (delivery.Version, error) {
	const shortest = 4
	var byHash []delivery.Version
	for _, record := range slices.Backward(status.Recent) {
		version := record.Version
		if version.Label == to {
			return version, nil
		}
		if len(to) >= shortest && strings.HasPrefix(version.Revision.SHA, to) && indexOf(byHash, version.Label) < 0 {
			byHash = append(byHash, version)
		}
	}
	switch len(byHash) {
	case 0:
		if len(to) > 100 {
			return delivery.Version{}, wrongUse("%q is no version label: those have at most 100 characters", delivery.Clip(to, 100))
		}
		return delivery.Version{Label: to}, nil
	case 1:
		return byHash[0], nil
	default:
		return delivery.Version{}, wrongUse("%s fits %s and %s; give more digits", to, byHash[0].Label, byHash[1].Label)
	}
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
