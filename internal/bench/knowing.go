package main

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/interceptor"

	"gravity/internal/beanstalk"
)

// knowing notes when a deployment's wait first tells Temporal that the environment is Ready on its version.
type knowing struct {
	interceptor.InterceptorBase

	mu    sync.Mutex
	label string
	at    time.Time
}

func (k *knowing) interceptors() []interceptor.ClientInterceptor {
	return []interceptor.ClientInterceptor{k}
}

// forget begins with another version.
func (k *knowing) forget(label string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.label, k.at = label, time.Time{}
}

func (k *knowing) ready() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at
}

func (k *knowing) note(details []any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, detail := range details {
		if p, ok := detail.(beanstalk.Progress); ok && k.at.IsZero() && p.Status == "Ready" && p.Version == k.label {
			k.at = time.Now()
		}
	}
}

// InterceptActivity makes every heartbeat pass by.
func (k *knowing) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &inbound{knowing: k}
	i.Next = next
	return i
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
	knowing *knowing
}

func (i *inbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	o := &outbound{knowing: i.knowing}
	o.Next = next
	return i.Next.Init(o)
}

type outbound struct {
	interceptor.ActivityOutboundInterceptorBase
	knowing *knowing
}

func (o *outbound) RecordHeartbeat(ctx context.Context, details ...any) {
	o.knowing.note(details)
	o.Next.RecordHeartbeat(ctx, details...)
}
