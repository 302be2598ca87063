package activities

import (
	"context"
	"slices"
	"strings"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// Bundles looks into S3; *bundle.Store satisfies it.
type Bundles interface {
	Exists(ctx context.Context, bucket, key string) (bool, error)
}

// PrecheckInput is what a deployment found and wants.
type PrecheckInput struct {
	Found    delivery.Observation `json:"found"`
	Wanted   delivery.Version     `json:"wanted"`
	Good     *delivery.Version    `json:"good,omitempty"`
	Strategy delivery.Strategy    `json:"strategy"`
	Accept   []string             `json:"accept"`
	// Drift says what to do about changes that somebody made by hand; LeftOn and Configuration tell
	// them: the label and the digest of the settings that the last deployment left, where they are known.
	Drift         delivery.DriftPolicy `json:"drift,omitempty"`
	LeftOn        string               `json:"leftOn,omitempty"`
	Configuration string               `json:"configuration,omitempty"`
	// Alarms are those that the stage's health names; they have to exist.
	Alarms []string `json:"alarms,omitempty"`
}

// Prechecked is what a deployment has to know before it changes anything.
type Prechecked struct {
	// Good is where to return to if the deployment fails; nil when there is nothing.
	Good *delivery.Version `json:"good,omitempty"`
	// Configuration is the digest of the environment's settings as found.
	Configuration string `json:"configuration,omitempty"`
}

// Precheck makes sure, before anything is changed, that the wanted version exists, that the
// environment will replace its instances as the stage says, that nobody changed its settings by
// hand, that the alarms are there that are to watch over it, and that there is a way back: the
// version that the environment is on, when it is healthy on it, or else its last good one.
func (b *Beanstalk) Precheck(ctx context.Context, input PrecheckInput) (Prechecked, error) {
	checked, err := b.precheck(ctx, input)
	return checked, toTemporal(err)
}

func (b *Beanstalk) precheck(ctx context.Context, input PrecheckInput) (Prechecked, error) {
	found := input.Found
	if _, err := b.Client.Version(ctx, input.Wanted.Application, input.Wanted.Label); err != nil {
		return Prechecked{}, err
	}
	if found.HealthStatus == "" {
		return Prechecked{}, delivery.Errorf(delivery.InvalidInput,
			"environment %s reports basic health only, which proves nothing of its instances; set SystemType in "+
				"aws:elasticbeanstalk:healthreporting:system to enhanced", found.Name)
	}
	configured, err := b.Client.Configuration(ctx, found.Application, found.Name)
	if err != nil {
		return Prechecked{}, err
	}
	if changed := configured.Changed(input.Configuration); len(changed) > 0 && input.Drift == delivery.DriftStop {
		return Prechecked{}, delivery.Errorf(delivery.Drift,
			"somebody changed the configuration of %s since the last deployment, in %s; change it back, or set the stage's drift to adopt or overwrite",
			found.Name, strings.Join(changed, ", "))
	}
	if err := b.suits(ctx, found, configured, input.Strategy); err != nil {
		return Prechecked{}, err
	}
	if err := b.alarmsExist(ctx, input.Alarms); err != nil {
		return Prechecked{}, err
	}
	good, err := b.wayBack(ctx, input)
	return Prechecked{Good: good, Configuration: configured.Digest}, err
}

// suits reports, as an error, what keeps an environment from being changed by a strategy.
func (b *Beanstalk) suits(ctx context.Context, found delivery.Observation, configured beanstalk.Configuration, strategy delivery.Strategy) error {
	if strategy == delivery.BlueGreen {
		return b.Client.Copyable(ctx, found)
	}
	if want := strategy.Policy(); configured.Policy != want {
		return delivery.Errorf(delivery.InvalidInput,
			"the stage's strategy is %s, but environment %s would update by %s; set DeploymentPolicy in aws:elasticbeanstalk:command to %s",
			strategy, found.Name, configured.Policy, want)
	}
	return nil
}

// alarmsExist: an alarm that does not exist is never raised, and so would pass for a quiet one.
func (b *Beanstalk) alarmsExist(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	_, missing, err := b.Alarms.States(ctx, names)
	if err == nil && len(missing) > 0 {
		err = delivery.Errorf(delivery.InvalidInput,
			"the stage's health names alarms that this account and region does not have: %s; create them, or correct gravity.yaml", strings.Join(missing, ", "))
	}
	return err
}

func (b *Beanstalk) wayBack(ctx context.Context, input PrecheckInput) (*delivery.Version, error) {
	for _, candidate := range candidates(input) {
		existing, err := b.Client.Version(ctx, candidate.Application, candidate.Label)
		if delivery.TypeOf(err) == delivery.VersionNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		there, err := b.bundled(ctx, existing)
		if err != nil {
			return nil, err
		}
		if there {
			existing.Revision, existing.Digest, existing.Size = candidate.Revision, candidate.Digest, candidate.Size
			return &existing, nil
		}
	}
	if input.Good != nil {
		return nil, delivery.Errorf(delivery.VersionNotFound,
			"the version to return to, %s, no longer exists, or its bundle does not, and %s is not healthy on anything else; deploy a good version by hand, then thaw",
			input.Good.Label, input.Found.Name)
	}
	return nil, nil
}

// candidates are the versions to return to, the best first: the one that the environment is on, if it is healthy
// there, and the last good one. Where somebody deployed by hand and the stage says to overwrite that, it is
// the other way round.
func candidates(input PrecheckInput) []delivery.Version {
	var list []delivery.Version
	if input.Good != nil {
		list = append(list, *input.Good)
	}
	found := input.Found
	if found.VersionLabel == "" || !slices.Contains(input.Accept, found.HealthStatus) || input.Good != nil && input.Good.Label == found.VersionLabel {
		return list
	}
	there := delivery.Version{Application: found.Application, Label: found.VersionLabel}
	if input.Drift == delivery.DriftOverwrite && input.LeftOn != "" && input.LeftOn != found.VersionLabel {
		return append(list, there)
	}
	return append([]delivery.Version{there}, list...)
}

// bundled reports whether a version's bundle is still in S3. Who may not look finds out in the rollback; that
// is no reason to deploy nothing.
func (b *Beanstalk) bundled(ctx context.Context, version delivery.Version) (bool, error) {
	if b.Bundles == nil || version.Bucket == "" {
		return true, nil
	}
	there, err := b.Bundles.Exists(ctx, version.Bucket, version.Key)
	switch delivery.TypeOf(err) { //nolint:exhaustive // the others are told
	case delivery.AccessDenied, delivery.InvalidInput:
		return true, nil
	}
	return there, err
}
