// Package activities has the steps that touch the world, one file a system. They are thin: how a thing
// is done is said in the packages under internal/. Each may run again after it was interrupted at any
// point, so each looks before it changes anything.
package activities

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/beanstalk"
	"gravity/internal/bundle"
	"gravity/internal/cache"
	"gravity/internal/delivery"
	"gravity/internal/source"
	"gravity/internal/stacks"
)

// Build has the steps that share a worker's disk: Checkout answers with the task queue of the worker that took
// it, and the steps after it are sent there.
type Build struct {
	Sources    *source.Cache
	Workspaces *source.Workspaces
	Store      *bundle.Store
	// Caches keeps what commands' tools download and compile. Nil: nothing is kept.
	Caches *cache.Store
	// Platform tells the default bucket.
	Platform *beanstalk.Client
	// Sandbox is what this worker lets the project's commands use.
	Sandbox Sandbox
	// Builder is a URI that names the fleet in the provenance of bundles, and BuilderVersion its program's version.
	Builder, BuilderVersion string
	// Stacks tell the bucket where a pipeline names it by a stack's output.
	Stacks *stacks.Client
	// TaskQueue is this worker's own.
	TaskQueue string
	// Beat is how often a step that works shows that it lives; several times within any heartbeat
	// timeout. Default 2 s.
	Beat time.Duration
	// Log receives what operators should know. Default: nothing.
	Log *slog.Logger

	mutex    sync.Mutex
	bucket   string          // Beanstalk's own, once it was asked for
	prepared map[string]bool // buckets whose lifecycle was seen to
}

// CheckoutInput says what to check out.
type CheckoutInput struct {
	Repository string            `json:"repository"`
	Path       string            `json:"path"`
	Revision   delivery.Revision `json:"revision"`
	// Checkout says what comes with it.
	Checkout delivery.Checkout `json:"checkout,omitzero"`
	// Cache, if any, is looked for under the pipeline's name, in Bucket as well.
	Cache    *delivery.Cache `json:"cache,omitempty"`
	Pipeline string          `json:"pipeline,omitempty"`
	Bucket   string          `json:"bucket,omitempty"`
}

// Workspace is a checked-out revision on one worker's disk.
type Workspace struct {
	TaskQueue string `json:"taskQueue"`
	Directory string `json:"directory"`
	// Path is the pipeline's part of the tree.
	Path     string            `json:"path"`
	Revision delivery.Revision `json:"revision"`
	// Cache is set where the pipeline keeps one.
	Cache *WorkspaceCache `json:"cache,omitempty"`
	// Bucket is where its commands' logs are kept. Empty: it was not to be had.
	Bucket string `json:"bucket,omitempty"`
}

// WorkspaceCache is what a workspace's commands find of what tools downloaded and compiled before.
type WorkspaceCache struct {
	Key string `json:"key"`
	// Found says that there was one. One that was not there is saved when the tests have passed.
	Found bool `json:"found"`
}

// The layout of a workspace: the repository's tree, and beside it what the project's commands must not find in
// their tree because it is not theirs.
const (
	treeDirectory   = "tree"
	cachesDirectory = "caches"
)

// Checkout puts the revision into a new workspace. Tried again, it begins with another one.
func (b *Build) Checkout(ctx context.Context, input CheckoutInput) (Workspace, error) {
	defer b.keepAlive(ctx, nil)()
	directory, release, err := b.Workspaces.New(path.Base(input.Repository))
	if err != nil {
		return Workspace{}, toTemporal(err)
	}
	revision, err := b.Sources.Checkout(ctx, source.Request{
		Repository: input.Repository, SHA: input.Revision.SHA, Ref: input.Revision.Ref, Path: input.Path,
		Submodules: input.Checkout.Submodules, LFS: input.Checkout.LFS, Into: filepath.Join(directory, treeDirectory),
	})
	// Who pushed it is not in the commit, and whoever started the run may know.
	revision.People = delivery.People(slices.Concat(input.Revision.People, revision.People)...)
	workspace := Workspace{TaskQueue: b.TaskQueue, Directory: directory, Path: input.Path, Revision: revision}
	if err == nil {
		if workspace.Bucket, err = b.bucketFor(ctx, input.Bucket); err != nil && ctx.Err() == nil {
			b.log().WarnContext(ctx, "there is no bucket for logs and caches; the build goes on without", "pipeline", input.Pipeline, "error", err)
			err = nil
		}
	}
	if err == nil && input.Cache != nil && b.Caches != nil {
		workspace.Cache, err = b.restoreCache(ctx, workspace, input)
	}
	if err != nil {
		release()
		return Workspace{}, toTemporal(err)
	}
	// From here on it is a build that has begun.
	done, err := b.Workspaces.Use(directory)
	if err != nil {
		return Workspace{}, toTemporal(err)
	}
	done()
	return workspace, nil
}

// restoreCache looks for the workspace's cache. Without one the commands take longer, and do the same.
func (b *Build) restoreCache(ctx context.Context, workspace Workspace, input CheckoutInput) (*WorkspaceCache, error) {
	key, err := cache.Key(partOf(workspace), input.Cache.Files, input.Pipeline, workspace.Revision.Ref)
	if err != nil {
		return nil, err
	}
	into := filepath.Join(workspace.Directory, cachesDirectory)
	if err := os.Mkdir(into, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of caches: %w", err)
	}
	found, err := b.Caches.Restore(ctx, workspace.Bucket, key, into)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b.log().WarnContext(ctx, "the cache is not to be had; the build goes on without it", "pipeline", input.Pipeline, "error", err)
	}
	return &WorkspaceCache{Key: key, Found: found}, nil
}

// SaveCacheInput is the workspace whose tests have passed.
type SaveCacheInput struct {
	Workspace Workspace `json:"workspace"`
}

// SaveCache keeps what the workspace's tools have downloaded and compiled. What is kept already stays.
func (b *Build) SaveCache(ctx context.Context, input SaveCacheInput) error {
	_, done, err := b.enter(input.Workspace)
	if err != nil {
		return toTemporal(err)
	}
	defer done()
	if input.Workspace.Cache == nil || b.Caches == nil {
		return nil
	}
	defer b.keepAlive(ctx, nil)()
	bucket, err := b.bucketFor(ctx, input.Workspace.Bucket)
	if err != nil {
		return toTemporal(err)
	}
	b.prepare(ctx, bucket)
	return toTemporal(b.Caches.Save(ctx, bucket, input.Workspace.Cache.Key, filepath.Join(input.Workspace.Directory, cachesDirectory)))
}

// RemoveInput is the workspace that is no longer needed.
type RemoveInput struct {
	Workspace Workspace `json:"workspace"`
}

// Remove deletes a workspace. One that is gone is removed.
func (b *Build) Remove(_ context.Context, input RemoveInput) error {
	return toTemporal(b.Workspaces.Remove(input.Workspace.Directory))
}

// enter begins to work in a workspace, and answers with the pipeline's part of it. The path came through a
// workflow, so it is checked.
func (b *Build) enter(workspace Workspace) (part string, done func(), err error) {
	done, err = b.Workspaces.Use(workspace.Directory)
	return partOf(workspace), done, err
}

func partOf(workspace Workspace) string {
	return filepath.Join(treeOf(workspace), filepath.FromSlash(path.Clean("/"+workspace.Path)))
}

// treeOf is where the whole repository lies.
func treeOf(workspace Workspace) string { return filepath.Join(workspace.Directory, treeDirectory) }

// bucketFor is the bucket that a pipeline names, itself or as the output of a stack, or Beanstalk's own.
func (b *Build) bucketFor(ctx context.Context, named string) (string, error) {
	if strings.HasPrefix(named, "${") {
		return b.Stacks.Resolve(ctx, named)
	}
	if named != "" {
		return named, nil
	}
	b.mutex.Lock()
	known := b.bucket
	b.mutex.Unlock()
	if known != "" {
		return known, nil
	}
	bucket, err := b.Platform.Bucket(ctx)
	if err != nil {
		return "", err
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.bucket = bucket
	return bucket, nil
}

// seeTo bounds how long a command may be kept waiting for what does not concern it.
const seeTo = 20 * time.Second

// prepare sees to it, once, that a bucket does not keep logs and caches forever.
func (b *Build) prepare(ctx context.Context, bucket string) {
	b.mutex.Lock()
	done := b.prepared[bucket]
	if b.prepared == nil {
		b.prepared = map[string]bool{}
	}
	b.prepared[bucket] = true
	b.mutex.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, seeTo)
	defer cancel()
	if err := b.Store.EnsureLifecycle(ctx, bucket); err != nil {
		b.log().WarnContext(ctx, "the bucket's lifecycle is not set", "bucket", bucket, "error", err)
	}
}

func (b *Build) log() *slog.Logger {
	if b.Log != nil {
		return b.Log
	}
	return slog.New(slog.DiscardHandler)
}

const defaultBeat = 2 * time.Second

func (b *Build) beat() time.Duration { return cmp.Or(b.Beat, defaultBeat) }

// keepAlive heartbeats until the returned function is called, with what a command printed last if there is one.
func (b *Build) keepAlive(ctx context.Context, log *commandLog) (stop func()) {
	return every(ctx, b.beat(), func(ctx context.Context) {
		if log == nil {
			activity.RecordHeartbeat(ctx)
		} else {
			activity.RecordHeartbeat(ctx, log.progress())
		}
	})
}

// every does something again and again until the returned function is called, which waits for its end.
func every(ctx context.Context, pause time.Duration, do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				do(ctx)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
