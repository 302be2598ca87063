package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"gravity/worker/process"
	"gravity/workflows"
)

// watch has the stacks looked after by schedule from now on: for drift, and, where they have alarms, so that those learn
// of freezes. Those that were destroyed no more. A provisioning of some stacks of a file leaves the others as they were.
func (g *globals) watch(ctx context.Context, c client.Client, scope string, input workflows.ProvisionInput) error {
	var names, alarmed []string
	for _, stack := range input.Stacks {
		names = append(names, stack.Name)
		if environment := stack.Parameters["EnvironmentName"]; stack.Template == "alarms" && environment != "" {
			alarmed = append(alarmed, environment)
		}
	}
	change := process.Watch
	if input.Destroy {
		change = process.Unwatch
	}
	if err := change(ctx, c, process.StackDriftSchedule(scope), names); err != nil {
		return g.explain(err, "looking after the stacks")
	}
	return g.explain(change(ctx, c, process.FreezeSchedule(scope), alarmed), "telling alarms of freezes")
}

// stackView is what is known of a stack without asking AWS.
type stackView struct {
	Stack string `json:"stack"`
	// Drift is what the last look found: IN_SYNC, DRIFTED or NOT_CHECKED.
	Drift       string    `json:"drift"`
	Differences []string  `json:"differences,omitempty"`
	Problem     string    `json:"problem,omitempty"`
	At          time.Time `json:"at,omitzero"`
}

// lookedAt is how many looks back the overview goes: one for each scope.
const lookedAt = 20

// driftViews are the results of the last looks for drift, the newest of each stack.
func driftViews(ctx context.Context, c client.Client) ([]stackView, error) {
	found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Completed'", workflows.StackDriftWorkflow), PageSize: lookedAt,
	})
	if err != nil {
		return nil, err
	}
	var views []stackView
	seen := map[string]bool{}
	for _, execution := range found.GetExecutions() { // the newest first
		var report workflows.StackDriftReport
		of := execution.GetExecution()
		if err := c.GetWorkflow(ctx, of.GetWorkflowId(), of.GetRunId()).Get(ctx, &report); err != nil {
			continue // its result is gone; the schedule makes another one
		}
		for _, drift := range report.Stacks {
			if !seen[drift.Stack] {
				seen[drift.Stack] = true
				views = append(views, stackView{Stack: drift.Stack, Drift: drift.Status, Differences: drift.Differences, Problem: drift.Problem, At: report.At})
			}
		}
	}
	slices.SortFunc(views, func(a, b stackView) int { return strings.Compare(a.Stack, b.Stack) })
	return views, nil
}

func renderStacks(w io.Writer, stacks []stackView, s style) {
	if len(stacks) == 0 {
		return
	}
	rows := [][]string{{s.dim("STACK"), s.dim("DRIFT"), s.dim("LOOKED"), ""}}
	for _, stack := range stacks {
		said, detail := s.green("in sync"), clean(stack.Problem)
		switch stack.Drift {
		case "DRIFTED":
			said = s.red("drifted")
			if detail = clean(strings.Join(stack.Differences, "; ")); detail == "" {
				detail = "starter provision --plan shows more"
			}
		case "IN_SYNC":
		default:
			said = s.paint("33", "unknown")
		}
		rows = append(rows, []string{clean(stack.Stack), said, clock(stack.At), detail})
	}
	table(w, "", rows)
}

func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
