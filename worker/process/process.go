// Package process is Gravity's worker as a library: what the worker command runs, and what
// `starter up` runs beside the embedded stack. It connects the workflows and activities with the
// systems that they touch, and polls Temporal.
package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/internal/beanstalk"
	"gravity/internal/bundle"
	"gravity/internal/github"
	"gravity/internal/runner"
	"gravity/internal/source"
	"gravity/workflows"
)

// Options says what a worker works with.
type Options struct {
	Temporal client.Client
	// AWS is the account and region, from the SDK's default chain.
	AWS aws.Config
	// Directory holds the mirrors of repositories and the workspaces of builds; several gigabytes.
	Directory string
	// Pace says how often AWS is asked. Default: beanstalk.DefaultPace.
	Pace beanstalk.Pace
	// Builds is how many builds run at once. Default: one a core.
	Builds int
	// Credentials answers with what git shows to a repository; nil for public ones.
	Credentials func(ctx context.Context, repository string) (username, token string, err error)
	// GitHub is spoken with as a token or an App; nil where the worker has no credentials for it.
	GitHub *github.Client
	// Notices are the credentials by which other receivers are told.
	Notices Notices
	// LocalRepositories lets pipelines name repositories by path, for the embedded stack alone.
	LocalRepositories bool
	// Versioning is set where the fleet uses Worker Versioning.
	Versioning worker.DeploymentOptions
	// Grace is how long steps under way may take to end when the worker stops. Default 20 s.
	Grace time.Duration
	// Failed is told when polling ended for good, such as a namespace that was deleted.
	Failed func(error)
	Log    *slog.Logger
}

// Process is a running worker.
type Process struct {
	workers []worker.Worker
}

// Start begins to poll. The caller ends it with Stop, and closes the Temporal client after that.
func Start(o Options) (*Process, error) {
	o = o.withDefaults()
	workspaces := &source.Workspaces{Root: filepath.Join(o.Directory, "workspaces")}
	if err := os.MkdirAll(workspaces.Root, 0o700); err != nil {
		return nil, fmt.Errorf("making the workspaces' directory: %w", err)
	}
	if swept, err := workspaces.Sweep(0); err != nil || swept > 0 {
		o.Log.Info("removed workspaces that a crash left behind", "count", swept, "error", err)
	}
	if !runner.Contained() {
		o.Log.Warn("this machine does not let a command be contained: what a build starts and hides may outlive it; run builds on workers of their own")
	}
	platform := beanstalk.New(o.AWS, o.Pace)
	build := &activities.Build{
		Sources: &source.Cache{
			Root: filepath.Join(o.Directory, "mirrors"), AllowLocal: o.LocalRepositories, Credentials: o.Credentials, Log: o.Log,
		},
		Workspaces: workspaces,
		Store:      &bundle.Store{S3: s3.NewFromConfig(o.AWS, pathStyle(o.AWS))},
		Platform:   platform,
		TaskQueue:  hostQueue(),
	}
	p := &Process{workers: []worker.Worker{
		o.workflowWorker(), o.platformWorker(platform), o.checkoutWorker(build), o.hostWorker(build), o.gitHubWorker(platform),
	}}
	for i, each := range p.workers {
		if err := each.Start(); err != nil {
			for _, started := range p.workers[:i] {
				started.Stop()
			}
			return nil, fmt.Errorf("polling Temporal: %w", err)
		}
	}
	o.Log.Info("worker started", "queues", []string{workflows.Queue, workflows.PlatformQueue, workflows.BuildQueue, workflows.GitHubQueue, build.TaskQueue})
	return p, nil
}

// Stop ends polling and waits, within the grace, for the steps under way. What does not end in time is
// taken over by another worker.
func (p *Process) Stop() {
	done := make(chan struct{})
	for _, each := range p.workers {
		go func() {
			each.Stop()
			done <- struct{}{}
		}()
	}
	for range p.workers {
		<-done
	}
}

// The workflows, and the steps that talk to Temporal itself.
func (o Options) workflowWorker() worker.Worker {
	w := worker.New(o.Temporal, workflows.Queue, o.worker())
	workflows.Register(w)
	w.RegisterActivity(&activities.Environments{Temporal: o.Temporal})
	w.RegisterActivity(&activities.Runs{Temporal: o.Temporal, Begin: o.begin})
	return w
}

// The steps that call AWS or ask the site. Nearly all of them wait, so many fit into one process.
func (o Options) platformWorker(platform *beanstalk.Client) worker.Worker {
	options := o.worker()
	options.MaxConcurrentActivityExecutionSize = 2000
	options.DisableWorkflowWorker = true
	w := worker.New(o.Temporal, workflows.PlatformQueue, options)
	w.RegisterActivity(&activities.Beanstalk{Client: platform})
	w.RegisterActivity(activities.NewSite())
	return w
}

// The first step of builds. As many as may run at once.
func (o Options) checkoutWorker(build *activities.Build) worker.Worker {
	options := o.worker()
	options.MaxConcurrentActivityExecutionSize = o.Builds
	options.DisableWorkflowWorker = true
	w := worker.New(o.Temporal, workflows.BuildQueue, options)
	w.RegisterActivity(build.Checkout)
	return w
}

// The other steps of builds that began here. They are never kept waiting: a queue that does not answer counts
// as a worker that is lost.
func (o Options) hostWorker(build *activities.Build) worker.Worker {
	options := o.worker()
	// Never versioned: a version would collect a queue of each of its processes, of which it may have
	// few. Temporal sends the steps of a pinned run to a queue that its version does not have as they are.
	options.DeploymentOptions = worker.DeploymentOptions{}
	options.MaxConcurrentActivityExecutionSize = 1000
	options.DisableWorkflowWorker = true
	w := worker.New(o.Temporal, build.TaskQueue, options)
	w.RegisterActivity(build)
	return w
}

func (o Options) worker() worker.Options {
	return worker.Options{
		WorkerStopTimeout: o.Grace,
		DeploymentOptions: o.Versioning,
		OnFatalError:      o.Failed,
		// What a wait sees is shown as often as it looks; and the answer to a heartbeat is what tells it
		// of an abort.
		MaxHeartbeatThrottleInterval:     o.Pace.Fast,
		DefaultHeartbeatThrottleInterval: o.Pace.Fast,
	}
}

func (o Options) withDefaults() Options {
	if o.Pace == (beanstalk.Pace{}) {
		o.Pace = beanstalk.DefaultPace
	}
	if o.Builds == 0 {
		o.Builds = runtime.NumCPU()
	}
	if o.Grace == 0 {
		o.Grace = 20 * time.Second
	}
	if o.Failed == nil {
		o.Failed = func(err error) { o.Log.Error("polling ended", "error", err) }
	}
	return o
}

// hostQueue names this process's own queue. A restarted worker has another one: it cannot know what the
// steps of its former life have left on the disk.
func hostQueue() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%s/%s", workflows.BuildQueue, host, uuid.NewString()[:8])
}

// pathStyle suits endpoints that are not AWS's own: they seldom have a name for each bucket.
func pathStyle(config aws.Config) func(*s3.Options) {
	return func(options *s3.Options) { options.UsePathStyle = config.BaseEndpoint != nil }
}
