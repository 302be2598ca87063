package process

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"

	"gravity/activities"
	"gravity/internal/beanstalk"
	"gravity/internal/bundle"
	"gravity/internal/cache"
	"gravity/internal/delivery"
	"gravity/internal/runner"
	"gravity/internal/source"
	"gravity/internal/stacks"
	"gravity/workflows"
)

const (
	// commandProcesses is how many processes and threads a project's command may have unless its pipeline asks for fewer.
	commandProcesses = 4096
	// accounts is where the accounts of commands are locked, for all workers on the machine.
	accounts = "/run/gravity/accounts"
	// sweepEvery is how often workspaces that nobody needs are looked for, and forgotten is how long
	// such a one has been unused. No step of a build takes as long.
	sweepEvery = time.Hour
	forgotten  = 24 * time.Hour
)

// build makes the steps of builds on this machine.
func (o Options) build(platform *beanstalk.Client, provisioner *stacks.Client) (*activities.Build, error) {
	workspaces := &source.Workspaces{Root: filepath.Join(o.Directory, "workspaces")}
	if err := os.MkdirAll(workspaces.Root, 0o711); err != nil {
		return nil, fmt.Errorf("making the workspaces' directory: %w", err)
	}
	if swept, err := workspaces.Sweep(0); err != nil || swept > 0 {
		o.Log.Info("removed workspaces that a crash left behind", "count", swept, "error", err)
	}
	sandbox, err := o.sandbox(workspaces.Root)
	if err != nil {
		return nil, err
	}
	store := &bundle.Store{S3: s3.NewFromConfig(o.AWS, pathStyle(o.AWS))}
	return &activities.Build{
		Sources: &source.Cache{
			Root: filepath.Join(o.Directory, "mirrors"), MaxSize: o.MirrorSize, AllowLocal: o.LocalRepositories,
			Credentials: o.Credentials, Identity: o.SSHKey, KnownHosts: o.KnownHosts, Log: o.Log,
		},
		Workspaces: workspaces,
		Store:      store,
		Caches:     &cache.Store{Folder: filepath.Join(o.Directory, "caches"), Remote: store, MaxSize: o.CacheSize, Log: o.Log},
		Platform:   platform,
		Stacks:     provisioner,
		Sandbox:    sandbox,
		Builder:    "urn:gravity:fleet:" + cmp.Or(o.Versioning.Version.DeploymentName, "default"), BuilderVersion: version(),
		TaskQueue: hostQueue(),
		Log:       o.Log,
	}, nil
}

// sandbox is what the machine lets the project's commands use.
func (o Options) sandbox(workspaces string) (activities.Sandbox, error) {
	if !runner.Contained() {
		o.Log.Warn("this machine does not let a command be contained: what a build starts and hides may outlive it; run builds on workers of their own")
	}
	sandbox := activities.Sandbox{
		Limits: runner.Limits{Memory: cmp.Or(o.CommandMemory, machineMemory()/5*4), Processes: commandProcesses},
		Engine: o.ContainerEngine,
	}
	if os.Getuid() != 0 {
		return sandbox, nil
	}
	if o.CommandsAsWorker {
		o.Log.Warn("this worker is root, and so are the commands of the projects that it builds")
		return sandbox, nil
	}
	if closed := closedFolder(workspaces); closed != "" {
		return sandbox, delivery.Errorf(delivery.InvalidInput,
			"the project's commands do not run as root, and cannot reach their workspaces: nobody but its owner may enter %s; use another directory, or `chmod o+x %s`", closed, closed)
	}
	sandbox.Accounts = &runner.Accounts{Folder: accounts}
	return sandbox, nil
}

// closedFolder is the first folder on the way to another that others may not pass through, or "".
func closedFolder(folder string) string {
	for at := folder; ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o001 == 0 {
			return at
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}

// linkedVersion is what the linker was given, as images are built without a checkout of their own.
var linkedVersion string

// version is this program's own, as far as it was built with one.
func version() string {
	if linkedVersion != "" {
		return linkedVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return cmp.Or(info.Main.Version, "unknown")
}

// sweeper removes, now and then, the workspaces that nobody needs any more: of builds that were
// ended from outside, and of workers beside this one that died.
type sweeper struct {
	once        sync.Once
	ended, done chan struct{}
}

func sweep(workspaces *source.Workspaces, log *slog.Logger) *sweeper {
	s := &sweeper{ended: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		ticker := time.NewTicker(sweepEvery)
		defer ticker.Stop()
		for {
			select {
			case <-s.ended:
				return
			case <-ticker.C:
			}
			expired, err := workspaces.Expire(forgotten)
			left, sweepErr := workspaces.Sweep(forgotten)
			if expired+left > 0 || err != nil || sweepErr != nil {
				log.Info("removed workspaces that nobody needs", "count", expired+left, "error", cmp.Or(err, sweepErr))
			}
		}
	}()
	return s
}

func (s *sweeper) stop() {
	s.once.Do(func() { close(s.ended) })
	<-s.done
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
	return func(options *s3.Options) {
		options.UsePathStyle = config.BaseEndpoint != nil
		options.DisableLogOutputChecksumValidationSkipped = true // not every endpoint keeps checksums
	}
}
