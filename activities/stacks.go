package activities

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/delivery"
	"gravity/internal/stacks"
)

// Stacks has the steps that make, change and delete CloudFormation stacks.
type Stacks struct {
	Client *stacks.Client
}

// ProposeInput says what a stack is to be, and the name that makes the proposal one.
type ProposeInput struct {
	Stack delivery.Stack `json:"stack"`
	Name  string         `json:"name"`
	// Plan leaves everything as it is, even what a failed creation left.
	Plan bool `json:"plan,omitempty"`
}

// ProposeChange works out what would change, and changes nothing.
func (s *Stacks) ProposeChange(ctx context.Context, input ProposeInput) (delivery.StackPlan, error) {
	note, stop := watched(ctx)
	defer stop()
	plan, err := s.Client.Propose(ctx, input.Stack, stacks.Proposal{Name: input.Name, Plan: input.Plan}, note)
	return plan, toTemporal(err)
}

// ExecuteChange carries a proposal out and follows it to its end; the events are in its heartbeats.
func (s *Stacks) ExecuteChange(ctx context.Context, plan delivery.StackPlan) (delivery.StackResult, error) {
	note, stop := watched(ctx)
	defer stop()
	result, err := s.Client.Execute(ctx, plan, note)
	return result, toTemporal(err)
}

// DiscardChange removes a proposal that nobody wants.
func (s *Stacks) DiscardChange(ctx context.Context, plan delivery.StackPlan) error {
	var err error
	if plan.Role, err = s.Client.Resolve(ctx, plan.Role); err != nil {
		return toTemporal(err)
	}
	return toTemporal(s.Client.Discard(ctx, plan))
}

// DeleteInput names a stack and the role that CloudFormation takes for it.
type DeleteInput struct {
	Stack string `json:"stack"`
	Role  string `json:"role,omitempty"`
}

// DeleteStack empties a stack's buckets and deletes it, but for what its template keeps.
func (s *Stacks) DeleteStack(ctx context.Context, input DeleteInput) (delivery.StackResult, error) {
	note, stop := watched(ctx)
	defer stop()
	role, err := s.Client.Resolve(ctx, input.Role)
	if err != nil {
		return delivery.StackResult{}, toTemporal(err)
	}
	result, err := s.Client.Delete(ctx, input.Stack, role, note)
	return result, toTemporal(err)
}

// DriftInput names a stack to look at.
type DriftInput struct {
	Stack string `json:"stack"`
}

// DetectDrift looks for what was changed by hand.
func (s *Stacks) DetectDrift(ctx context.Context, input DriftInput) (delivery.StackDrift, error) {
	_, stop := watched(ctx)
	defer stop()
	drift, err := s.Client.Drift(ctx, input.Stack)
	return drift, toTemporal(err)
}

// StackProgress is what a step on a stack shows of itself while it goes on.
type StackProgress struct {
	// Events are the last ones, newest last.
	Events []delivery.StackEvent `json:"events"`
}

// shownEvents is how many events a heartbeat carries.
const shownEvents = 10

// watched heartbeats until stop is called: with the last events of the stack, whether or not there are new ones.
func watched(ctx context.Context) (note func(delivery.StackEvent), stop func()) {
	var mu sync.Mutex
	var progress StackProgress
	beat := func() {
		mu.Lock()
		defer mu.Unlock()
		activity.RecordHeartbeat(ctx, progress)
	}
	beating, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(defaultBeat)
		defer ticker.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case <-ticker.C:
				beat()
			}
		}
	}()
	note = func(event delivery.StackEvent) {
		mu.Lock()
		progress.Events = append(progress.Events, event)
		progress.Events = slices.Clone(progress.Events[max(0, len(progress.Events)-shownEvents):])
		mu.Unlock()
		beat()
	}
	return note, func() {
		cancel()
		<-done
	}
}
