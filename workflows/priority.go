package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// Urgencies are Temporal's priority keys: what waits in a task queue is taken in their order, and in turns of the
// fairness keys among those that have the same one (https://docs.temporal.io/develop/task-queue-priority-fairness).
// A workflow's priority is also that of its steps and children, as far as these have none of their own.
const (
	urgent = 1 // a rollback, and an answer for which somebody waits
	soon   = 2 // a hotfix
	usual  = 3 // a deployment
	later  = 4 // a build
	last   = 5 // looks at all environments, of which the next one comes by itself
)

// maxFairnessKey is the most that Temporal takes, in bytes.
const maxFairnessKey = 64

// priority takes turns by what its name says: a pipeline, or an environment.
func priority(urgency int, turns string) temporal.Priority {
	return temporal.Priority{PriorityKey: urgency, FairnessKey: delivery.Clip(turns, maxFairnessKey)}
}

// RunPriority is a run's, which begins with its build. Pipelines take turns, so that a busy one does not hold up
// the others; a hotfix does not wait for its turn.
func RunPriority(pipeline string, hotfix bool) temporal.Priority {
	if hotfix {
		return priority(soon, pipeline)
	}
	return priority(later, pipeline)
}

// EnvironmentPriority is that of an environment's queue. All that is asked of it goes through it, a rollback as well, and it
// never takes long.
func EnvironmentPriority(environment string) temporal.Priority { return priority(urgent, environment) }

// EventPriority is that of what happened at GitHub; somebody waits for the answer to a comment.
func EventPriority(event delivery.GitHubEvent) temporal.Priority {
	if event.Command != nil {
		return priority(urgent, event.Repository)
	}
	return priority(usual, event.Repository)
}

// BackgroundPriority is that of what a schedule starts.
func BackgroundPriority() temporal.Priority { return priority(last, "") }

func deploymentPriority(request delivery.Request) temporal.Priority {
	if request.Rollback {
		return priority(urgent, request.Pipeline)
	}
	return priority(deployingUrgency(request.JumpQueue), request.Pipeline)
}

// deployingUrgency is that of what a run has to do to be deployed, once it is built.
func deployingUrgency(hotfix bool) int {
	if hotfix {
		return soon
	}
	return usual
}

type urgencyKey struct{}

// withUrgency gives the steps that follow another urgency than their workflow's. They keep their turns.
func withUrgency(ctx workflow.Context, urgency int) workflow.Context {
	return workflow.WithValue(ctx, urgencyKey{}, urgency)
}

// stepOptions adds the urgency that is in force, if it is not the workflow's.
func stepOptions(ctx workflow.Context, options workflow.ActivityOptions) workflow.Context {
	if urgency, ok := ctx.Value(urgencyKey{}).(int); ok {
		options.Priority.PriorityKey = urgency
	}
	return workflow.WithActivityOptions(ctx, options)
}
