package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
)

// defaultFleet is the Worker Deployment that the examples name.
const defaultFleet = "gravity"

func newWorkers(g *globals) *cobra.Command {
	var name string
	command := &cobra.Command{
		Use:   "workers",
		Short: "Show the workers of the fleet, their builds and what waits for them",
		Long: `Show the workers of the fleet, their builds and what waits for them.

Workers that were started with --deployment and --build-id are a Worker Deployment of Temporal's: runs and
deployments end on the build that they began with, and a new build gets the new ones once it is promoted. A
build that is drained has none left, and its workers can be stopped.`,
		Example: `  starter workers
  starter workers ramp 2026-11-25.1 --percent 10
  starter workers promote 2026-11-25.1
  starter workers rollback`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error { return g.showWorkers(command.Context(), name) },
	}
	command.PersistentFlags().StringVar(&name, "deployment", defaultFleet, "the Worker Deployment, as the workers' --deployment says")
	command.AddCommand(newPromote(g, &name), newRamp(g, &name), newBuildRollback(g, &name))
	return command
}

func newPromote(g *globals, name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "promote BUILD",
		Short: "Let new runs and deployments begin on a build",
		Long: `Let new runs and deployments begin on a build. Environments go on with it as well; runs and deployments under way
end on the build that they began with, so its workers have to stay until it is drained.`,
		Example: `  starter workers promote 2026-11-25.1`,
		Args:    exactly("BUILD"),
		RunE: func(command *cobra.Command, arguments []string) error {
			return g.changeFleet(command.Context(), *name, "promoting build "+arguments[0], func(ctx context.Context, f *fleet) (string, error) {
				return f.promote(ctx, arguments[0])
			})
		},
	}
}

func newRamp(g *globals, name *string) *cobra.Command {
	var percent float32
	command := &cobra.Command{
		Use:   "ramp BUILD --percent N",
		Short: "Let a part of the new runs and deployments begin on a build",
		Long: `Let a part of the new runs and deployments begin on a build, to see how it does. Which ones is decided by
their IDs. With 0 no new ones begin on it.`,
		Example: `  starter workers ramp 2026-11-25.1 --percent 10`,
		Args:    exactly("BUILD"),
		RunE: func(command *cobra.Command, arguments []string) error {
			if !command.Flags().Changed("percent") || percent < 0 || percent > 100 {
				return wrongUse("say how many of the new runs with --percent, from 0 to 100")
			}
			return g.changeFleet(command.Context(), *name, "ramping build "+arguments[0], func(ctx context.Context, f *fleet) (string, error) {
				return f.ramp(ctx, arguments[0], percent)
			})
		},
	}
	command.Flags().Float32Var(&percent, "percent", 0, "how many of a hundred")
	return command
}

func newBuildRollback(g *globals, name *string) *cobra.Command {
	var to string
	command := &cobra.Command{
		Use:   "rollback",
		Short: "Let new runs and deployments begin on the build before",
		Long: `Let new runs and deployments begin on the build before. While a build is ramping, that ends, and nothing else
changes. Otherwise the build that was current before is again, whose workers have to be there; --to names
another one.`,
		Example: `  starter workers rollback
  starter workers rollback --to 2026-11-20.2`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			return g.changeFleet(command.Context(), *name, "rolling back the workers", func(ctx context.Context, f *fleet) (string, error) {
				return f.rollback(ctx, to)
			})
		},
	}
	command.Flags().StringVar(&to, "to", "", "the build (default: the one that was current before)")
	return command
}

// fleetChange is the JSON answer of what changes a fleet.
type fleetChange struct {
	Changed string `json:"changed"`
	fleetView
}

// changeFleet changes which build takes what, says so, and shows what holds now.
func (g *globals) changeFleet(ctx context.Context, name, doing string, change func(context.Context, *fleet) (string, error)) error {
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	f, err := g.lookAtFleet(ctx, c, name)
	if err != nil {
		return err
	}
	if f.token == nil {
		return wrongUse("there is no Worker Deployment %s: start workers with --deployment %s --build-id BUILD, or name another one with --deployment%s",
			name, name, orNothing("; there is ", strings.Join(f.Others, ", ")))
	}
	said, err := change(ctx, f)
	if err != nil {
		return g.explain(fleetError(err), doing)
	}
	now, err := g.lookAtFleet(ctx, c, name)
	if err != nil {
		return err
	}
	return g.show(fleetChange{said, now.fleetView}, func(w io.Writer) {
		printf(w, "%s\n\n", clean(said))
		renderFleet(w, now.fleetView, styleOf(w))
	})
}

// fleetError says what is to be done where Temporal refuses.
func fleetError(err error) error {
	var refused *serviceerror.FailedPrecondition
	if !errors.As(err, &refused) {
		return err
	}
	if strings.Contains(refused.Message, "missing active task queues") {
		return wrongUse("its workers do not poll every queue that the current build's do (%s): start them, look at `starter workers`, and try again", refused.Message)
	}
	return wrongUse("%s; look at `starter workers`, and try again", refused.Message)
}

func orNothing(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// buildBefore is the key of a build's metadata in Temporal with which it remembers the one that was current when it
// was promoted.
const buildBefore = "gravity-build-before"

// promote makes a build the current one.
func (f *fleet) promote(ctx context.Context, build string) (string, error) {
	if _, err := f.build(build); err != nil {
		return "", err
	}
	if build == f.Current {
		return "", wrongUse("build %s is current already", build)
	}
	if err := f.setCurrent(ctx, build); err != nil {
		return "", err
	}
	said := "build " + build + " is current: new runs and deployments begin on it"
	if f.Current == "" {
		return said, nil
	}
	// Whoever rolls back is told that it is not known, should this fail.
	payload, err := converter.GetDefaultDataConverter().ToPayload(f.Current)
	if err != nil {
		return "", err
	}
	_, err = f.handle.UpdateVersionMetadata(ctx, client.WorkerDeploymentUpdateVersionMetadataOptions{
		Version:        worker.WorkerDeploymentVersion{DeploymentName: f.Deployment, BuildID: build},
		MetadataUpdate: client.WorkerDeploymentMetadataUpdate{UpsertEntries: map[string]any{buildBefore: payload}},
	})
	if err != nil {
		said += fmt.Sprintf(" (what was before it could not be noted: %v; go back with --to %s)", err, f.Current)
	}
	return said + "; keep the workers of build " + f.Current + " until it is drained", nil
}

func (f *fleet) setCurrent(ctx context.Context, build string) error {
	_, err := f.handle.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build, ConflictToken: f.token})
	return err
}

// ramp gives a build a part of what begins.
func (f *fleet) ramp(ctx context.Context, build string, percent float32) (string, error) {
	if _, err := f.build(build); err != nil {
		return "", err
	}
	if build == f.Current {
		return "", wrongUse("build %s is current: everything that begins does so on it", build)
	}
	_, err := f.handle.SetRampingVersion(ctx, client.WorkerDeploymentSetRampingVersionOptions{BuildID: build, Percentage: percent, ConflictToken: f.token})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%v%% of the new runs and deployments begin on build %s; promote it, or take it back with `starter workers rollback`", percent, build), nil
}

// rollback ends a ramp, or brings the build of before back.
func (f *fleet) rollback(ctx context.Context, to string) (string, error) {
	if to == "" && f.Ramping != "" {
		_, err := f.handle.SetRampingVersion(ctx, client.WorkerDeploymentSetRampingVersionOptions{ConflictToken: f.token})
		return "nothing begins on build " + f.Ramping + " any more; " + standingOf(f.Current) + " as before", err
	}
	if to == "" {
		before, err := f.before()
		if err != nil {
			return "", err
		}
		to = before
	}
	found, err := f.build(to)
	switch {
	case err != nil:
		return "", err
	case to == f.Current:
		return "", wrongUse("build %s is current already", to)
	case len(found.Workers) == 0:
		return "", wrongUse("no worker of build %s is there: start some with --build-id %s, then roll back", to, to)
	}
	if err := f.setCurrent(ctx, to); err != nil {
		return "", err
	}
	return "build " + to + " is current again: new runs and deployments begin on it; keep the workers of build " + f.Current + " until it is drained", nil
}

func standingOf(current string) string {
	if current == "" {
		return "workers without a build take what begins,"
	}
	return "build " + current + " is current"
}

// before is the build that was current before the one that is: as that one remembers it, or else as Temporal does.
func (f *fleet) before() (string, error) {
	if current, err := f.build(f.Current); err == nil && current.before != "" {
		return current.before, nil
	}
	former := slices.DeleteFunc(slices.Clone(f.Builds), func(b buildView) bool { return b.lastCurrent.IsZero() || b.Build == f.Current })
	if len(former) == 0 {
		return "", wrongUse("it is not known which build was current before%s: say which with --to", orNothing(" ", f.Current))
	}
	return slices.MaxFunc(former, func(a, b buildView) int { return a.lastCurrent.Compare(b.lastCurrent) }).Build, nil
}

// build finds a build by its ID.
func (f *fleet) build(id string) (buildView, error) {
	var known []string
	for _, b := range f.Builds {
		if b.Build == id && id != "" {
			return b, nil
		}
		known = append(known, b.Build)
	}
	return buildView{}, wrongUse("no worker of build %q was ever seen%s; start one with --deployment %s --build-id %s",
		id, orNothing(": there is ", strings.Join(known, ", ")), f.Deployment, id)
}

// textOf is a payload of a build's metadata.
func textOf(payload *common.Payload) string {
	var text string
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &text) != nil {
		return ""
	}
	return text
}
