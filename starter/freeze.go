package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/activities"
	"gravity/workflows"
)

func newFreeze(g *globals) *cobra.Command {
	answer := workflows.Answer{}
	command := &cobra.Command{
		Use:   "freeze ENVIRONMENT --reason WHY",
		Short: "Start no deployment on an environment until it is thawed",
		Long: "Start no deployment on an environment until it is thawed. Requests wait meanwhile, and a deployment\n" +
			"that has begun is seen through.\n\n" + environmentForms + ".",
		Example: `  starter freeze site-production --reason "sale until Monday"`,
		Args:    exactly("ENVIRONMENT"),
		RunE: func(command *cobra.Command, arguments []string) error {
			if answer.Reason == "" {
				return wrongUse("say why with --reason: it is what everybody who waits gets to read")
			}
			return g.askPlace(command.Context(), arguments[0], workflows.FreezeUpdate, answer)
		},
	}
	personFlags(command, &answer)
	return command
}

func newThaw(g *globals) *cobra.Command {
	answer := workflows.Answer{}
	command := &cobra.Command{
		Use:   "thaw ENVIRONMENT",
		Short: "Let deployments start on a frozen environment again",
		Long: "Let deployments start on a frozen environment again. Look at the environment first: what it is on now\n" +
			"is taken as found.\n\n" + environmentForms + ".",
		Example: `  starter thaw site-production`,
		Args:    exactly("ENVIRONMENT"),
		RunE: func(command *cobra.Command, arguments []string) error {
			return g.askPlace(command.Context(), arguments[0], workflows.ThawUpdate, answer)
		},
	}
	personFlags(command, &answer)
	return command
}

// askPlace freezes or thaws.
func (g *globals) askPlace(ctx context.Context, argument, verb string, answer workflows.Answer) error {
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	p, err := g.resolveEnvironment(ctx, c, argument)
	if err != nil {
		return err
	}
	var view environmentView
	if err := askQueue(ctx, c, p, verb, uuid.NewString(), answer, &view.EnvironmentStatus); err != nil {
		return g.explainAsked(err, verb+" "+p.environment)
	}
	return g.show(view, func(w io.Writer) { renderEnvironment(w, view, styleOf(w)) })
}

// askQueue sends an update to an environment's queue, which is started if nothing was deployed there yet.
func askQueue(ctx context.Context, c client.Client, p place, name, id string, argument, result any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := (&activities.Environments{Temporal: c}).Ask(ctx, activities.AskInput{
		Workflow: workflows.EnvironmentWorkflow, TaskQueue: workflows.Queue, WorkflowID: p.id(),
		Start:  workflows.EnvironmentInput{Application: p.application, Environment: p.environment},
		Update: name, UpdateID: name + "/" + id, Argument: argument,
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("the answer makes no sense: %w", err)
	}
	return nil
}
