package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/measures"
	"gravity/workflows"
)

// historyFlags choose deployments.
type historyFlags struct {
	environment, pipeline string
	since                 time.Duration
	limit                 int
}

func newHistory(g *globals) *cobra.Command {
	var flags historyFlags
	command := &cobra.Command{
		Use:   "history",
		Short: "List the deployments that ended, newest first",
		Long: `List the deployments that ended, newest first, as far back as Temporal keeps them: the namespace's retention.
Beanstalk itself keeps events for six weeks.`,
		Example: `  starter history
  starter history --environment site-production --since 168h
  starter history --pipeline site -o json`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			ctx := command.Context()
			c, err := g.connect(ctx)
			if err != nil {
				return err
			}
			deployments, err := g.deployments(ctx, c, flags, time.Now().Add(-flags.since))
			if err != nil {
				return err
			}
			return g.show(deployments, func(w io.Writer) { renderHistory(w, deployments, styleOf(w)) })
		},
	}
	flags.add(command, 30*24*time.Hour)
	command.Flags().IntVar(&flags.limit, "limit", 50, "how many at the most")
	return command
}

func (f *historyFlags) add(command *cobra.Command, since time.Duration) {
	command.Flags().StringVarP(&f.environment, "environment", "e", "", "only this Beanstalk environment")
	command.Flags().StringVarP(&f.pipeline, "pipeline", "p", "", "only this pipeline")
	command.Flags().DurationVar(&f.since, "since", since, "how far back, such as 168h")
}

// queryable is what may stand in a visibility query between quotes.
var queryable = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)

// query is the visibility query of the deployments that ended since a moment.
func (f historyFlags) query(since time.Time) (string, error) {
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus != 'Running' AND CloseTime >= '%s'",
		workflows.DeploymentWorkflow, since.UTC().Format(time.RFC3339))
	for name, value := range map[string]string{
		workflows.EnvironmentAttribute.GetName(): f.environment, workflows.PipelineAttribute.GetName(): f.pipeline,
	} {
		switch {
		case value == "":
		case !queryable.MatchString(value):
			return "", wrongUse("%q names no environment or pipeline", delivery.Clip(value, 100))
		default:
			query += fmt.Sprintf(" AND %s = '%s'", name, value)
		}
	}
	return query, nil
}

// deployments lists the deployments that ended since a moment, newest first.
func (g *globals) deployments(ctx context.Context, c client.Client, flags historyFlags, since time.Time) ([]measures.Deployment, error) {
	query, err := flags.query(since)
	if err != nil {
		return nil, err
	}
	found := []measures.Deployment{}
	request := &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: page}
	for {
		listed, err := c.ListWorkflow(ctx, request)
		if err != nil {
			return nil, g.explain(err, "listing deployments")
		}
		for _, execution := range listed.GetExecutions() {
			if deployment, ended := deploymentFrom(execution); ended {
				found = append(found, deployment)
			}
			if flags.limit > 0 && len(found) == flags.limit {
				return found, nil
			}
		}
		if request.NextPageToken = listed.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return found, nil
		}
	}
}

// deploymentFrom reads what visibility knows. One that somebody terminated has no outcome, and is left out.
func deploymentFrom(execution *workflow.WorkflowExecutionInfo) (measures.Deployment, bool) {
	d := measures.Deployment{
		Pipeline:    attribute(execution, workflows.PipelineAttribute.GetName()),
		Environment: attribute(execution, workflows.EnvironmentAttribute.GetName()),
		Version:     attribute(execution, workflows.VersionAttribute.GetName()),
		Outcome:     delivery.Outcome(attribute(execution, workflows.StateAttribute.GetName())),
		StartedAt:   execution.GetStartTime().AsTime(),
		EndedAt:     execution.GetCloseTime().AsTime(),
	}
	d.CommittedAt = committedAt(d.Version)
	switch d.Outcome {
	case delivery.OutcomeDeployed, delivery.OutcomeTakenBack, delivery.OutcomeRolledBack, delivery.OutcomeNeedsAttention, delivery.OutcomeUntouched:
		return d, true
	default:
		return d, false
	}
}

var labelTime = regexp.MustCompile(`-([0-9]{8}T[0-9]{6}Z)-`)

// committedAt reads the commit's time out of a version label; zero for one that Gravity did not make.
func committedAt(label string) time.Time {
	match := labelTime.FindStringSubmatch(label)
	if match == nil {
		return time.Time{}
	}
	at, err := time.Parse("20060102T150405Z", match[1])
	if err != nil {
		return time.Time{}
	}
	return at
}

func renderHistory(w io.Writer, deployments []measures.Deployment, s style) {
	if len(deployments) == 0 {
		printf(w, "no deployment ended in that time\n")
		return
	}
	rows := [][]string{{s.dim("ENDED"), s.dim("ENVIRONMENT"), s.dim("VERSION"), s.dim("OUTCOME"), s.dim("TOOK")}}
	for _, d := range deployments {
		rows = append(rows, []string{
			clock(d.EndedAt), clean(d.Environment), clean(d.Version), outcome(d.Outcome, s), took(d.EndedAt.Sub(d.StartedAt)),
		})
	}
	table(w, "", rows)
}
