package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// build makes the version of the run's revision: checkout, build, test, bundle and upload on one
// worker, since they share a disk; then the registration, which any worker can do. When that worker
// is lost, its queue stops answering, and the build begins again on another one.
func (r *run) build(ctx workflow.Context) (delivery.Version, error) {
	for host := 1; ; host++ {
		version, err := r.buildOnOneHost(ctx)
		switch {
		case err == nil:
			r.status.Build = StateSucceeded
			r.status.Version = version.Label
			r.show(ctx)
			return version, nil
		case !hostLost(err):
			return version, err
		case host == maxBuildHosts:
			return version, delivery.Errorf(delivery.WorkspaceLost,
				"the build lost its worker %d times; look at the memory and disk of the workers on task queue %s", host, BuildQueue)
		}
		workflow.GetLogger(ctx).Warn("the build host is lost; beginning again on another", "error", err)
		r.note(ctx, "the build host was lost; beginning again on another")
	}
}

func (r *run) buildOnOneHost(ctx workflow.Context) (delivery.Version, error) {
	pipeline := r.input.Pipeline
	var build *activities.Build
	var workspace activities.Workspace
	r.note(ctx, "checking out "+r.input.Revision.Short())
	err := workflow.ExecuteActivity(checkoutOptions(ctx), build.Checkout, activities.CheckoutInput{
		Repository: pipeline.Repository, Path: pipeline.Path, Revision: r.input.Revision,
	}).Get(ctx, &workspace)
	if err != nil {
		return delivery.Version{}, err
	}
	r.status.Revision = workspace.Revision
	version, err := r.makeVersion(ctx, workspace)
	if err == nil || !hostLost(err) {
		r.removeWorkspace(ctx, workspace)
	}
	return version, err
}

// makeVersion turns a workspace into a version, unless the revision has one already: it is made
// once, and what was tested then is what every later run deploys.
func (r *run) makeVersion(ctx workflow.Context, workspace activities.Workspace) (delivery.Version, error) {
	pipeline := r.input.Pipeline
	version := delivery.Version{
		Application: pipeline.Application,
		Label:       delivery.VersionLabel(pipeline.Name, workspace.Revision),
		Bucket:      pipeline.Bucket,
		Revision:    workspace.Revision,
	}
	made, err := r.findVersion(ctx, version)
	if err != nil {
		return version, err
	}
	if made != nil {
		return *made, nil
	}
	if err := r.command(ctx, workspace, version, pipeline.Build, "build", delivery.BuildFailed); err != nil {
		return version, err
	}
	if err := r.command(ctx, workspace, version, pipeline.Test, "test", delivery.TestsFailed); err != nil {
		return version, err
	}
	return r.publish(ctx, workspace, version)
}

// findVersion returns nil where the label is free.
func (r *run) findVersion(ctx workflow.Context, version delivery.Version) (*delivery.Version, error) {
	var beanstalk *activities.Beanstalk
	var found activities.FoundVersion
	err := workflow.ExecuteActivity(callOptions(ctx, "look for version "+version.Label), beanstalk.FindVersion, version).Get(ctx, &found)
	return found.Version, err
}

// command runs one of the project's commands. Its failure is the project's, not ours, and final.
func (r *run) command(ctx workflow.Context, workspace activities.Workspace, version delivery.Version,
	command *delivery.Command, verb string, failure delivery.ErrorType,
) error {
	if command == nil {
		return nil
	}
	r.note(ctx, fmt.Sprintf("%s: %s", verb, command.Run))
	var build *activities.Build
	var result activities.CommandResult
	err := workflow.ExecuteActivity(commandOptions(ctx, workspace.TaskQueue, command.Timeout.Std(), verb), build.Run, activities.RunInput{
		Workspace: workspace,
		Command:   *command,
		Version:   version.Label,
		Revision:  version.Revision.SHA,
	}).Get(ctx, &result)
	if err != nil {
		return err
	}
	if !result.Passed {
		r.status.Output = result.Tail
		return delivery.Errorf(failure, "%s: %s: %s", verb, result.Reason, command.Run)
	}
	return nil
}

// publish makes the bundle, uploads it, and registers it as an application version.
func (r *run) publish(ctx workflow.Context, workspace activities.Workspace, version delivery.Version) (delivery.Version, error) {
	var build *activities.Build
	var beanstalk *activities.Beanstalk

	r.note(ctx, "bundling "+version.Label)
	var bundled activities.Bundled
	err := workflow.ExecuteActivity(transferOptions(ctx, workspace.TaskQueue, "bundle"), build.Bundle, activities.BundleInput{
		Workspace: workspace,
	}).Get(ctx, &bundled)
	if err != nil {
		return version, err
	}
	version.Digest, version.Size = bundled.Digest, bundled.Size

	r.note(ctx, "uploading "+version.Label)
	err = workflow.ExecuteActivity(transferOptions(ctx, workspace.TaskQueue, "upload"), build.Upload, activities.UploadInput{
		Workspace: workspace, Version: version,
	}).Get(ctx, &version)
	if err != nil {
		return version, err
	}

	if err := r.prune(ctx, version); err != nil {
		return version, err
	}
	r.note(ctx, "registering "+version.Label)
	err = workflow.ExecuteActivity(callOptions(ctx, "register "+version.Label), beanstalk.RegisterVersion, version).Get(ctx, &version)
	return version, err
}

// removeWorkspace clears the build host's disk, whatever became of the build. It is a courtesy: a
// worker sweeps what is left when it starts.
func (r *run) removeWorkspace(ctx workflow.Context, workspace activities.Workspace) {
	var build *activities.Build
	outlasting, _ := workflow.NewDisconnectedContext(ctx)
	err := workflow.ExecuteActivity(cleanupOptions(outlasting, workspace.TaskQueue), build.Remove, activities.RemoveInput{
		Workspace: workspace,
	}).Get(outlasting, nil)
	if err != nil {
		workflow.GetLogger(ctx).Info("the workspace was left behind", "directory", workspace.Directory, "error", err)
	}
}

// hostLost reports whether a step failed because its worker is gone: nobody took the step from that worker's
// queue, its heartbeats stopped, or the workspace is not there.
func hostLost(err error) bool {
	if typeOf(err) == delivery.WorkspaceLost {
		return true
	}
	var timeout *temporal.TimeoutError
	if !errors.As(err, &timeout) {
		return false
	}
	kind := timeout.TimeoutType()
	return kind == enums.TIMEOUT_TYPE_SCHEDULE_TO_START || kind == enums.TIMEOUT_TYPE_HEARTBEAT
}
