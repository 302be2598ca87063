package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/activities"
	"gravity/workflows"
)

func newFreeze(g *globals) *cobra.Command {
	command := newFreezing(g, workflows.FreezeUpdate)
	command.Short = "Start no deployment on an environment until it is thawed"
	command.Long = "Start no deployment on an environment until it is thawed. Requests wait meanwhile, and a deployment\n" +
		"that has begun is seen through.\n\n" + environmentForms + "; --all is every environment of\ngravity.yaml, and every other one that has a queue."
	command.Example = `  starter freeze site-production --reason "sale until Monday"
  starter freeze --all --reason "the database moves tonight"`
	return command
}

func newThaw(g *globals) *cobra.Command {
	command := newFreezing(g, workflows.ThawUpdate)
	command.Short = "Let deployments start on a frozen environment again"
	command.Long = "Let deployments start on a frozen environment again. Look at the environment first: what it is on now\n" +
		"is taken as found.\n\n" + environmentForms + "; --all is every environment that is frozen."
	command.Example = `  starter thaw site-production
  starter thaw --all`
	return command
}

// newFreezing makes a command that freezes or thaws. Both work the same way.
func newFreezing(g *globals, verb string) *cobra.Command {
	answer := workflows.Answer{}
	var all bool
	command := &cobra.Command{
		Use:  verb + " ENVIRONMENT",
		Args: between(0, "ENVIRONMENT"),
		RunE: func(command *cobra.Command, arguments []string) error {
			switch {
			case verb == workflows.FreezeUpdate && answer.Reason == "":
				return wrongUse("say why with --reason: it is what everybody who waits gets to read")
			case all && len(arguments) > 0:
				return wrongUse("an environment or --all, not both")
			case all:
				return g.askAllPlaces(command.Context(), verb, answer)
			case len(arguments) == 0:
				return wrongUse("ENVIRONMENT is missing, or --all: %s", command.UseLine())
			default:
				return g.askPlace(command.Context(), arguments[0], verb, answer)
			}
		},
	}
	command.Flags().BoolVar(&all, "all", false, "every environment")
	personFlags(command, &answer)
	return command
}

// askPlace freezes or thaws one environment.
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

// askAllPlaces freezes or thaws every environment. One that is so already counts as done; those that
// could not be asked do not keep the others from it, and are reported.
func (g *globals) askAllPlaces(ctx context.Context, verb string, answer workflows.Answer) error {
	file, err := g.loadIfThere()
	if err != nil {
		return err
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	queues, err := listEnvironments(ctx, c)
	if err != nil {
		return g.explain(err, "looking for environments")
	}
	id := uuid.NewString()
	var views []environmentView
	var failures []error
	for _, p := range places(file.Pipelines, queues) {
		view, err := g.observeEnvironment(ctx, c, p.id())
		if err == nil && (view.Frozen != nil) == (verb == workflows.FreezeUpdate) {
			views = append(views, view)
			continue
		}
		if err != nil && verb == workflows.ThawUpdate {
			continue // it has no queue, so nothing is frozen
		}
		if err := askQueue(ctx, c, p, verb, id, answer, &view.EnvironmentStatus); err != nil {
			failures = append(failures, g.explainAsked(err, verb+" "+p.environment))
			continue
		}
		views = append(views, view)
	}
	if err := g.show(views, func(w io.Writer) { renderEnvironments(w, views, styleOf(w)) }); err != nil {
		return err
	}
	return errors.Join(failures...)
}

// askQueue sends an update to an environment's queue, which is started if nothing was deployed there yet.
func askQueue(ctx context.Context, c client.Client, p place, name, id string, argument, result any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := (&activities.Environments{Temporal: c}).Ask(ctx, activities.AskInput{
		Workflow: workflows.EnvironmentWorkflow, TaskQueue: workflows.Queue, WorkflowID: p.id(), Priority: workflows.EnvironmentPriority(p.environment),
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
