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

	"gravity/internal/delivery"
	"gravity/workflows"
)

// driftEvery is how often drift is looked for. A look is a few calls a stack.
const driftEvery = 6 * time.Hour

func driftScheduleID(scope string) string { return "stack-drift/" + scope }

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
	if err := g.schedule(ctx, c, driftSchedule(scope), names, input.Destroy); err != nil {
		return err
	}
	return g.schedule(ctx, c, freezeSchedule(scope), alarmed, input.Destroy)
}

// watching is a schedule, and what it does for some names.
type watching struct {
	id     string
	every  time.Duration
	jitter time.Duration
	action func(names []string) *client.ScheduleWorkflowAction
}

// schedule adds names to what a schedule looks at, or takes them away. One that looks at nothing is removed.
func (g *globals) schedule(ctx context.Context, c client.Client, w watching, names []string, remove bool) error {
	handle := c.ScheduleClient().GetHandle(ctx, w.id)
	described, err := handle.Describe(ctx)
	var missing *serviceerror.NotFound
	exists := !errors.As(err, &missing)
	if err != nil && exists {
		return g.explain(err, "looking at the schedule "+w.id)
	}
	watched := map[string]bool{}
	for _, name := range strings.Fields(scheduled(described)) {
		watched[name] = true
	}
	for _, name := range names {
		if watched[name] = true; remove {
			delete(watched, name)
		}
	}
	all := sortedKeys(watched)
	switch {
	case len(all) == 0 && exists:
		return g.explain(handle.Delete(ctx), "removing the schedule "+w.id)
	case len(all) == 0:
		return nil
	case exists:
		return g.explain(handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(found client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			found.Description.Schedule.Action = w.action(all)
			found.Description.Schedule.State.Note = strings.Join(all, " ")
			return &client.ScheduleUpdate{Schedule: &found.Description.Schedule}, nil
		}}), "changing the schedule "+w.id)
	}
	_, err = c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: w.id, Action: w.action(all), Note: strings.Join(all, " "),
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: w.every}}, Jitter: w.jitter},
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) { // somebody else's provisioning was quicker
		return g.schedule(ctx, c, w, names, remove)
	}
	return g.explain(err, "making the schedule "+w.id)
}

// scheduled are the names that a schedule looks at; its note has them.
func scheduled(of *client.ScheduleDescription) string {
	if of == nil || of.Schedule.State == nil {
		return ""
	}
	return of.Schedule.State.Note
}

func driftSchedule(scope string) watching {
	return watching{id: driftScheduleID(scope), every: driftEvery, jitter: 10 * time.Minute, action: func(stacks []string) *client.ScheduleWorkflowAction {
		return &client.ScheduleWorkflowAction{
			ID: driftScheduleID(scope), Workflow: workflows.StackDriftWorkflow, TaskQueue: workflows.Queue,
			Args: []any{workflows.StackDriftInput{Stacks: stacks}}, WorkflowRunTimeout: 2 * time.Hour,
			StaticSummary: delivery.Clip("look for drift in "+strings.Join(stacks, ", "), maxSummary),
		}
	}}
}

// freezeEvery is the period of the alarm in cloudformation/alarms.yaml.
const freezeEvery = 5 * time.Minute

func freezeScheduleID(scope string) string { return "freezes/" + scope }

func freezeSchedule(scope string) watching {
	return watching{id: freezeScheduleID(scope), every: freezeEvery, action: func(environments []string) *client.ScheduleWorkflowAction {
		return &client.ScheduleWorkflowAction{
			ID: freezeScheduleID(scope), Workflow: workflows.FreezeReportWorkflow, TaskQueue: workflows.Queue,
			Args: []any{workflows.FreezeReportInput{Environments: environments}}, WorkflowRunTimeout: freezeEvery,
			StaticSummary: delivery.Clip("tell of freezes of "+strings.Join(environments, ", "), maxSummary),
		}
	}}
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
