package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/deployment/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"gravity/worker/backlog"
)

// fleetView is what Temporal knows of the workers.
type fleetView struct {
	Deployment string `json:"deployment"`
	// Current is the build on which new runs begin; empty where workers without a build take them.
	Current string  `json:"current,omitempty"`
	Ramping string  `json:"ramping,omitempty"`
	Percent float32 `json:"percent,omitempty"`
	// Builds are those that Temporal remembers, the newest first.
	Builds []buildView `json:"builds"`
	Queues []queueView `json:"queues"`
	// Others are Worker Deployments of other names in the namespace.
	Others []string `json:"others,omitempty"`
}

// buildView is one build.
type buildView struct {
	Build string `json:"build"`
	// State is current, ramping, draining, drained or inactive.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Workers are the identities of those that asked for work in the last minutes.
	Workers  []string  `json:"workers"`
	LastSeen time.Time `json:"lastSeen,omitzero"`

	before      string
	lastCurrent time.Time
}

// queueView is one kind of work in one task queue.
type queueView struct {
	Queue string `json:"queue"`
	Kind  string `json:"kind"`
	// Waiting is about how many tasks wait, and Longest how long the oldest has, in seconds.
	Waiting int64   `json:"waiting"`
	Longest float64 `json:"longest,omitempty"`
	// Rate is how many may begin a second, where that is limited.
	Rate    float64      `json:"rate,omitempty"`
	Workers []workerView `json:"workers"`
}

// workerView is one process that polls a queue.
type workerView struct {
	Identity string `json:"identity"`
	// Deployment and Build are empty for a worker without versioning.
	Deployment string    `json:"deployment,omitempty"`
	Build      string    `json:"build,omitempty"`
	LastSeen   time.Time `json:"lastSeen"`
}

// fleet is a view, and what changes it.
type fleet struct {
	fleetView
	handle client.WorkerDeploymentHandle
	// token is what the view was when it was read; a change that somebody else made meanwhile ends ours. Nil where
	// there is no such Worker Deployment.
	token []byte
}

// unlimited is the rate that the SDK sends where none is set.
const unlimited = 100_000

func (g *globals) showWorkers(ctx context.Context, name string) error {
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	f, err := g.lookAtFleet(ctx, c, name)
	if err != nil {
		return err
	}
	return g.show(f.fleetView, func(w io.Writer) { renderFleet(w, f.fleetView, styleOf(w)) })
}

// lookAtFleet asks Temporal for everything.
func (g *globals) lookAtFleet(ctx context.Context, c client.Client, name string) (*fleet, error) {
	f := &fleet{
		fleetView: fleetView{Deployment: name, Builds: []buildView{}},
		handle:    c.WorkerDeploymentClient().GetHandle(name),
	}
	for _, queue := range backlog.Queues {
		seen, err := g.lookAtQueue(ctx, c, queue.Name, queue.Kind)
		if err != nil {
			return nil, g.explain(err, "asking who polls "+queue.Name)
		}
		f.Queues = append(f.Queues, seen)
	}
	described, err := c.WorkflowService().DescribeWorkerDeployment(ctx, &workflowservice.DescribeWorkerDeploymentRequest{
		Namespace: g.namespace, DeploymentName: name,
	})
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing): // workers without versions have none
	case err != nil:
		return nil, g.explain(err, "asking for the Worker Deployment "+name)
	default:
		f.token = described.GetConflictToken()
		if err := f.read(ctx, g.namespace, c, described.GetWorkerDeploymentInfo()); err != nil {
			return nil, g.explain(err, "asking for the builds of "+name)
		}
	}
	if f.Others, err = otherFleets(ctx, c, name); err != nil {
		return nil, g.explain(err, "asking for Worker Deployments")
	}
	return f, nil
}

func (f *fleet) read(ctx context.Context, namespace string, c client.Client, info *deployment.WorkerDeploymentInfo) error {
	routing := info.GetRoutingConfig()
	f.Current = routing.GetCurrentDeploymentVersion().GetBuildId()
	f.Ramping, f.Percent = routing.GetRampingDeploymentVersion().GetBuildId(), routing.GetRampingVersionPercentage()
	for _, summary := range info.GetVersionSummaries() {
		build := buildView{
			Build: summary.GetDeploymentVersion().GetBuildId(), Since: summary.GetCreateTime().AsTime(),
			State: f.state(summary), Workers: []string{},
		}
		if at := summary.GetLastCurrentTime(); at != nil {
			build.lastCurrent = at.AsTime()
		}
		build.Workers, build.LastSeen = f.workersOf(build.Build)
		if build.Build == f.Current { // the only one whose predecessor matters
			described, err := c.WorkflowService().DescribeWorkerDeploymentVersion(ctx, &workflowservice.DescribeWorkerDeploymentVersionRequest{
				Namespace: namespace, DeploymentVersion: summary.GetDeploymentVersion(),
			})
			if err != nil {
				return err
			}
			build.before = textOf(described.GetWorkerDeploymentVersionInfo().GetMetadata().GetEntries()[buildBefore])
		}
		f.Builds = append(f.Builds, build)
	}
	slices.SortFunc(f.Builds, func(a, b buildView) int { return b.Since.Compare(a.Since) })
	return nil
}

func (f *fleet) state(summary *deployment.WorkerDeploymentInfo_WorkerDeploymentVersionSummary) string {
	switch summary.GetDeploymentVersion().GetBuildId() {
	case f.Current:
		return "current"
	case f.Ramping:
		return "ramping"
	}
	switch summary.GetDrainageInfo().GetStatus() {
	case enums.VERSION_DRAINAGE_STATUS_DRAINING:
		return "draining"
	case enums.VERSION_DRAINAGE_STATUS_DRAINED:
		return "drained"
	default:
		return "inactive" // nothing ever began on it
	}
}

// workersOf are those of a build, on whatever queue, and when one was last seen.
func (f *fleet) workersOf(build string) (identities []string, last time.Time) {
	seen := map[string]bool{}
	for _, queue := range f.Queues {
		for _, w := range queue.Workers {
			if w.Deployment == f.Deployment && w.Build == build {
				seen[w.Identity] = true
				if w.LastSeen.After(last) {
					last = w.LastSeen
				}
			}
		}
	}
	identities = slices.Sorted(maps.Keys(seen))
	if identities == nil {
		identities = []string{}
	}
	return identities, last
}

func (g *globals) lookAtQueue(ctx context.Context, c client.Client, name string, kind enums.TaskQueueType) (queueView, error) {
	described, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: g.namespace, TaskQueue: &taskqueue.TaskQueue{Name: name, Kind: enums.TASK_QUEUE_KIND_NORMAL},
		TaskQueueType: kind, ReportStats: true,
	})
	if err != nil {
		return queueView{}, err
	}
	seen := queueView{Queue: name, Kind: "steps", Workers: []workerView{}, Waiting: described.GetStats().GetApproximateBacklogCount()}
	if kind == enums.TASK_QUEUE_TYPE_WORKFLOW {
		seen.Kind = "workflows"
	}
	if seen.Waiting > 0 {
		seen.Longest = described.GetStats().GetApproximateBacklogAge().AsDuration().Seconds()
	}
	var newest time.Time
	for _, poller := range described.GetPollers() {
		w := workerView{Identity: poller.GetIdentity(), LastSeen: poller.GetLastAccessTime().AsTime()}
		if options := poller.GetDeploymentOptions(); options.GetWorkerVersioningMode() == enums.WORKER_VERSIONING_MODE_VERSIONED {
			w.Deployment, w.Build = options.GetDeploymentName(), options.GetBuildId()
		}
		seen.Workers = append(seen.Workers, w)
		if !w.LastSeen.Before(newest) { // what was said last holds
			newest, seen.Rate = w.LastSeen, poller.GetRatePerSecond()
		}
	}
	if seen.Rate >= unlimited {
		seen.Rate = 0
	}
	slices.SortFunc(seen.Workers, func(a, b workerView) int { return strings.Compare(a.Build+" "+a.Identity, b.Build+" "+b.Identity) })
	return seen, nil
}

// otherFleets are the namespace's other Worker Deployments, for whoever looks at the wrong one.
func otherFleets(ctx context.Context, c client.Client, name string) ([]string, error) {
	list, err := c.WorkerDeploymentClient().List(ctx, client.WorkerDeploymentListOptions{})
	if err != nil {
		return nil, err
	}
	var others []string
	for list.HasNext() {
		entry, err := list.Next()
		if err != nil {
			return nil, err
		}
		if entry.Name != name {
			others = append(others, entry.Name)
		}
	}
	return others, nil
}

// renderFleet writes the builds, and who works on which queue.
func renderFleet(w io.Writer, f fleetView, s style) {
	if len(f.Builds) == 0 {
		printf(w, "no build of the Worker Deployment %s is known%s\n", clean(f.Deployment), clean(orNothing("; there is also ", strings.Join(f.Others, ", "))))
	} else {
		rows := [][]string{{s.dim("BUILD"), s.dim("STATE"), s.dim("NEW RUNS"), s.dim("WORKERS"), s.dim("LAST SEEN")}}
		for _, b := range f.Builds {
			rows = append(rows, []string{clean(b.Build), buildState(b.State, s), f.share(b.Build), fmt.Sprint(len(b.Workers)), ago(b.LastSeen)})
		}
		table(w, "", rows)
	}
	printf(w, "\n")
	rows := [][]string{{s.dim("QUEUE"), s.dim("WAITING"), s.dim("RATE"), s.dim("WORKER"), s.dim("BUILD"), s.dim("LAST SEEN")}}
	for _, queue := range f.Queues {
		first := []string{queue.Queue + " " + queue.Kind, waits(queue), rateOf(queue)}
		if len(queue.Workers) == 0 {
			rows = append(rows, append(first, s.red("nobody"), "", ""))
		}
		for _, each := range queue.Workers {
			rows = append(rows, append(first, clean(each.Identity), clean(orElse(each.Build, "none")), ago(each.LastSeen)))
			first = []string{"", "", ""}
		}
	}
	table(w, "", rows)
}

// share is how much of what begins does so on a build.
func (f fleetView) share(build string) string {
	switch build {
	case f.Ramping:
		return fmt.Sprintf("%v%%", f.Percent)
	case f.Current:
		if f.Ramping == "" {
			return "100%"
		}
		return fmt.Sprintf("%v%%", 100-f.Percent)
	default:
		return ""
	}
}

func buildState(state string, s style) string {
	switch state {
	case "current":
		return s.green(state)
	case "ramping":
		return s.paint("36", state)
	case "draining":
		return s.paint("33", state)
	default:
		return s.dim(state)
	}
}

func waits(queue queueView) string {
	if queue.Waiting == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, up to %s", queue.Waiting, took(time.Duration(queue.Longest*float64(time.Second))))
}

func rateOf(queue queueView) string {
	if queue.Rate == 0 {
		return "any"
	}
	return fmt.Sprintf("%v/s", queue.Rate)
}

func ago(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return took(max(0, time.Since(at)).Round(time.Second)) + " ago"
}
