package proof

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// server makes the SDK's test environment do what Temporal's server does, and that environment alone does
// not: a step with WaitForCancellation learns of its cancellation with its next heartbeat, and the
// workflow waits for what the step then answers. It also tells a case when steps begin.
type server struct {
	interceptor.WorkerInterceptorBase
	// begins is called, in the step's goroutine, before a step does anything.
	begins func(step string)

	mu      sync.Mutex
	serial  int
	cancels map[string]bool // steps that are to be cancelled
}

func newServer(begins func(string)) *server {
	return &server{begins: begins, cancels: map[string]bool{}}
}

func (s *server) cancel(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[step] = true
}

func (s *server) cancelled(step string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancels[step]
}

func (s *server) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return fmt.Sprintf("step-%d", s.serial)
}

func (s *server) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &workflowInbound{server: s}
	i.Next = next
	return i
}

func (s *server) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &activityInbound{server: s}
	i.Next = next
	return i
}

type workflowInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	server *server
}

func (w *workflowInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	outbound := &workflowOutbound{server: w.server}
	outbound.Next = next
	return w.Next.Init(outbound)
}

type workflowOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	server *server
}

func (w *workflowOutbound) ExecuteActivity(ctx workflow.Context, step string, args ...any) workflow.Future {
	options := workflow.GetActivityOptions(ctx)
	// No worker is lost in a bubble, the test environment passes heartbeats on far more seldom than a worker of the
	// fleet, and it does not try a step again whose attempt has timed out, as a server does.
	options.HeartbeatTimeout = 0
	if options.ScheduleToCloseTimeout > 0 {
		options.StartToCloseTimeout = options.ScheduleToCloseTimeout
	}
	if policy := options.RetryPolicy; policy != nil && policy.MaximumAttempts == 0 {
		endless := *policy
		endless.MaximumAttempts = math.MaxInt32 // to the test environment, none is ten
		options.RetryPolicy = &endless
	}
	ctx = workflow.WithActivityOptions(ctx, options)
	if !options.WaitForCancellation || ctx.Err() != nil {
		return w.Next.ExecuteActivity(ctx, step, args...)
	}
	options.ActivityID = w.server.next()
	outlasting, _ := workflow.NewDisconnectedContext(ctx)
	future := w.Next.ExecuteActivity(workflow.WithActivityOptions(outlasting, options), step, args...)
	workflow.Go(outlasting, func(listening workflow.Context) {
		selector := workflow.NewSelector(listening)
		selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { w.server.cancel(options.ActivityID) })
		selector.AddFuture(future, func(workflow.Future) {})
		selector.Select(listening)
	})
	return future
}

// ExecuteChildWorkflow: to the test environment, a cancellation that somebody sends to a child is its parent's, and
// a parent that does not wait for it would take the child for cancelled at once.
func (w *workflowOutbound) ExecuteChildWorkflow(ctx workflow.Context, child string, args ...any) workflow.ChildWorkflowFuture {
	options := workflow.GetChildWorkflowOptions(ctx)
	options.WaitForCancellation = true
	return w.Next.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), child, args...)
}

type activityInbound struct {
	interceptor.ActivityInboundInterceptorBase
	server *server
}

type cancelKey struct{}

func (a *activityInbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	outbound := &activityOutbound{server: a.server}
	outbound.Next = next
	return a.Next.Init(outbound)
}

func (a *activityInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	if a.server.cancelled(info.ActivityID) {
		return nil, temporal.NewCanceledError() // cancelled between two attempts: there is no other one
	}
	a.server.begins(info.ActivityType.Name)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result, err := a.Next.ExecuteActivity(context.WithValue(ctx, cancelKey{}, cancel), in)
	if err != nil && a.server.cancelled(info.ActivityID) {
		// A step that fails after its cancellation was asked for is not tried again.
		return nil, temporal.NewCanceledError()
	}
	return result, err
}

type activityOutbound struct {
	interceptor.ActivityOutboundInterceptorBase
	server *server
}

// RecordHeartbeat is how a step learns that it is cancelled.
func (a *activityOutbound) RecordHeartbeat(ctx context.Context, details ...any) {
	a.Next.RecordHeartbeat(ctx, details...)
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok && a.server.cancelled(activity.GetInfo(ctx).ActivityID) {
		cancel()
	}
}

// metronome is an activity that runs as long as a case: while one runs, the test environment lets
// its workflows' timers take the time they take, instead of skipping it.
func metronome(over <-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			select {
			case <-over:
				return nil
			case <-time.After(time.Minute):
				activity.RecordHeartbeat(ctx)
			}
		}
	}
}
