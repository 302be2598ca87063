package main

import "github.com/spf13/cobra"

func newWatch(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "watch [RUN]",
		Short: "Follow a run until it ends; the exit code is its verdict",
		Long:  "Follow a run until it ends; the exit code is its verdict.\n\nWithout RUN, the only run that is going on. " + runForms + ".",
		Example: `  starter watch
  starter watch site/4f2a91c
  starter watch site -o json   # one line a change`,
		Args: between(0, "RUN"),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx := command.Context()
			c, err := g.connect(ctx)
			if err != nil {
				return err
			}
			run, err := g.resolveRun(ctx, c, first(arguments), newest)
			if err != nil {
				return err
			}
			view, err := g.followRun(ctx, c, run.RunID)
			if err != nil {
				return err
			}
			return verdict(view)
		},
	}
}

// first is an optional argument.
func first(arguments []string) string {
	if len(arguments) == 0 {
		return ""
	}
	return arguments[0]
}
