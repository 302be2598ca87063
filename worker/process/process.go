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
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/internal/alarms"
	"gravity/internal/beanstalk"
	"gravity/internal/bundle"
	"gravity/internal/github"
	"gravity/internal/stacks"
	"gravity/workflows"
)

// Options says what a worker works with.
type Options struct {
	Temporal client.Client
	// AWS is the account and region, from the SDK's default chain.
	AWS aws.Config
	// Metrics is where freezes are told. Default: CloudWatch.
	Metrics activities.MetricsAPI
	// Directory holds the mirrors of repositories and the workspaces of builds; several gigabytes.
	Directory string
	// Pace says how often AWS is asked. Default: beanstalk.DefaultPace.
	Pace beanstalk.Pace
	// Builds is how many builds run at once at most. Default: one a core. It is fewer while the machine's
	// cores or memory are in use.
	Builds int
	// Credentials answers with what git shows to a repository; nil for public ones.
	Credentials func(ctx context.Context, repository string) (username, token string, err error)
	// GitHub is spoken with as a token or an App; nil where the worker has no credentials for it.
	GitHub *github.Client
	// SSHKey is the private key that git shows over ssh, and KnownHosts the file of the host keys that it
	// accepts. Default: those of the worker's own account.
	SSHKey, KnownHosts string
	// MirrorSize and CacheSize bound the mirrors of repositories, and the caches of builds, in bytes.
	// Defaults: source.DefaultMaxSize, cache.DefaultMaxSize.
	MirrorSize, CacheSize int64
	// CommandMemory bounds the memory of a project's command, in bytes. Default: four fifths of the machine's.
	CommandMemory int64
	// CommandsAsWorker runs the project's commands as the worker itself even where that is root, for the
	// embedded stack and for tests: everything that they do, root does.
	CommandsAsWorker bool
	// ContainerEngine is the program that starts containers. Default: docker.
	ContainerEngine string
	// DataConverter reads what is stored encrypted; nil where nothing is.
	DataConverter converter.DataConverter
	// Notices are the credentials by which other receivers are told.
	Notices Notices
	// LocalRepositories lets pipelines name repositories by path, for stand-ins alone.
	LocalRepositories bool
	// Versioning is set where the fleet uses Worker Versioning.
	Versioning worker.DeploymentOptions
	// PlatformRate is how many steps that call AWS may begin a second, on all workers together; each of them has to
	// say the same, since Temporal keeps to what it was told last. 0: as many as there are.
	PlatformRate float64
	// Grace is how long steps under way may take to end when the worker stops. Default 20 s.
	Grace time.Duration
	// Failed is told when polling ended for good, such as a namespace that was deleted.
	Failed func(error)
	Log    *slog.Logger
}

// Process is a running worker.
type Process struct {
	workers []worker.Worker
	sweeper *sweeper
}

// Start begins to poll. The caller ends it with Stop, and closes the Temporal client after that.
func Start(o Options) (*Process, error) {
	o = o.withDefaults()
	platform := beanstalk.New(o.AWS, o.Pace)
	provisioner := stacks.New(o.AWS, o.Pace.Fast, platform.Bucket)
	build, err := o.build(platform, provisioner)
	if err != nil {
		return nil, err
	}
	probes := filepath.Join(o.Directory, "probes")
	if err := os.MkdirAll(probes, 0o700); err != nil {
		return nil, fmt.Errorf("making the probes' directory: %w", err)
	}
	checkouts, err := o.checkoutWorker(build)
	if err != nil {
		return nil, err
	}
	p := &Process{
		workers: []worker.Worker{
			o.workflowWorker(), o.platformWorker(platform, provisioner, build.Store, probes), checkouts, o.hostWorker(build), o.gitHubWorker(platform),
		},
		sweeper: sweep(build.Workspaces, o.Log),
	}
	for i, each := range p.workers {
		if err := each.Start(); err != nil {
			for _, started := range p.workers[:i] {
				started.Stop()
			}
			p.sweeper.stop()
			return nil, fmt.Errorf("polling Temporal: %w", err)
		}
	}
	o.Log.Info("worker started", "queues", []string{workflows.Queue, workflows.PlatformQueue, workflows.BuildQueue, workflows.GitHubQueue, build.TaskQueue})
	return p, nil
}

// Stop ends polling and waits, within the grace, for the steps under way. What does not end in time is
// taken over by another worker.
func (p *Process) Stop() {
	p.sweeper.stop()
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
	options := o.worker()
	options.WorkflowTaskPollerBehavior = pollers(2, 5, 40)
	options.ActivityTaskPollerBehavior = pollers(1, 2, 20)
	w := worker.New(o.Temporal, workflows.Queue, options)
	workflows.Register(w)
	w.RegisterActivity(&activities.Environments{Temporal: o.Temporal})
	w.RegisterActivity(&activities.Freezes{Temporal: o.Temporal})
	w.RegisterActivity(&activities.Runs{Temporal: o.Temporal, Begin: o.begin})
	return w
}

// The steps that call AWS or ask the site. Nearly all of them wait, so many fit into one process.
func (o Options) platformWorker(platform *beanstalk.Client, provisioner *stacks.Client, bundles *bundle.Store, probeDirectory string) worker.Worker {
	watched := alarms.New(o.AWS, o.Pace.Slow)
	site, probes := activities.NewSite(), &activities.Probes{Directory: probeDirectory}

	options := o.worker()
	options.MaxConcurrentActivityExecutionSize = 2000
	options.ActivityTaskPollerBehavior = pollers(2, 5, 40)
	options.TaskQueueActivitiesPerSecond = o.PlatformRate
	options.DisableWorkflowWorker = true
	w := worker.New(o.Temporal, workflows.PlatformQueue, options)
	w.RegisterActivity(&activities.Beanstalk{Client: platform, Alarms: watched, Bundles: bundles})
	w.RegisterActivity(&activities.Alarms{Client: watched, Pause: o.Pace.Events})
	w.RegisterActivity(site)
	w.RegisterActivity(probes)
	w.RegisterActivity(&activities.Bake{
		Platform: platform, Alarms: watched, Site: site, Probes: probes, Calm: o.Pace.Events, Hurry: o.Pace.Fast, Attentive: o.Pace.Slow,
	})
	w.RegisterActivity(&activities.Versions{Client: platform, Temporal: o.Temporal})
	w.RegisterActivity(&activities.Drift{Client: platform, Temporal: o.Temporal})
	w.RegisterActivity(&activities.Stacks{Client: provisioner})
	w.RegisterActivity(&activities.Metrics{API: o.Metrics})
	return w
}

// The first step of builds. As many as the machine has room for.
func (o Options) checkoutWorker(build *activities.Build) (worker.Worker, error) {
	tuner, err := newBuildTuner(o.Builds, func() int { return build.Workspaces.Busy(between) })
	if err != nil {
		return nil, err
	}
	options := o.worker()
	options.Tuner = tuner
	options.ActivityTaskPollerBehavior = pollers(1, 1, o.Builds)
	options.DisableWorkflowWorker = true
	w := worker.New(o.Temporal, workflows.BuildQueue, options)
	w.RegisterActivity(build.Checkout)
	return w, nil
}

// The other steps of builds that began here. They are never kept waiting: a queue that does not answer counts
// as a worker that is lost.
func (o Options) hostWorker(build *activities.Build) worker.Worker {
	options := o.worker()
	// Never versioned: a version would collect a queue of each of its processes, of which it may have
	// few. Temporal sends the steps of a pinned run to a queue that its version does not have as they are.
	options.DeploymentOptions = worker.DeploymentOptions{}
	options.MaxConcurrentActivityExecutionSize = 1000
	options.ActivityTaskPollerBehavior = pollers(1, 2, 20)
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

// pollers is how many long polls a worker keeps open for a queue: Temporal's answers tell it when more would find
// work, and when fewer would do (https://docs.temporal.io/develop/worker-performance#poller-autoscaling). The
// bounds belong to the kind of work. Workflow tasks take milliseconds, so that how fast they are fetched is what
// limits them; a build is fetched by a poll that holds one of the few slots, so there are no more polls than builds.
func pollers(least, first, most int) worker.PollerBehavior {
	return worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{
		MinimumNumberOfPollers: least, InitialNumberOfPollers: first, MaximumNumberOfPollers: most,
	})
}

func (o Options) withDefaults() Options {
	if o.Metrics == nil {
		o.Metrics = cloudwatch.NewFromConfig(o.AWS)
	}
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
