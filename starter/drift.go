package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"gravity/workflows"
)

// driftEvery is how often drift is looked for. A look is a few calls a stack.
const driftEvery = 6 * time.Hour

func driftScheduleID(scope string) string { return "drift/" + scope }

// scheduleDrift has drift looked for in the stacks from now on; those that were destroyed no more. A provisioning of
// some stacks of a file leaves the others as they were.
func (g *globals) scheduleDrift(ctx context.Context, c client.Client, scope string, input workflows.ProvisionInput) error {
	id := driftScheduleID(scope)
	handle := c.ScheduleClient().GetHandle(ctx, id)
	described, err := handle.Describe(ctx)
	var missing *serviceerror.NotFound
	exists := !errors.As(err, &missing)
	if err != nil && exists {
		return g.explain(err, "looking at the schedule "+id)
	}
	watched := map[string]bool{}
	if exists {
		for _, name := range strings.Fields(scheduled(described)) {
			watched[name] = true
		}
	}
	for _, stack := range input.Stacks {
		watched[stack.Name] = !input.Destroy
		if input.Destroy {
			delete(watched, stack.Name)
		}
	}
	names := slices.Sorted(maps.Keys(watched))
	switch {
	case len(names) == 0 && exists:
		return g.explain(handle.Delete(ctx), "removing the schedule "+id)
	case len(names) == 0:
		return nil
	case exists:
		return g.explain(handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(found client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			found.Description.Schedule.Action = driftAction(scope, names)
			found.Description.Schedule.State.Note = strings.Join(names, " ")
			return &client.ScheduleUpdate{Schedule: &found.Description.Schedule}, nil
		}}), "changing the schedule "+id)
	}
	_, err = c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Action: driftAction(scope, names), Note: strings.Join(names, " "),
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: driftEvery}}, Jitter: 10 * time.Minute},
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) { // somebody else's provisioning was quicker
		return g.scheduleDrift(ctx, c, scope, input)
	}
	return g.explain(err, "making the schedule "+id)
}

// scheduled are the names of the stacks that a schedule looks at; its note has them.
func scheduled(of *client.ScheduleDescription) string {
	if of == nil || of.Schedule.State == nil {
		return ""
	}
	return of.Schedule.State.Note
}

func driftAction(scope string, stacks []string) *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: driftScheduleID(scope), Workflow: workflows.StackDriftWorkflow, TaskQueue: workflows.Queue,
		Args: []any{workflows.StackDriftInput{Stacks: stacks}}, WorkflowRunTimeout: 2 * time.Hour,
		StaticSummary: "look for drift in " + strings.Join(stacks, ", "),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			workflows.StateAttribute.ValueSet(string(workflows.ProvisionPending))),
	}
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
		var report workflows.DriftReport
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
