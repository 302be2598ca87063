package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/alarms"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// Beanstalk has the steps that look at and change environments and application versions.
type Beanstalk struct {
	Client *beanstalk.Client
	// Alarms are those that stages name.
	Alarms *alarms.Client
	// Bundles tell whether a version to return to can still be deployed.
	Bundles Bundles
}

// Update is what is known of an update after it was sent, or found under way.
type Update = beanstalk.Started

// FoundVersion answers FindVersion; Version is nil when there is none.
type FoundVersion struct {
	Version *delivery.Version `json:"version,omitempty"`
}

// FindVersion looks whether a version was registered before.
func (b *Beanstalk) FindVersion(ctx context.Context, version delivery.Version) (FoundVersion, error) {
	found, err := b.Client.Version(ctx, version.Application, version.Label)
	switch {
	case delivery.TypeOf(err) == delivery.VersionNotFound:
		return FoundVersion{}, nil
	case err != nil:
		return FoundVersion{}, toTemporal(err)
	}
	found.Revision = version.Revision
	return FoundVersion{Version: &found}, nil
}

// RegisterVersion makes the application version of an uploaded bundle. Registering twice finds the first.
func (b *Beanstalk) RegisterVersion(ctx context.Context, version delivery.Version) (delivery.Version, error) {
	return version, toTemporal(b.Client.Register(ctx, version))
}

// AwaitReadyInput says which environment, and until when.
type AwaitReadyInput struct {
	Application string    `json:"application"`
	Environment string    `json:"environment"`
	Until       time.Time `json:"until"`
}

// AwaitReady waits until nobody's update holds the environment.
func (b *Beanstalk) AwaitReady(ctx context.Context, input AwaitReadyInput) (delivery.Observation, error) {
	return handOver(ctx, func(ctx context.Context) (delivery.Observation, error) {
		observed, err := b.Client.AwaitReady(ctx, input.Application, input.Environment, input.Until, heartbeat(ctx))
		return observed, toTemporal(err)
	})
}

// UpdateInput is the environment as it was found, and the version that it is to have.
type UpdateInput struct {
	Found   delivery.Observation `json:"found"`
	Version string               `json:"version"`
}

// Update brings a version on its way exactly once. That an attempt is about to send is put on record
// with its first heartbeat, which reaches Temporal before the call reaches AWS; so the next attempt
// knows whose update it sees.
func (b *Beanstalk) Update(ctx context.Context, input UpdateInput) (Update, error) {
	started, err := b.Client.StartUpdate(ctx, input.Found, input.Version, activity.HasHeartbeatDetails(ctx), func() {
		activity.RecordHeartbeat(ctx, "sending the update to "+input.Version)
	})
	return started, toTemporal(err)
}

// AwaitHealthInput says what a good deployment looks like, and what is known of its update.
type AwaitHealthInput struct {
	Application string `json:"application"`
	Environment string `json:"environment"`
	// EnvironmentID tells an environment from one that was created anew under its name.
	EnvironmentID string          `json:"environmentId"`
	Version       string          `json:"version"`
	Started       Update          `json:"started"`
	Health        delivery.Health `json:"health"`
	Deadline      time.Time       `json:"deadline"`
}

// AwaitHealth waits until it can be said whether the environment is good on the version. One
// activity, however long it takes: what it sees meanwhile is in its heartbeats.
func (b *Beanstalk) AwaitHealth(ctx context.Context, input AwaitHealthInput) (delivery.Proof, error) {
	return handOver(ctx, func(ctx context.Context) (delivery.Proof, error) {
		proof, err := b.Client.AwaitHealth(ctx, beanstalk.HealthWait{
			Application: input.Application, Environment: input.Environment, EnvironmentID: input.EnvironmentID, Version: input.Version,
			Started: input.Started, Health: input.Health, Deadline: input.Deadline, Also: b.quiet(input.Health.Alarms),
		}, heartbeat(ctx))
		return proof, toTemporal(err)
	})
}

// quiet complains of alarms that are raised. After an update they have the same time to settle as the
// platform's own health: many need minutes to notice that they are over.
func (b *Beanstalk) quiet(names []string) func(context.Context) (beanstalk.Complaint, error) {
	if len(names) == 0 {
		return nil
	}
	return func(ctx context.Context) (beanstalk.Complaint, error) {
		text, err := b.Alarms.Raised(ctx, names)
		return raised(text, false), err
	}
}

// SettleInput is the environment as it was before the update, and whether to abort what is under
// way: only an update that is known to be ours.
type SettleInput struct {
	Found delivery.Observation `json:"found"`
	Abort bool                 `json:"abort"`
	Until time.Time            `json:"until"`
}

// Settle aborts the update that is under way, if any, and waits until the environment is Ready.
func (b *Beanstalk) Settle(ctx context.Context, input SettleInput) (delivery.Observation, error) {
	return handOver(ctx, func(ctx context.Context) (delivery.Observation, error) {
		observed, err := b.Client.Settle(ctx, input.Found, input.Abort, input.Until, heartbeat(ctx))
		return observed, toTemporal(err)
	})
}

// heartbeat puts what a wait sees where the command line and Temporal's web UI read it live: at once when it is something
// new, and otherwise as often as it takes for the wait to count as one that lives, and to learn of an abort. A thousand
// waits see a look each time that one of them wants it; each heartbeat is a write to Temporal's database.
func heartbeat(ctx context.Context) func(beanstalk.Progress) {
	return whenNew(activity.GetInfo(ctx).HeartbeatTimeout/5, func(progress beanstalk.Progress) { activity.RecordHeartbeat(ctx, progress) })
}

// whenNew passes on what is new, and what is not once that was quiet for a while.
func whenNew(quiet time.Duration, tell func(beanstalk.Progress)) func(beanstalk.Progress) {
	var mu sync.Mutex
	var last beanstalk.Progress
	var at time.Time
	return func(progress beanstalk.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if progress == last && time.Since(at) < quiet {
			return
		}
		last, at = progress, time.Now()
		tell(progress)
	}
}
