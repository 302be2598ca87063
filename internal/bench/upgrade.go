package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/proof/lab"
)

type upgradeFlags struct {
	fleetBench
	deployments int
	workers     int
	speed       int
	patience    time.Duration
	unpinned    bool
}

func upgradeCommand() *cobra.Command {
	f := &upgradeFlags{}
	command := f.command("upgrade", "workers replaced by others with changed workflow code, under deployments in flight", 30*time.Minute, f.run)
	flags := command.Flags()
	flags.IntVar(&f.deployments, "deployments", 200, "how many deployments are in flight, each to an environment of its own")
	flags.IntVar(&f.workers, "workers", 3, "how many worker processes are replaced, one by one")
	flags.IntVar(&f.speed, "speed", 10, "how many times as fast as on AWS the platform and the workers' looks go")
	flags.DurationVar(&f.patience, "patience", 10*time.Minute, "after which a deployment counts as one that never ends")
	flags.BoolVar(&f.unpinned, "unpinned", false, "without Worker Versioning, to see the check fail")
	return command
}

// The versions of the code.
const (
	older = "1"
	newer = "2"
)

func (f *upgradeFlags) run(ctx context.Context) ([]measure, error) {
	if f.deployments < 1 || f.workers < 2 || f.speed < 1 {
		return nil, fmt.Errorf("--deployments and --speed are at least 1, and --workers 2")
	}
	platform, pace := lab.Compressed(f.speed)
	l, end, err := f.start(ctx, platform, pace)
	if err != nil {
		return nil, err
	}
	defer end()
	u := &upgrade{flags: f, lab: l, environments: numbered(f.deployments)}
	defer func() { append(u.old, u.new...).stop() }()
	if err := u.prepare(ctx); err != nil {
		return nil, err
	}
	if err := u.replace(ctx); err != nil {
		return nil, err
	}
	return u.judge(ctx)
}

// upgrade is a fleet whose workers are replaced.
type upgrade struct {
	flags        *upgradeFlags
	lab          *lab.Lab
	environments []string
	versions     [3]delivery.Version
	old, new     workers
	// first began before the upgrade, second after it.
	first, second               []string
	firstResults, secondResults []delivery.Result
	inFlight                    int
}

func (u *upgrade) options(buildID string) lab.WorkerOptions {
	options := lab.WorkerOptions{Changed: buildID == newer}
	if !u.flags.unpinned {
		options.BuildID = buildID
	}
	return options
}

// prepare starts the older workers and launches the environments.
func (u *upgrade) prepare(ctx context.Context) (err error) {
	if u.old, err = startWorkers(u.lab, u.flags.workers, u.options(older)); err != nil {
		return err
	}
	if err := u.current(ctx, older); err != nil {
		return err
	}
	for n := range u.versions {
		if u.versions[n], err = u.lab.Version(fmt.Sprintf("good-%d", n+1)); err != nil {
			return err
		}
	}
	u.flags.say("launching environments: %d", len(u.environments))
	return u.lab.CreateAll(ctx, u.environments, u.versions[0].Label, delivery.Immutable)
}

// current makes a version of the code the one that what is new begins on. A version is known as soon as its first
// worker has polled.
func (u *upgrade) current(ctx context.Context, buildID string) error {
	if u.flags.unpinned {
		return nil
	}
	deployment := u.lab.Client.WorkerDeploymentClient().GetHandle(lab.DeploymentName)
	for {
		_, err := deployment.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: buildID})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("making version %s the current one: %w", buildID, err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// replace puts newer workers into the place of the older ones, one by one, while the first deployments are in flight. The
// last older worker stays for as long as there is something for it to do, as it has to where runs are pinned.
func (u *upgrade) replace(ctx context.Context) (err error) {
	u.first, err = deployAll(ctx, u.lab, u.environments, u.versions[1], u.compressed)
	if err != nil {
		return err
	}
	if err := u.updating(ctx); err != nil {
		return err
	}
	u.flags.say("%d deployments are in flight", u.inFlight)
	for n := range u.old {
		started, err := startWorkers(u.lab, 1, u.options(newer))
		if err != nil {
			return err
		}
		u.new = append(u.new, started...)
		if n == 0 {
			if err := u.current(ctx, newer); err != nil {
				return err
			}
		}
		if u.flags.unpinned || n < len(u.old)-1 {
			u.old[n].Stop()
			u.flags.say("worker %d is replaced", n+1)
		}
	}
	u.second, err = deployAll(ctx, u.lab, u.environments, u.versions[2], u.compressed)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, u.flags.patience)
	defer cancel()
	u.firstResults = u.flags.endings(within, u.lab, u.first)
	u.old.stop()
	u.flags.say("the last older worker has ended")
	u.secondResults = u.flags.endings(within, u.lab, u.second)
	return ctx.Err()
}

func (u *upgrade) compressed(s *delivery.Stage) {
	(&fleetFlags{speed: u.flags.speed}).compressed(s)
}

// updating returns when every environment has been sent its first update.
func (u *upgrade) updating(ctx context.Context) error {
	for {
		u.inFlight = u.lab.Server.Calls()["UpdateEnvironment"]
		if u.inFlight >= len(u.environments) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d updates were sent: %w", u.inFlight, len(u.environments), ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// judge counts what went wrong.
func (u *upgrade) judge(ctx context.Context) ([]measure, error) {
	brokenFirst, what := failed(u.firstResults, u.versions[1].Label)
	brokenSecond, whatSecond := failed(u.secondResults, u.versions[2].Label)
	wrong := 0
	for _, name := range u.environments {
		begun, err := u.lab.Updates(name)
		if err != nil {
			return nil, err
		}
		if begun != 2 {
			wrong++
		}
	}
	moved, err := u.count(ctx, u.first, true)
	if err != nil {
		return nil, err
	}
	left, err := u.count(ctx, u.second, false)
	if err != nil {
		return nil, err
	}
	sent := u.lab.Server.Calls()["UpdateEnvironment"]
	of := fmt.Sprintf("%d workers replaced under %d deployments: ", u.flags.workers, u.flags.deployments)
	return []measure{
		{Name: of + "did not succeed", Value: float64(brokenFirst), Unit: "deployments", None: true, How: what},
		{Name: "began afterwards and did not succeed", Value: float64(brokenSecond), Unit: "deployments", None: true, How: whatSecond},
		{Name: "did not have one update for each deployment", Value: float64(wrong), Unit: "environments", None: true,
			How: fmt.Sprintf("%d deployments, %d UpdateEnvironment", 2*u.flags.deployments, sent)},
		{Name: "began on the older code and did not end on it", Value: float64(moved), Unit: "deployments", None: true, How: "their histories have no timer of the newer code"},
		{Name: "began afterwards and not on the newer code", Value: float64(left), Unit: "deployments", None: true, How: "their histories begin with its timer"},
	}, nil
}

// count counts the deployments that are, or are not, of the newer code.
func (u *upgrade) count(ctx context.Context, deployments []string, newer bool) (count int, err error) {
	for _, deployment := range deployments {
		is, err := u.lab.IsChanged(ctx, deployment)
		if err != nil {
			return 0, err
		}
		if is == newer {
			count++
		}
	}
	return count, nil
}
