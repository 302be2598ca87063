// Package backlog tells Prometheus what waits: runs, environments and deployments by where they stand, and
// the tasks that no worker has taken yet. Only Temporal knows, so that the answer is the same whoever asks,
// and the one to ask is a process that lives on when the workers do not.
package backlog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"gravity/workflows"
)

const (
	// keep is how long an answer holds: however often the metrics are scraped, Temporal is asked no more often.
	keep = 15 * time.Second
	// patience bounds one round of questions. A scrape has 10 seconds by Prometheus's default.
	patience = 5 * time.Second
	// atOnce bounds the questions under way: visibility is a database that others need as well.
	atOnce = 4
)

// states are where workflows of a type can stand while they run.
var states = map[string][]string{
	workflows.PipelineWorkflow: {
		string(workflows.StateBuilding), string(workflows.StateWaiting), string(workflows.StateDeploying),
	},
	workflows.EnvironmentWorkflow: {workflows.EnvironmentIdle, workflows.EnvironmentDeploying, workflows.EnvironmentFrozen},
	workflows.DeploymentWorkflow: {
		// The phases between are not put into the search attributes.
		string(workflows.PhasePrecheck), string(workflows.PhaseBake), string(workflows.PhaseSwap),
		string(workflows.PhaseRetire), string(workflows.PhaseRollback),
	},
}

// Queue is a task queue, for tasks of one kind.
type Queue struct {
	Name string
	Kind enums.TaskQueueType
}

// Queues are where tasks wait. Those of build hosts are left out: a step of a build is never kept waiting there.
var Queues = []Queue{
	{workflows.Queue, enums.TASK_QUEUE_TYPE_WORKFLOW},
	{workflows.Queue, enums.TASK_QUEUE_TYPE_ACTIVITY},
	{workflows.PlatformQueue, enums.TASK_QUEUE_TYPE_ACTIVITY},
	{workflows.BuildQueue, enums.TASK_QUEUE_TYPE_ACTIVITY},
	{workflows.GitHubQueue, enums.TASK_QUEUE_TYPE_ACTIVITY},
}

var (
	up = prometheus.NewDesc("gravity_backlog_up",
		"Whether Temporal said what waits: 1, or 0 when it did not, and the other metrics of its kind are missing.", []string{"about"}, nil)
	running = prometheus.NewDesc("gravity_workflows_running",
		"Workflows that run, by type and by where they stand.", []string{"workflow_type", "state"}, nil)
	tasks = prometheus.NewDesc("gravity_task_queue_backlog",
		"Tasks that no worker has taken yet, approximately.", []string{"task_queue", "task_type"}, nil)
	age = prometheus.NewDesc("gravity_task_queue_backlog_age_seconds",
		"Age of the oldest task that no worker has taken yet.", []string{"task_queue", "task_type"}, nil)
	pollers = prometheus.NewDesc("gravity_task_queue_pollers",
		"Workers that asked for tasks within the last minutes.", []string{"task_queue", "task_type"}, nil)
)

// Collector is a prometheus.Collector, safe for concurrent use.
type Collector struct {
	temporal  client.Client
	namespace string
	log       *slog.Logger
	now       func() time.Time

	mu      sync.Mutex
	asked   time.Time
	answers []prometheus.Metric
}

// New makes a collector for a namespace.
func New(temporal client.Client, namespace string, log *slog.Logger) *Collector {
	return &Collector{temporal: temporal, namespace: namespace, log: log, now: time.Now}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{up, running, tasks, age, pollers} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector. Scrapes that come together wait for one answer.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.asked.IsZero() || now.Sub(c.asked) >= keep {
		c.asked, c.answers = now, c.ask()
	}
	for _, metric := range c.answers {
		metrics <- metric
	}
}

// ask asks Temporal both questions at once. What it does not answer is left out: a number of before would look
// like one of now.
func (c *Collector) ask() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var counted, described []prometheus.Metric
	var asking sync.WaitGroup
	asking.Go(func() { counted = c.answer(ctx, "workflows", c.countWorkflows) })
	asking.Go(func() { described = c.answer(ctx, "task queues", c.describeQueues) })
	asking.Wait()
	return append(counted, described...)
}

// answer is what a question gave, and whether it was answered.
func (c *Collector) answer(ctx context.Context, about string, question func(context.Context) ([]prometheus.Metric, error)) []prometheus.Metric {
	found, err := question(ctx)
	if err != nil {
		c.log.Warn("what waits is not known", "about", about, "error", err)
		return []prometheus.Metric{prometheus.MustNewConstMetric(up, prometheus.GaugeValue, 0, about)}
	}
	return append(found, prometheus.MustNewConstMetric(up, prometheus.GaugeValue, 1, about))
}

// countWorkflows asks once a state: grouping by search attributes is nothing that every visibility store can.
func (c *Collector) countWorkflows(ctx context.Context) ([]prometheus.Metric, error) {
	return together(ctx, func(begin func(func(context.Context) ([]prometheus.Metric, error))) {
		for workflowType, each := range states {
			for _, state := range each {
				begin(func(ctx context.Context) ([]prometheus.Metric, error) {
					counted, err := c.temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
						Namespace: c.namespace,
						Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running' AND %s = '%s'",
							workflowType, workflows.StateAttribute.GetName(), state),
					})
					if err != nil {
						return nil, fmt.Errorf("counting the workflows of type %s in state %s: %w", workflowType, state, err)
					}
					return []prometheus.Metric{
						prometheus.MustNewConstMetric(running, prometheus.GaugeValue, float64(counted.GetCount()), workflowType, state),
					}, nil
				})
			}
		}
	})
}

func (c *Collector) describeQueues(ctx context.Context) ([]prometheus.Metric, error) {
	return together(ctx, func(begin func(func(context.Context) ([]prometheus.Metric, error))) {
		for _, queue := range Queues {
			begin(func(ctx context.Context) ([]prometheus.Metric, error) { return c.describe(ctx, queue.Name, queue.Kind) })
		}
	})
}

func (c *Collector) describe(ctx context.Context, name string, kind enums.TaskQueueType) ([]prometheus.Metric, error) {
	described, err := c.temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: c.namespace, TaskQueue: &taskqueue.TaskQueue{Name: name, Kind: enums.TASK_QUEUE_KIND_NORMAL},
		TaskQueueType: kind, ReportStats: true,
	})
	if err != nil {
		return nil, fmt.Errorf("describing task queue %s: %w", name, err)
	}
	taskType := "workflow"
	if kind == enums.TASK_QUEUE_TYPE_ACTIVITY {
		taskType = "activity"
	}
	gauge := func(description *prometheus.Desc, value float64) prometheus.Metric {
		return prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, name, taskType)
	}
	metrics := []prometheus.Metric{gauge(pollers, float64(len(described.GetPollers())))}
	if stats := described.GetStats(); stats != nil { // servers before 1.28 have none
		metrics = append(metrics, gauge(tasks, float64(stats.GetApproximateBacklogCount())),
			gauge(age, stats.GetApproximateBacklogAge().AsDuration().Seconds()))
	}
	return metrics, nil
}

// together asks several questions, a few at a time, and answers when all are answered.
func together(ctx context.Context, each func(begin func(func(context.Context) ([]prometheus.Metric, error)))) ([]prometheus.Metric, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	var mu sync.Mutex
	var answers []prometheus.Metric
	each(func(question func(context.Context) ([]prometheus.Metric, error)) {
		group.Go(func() error {
			found, err := question(ctx)
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, found...)
			return err
		})
	})
	return answers, group.Wait()
}
