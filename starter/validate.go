package main

import (
	"github.com/spf13/cobra"

	"gravity/internal/config"
	"gravity/internal/delivery"
)

func newValidate(g *globals) *cobra.Command {
	schema := false
	command := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check gravity.yaml, and say in words what it does",
		Long:  "Check gravity.yaml, and say in words what it does. Everything that is wrong is listed at once.",
		Example: `  starter validate
  starter validate site/gravity.yaml
  starter validate --schema > gravity.schema.json   # for editors`,
		Args: between(0, "FILE"),
		RunE: func(_ *cobra.Command, arguments []string) error {
			if schema {
				_, err := g.stdout.Write(config.Schema())
				return err
			}
			if len(arguments) > 0 {
				g.configPath = arguments[0]
			}
			file, err := g.load()
			if err != nil {
				return err
			}
			return g.show(validated{Valid: true, File: file.Path, Pipelines: file.Pipelines}, file.Explain)
		},
	}
	command.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of the file")
	return command
}

// validated is the JSON answer of validate: the pipelines with every default filled in.
type validated struct {
	Valid     bool                `json:"valid"`
	File      string              `json:"file"`
	Pipelines []delivery.Pipeline `json:"pipelines"`
}
