package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Register makes the workflows known to a worker. Where the fleet uses Worker Versioning, runs and
// deployments stay on the code that they began with, since they are short; an environment, which
// lives for years, moves on with every upgrade.
func Register(registry worker.WorkflowRegistry) {
	pinned := workflow.VersioningBehaviorPinned
	registry.RegisterWorkflowWithOptions(Pipeline, workflow.RegisterOptions{Name: PipelineWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(Deployment, workflow.RegisterOptions{Name: DeploymentWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(Drift, workflow.RegisterOptions{Name: DriftWorkflow, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade})
	registry.RegisterWorkflowWithOptions(Provision, workflow.RegisterOptions{Name: ProvisionWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(StackDrift, workflow.RegisterOptions{Name: StackDriftWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(FreezeReport, workflow.RegisterOptions{Name: FreezeReportWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(GitHubEvent, workflow.RegisterOptions{Name: GitHubEventWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(Telling, workflow.RegisterOptions{Name: TellingWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(CatchUp, workflow.RegisterOptions{Name: CatchUpWorkflow, VersioningBehavior: pinned})
	registry.RegisterWorkflowWithOptions(Environment, workflow.RegisterOptions{
		Name: EnvironmentWorkflow, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	})
}
