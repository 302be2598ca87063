package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/workflows"
)

func newApprove(g *globals) *cobra.Command {
	return newAnswer(g, workflows.ApproveUpdate, "Let a run pass the gate at which it waits", `  starter approve site/4f2a91c --reason "looks good on staging"`)
}

func newReject(g *globals) *cobra.Command {
	return newAnswer(g, workflows.RejectUpdate, "End a run at the gate at which it waits", `  starter reject site/4f2a91c --reason "the banner is wrong"`)
}

// newAnswer makes a command that answers at a gate. Both verbs work the same way.
func newAnswer(g *globals, verb, short, example string) *cobra.Command {
	answer := workflows.Answer{}
	command := &cobra.Command{
		Use:   verb + " [RUN]",
		Short: short,
		Long: short + ". The answer is refused, with the reason, when the run does not wait for one.\n\n" +
			"Without RUN, the only run that is going on; " + runForms + ", if no other of it is going on.",
		Example: example,
		Args:    between(0, "RUN"),
		RunE: func(command *cobra.Command, arguments []string) error {
			return g.answer(command.Context(), verb, first(arguments), answer)
		},
	}
	command.Flags().StringVar(&answer.Stage, "stage", "", "answer for this stage only (default: the one that waits)")
	personFlags(command, &answer)
	return command
}

// personFlags are the flags of everything that goes on record.
func personFlags(command *cobra.Command, answer *workflows.Answer) {
	command.Flags().StringVar(&answer.Reason, "reason", "", "why; kept on record")
	command.Flags().StringVar(&answer.By, "by", person(), "who says so; kept on record")
}

// answerTimeout bounds an update: a worker that lives takes it in milliseconds.
const answerTimeout = 15 * time.Second

func (g *globals) answer(ctx context.Context, verb, argument string, answer workflows.Answer) error {
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	if id, provisioning := provisionOf(argument); provisioning {
		return g.answerProvision(ctx, c, id, verb, answer)
	}
	run, err := g.resolveRun(ctx, c, argument, current)
	if err != nil {
		return err
	}
	doing := verb + " " + shortID(run.RunID)
	if !run.goingOn() {
		return wrongUse("%s: the run has ended: %s", doing, run.State)
	}
	var status workflows.RunStatus
	if err := update(ctx, c, run.RunID, verb, answer, &status); err != nil {
		return g.explainAsked(err, doing)
	}
	view := runView{RunStatus: status}
	return g.show(view, func(w io.Writer) {
		printf(w, "%s: %s\n", shortID(run.RunID), answered(status.Answers[len(status.Answers)-1]))
	})
}

// update asks a workflow for something, and waits for its answer.
func update(ctx context.Context, c client.Client, workflowID, name string, argument, result any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflowID, UpdateName: name, Args: []any{argument}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, result)
}
