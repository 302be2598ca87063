package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// Versions keeps an application from filling up with versions.
type Versions struct {
	Client   *beanstalk.Client
	Temporal client.Client
}

// PruneInput says whose versions, how many are to stay, and which one is about to be registered. The names of
// workflows and of what they answer belong to the workflows, which is why they are passed along.
type PruneInput struct {
	Application         string `json:"application"`
	Pipeline            string `json:"pipeline"`
	Keep                int    `json:"keep"`
	Needed              string `json:"needed"`
	EnvironmentWorkflow string `json:"environmentWorkflow"`
	PipelineWorkflow    string `json:"pipelineWorkflow"`
	Query               string `json:"query"`
	VersionAttribute    string `json:"versionAttribute"`
}

// Pruned lists the labels that were removed.
type Pruned struct {
	Removed []string `json:"removed,omitempty"`
}

// Prune removes the oldest versions of a pipeline, so that there is room for one more. It never removes
// what an environment is on or returns to, what waits in a queue, or what a run is taking through its
// stages; when one of them can't be asked, it removes nothing.
func (v *Versions) Prune(ctx context.Context, input PruneInput) (Pruned, error) {
	needed := map[string]bool{input.Needed: true}
	if err := v.neededByEnvironments(ctx, input, needed); err != nil {
		return Pruned{}, toTemporal(delivery.Errorf(delivery.Unavailable, "finding out which versions are needed: %w", err))
	}
	err := running(ctx, v.Temporal, input.PipelineWorkflow, func(execution *workflowpb.WorkflowExecutionInfo) error {
		needed[keyword(execution, input.VersionAttribute)] = true
		return nil
	})
	if err != nil {
		return Pruned{}, toTemporal(delivery.Errorf(delivery.Unavailable, "finding out which versions are needed: %w", err))
	}
	// One place is for the version that comes.
	removed, err := v.Client.Prune(ctx, input.Application, input.Pipeline, input.Keep-1, func(label string) bool { return needed[label] })
	if err != nil {
		return Pruned{Removed: removed}, toTemporal(err)
	}
	return Pruned{Removed: removed}, nil
}

// FindExistingInput lists versions that there were.
type FindExistingInput struct {
	Application string             `json:"application"`
	Versions    []delivery.Version `json:"versions"`
}

// Existing lists those that there still are, in the same order.
type Existing struct {
	Versions []delivery.Version `json:"versions,omitempty"`
}

// FindExisting leaves out the versions that were removed.
func (v *Versions) FindExisting(ctx context.Context, input FindExistingInput) (Existing, error) {
	labels := make([]string, len(input.Versions))
	for i, version := range input.Versions {
		labels[i] = version.Label
	}
	there, err := v.Client.Existing(ctx, input.Application, labels)
	if err != nil {
		return Existing{}, toTemporal(err)
	}
	return Existing{Versions: slices.DeleteFunc(input.Versions, func(version delivery.Version) bool { return !there[version.Label] })}, nil
}

// environmentNeeds is the part of an environment's status that says which versions it needs.
type environmentNeeds struct {
	LeftOn  string             `json:"leftOn"`
	Good    *delivery.Version  `json:"good"`
	Running *delivery.Request  `json:"running"`
	Waiting []delivery.Request `json:"waiting"`
}

func (v *Versions) neededByEnvironments(ctx context.Context, input PruneInput, needed map[string]bool) error {
	ours := delivery.EnvironmentID(input.Application, "")
	return running(ctx, v.Temporal, input.EnvironmentWorkflow, func(execution *workflowpb.WorkflowExecutionInfo) error {
		if !strings.HasPrefix(execution.GetExecution().GetWorkflowId(), ours) {
			return nil
		}
		var needs environmentNeeds
		if err := query(ctx, v.Temporal, execution.GetExecution(), input.Query, &needs); err != nil {
			return fmt.Errorf("what an environment needs: %w", err)
		}
		needed[needs.LeftOn] = true
		if needs.Good != nil {
			needed[needs.Good.Label] = true
		}
		if needs.Running != nil {
			needed[needs.Running.Version.Label] = true
		}
		for _, waiting := range needs.Waiting {
			needed[waiting.Version.Label] = true
		}
		return nil
	})
}
