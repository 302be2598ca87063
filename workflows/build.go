package workflows

import (
	"errors"
	"slices"
	"time"

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
			return version, lostTooOften("the build")
		}
		workflow.GetLogger(ctx).Warn("the build host is lost; beginning again on another", "error", err)
		r.note(ctx, "the build host was lost; beginning again on another")
	}
}

func (r *run) buildOnOneHost(ctx workflow.Context) (delivery.Version, error) {
	r.note(ctx, "checking out "+r.input.Revision.Short())
	workspace, err := r.checkout(ctx, r.input.Revision)
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

// checkout puts the revision on the disk of whichever worker is free.
func (r *run) checkout(ctx workflow.Context, revision delivery.Revision) (activities.Workspace, error) {
	pipeline := r.input.Pipeline
	var build *activities.Build
	var workspace activities.Workspace
	err := workflow.ExecuteActivity(checkoutOptions(ctx), build.Checkout, activities.CheckoutInput{
		Repository: pipeline.Repository, Path: pipeline.Path, Revision: revision,
		Checkout: pipeline.Checkout, Cache: pipeline.Cache, Pipeline: pipeline.Name, Bucket: pipeline.Bucket,
	}).Get(ctx, &workspace)
	return workspace, err
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
	if err := r.prepare(ctx, workspace, version); err != nil {
		return version, err
	}
	if err := r.test(ctx, workspace, version); err != nil {
		return version, err
	}
	saved := r.saveCache(ctx, workspace)
	version, err = r.publish(ctx, workspace, version)
	saved()
	return version, err
}

// findVersion returns nil where the label is free.
func (r *run) findVersion(ctx workflow.Context, version delivery.Version) (*delivery.Version, error) {
	var beanstalk *activities.Beanstalk
	var found activities.FoundVersion
	err := workflow.ExecuteActivity(callOptions(ctx, "look for version "+version.Label), beanstalk.FindVersion, version).Get(ctx, &found)
	return found.Version, err
}

// prepare runs the pipeline's build command, if it has one.
func (r *run) prepare(ctx workflow.Context, workspace activities.Workspace, version delivery.Version) error {
	command := r.input.Pipeline.Build
	if command == nil {
		return nil
	}
	r.note(ctx, "build: "+command.Run)
	result, err := r.command(ctx, workspace, version, activities.RunInput{Name: "build", Command: *command})
	if err != nil || result.Passed {
		return err
	}
	r.status.Output = result.Tail
	return delivery.Errorf(delivery.BuildFailed, "build: %s: %s", result.Reason, command.Run)
}

// command runs one of the project's commands. Its failure is the project's, not ours, and final.
func (r *run) command(ctx workflow.Context, workspace activities.Workspace, version delivery.Version, input activities.RunInput) (activities.CommandResult, error) {
	input.Workspace, input.Version, input.Revision = workspace, version.Label, version.Revision.SHA
	input.Sandbox = r.input.Pipeline.Sandbox
	log := r.openLog(ctx, workspace, input.Name)
	input.Log = log.Key
	var build *activities.Build
	var result activities.CommandResult
	longest := input.Command.Timeout.Std() * time.Duration(1+input.Retries)
	err := workflow.ExecuteActivity(commandOptions(ctx, workspace.TaskQueue, longest, input.Name), build.Run, input).Get(ctx, &result)
	if err == nil {
		r.closeLog(log, result.Log)
	}
	return result, err
}

// openLog says where the log of a command will be, so that it is found while the command runs, and
// when the command does not end by itself.
func (r *run) openLog(ctx workflow.Context, workspace activities.Workspace, command string) activities.CommandLog {
	r.commands++
	if workspace.Bucket == "" {
		return activities.CommandLog{}
	}
	this := workflow.GetInfo(ctx).WorkflowExecution
	log := activities.CommandLog{
		Command: command, Bucket: workspace.Bucket, Key: activities.LogKey(this.ID, this.RunID, r.commands, command),
	}
	r.status.Logs = append(r.status.Logs, log)
	return log
}

// closeLog says how large a log has become. One that could not be kept is not spoken of.
func (r *run) closeLog(opened activities.CommandLog, kept *activities.CommandLog) {
	for i, log := range r.status.Logs {
		switch {
		case log.Key != opened.Key:
			continue
		case kept == nil:
			r.status.Logs = slices.Delete(r.status.Logs, i, i+1)
		default:
			r.status.Logs[i] = *kept
		}
		return
	}
}

// saveCache keeps what the workspace's tools have downloaded and compiled, beside whatever follows. The
// answer waits for it. That it fails costs time, and nothing else.
func (r *run) saveCache(ctx workflow.Context, workspace activities.Workspace) (wait func()) {
	if workspace.Cache == nil || workspace.Cache.Found || !changed(ctx, changeParallelTestsAndCaches) {
		return func() {}
	}
	var build *activities.Build
	saved := workflow.ExecuteActivity(transferOptions(ctx, workspace.TaskQueue, "save the cache"), build.SaveCache, activities.SaveCacheInput{
		Workspace: workspace,
	})
	return func() {
		if err := saved.Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("the cache is not saved", "error", err)
		}
	}
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
		Workspace: workspace, Version: version, Provenance: r.provenance(),
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

// provenance is what the run knows of where its bundle comes from.
func (r *run) provenance() *activities.Provenance {
	pipeline := r.input.Pipeline
	known := &activities.Provenance{
		Pipeline: pipeline.Name, Repository: pipeline.Repository, Run: r.status.RunID, Started: r.status.StartedAt,
	}
	if pipeline.Build != nil {
		known.Build = pipeline.Build.Run
	}
	if pipeline.Test != nil {
		known.Test = pipeline.Test.Run
	}
	return known
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

// lostTooOften ends a build that takes its workers with it: a third one would not fare better.
func lostTooOften(what string) error {
	return delivery.GaveUp(delivery.WorkspaceLost,
		"%s lost its worker %d times; look at the memory and disk of the workers on task queue %s", what, maxBuildHosts, BuildQueue)
}

// hostLost reports whether a step failed because its worker is gone: nobody took the step from that worker's
// queue, its heartbeats stopped, or the workspace is not there.
func hostLost(err error) bool {
	var given *delivery.Error
	if errors.As(err, &given) && given.Final {
		return false // a job lost its own, again and again
	}
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
