package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/worker/connection"
)

const (
	runPrefix         = "run/"
	environmentPrefix = "environment/"
)

// runArgument is what people may write for a run: a pipeline, and as much of the hash as they like. It also
// keeps quotes out of visibility queries.
var runArgument = regexp.MustCompile(`^[a-z0-9-]{1,40}(/[0-9a-f]{0,40})?$`)

const runForms = "a run is named run/PIPELINE/SHA, PIPELINE/SHA with as few digits as are clear, or PIPELINE for its newest"

// choice is which run is meant where an argument fits several.
type choice int

const (
	// newest: what is shown of the wrong run does no harm.
	newest choice = iota
	// current: an answer that reaches the wrong run does; so of several that go on none is taken.
	current
)

// resolveRun finds the run that is meant: by its full ID, by pipeline and the first digits of the hash,
// by pipeline alone, or, given nothing, the only one that goes on.
func (g *globals) resolveRun(ctx context.Context, c client.Client, argument string, prefer choice) (listed, error) {
	short := strings.TrimPrefix(argument, runPrefix)
	if argument != "" && !runArgument.MatchString(short) {
		return listed{}, wrongUse("%q names no run: %s", delivery.Clip(argument, 100), runForms)
	}
	filter := "ExecutionStatus = 'Running'"
	pipeline, sha, _ := strings.Cut(short, "/")
	if len(sha) == fullHash {
		return g.exactRun(ctx, c, delivery.RunID(pipeline, sha))
	}
	if argument != "" {
		filter = "WorkflowId STARTS_WITH '" + delivery.RunID(pipeline, sha) + "'"
	}
	runs, err := listRuns(ctx, c, filter)
	if err != nil {
		return listed{}, g.explain(err, "looking for runs")
	}
	return pick(runs, argument, prefer)
}

// fullHash is the length of a hash that needs no search. Searches lag a moment behind what was just started.
const fullHash = 40

func (g *globals) exactRun(ctx context.Context, c client.Client, runID string) (listed, error) {
	described, err := c.DescribeWorkflowExecution(ctx, runID, "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return listed{}, wrongUse("there is no run %s; `starter status` lists what there is", runID)
	}
	if err != nil {
		return listed{}, g.explain(err, "looking for "+runID)
	}
	return runOf(connection.DataOf(c), described.GetWorkflowExecutionInfo()), nil
}

// pick chooses among the runs that fit an argument, or lists them.
func pick(runs []listed, argument string, prefer choice) (listed, error) {
	going := slices.DeleteFunc(slices.Clone(runs), func(run listed) bool { return !run.goingOn() })
	_, sha, byHash := strings.Cut(strings.TrimPrefix(argument, runPrefix), "/")
	byHash = byHash && sha != ""
	switch {
	case len(runs) == 0 && argument == "":
		return listed{}, wrongUse("no run is going on; name one, or see them all with `starter status`")
	case len(runs) == 0:
		return listed{}, wrongUse("there is no run %s; `starter status` lists what there is", argument)
	case len(runs) == 1:
		return runs[0], nil
	case byHash:
		return listed{}, ambiguous("these digits fit several runs; give more of them", runs)
	case argument == "", prefer == current && len(going) > 1:
		return listed{}, ambiguous("several runs are going on; say which one", going)
	case prefer == current && len(going) == 1:
		return going[0], nil
	default:
		return slices.MaxFunc(runs, func(a, b listed) int { return a.StartedAt.Compare(b.StartedAt) }), nil
	}
}

// ambiguous lists what an argument may have meant.
func ambiguous(reason string, runs []listed) error {
	const most = 10
	var lines strings.Builder
	for _, run := range runs[:min(len(runs), most)] {
		lines.WriteString("\n  " + shortID(run.RunID) + "  " + string(run.State) + "  " + clean(run.Message))
	}
	if len(runs) > most {
		lines.WriteString("\n  …")
	}
	return wrongUse("%s:%s", reason, lines.String())
}

// shortID is a run's ID as people type it.
func shortID(runID string) string {
	pipeline, sha, _ := strings.Cut(strings.TrimPrefix(runID, runPrefix), "/")
	return pipeline + "/" + delivery.Revision{SHA: sha}.Short()
}

// place is an environment, and the stage that deploys to it, if gravity.yaml has one.
type place struct {
	application, environment string
	pipeline                 string
	stage                    *delivery.Stage
}

func (p place) id() string { return delivery.EnvironmentID(p.application, p.environment) }

const environmentForms = "an environment is named by its Beanstalk name, APPLICATION/NAME, or PIPELINE/STAGE"

// resolveEnvironment finds the environment that is meant, among the stages of gravity.yaml and the
// environments that have a queue already.
func (g *globals) resolveEnvironment(ctx context.Context, c client.Client, argument string) (place, error) {
	file, err := g.loadIfThere()
	if err != nil {
		return place{}, err
	}
	queues, err := listEnvironments(ctx, c)
	if err != nil {
		return place{}, g.explain(err, "looking for environments")
	}
	return pickPlace(places(file.Pipelines, queues), strings.TrimPrefix(argument, environmentPrefix))
}

// places lists every known environment once: first those of the file, which know their stage.
func places(pipelines []delivery.Pipeline, queues []string) []place {
	var known []place
	for _, pipeline := range pipelines {
		for _, stage := range pipeline.Stages {
			known = append(known, place{pipeline.Application, stage.Environment, pipeline.Name, &stage})
		}
	}
	for _, queue := range queues {
		application, environment, ok := strings.Cut(strings.TrimPrefix(queue, environmentPrefix), "/")
		if ok && !slices.ContainsFunc(known, func(p place) bool { return p.id() == queue }) {
			known = append(known, place{application: application, environment: environment})
		}
	}
	return known
}

func pickPlace(known []place, argument string) (place, error) {
	var found []place
	for _, p := range known {
		byStage := p.stage != nil && argument == p.pipeline+"/"+p.stage.Name
		if byStage || argument == p.environment || argument == p.application+"/"+p.environment {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return place{}, wrongUse("there is no environment %q%s; %s", delivery.Clip(argument, 100), names(": there is ", known), environmentForms)
	default:
		return place{}, wrongUse("%q fits several environments%s", delivery.Clip(argument, 100), names(": ", found))
	}
}

func names(lead string, known []place) string {
	const most = 10
	if len(known) == 0 {
		return " in gravity.yaml or in Temporal"
	}
	var list []string
	for _, p := range known[:min(len(known), most)] {
		list = append(list, p.application+"/"+p.environment)
	}
	if len(known) > most {
		list = append(list, "…")
	}
	return lead + strings.Join(list, ", ")
}
