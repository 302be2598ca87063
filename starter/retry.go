package main

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"gravity/workflows"
)

func newRetry(g *globals) *cobra.Command {
	var from string
	var wait bool
	answer := workflows.Answer{}
	command := &cobra.Command{
		Use:   "retry [RUN]",
		Short: "Take the version of a run that failed through its stages again, without building it again",
		Long: `Take the version of a run that failed through its stages again, without building or testing it again. It begins
at the stage where the run ended, or at the one named with --from, passes the gates anew, and goes by the rules
that gravity.yaml has now.

` + runForms + ".",
		Example: `  starter retry site/4f2a91c --reason "the database is back"
  starter retry site --from production --wait`,
		Args: between(0, "RUN"),
		RunE: func(command *cobra.Command, arguments []string) error {
			return g.retry(command.Context(), first(arguments), from, answer, wait)
		},
	}
	command.Flags().StringVar(&from, "from", "", "the stage to begin at (default: the first that is not on the version)")
	command.Flags().BoolVar(&wait, "wait", false, "watch the run until it ends; the exit code is its verdict")
	personFlags(command, &answer)
	return command
}

// retried is the JSON answer of retry.
type retried struct {
	RunID   string `json:"run"`
	Version string `json:"version"`
	From    string `json:"from"`
}

func (g *globals) retry(ctx context.Context, argument, from string, answer workflows.Answer, wait bool) error {
	file, err := g.load()
	if err != nil {
		return err
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	run, err := g.resolveRun(ctx, c, argument, newest)
	if err != nil {
		return err
	}
	if run.goingOn() {
		return wrongUse("%s still goes on: watch it, or abort it first", shortID(run.RunID))
	}
	earlier, err := g.observeRun(ctx, c, run.RunID)
	if err != nil {
		return g.explain(err, "asking "+run.RunID)
	}
	if earlier.Version == "" {
		return wrongUse("%s made no version: build it again with starter deploy %s --revision %s --again",
			shortID(run.RunID), earlier.Pipeline, earlier.Revision.SHA)
	}
	pipeline, err := file.Pipeline(earlier.Pipeline)
	if err != nil {
		return err
	}
	stages := pipeline.StagesFor(earlier.Revision.Branch())
	if from == "" {
		from = unfinished(earlier.Stages)
	}
	names := make([]string, len(stages))
	for i, stage := range stages {
		names[i] = stage.Name
	}
	switch {
	case from == "":
		return wrongUse("every stage of %s is on its version already; name one with --from to deploy there again", shortID(run.RunID))
	case !slices.Contains(names, from):
		return wrongUse("branch %q reaches no stage %q; there is %v", earlier.Revision.Branch(), from, names)
	}
	started, err := startInput(ctx, c, workflows.PipelineInput{
		Pipeline: pipeline, Revision: earlier.Revision,
		Retry: &workflows.Retry{Version: earlier.Version, From: from, Answer: answer},
	}, true)
	if err != nil {
		return err
	}
	if !wait {
		return g.show(retried{started.RunID, earlier.Version, from}, func(w io.Writer) {
			printf(w, "%s: %s again, from %s\nstarter watch %s\n", started.RunID, clean(earlier.Version), clean(from), shortID(started.RunID))
		})
	}
	view, err := g.followRun(ctx, c, started.RunID)
	if err != nil {
		return err
	}
	return verdict(view)
}

// unfinished is the first stage that did not end on the run's version.
func unfinished(stages []workflows.StageStatus) string {
	for _, stage := range stages {
		if stage.State != workflows.StateSucceeded && stage.State != workflows.StateSkipped {
			return stage.Stage
		}
	}
	return ""
}
