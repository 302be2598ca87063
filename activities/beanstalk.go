package activities

import (
	"context"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// Beanstalk has the steps that look at and change environments and application versions.
type Beanstalk struct {
	Client *beanstalk.Client
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
	observed, err := b.Client.AwaitReady(ctx, input.Application, input.Environment, input.Until, heartbeat(ctx))
	return observed, toTemporal(err)
}

// PrecheckInput is what a deployment found and wants.
type PrecheckInput struct {
	Found    delivery.Observation `json:"found"`
	Wanted   delivery.Version     `json:"wanted"`
	Good     *delivery.Version    `json:"good,omitempty"`
	Strategy delivery.Strategy    `json:"strategy"`
	Accept   []string             `json:"accept"`
}

// Prechecked is where to return to if the deployment fails; nil when there is nothing.
type Prechecked struct {
	Good *delivery.Version `json:"good,omitempty"`
}

// Precheck makes sure, before anything is changed, that the wanted version exists, that the
// environment will replace its instances as the stage says, and that there is a way back: the
// version that the environment is on, when it is healthy on it, or else its last good one.
func (b *Beanstalk) Precheck(ctx context.Context, input PrecheckInput) (Prechecked, error) {
	found := input.Found
	if _, err := b.Client.Version(ctx, input.Wanted.Application, input.Wanted.Label); err != nil {
		return Prechecked{}, toTemporal(err)
	}
	if found.HealthStatus == "" {
		return Prechecked{}, toTemporal(delivery.Errorf(delivery.InvalidInput,
			"environment %s reports basic health only, which proves nothing of its instances; set SystemType in "+
				"aws:elasticbeanstalk:healthreporting:system to enhanced", found.Name))
	}
	policy, err := b.Client.Policy(ctx, found.Application, found.Name)
	if err != nil {
		return Prechecked{}, toTemporal(err)
	}
	if want := input.Strategy.Policy(); policy != want {
		return Prechecked{}, toTemporal(delivery.Errorf(delivery.InvalidInput,
			"the stage's strategy is %s, but environment %s would update by %s; set DeploymentPolicy in aws:elasticbeanstalk:command to %s",
			input.Strategy, found.Name, policy, want))
	}
	return b.wayBack(ctx, input)
}

func (b *Beanstalk) wayBack(ctx context.Context, input PrecheckInput) (Prechecked, error) {
	candidates := []*delivery.Version{input.Good}
	if found := input.Found; found.VersionLabel != "" && slices.Contains(input.Accept, found.HealthStatus) {
		if input.Good == nil || input.Good.Label != found.VersionLabel {
			candidates = []*delivery.Version{{Application: found.Application, Label: found.VersionLabel}, input.Good}
		}
	}
	for _, candidate := range candidates {
		if candidate == nil {
			continue
		}
		existing, err := b.Client.Version(ctx, candidate.Application, candidate.Label)
		switch {
		case err == nil:
			existing.Revision, existing.Digest, existing.Size = candidate.Revision, candidate.Digest, candidate.Size
			return Prechecked{Good: &existing}, nil
		case delivery.TypeOf(err) != delivery.VersionNotFound:
			return Prechecked{}, toTemporal(err)
		}
	}
	if input.Good != nil {
		return Prechecked{}, toTemporal(delivery.Errorf(delivery.VersionNotFound,
			"the version to return to, %s, no longer exists, and %s is not healthy on anything else; deploy a good version by hand, then thaw",
			input.Good.Label, input.Found.Name))
	}
	return Prechecked{}, nil
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
	proof, err := b.Client.AwaitHealth(ctx, beanstalk.HealthWait{
		Application: input.Application, Environment: input.Environment, EnvironmentID: input.EnvironmentID, Version: input.Version,
		Started: input.Started, Health: input.Health, Deadline: input.Deadline,
	}, heartbeat(ctx))
	return proof, toTemporal(err)
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
	observed, err := b.Client.Settle(ctx, input.Found, input.Abort, input.Until, heartbeat(ctx))
	return observed, toTemporal(err)
}

// heartbeat puts what a wait sees where the command line and Temporal's web UI read it live.
func heartbeat(ctx context.Context) func(beanstalk.Progress) {
	return func(progress beanstalk.Progress) { activity.RecordHeartbeat(ctx, progress) }
}
