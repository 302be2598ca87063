package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// Drift compares environments with what Gravity left there.
type Drift struct {
	Client   *beanstalk.Client
	Temporal client.Client
}

// LookInput names the workflow, query and update of environments, which belong to the workflows.
type LookInput struct {
	Workflow string `json:"workflow"`
	Query    string `json:"query"`
	Update   string `json:"update"`
}

// DriftReport is what one look at all environments found.
type DriftReport struct {
	Environments int `json:"environments"`
	// Drifted says of each environment that is not as it was left, what it has instead.
	Drifted []string `json:"drifted,omitempty"`
	// Trouble names those that could not be looked at.
	Trouble []string `json:"trouble,omitempty"`
}

// maxReported bounds a report: it is stored in a history.
const maxReported = 50

// leftBehind is the part of an environment's status that says what was left there.
type leftBehind struct {
	Application string `json:"application"`
	Environment string `json:"environment"`
	LeftOn      string `json:"leftOn"`
	// Configuration is the digest of the settings that were left; empty when unknown.
	Configuration string `json:"configuration"`
	// CNAME is set where it tells which of a pair of environments is live.
	CNAME   string    `json:"cname"`
	Running *struct{} `json:"running"`
	Drift   *struct {
		What string `json:"what"`
	} `json:"drift"`
}

// Look looks at every environment that Gravity deployed to, and tells its workflow what is different there.
// A workflow is told only what it does not know, so that a look which finds nothing leaves no trace.
func (d *Drift) Look(ctx context.Context, input LookInput) (DriftReport, error) {
	var report DriftReport
	all, err := d.left(ctx, input, &report)
	if err != nil {
		return report, toTemporal(delivery.Errorf(delivery.Unavailable, "looking for drift: %w", err))
	}
	names := make([]string, 0, len(all))
	for _, left := range all {
		names = append(names, left.Environment)
	}
	observed, err := d.Client.Environments(ctx, names)
	if err != nil {
		return report, toTemporal(err)
	}
	for _, left := range all {
		activity.RecordHeartbeat(ctx, left.Environment)
		what, err := d.compare(ctx, left, observed)
		if err != nil {
			report.Trouble = note(report.Trouble, err.Error())
			continue
		}
		if what != "" {
			report.Drifted = note(report.Drifted, what)
		}
		if left.known(what) {
			continue
		}
		if err := d.tell(ctx, left, input.Update, what); err != nil {
			report.Trouble = note(report.Trouble, err.Error())
		}
	}
	return report, ctx.Err()
}

// left asks all environments' workflows what was left there. Those where nothing was, or where a
// deployment looks for itself, are passed over.
func (d *Drift) left(ctx context.Context, input LookInput, report *DriftReport) ([]leftBehind, error) {
	var all []leftBehind
	err := running(ctx, d.Temporal, input.Workflow, func(execution *workflowpb.WorkflowExecutionInfo) error {
		report.Environments++
		activity.RecordHeartbeat(ctx, report.Environments)
		var left leftBehind
		if err := query(ctx, d.Temporal, execution.GetExecution(), input.Query, &left); err != nil {
			report.Trouble = note(report.Trouble, err.Error())
			return ctx.Err()
		}
		if left.LeftOn != "" && left.Running == nil {
			all = append(all, left)
		}
		return nil
	})
	return all, err
}

// known reports whether the environment's workflow has been told that before.
func (l leftBehind) known(what string) bool {
	if l.Drift == nil {
		return what == ""
	}
	return l.Drift.What == what
}

// compare says in words what is different; "" when nothing is, or when somebody's update is under way.
func (d *Drift) compare(ctx context.Context, left leftBehind, all []delivery.Observation) (string, error) {
	observed, err := d.live(ctx, left, all)
	switch {
	case delivery.TypeOf(err) == delivery.EnvironmentNotFound:
		return fmt.Sprintf("%s is gone: it was terminated, or has another name now", left.Environment), nil
	case err != nil:
		return "", err
	case !observed.Ready():
		return "", nil
	case observed.VersionLabel != left.LeftOn:
		return fmt.Sprintf("%s is on version %q, and Gravity left it on %q", observed.Name, observed.VersionLabel, left.LeftOn), nil
	case left.Configuration == "":
		return "", nil
	}
	now, err := d.Client.Configuration(ctx, left.Application, observed.Name)
	if err != nil {
		return "", err
	}
	if changed := now.Changed(left.Configuration); len(changed) > 0 {
		return fmt.Sprintf("the configuration of %s was changed by hand, in %s", observed.Name, strings.Join(changed, ", ")), nil
	}
	return "", nil
}

// live is the environment that users have. Only where it may be one of a pair is it asked for by itself.
func (d *Drift) live(ctx context.Context, left leftBehind, all []delivery.Observation) (delivery.Observation, error) {
	if left.CNAME != "" {
		return d.Client.OfStage(ctx, left.Application, delivery.Stage{
			Environment: left.Environment, Strategy: delivery.BlueGreen, CNAME: left.CNAME,
		})
	}
	i := slices.IndexFunc(all, func(o delivery.Observation) bool {
		return o.Application == left.Application && o.Name == left.Environment && o.Status != "Terminated"
	})
	if i < 0 {
		return delivery.Observation{}, delivery.Errorf(delivery.EnvironmentNotFound, "application %q has no environment %q", left.Application, left.Environment)
	}
	return all[i], nil
}

func (d *Drift) tell(ctx context.Context, left leftBehind, update, what string) error {
	id := delivery.EnvironmentID(left.Application, left.Environment)
	handle, err := d.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: update, WaitForStage: client.WorkflowUpdateStageCompleted,
		Args: []any{struct {
			What string `json:"what"`
		}{what}},
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("telling %s: %w", id, err)
	}
	return nil
}

func note(list []string, text string) []string {
	if len(list) >= maxReported {
		return list
	}
	return append(list, delivery.Clip(text, 300))
}
