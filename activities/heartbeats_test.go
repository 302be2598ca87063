package activities

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"gravity/internal/beanstalk"
)

// newSteps is an environment that runs activities as a worker does.
func newSteps(t *testing.T, activities ...any) *testsuite.TestActivityEnvironment {
	t.Helper()
	steps, _ := newShownSteps(t, activities...)
	return steps
}

// newShownSteps also tells what the steps have shown with their heartbeats so far. It sees every
// one of them; Temporal gets one in several seconds.
func newShownSteps(t *testing.T, activities ...any) (steps *testsuite.TestActivityEnvironment, shown func() []any) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	steps = suite.NewTestActivityEnvironment()
	recorder := &recorder{}
	steps.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{recorder}})
	for _, each := range activities {
		steps.RegisterActivity(each)
	}
	return steps, recorder.shown
}

// recorder keeps what is shown.
type recorder struct {
	interceptor.WorkerInterceptorBase

	mu      sync.Mutex
	details []any
}

func (r *recorder) shown() []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.details)
}

func (r *recorder) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	inbound := &recordedActivity{recorder: r}
	inbound.Next = next
	return inbound
}

type recordedActivity struct {
	interceptor.ActivityInboundInterceptorBase
	recorder *recorder
}

func (a *recordedActivity) Init(next interceptor.ActivityOutboundInterceptor) error {
	outbound := &recordedHeartbeats{recorder: a.recorder}
	outbound.Next = next
	return a.Next.Init(outbound)
}

type recordedHeartbeats struct {
	interceptor.ActivityOutboundInterceptorBase
	recorder *recorder
}

func (h *recordedHeartbeats) RecordHeartbeat(ctx context.Context, details ...any) {
	h.recorder.mu.Lock()
	h.recorder.details = append(h.recorder.details, details...)
	h.recorder.mu.Unlock()
	h.Next.RecordHeartbeat(ctx, details...)
}

func TestWhatAWaitSeesIsToldWhenItIsNewAndOtherwiseNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		report := whenNew(4*time.Second, func(p beanstalk.Progress) { told = append(told, p.Status) })
		for _, status := range []string{"Updating", "Updating", "Ready", "Ready"} {
			report(beanstalk.Progress{Status: status})
		}
		assert.Equal(t, []string{"Updating", "Ready"}, told)
		time.Sleep(3 * time.Second)
		report(beanstalk.Progress{Status: "Ready"})
		assert.Len(t, told, 2)
		time.Sleep(time.Second)
		report(beanstalk.Progress{Status: "Ready"})
		assert.Equal(t, []string{"Updating", "Ready", "Ready"}, told)
	})
}
