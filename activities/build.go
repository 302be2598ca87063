// Package activities has the steps that touch the world, one file a system. They are thin: how a thing
// is done is said in the packages under internal/. Each may run again after it was interrupted at any
// point, so each looks before it changes anything.
package activities

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/beanstalk"
	"gravity/internal/bundle"
	"gravity/internal/delivery"
	"gravity/internal/runner"
	"gravity/internal/source"
	"gravity/internal/stacks"
)

// Build has the steps that share a worker's disk: Checkout answers with the task queue of the worker that took
// it, and the steps after it are sent there.
type Build struct {
	Sources    *source.Cache
	Workspaces *source.Workspaces
	Store      *bundle.Store
	// Platform tells the default bucket.
	Platform *beanstalk.Client
	// Stacks tell the bucket where a pipeline names it by a stack's output.
	Stacks *stacks.Client
	// TaskQueue is this worker's own.
	TaskQueue string
	// Beat is how often a step that works shows that it lives; several times within any heartbeat
	// timeout. Default 3 s.
	Beat time.Duration
}

// CheckoutInput says what to check out.
type CheckoutInput struct {
	Repository string            `json:"repository"`
	Path       string            `json:"path"`
	Revision   delivery.Revision `json:"revision"`
}

// Workspace is a checked-out revision on one worker's disk.
type Workspace struct {
	TaskQueue string `json:"taskQueue"`
	Directory string `json:"directory"`
	// Path is the pipeline's part of the tree.
	Path     string            `json:"path"`
	Revision delivery.Revision `json:"revision"`
}

// The layout of a workspace: the repository's tree, and beside it the bundle, so that the project's commands find
// nothing in their tree that is not theirs.
const (
	treeDirectory = "tree"
	bundleFile    = "bundle.zip"
)

// Checkout puts the revision into a new workspace. Tried again, it begins with another one.
func (b *Build) Checkout(ctx context.Context, input CheckoutInput) (Workspace, error) {
	defer b.keepAlive(ctx, nil)()
	directory, release, err := b.Workspaces.New(path.Base(input.Repository))
	if err != nil {
		return Workspace{}, toTemporal(err)
	}
	revision, err := b.Sources.Checkout(ctx, source.Request{
		Repository: input.Repository, SHA: input.Revision.SHA, Ref: input.Revision.Ref,
		Path: input.Path, Into: filepath.Join(directory, treeDirectory),
	})
	if err != nil {
		release()
		return Workspace{}, toTemporal(err)
	}
	return Workspace{TaskQueue: b.TaskQueue, Directory: directory, Path: input.Path, Revision: revision}, nil
}

// RunInput is one of the project's commands, with what it may know.
type RunInput struct {
	Workspace Workspace        `json:"workspace"`
	Command   delivery.Command `json:"command"`
	// Version and Revision reach the command as GRAVITY_VERSION and GRAVITY_REVISION.
	Version  string `json:"version"`
	Revision string `json:"revision"`
}

// CommandResult is how the command ended. That it failed is the project's affair and no error here.
type CommandResult struct {
	Passed bool `json:"passed"`
	// Reason says in a few words why not.
	Reason string `json:"reason,omitempty"`
	// Tail is the end of its output.
	Tail string `json:"tail,omitempty"`
}

// Run runs a command of the project in its workspace, with a clean environment and within its limits.
func (b *Build) Run(ctx context.Context, input RunInput) (CommandResult, error) {
	directory, err := b.tree(input.Workspace)
	if err != nil {
		return CommandResult{}, toTemporal(err)
	}
	latest := &lastLine{}
	defer b.keepAlive(ctx, latest)()
	result, err := runner.Run(ctx, runner.Command{
		Line:    input.Command.Run,
		Dir:     directory,
		Timeout: input.Command.Timeout.Std(),
		Scratch: input.Workspace.Directory,
		Variables: map[string]string{
			"GRAVITY_VERSION":  input.Version,
			"GRAVITY_REVISION": input.Revision,
		},
	}, latest)
	if err != nil {
		return CommandResult{}, toTemporal(err)
	}
	if result.Passed() {
		return CommandResult{Passed: true}, nil
	}
	return CommandResult{Reason: result.Reason(), Tail: result.Tail}, nil
}

// BundleInput says what to bundle.
type BundleInput struct {
	Workspace Workspace `json:"workspace"`
}

// Bundled is the bundle's identity.
type Bundled struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Files  int    `json:"files"`
}

// Bundle writes the source bundle beside the tree. Tried again, it overwrites what is there.
func (b *Build) Bundle(ctx context.Context, input BundleInput) (Bundled, error) {
	tree, err := b.tree(input.Workspace)
	if err != nil {
		return Bundled{}, toTemporal(err)
	}
	defer b.keepAlive(ctx, nil)()
	file, err := os.Create(filepath.Join(input.Workspace.Directory, bundleFile))
	if err != nil {
		return Bundled{}, fmt.Errorf("creating the bundle: %w", err)
	}
	// One time for all its files, and another one for each revision: caches compare times.
	manifest, err := bundle.WriteWith(ctx, tree, file, bundle.Options{Modified: input.Workspace.Revision.CommittedAt})
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("writing the bundle: %w", closeErr)
	}
	return Bundled{Digest: manifest.Digest, Size: manifest.Size, Files: manifest.Files}, toTemporal(err)
}

// UploadInput is the version whose bundle is to be uploaded.
type UploadInput struct {
	Workspace Workspace        `json:"workspace"`
	Version   delivery.Version `json:"version"`
}

// Upload puts the bundle into S3 under a key that the version's label determines, and completes the
// version with its place. Uploading twice finds the first.
func (b *Build) Upload(ctx context.Context, input UploadInput) (delivery.Version, error) {
	version := input.Version
	if err := b.Workspaces.Check(input.Workspace.Directory); err != nil {
		return version, toTemporal(err)
	}
	defer b.keepAlive(ctx, nil)()
	if version.Bucket == "" {
		bucket, err := b.Platform.Bucket(ctx)
		if err != nil {
			return version, toTemporal(err)
		}
		version.Bucket = bucket
	}
	if strings.HasPrefix(version.Bucket, "${") {
		bucket, err := b.Stacks.Resolve(ctx, version.Bucket)
		if err != nil {
			return version, toTemporal(err)
		}
		version.Bucket = bucket
	}
	version.Key = "gravity/" + version.Application + "/" + version.Label + ".zip"
	err := b.Store.Put(ctx, version.Bucket, version.Key, version.Digest, func() (io.ReadCloser, error) {
		return os.Open(filepath.Join(input.Workspace.Directory, bundleFile))
	})
	return version, toTemporal(err)
}

// RemoveInput is the workspace that is no longer needed.
type RemoveInput struct {
	Workspace Workspace `json:"workspace"`
}

// Remove deletes a workspace. One that is gone is removed.
func (b *Build) Remove(_ context.Context, input RemoveInput) error {
	return toTemporal(b.Workspaces.Remove(input.Workspace.Directory))
}

// tree finds the pipeline's part of a workspace. The path came through a workflow, so it is checked.
func (b *Build) tree(workspace Workspace) (string, error) {
	if err := b.Workspaces.Check(workspace.Directory); err != nil {
		return "", err
	}
	return filepath.Join(workspace.Directory, treeDirectory, filepath.FromSlash(path.Clean("/"+workspace.Path))), nil
}

const defaultBeat = 3 * time.Second

// keepAlive heartbeats until the returned function is called, with the last line of output if there is any.
func (b *Build) keepAlive(ctx context.Context, output *lastLine) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(cmp.Or(b.Beat, defaultBeat))
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if output == nil {
				activity.RecordHeartbeat(ctx)
			} else {
				activity.RecordHeartbeat(ctx, output.String())
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
