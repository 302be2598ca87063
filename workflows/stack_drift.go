package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// StackDriftWorkflow is the name under which StackDrift is registered.
const StackDriftWorkflow = "StackDrift"

// StackDriftInput names the stacks to look at.
type StackDriftInput struct {
	Stacks []string `json:"stacks"`
}

// StackDriftReport is what was found.
type StackDriftReport struct {
	Stacks []delivery.StackDrift `json:"stacks"`
	At     time.Time             `json:"at"`
}

// Drifted lists the stacks that are not as their templates say.
func (r StackDriftReport) Drifted() []string {
	var names []string
	for _, stack := range r.Stacks {
		if stack.Status == "DRIFTED" {
			names = append(names, stack.Stack)
		}
	}
	return names
}

// StackDrift looks once for what was changed by hand in stacks; a schedule starts it. It takes no messages and
// completes with what it found. A stack that cannot be looked at is part of the report and hides no other.
func StackDrift(ctx workflow.Context, input StackDriftInput) (StackDriftReport, error) {
	report := StackDriftReport{}
	for _, name := range input.Stacks {
		drift := delivery.StackDrift{Stack: name}
		err := workflow.ExecuteActivity(stackOptions(ctx, time.Hour, "look at "+name), (*activities.Stacks).DetectDrift, activities.DriftInput{Stack: name}).Get(ctx, &drift)
		if cancelled(ctx) {
			return report, err
		}
		if err != nil {
			drift = delivery.StackDrift{Stack: name, Status: "NOT_CHECKED", Problem: sentence(err)}
		}
		report.Stacks = append(report.Stacks, drift)
	}
	report.At = workflow.Now(ctx)
	state := "in sync"
	if drifted := report.Drifted(); len(drifted) > 0 {
		state = "drifted"
	}
	workflow.SetCurrentDetails(ctx, report.table())
	return report, workflow.UpsertTypedSearchAttributes(ctx, StateAttribute.ValueSet(state))
}

// table is the report as Markdown.
func (r StackDriftReport) table() string {
	lines := []string{"| stack | drift | |", "|---|---|---|"}
	for _, stack := range r.Stacks {
		lines = append(lines, fmt.Sprintf("| %s | %s | %s |", stack.Stack, stack.Status, plain(stack.Problem+strings.Join(stack.Differences, "; "))))
	}
	return strings.Join(lines, "\n")
}
