package backlog

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// temporal answers as a server does, or not at all. That the real one understands the questions is proven
// by the tests of monitoring.
type temporal struct {
	client.Client
	asked atomic.Int32
	hangs bool
	fails error
}

func (s *temporal) CountWorkflow(ctx context.Context, request *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	s.asked.Add(1)
	if s.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if strings.Contains(request.GetQuery(), "'waiting'") {
		return &workflowservice.CountWorkflowExecutionsResponse{Count: 3}, nil
	}
	return &workflowservice.CountWorkflowExecutionsResponse{}, nil
}

func (s *temporal) WorkflowService() workflowservice.WorkflowServiceClient {
	return &service{fails: s.fails}
}

type service struct {
	workflowservice.WorkflowServiceClient
	fails error
}

func (s *service) DescribeTaskQueue(
	context.Context, *workflowservice.DescribeTaskQueueRequest, ...grpc.CallOption,
) (*workflowservice.DescribeTaskQueueResponse, error) {
	return &workflowservice.DescribeTaskQueueResponse{}, s.fails
}

func gathered(t *testing.T, c *Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	require.NoError(t, err)
	var text strings.Builder
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&text, family)
		require.NoError(t, err)
	}
	return text.String()
}

func TestTemporalIsAskedEvery15SecondsAtMost(t *testing.T) {
	server := &temporal{}
	c := New(server, "default", slog.New(slog.DiscardHandler))
	now := time.Now()
	c.now = func() time.Time { return now }
	first := gathered(t, c)
	assert.Contains(t, first, `gravity_workflows_running{state="waiting",workflow_type="Pipeline"} 3`)
	assert.Contains(t, first, `gravity_backlog_up{about="workflows"} 1`)
	once := server.asked.Load()
	require.Positive(t, once)
	now = now.Add(keep - time.Millisecond)
	assert.Equal(t, first, gathered(t, c))
	assert.Equal(t, once, server.asked.Load())
	now = now.Add(time.Millisecond)
	gathered(t, c)
	assert.Equal(t, 2*once, server.asked.Load())
}

func TestWhatTemporalDoesNotAnswerIsMissingAndSaidSo(t *testing.T) {
	server := &temporal{fails: errors.New("no such method")}
	text := gathered(t, New(server, "default", slog.New(slog.DiscardHandler)))
	assert.Contains(t, text, `gravity_backlog_up{about="task queues"} 0`)
	assert.Contains(t, text, `gravity_backlog_up{about="workflows"} 1`, "the one is told without the other")
	assert.NotContains(t, text, "gravity_task_queue_pollers")
}

func TestAServerThatHangsHoldsNoScrapeUp(t *testing.T) {
	began := time.Now()
	text := gathered(t, New(&temporal{hangs: true}, "default", slog.New(slog.DiscardHandler)))
	assert.Contains(t, text, `gravity_backlog_up{about="workflows"} 0`)
	assert.NotContains(t, text, "gravity_workflows_running")
	assert.Contains(t, text, `gravity_backlog_up{about="task queues"} 1`)
	assert.Less(t, time.Since(began), 2*patience)
}
