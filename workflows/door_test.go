package workflows

import (
	"context"
	"errors"
	"sync"

	"go.temporal.io/sdk/interceptor"
)

// door lets steps in while their test lasts, then cancels them, and is shut when all of them have come out: a step that
// its workflow does not wait for outlives it, and would meet the next test.
type door struct {
	interceptor.WorkerInterceptorBase
	steps  sync.RWMutex
	shut   bool
	open   context.Context
	cancel context.CancelFunc
}

func newDoor() *door {
	d := &door{}
	d.open, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *door) close() {
	d.cancel()
	d.steps.Lock()
	defer d.steps.Unlock()
	d.shut = true
}

func (d *door) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &guarded{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, door: d}
}

type guarded struct {
	interceptor.ActivityInboundInterceptorBase
	door *door
}

func (g *guarded) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	g.door.steps.RLock()
	defer g.door.steps.RUnlock()
	if g.door.shut {
		return nil, errors.New("the test has ended")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.door.open, cancel)()
	return g.Next.ExecuteActivity(ctx, in)
}
