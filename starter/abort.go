package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/workflows"
)

const deploymentPrefix = "deployment/"

func newAbort(g *globals) *cobra.Command {
	answer := workflows.Answer{}
	wait := false
	command := &cobra.Command{
		Use:   "abort [RUN] --reason WHY",
		Short: "End a run at any moment; its environment is left on its last good version",
		Long: `End a run at any moment, also while it deploys: its environment is then brought back to its last
good version, and proven healthy there, before the run ends. --wait watches that.

Without RUN, the only run that is going on; ` + runForms + `,
if no other of it is going on. A deployment that belongs to no run, such as a rollback, is named by its own ID.`,
		Example: `  starter abort site/4f2a91c --reason "wrong branch" --wait
  starter abort deployment/site/site-production/7 --reason "the old version is fine after all"`,
		Args: between(0, "RUN"),
		RunE: func(command *cobra.Command, arguments []string) error {
			if answer.Reason == "" {
				return wrongUse("say why with --reason: it is kept on record")
			}
			ctx := command.Context()
			c, err := g.connect(ctx)
			if err != nil {
				return err
			}
			if strings.HasPrefix(first(arguments), deploymentPrefix) {
				return g.abortDeployment(ctx, c, first(arguments), answer)
			}
			if id, provisioning := provisionOf(first(arguments)); provisioning {
				return g.abortProvision(ctx, c, id, answer)
			}
			return g.abortRun(ctx, c, first(arguments), answer, wait)
		},
	}
	personFlags(command, &answer)
	command.Flags().BoolVar(&wait, "wait", false, "watch until the run has ended; the exit code is 0 when it ended as aborted")
	return command
}

// aborted is the JSON answer of abort.
type aborted struct {
	Aborting string `json:"aborting"`
}

func (g *globals) abortRun(ctx context.Context, c client.Client, argument string, answer workflows.Answer, wait bool) error {
	run, err := g.resolveRun(ctx, c, argument, current)
	if err != nil {
		return err
	}
	doing := "abort " + shortID(run.RunID)
	if !run.goingOn() {
		return wrongUse("%s: the run has ended: %s", doing, run.State)
	}
	if err := c.SignalWorkflow(ctx, run.RunID, "", workflows.AbortSignal, answer); err != nil {
		return g.explain(err, doing)
	}
	if !wait {
		return g.show(aborted{run.RunID}, func(w io.Writer) {
			printf(w, "aborting %s; what it deployed is taken back first: starter watch %s\n", run.RunID, shortID(run.RunID))
		})
	}
	view, err := g.followRun(ctx, c, run.RunID)
	if err != nil {
		return err
	}
	if view.State != workflows.StateAborted {
		return &failedRelease{verdict: view.RunID + " was not aborted; it ended as " + string(view.State) + ": " + view.Detail}
	}
	return nil
}

func (g *globals) abortDeployment(ctx context.Context, c client.Client, id string, answer workflows.Answer) error {
	if err := c.SignalWorkflow(ctx, id, "", workflows.AbortSignal, answer); err != nil {
		return g.explain(err, "abort "+id)
	}
	return g.show(aborted{id}, func(w io.Writer) {
		printf(w, "aborting %s; its environment is left on its last good version\n", id)
	})
}
