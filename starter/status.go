package main

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"gravity/workflows"
)

func newStatus(g *globals) *cobra.Command {
	var environment string
	command := &cobra.Command{
		Use:   "status [RUN]",
		Short: "Show the last runs and the environments, or one of them whole",
		Long:  "Show the last runs and the environments, or one of them whole.\n\n" + runForms + "; " + environmentForms + ".",
		Example: `  starter status
  starter status site
  starter status --environment site-production`,
		Args: between(0, "RUN"),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx := command.Context()
			if environment != "" && len(arguments) > 0 {
				return wrongUse("a run or --environment, not both")
			}
			c, err := g.connect(ctx)
			if err != nil {
				return err
			}
			switch {
			case environment != "":
				return g.statusOfEnvironment(ctx, c, environment)
			case len(arguments) > 0:
				return g.statusOfRun(ctx, c, arguments[0])
			default:
				return g.overview(ctx, c)
			}
		},
	}
	command.Flags().StringVarP(&environment, "environment", "e", "", "an environment instead of a run")
	return command
}

func (g *globals) statusOfRun(ctx context.Context, c client.Client, argument string) error {
	run, err := g.resolveRun(ctx, c, argument, newest)
	if err != nil {
		return err
	}
	view, err := g.observeRun(ctx, c, run.RunID)
	if err != nil {
		return g.explain(err, "asking "+run.RunID)
	}
	return g.show(view, func(w io.Writer) { renderRun(w, view, styleOf(w)) })
}

func (g *globals) statusOfEnvironment(ctx context.Context, c client.Client, argument string) error {
	p, err := g.resolveEnvironment(ctx, c, argument)
	if err != nil {
		return err
	}
	view, err := g.observeEnvironment(ctx, c, p.id())
	if err != nil {
		return g.explain(err, "asking the queue of "+p.environment)
	}
	return g.show(view, func(w io.Writer) { renderEnvironment(w, view, styleOf(w)) })
}

// shownRuns and shownEnvironments bound the overview. The rest is found by name.
const (
	shownRuns         = 20
	shownEnvironments = 50
)

// overview is the JSON answer of status without arguments.
type overview struct {
	Runs         []listed          `json:"runs"`
	Environments []environmentView `json:"environments"`
	// Stacks are the results of the last looks for drift.
	Stacks []stackView `json:"stacks,omitempty"`
}

func (g *globals) overview(ctx context.Context, c client.Client) error {
	runs, err := listRuns(ctx, c, "")
	if err != nil {
		return g.explain(err, "listing runs")
	}
	ids, err := listEnvironments(ctx, c)
	if err != nil {
		return g.explain(err, "listing environments")
	}
	slices.SortStableFunc(runs, func(a, b listed) int { return b.StartedAt.Compare(a.StartedAt) })
	slices.Sort(ids)
	all := overview{Runs: runs[:min(len(runs), shownRuns)], Environments: g.askAll(ctx, c, ids[:min(len(ids), shownEnvironments)])}
	if all.Stacks, err = driftViews(ctx, c); err != nil {
		return g.explain(err, "listing looks for drift")
	}
	return g.show(all, func(w io.Writer) {
		s := styleOf(w)
		renderStacks(w, all.Stacks, s)
		if len(all.Stacks) > 0 {
			printf(w, "\n")
		}
		renderEnvironments(w, all.Environments, s)
		if len(all.Environments) > 0 {
			printf(w, "\n")
		}
		renderRuns(w, all.Runs, s)
		if more := len(ids) - shownEnvironments; more > 0 {
			printf(w, "\n%d more environments; name one with --environment\n", more)
		}
	})
}

// askAll asks environments where they stand, several at a time. One that does not answer is shown as
// such, and does not hide the others.
func (g *globals) askAll(ctx context.Context, c client.Client, ids []string) []environmentView {
	views := make([]environmentView, len(ids))
	var group errgroup.Group
	group.SetLimit(8)
	for i, id := range ids {
		group.Go(func() error {
			view, err := g.observeEnvironment(ctx, c, id)
			if err != nil {
				p := places(nil, []string{id})
				view.Trouble = g.explain(err, "asking its queue").Error()
				if len(p) == 1 {
					view.EnvironmentStatus = workflows.EnvironmentStatus{Application: p[0].application, Environment: p[0].environment}
				}
			}
			views[i] = view
			return nil
		})
	}
	_ = group.Wait() // none of them fails
	return views
}
