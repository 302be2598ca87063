package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/worker/process"
	"gravity/workflows"
)

// Options say what a lab is like.
type Options struct {
	// Directory keeps Temporal's database, the stand-in's state and the worker's.
	Directory string
	// Server is the kind of Temporal server. Default: Development.
	Server Kind
	// Progress gets a line for each step of its start. Optional.
	Progress func(string)
	// AWS is the stand-in; its DataDir is the lab's.
	AWS aws.Options
	// Pace is how often the worker asks it.
	Pace beanstalk.Pace
	// NoWorker leaves the worker out, for those that run it as a process of its own.
	NoWorker bool
	// Interceptors see what the worker does.
	Interceptors []interceptor.ClientInterceptor
}

// Compressed is AWS's own pace of the platform and Gravity's own pace of asking it, both so many times as fast.
func Compressed(speed int) (aws.Pace, beanstalk.Pace) {
	by := func(d time.Duration) time.Duration { return d / time.Duration(speed) }
	p, own := aws.RealPace(), beanstalk.DefaultPace
	p.Boot, p.Deploy, p.Step, p.Termination = by(p.Boot), by(p.Deploy), by(p.Step), by(p.Termination)
	p.HealthInterval, p.HealthLag, p.EventLag = by(p.HealthInterval), by(p.HealthLag), by(p.EventLag)
	p.OptionScale /= float64(speed)
	own.Fast, own.Slow, own.Idle, own.Events, own.Lag = by(own.Fast), by(own.Slow), by(own.Idle), by(own.Events), by(own.Lag)
	return p, own
}

// Lab is a Temporal server, a region and a worker.
type Lab struct {
	Temporal Server
	Client   client.Client
	*Region

	options Options
	worker  *process.Process

	mu      sync.Mutex
	asked   map[string]int // deployments asked for, by environment
	workers int            // that were started as processes
}

// Start starts everything; Close ends it.
func Start(ctx context.Context, o Options) (*Lab, error) {
	l := &Lab{options: o, asked: map[string]int{}}
	for _, start := range []func(context.Context) error{l.startTemporal, l.startRegion, l.startWorker} {
		if err := start(ctx); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

func (l *Lab) startRegion(context.Context) (err error) {
	l.options.AWS.DataDir = filepath.Join(l.options.Directory, "aws")
	l.Region, err = NewRegion(l.options.AWS)
	return err
}

func (l *Lab) startWorker(context.Context) (err error) {
	if l.options.NoWorker {
		return nil
	}
	l.worker, err = process.Start(process.Options{
		Temporal: l.Client, AWS: l.Server.Config(), Directory: filepath.Join(l.options.Directory, "worker"),
		Pace: l.options.Pace, Grace: time.Second, CommandsAsWorker: true, Log: slog.New(slog.DiscardHandler),
	})
	return err
}

// Close ends every part.
func (l *Lab) Close() error {
	if l.worker != nil {
		l.worker.Stop()
	}
	if l.Client != nil {
		l.Client.Close()
	}
	var ended error
	if l.Region != nil {
		ended = l.Region.Close()
	}
	if l.Temporal != nil {
		ended = errors.Join(ended, l.Temporal.Close())
	}
	return ended
}

// Deploy asks an environment's queue for a deployment, as a run does, and answers with the deployment's
// workflow ID. It asks until Temporal has taken the request.
func (l *Lab) Deploy(ctx context.Context, stage delivery.Stage, version delivery.Version) (string, error) {
	l.mu.Lock()
	l.asked[stage.Environment]++
	n := l.asked[stage.Environment]
	l.mu.Unlock()
	request := delivery.Request{ID: fmt.Sprintf("%s/%d", stage.Name, n), Pipeline: Application, Stage: stage, Version: version}
	for {
		err := l.ask(ctx, request)
		if err == nil || ctx.Err() != nil {
			return delivery.DeploymentID(Application, stage.Environment, n), err
		}
	}
}

func (l *Lab) ask(ctx context.Context, request delivery.Request) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	start := l.Client.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID: l.queue(request.Stage.Environment), TaskQueue: workflows.Queue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflows.EnvironmentWorkflow, workflows.EnvironmentInput{Application: Application, Environment: request.Stage.Environment})
	handle, err := l.Client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateName: workflows.DeployUpdate, UpdateID: request.ID, Args: []any{request}, WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

func (l *Lab) queue(environment string) string {
	return delivery.EnvironmentID(Application, environment)
}

// Await waits for the end of a deployment, whatever ends and comes back meanwhile, and answers with what the
// environment's queue has on record then.
func (l *Lab) Await(ctx context.Context, environment, deployment string) (workflows.DeploymentRecord, workflows.EnvironmentStatus, error) {
	for {
		status, err := l.Status(ctx, environment)
		if err == nil {
			for _, record := range status.Recent {
				if record.Deployment == deployment {
					return record, status, nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return workflows.DeploymentRecord{}, status, fmt.Errorf("%s did not end: %w", deployment, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Ended waits for the end of a deployment, by Temporal's word for it alone, which costs no worker anything: many can be
// waited for at once.
func (l *Lab) Ended(ctx context.Context, deployment string) (result delivery.Result, err error) {
	for {
		err = l.Client.GetWorkflow(ctx, deployment, "").Get(ctx, &result)
		var failure *temporal.ApplicationError
		switch {
		case err == nil:
			return result, nil
		case errors.As(err, &failure) && failure.HasDetails():
			return result, failure.Details(&result)
		}
		// It has not begun yet, or Temporal is away.
		select {
		case <-ctx.Done():
			return result, fmt.Errorf("%s did not end: %w", deployment, errors.Join(ctx.Err(), err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Status is what an environment's queue says of itself.
func (l *Lab) Status(ctx context.Context, environment string) (status workflows.EnvironmentStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := l.Client.QueryWorkflow(ctx, l.queue(environment), "", workflows.StatusQuery)
	if err != nil {
		return status, err
	}
	return status, answer.Get(&status)
}

// HistoryLength counts the events of a workflow's history, by type.
func (l *Lab) HistoryLength(ctx context.Context, workflowID string) (total int, byType map[string]int, err error) {
	byType = map[string]int{}
	events := l.Client.GetWorkflowHistory(ctx, workflowID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return 0, nil, err
		}
		total++
		byType[event.GetEventType().String()]++
	}
	return total, byType, nil
}

// Describe is what Temporal says of a workflow.
func (l *Lab) Describe(ctx context.Context, workflowID string) (*workflowpb.WorkflowExecutionInfo, error) {
	described, err := l.Client.DescribeWorkflowExecution(ctx, workflowID, "")
	return described.GetWorkflowExecutionInfo(), err
}

// QueueLength is the number of events in the history of an environment's queue.
func (l *Lab) QueueLength(ctx context.Context, environment string) (int, error) {
	total, _, err := l.HistoryLength(ctx, l.queue(environment))
	return total, err
}

// Stage is a stage of the lab's pipeline with every rule filled in; change says what is special.
func Stage(environment string, strategy delivery.Strategy, change func(*delivery.Stage)) delivery.Stage {
	stage := delivery.Stage{
		Name: "production", Environment: environment, Strategy: strategy, Queue: delivery.QueueAll,
		Health: delivery.Health{Check: &delivery.Check{Path: "/"}},
	}
	if change != nil {
		change(&stage)
	}
	return delivery.Pipeline{Stages: []delivery.Stage{stage}}.WithDefaults().Stages[0]
}
