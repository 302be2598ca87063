package workflows

import (
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
)

func (s *environmentSuite) TestEveryDeploymentIsCountedByWhatBecameOfIt() {
	counted := &counts{of: map[string]int64{}}
	s.SetMetricsHandler(counted)
	defer s.SetMetricsHandler(nil)
	s.SetupTest()
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Hour, DeployUpdate, request("v2", "2"))
	s.env.RegisterDelayedCallback(func() {
		s.outcome = func(in DeploymentInput) (delivery.Result, error) {
			result := delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeTakenBack, Cause: delivery.CheckFailed, LeftOn: "v1", Good: in.Good}
			return result, toTemporal(&delivery.Error{Type: delivery.CheckFailed, Message: "503"}, result)
		}
	}, 30*time.Minute)
	s.serve(EnvironmentInput{})
	s.Equal(map[string]int64{
		"site site-production deployed ":                              1,
		"site site-production taken back by the platform CheckFailed": 1,
	}, counted.of)
}

// counts is a client.MetricsHandler that keeps the deployments alone.
type counts struct {
	client.MetricsHandler
	mu sync.Mutex
	of map[string]int64
}

func (c *counts) WithTags(tags map[string]string) client.MetricsHandler {
	return tagged{client.MetricsNopHandler, c, tags}
}
func (c *counts) Counter(string) client.MetricsCounter { return client.MetricsNopHandler.Counter("") }
func (c *counts) Gauge(string) client.MetricsGauge     { return client.MetricsNopHandler.Gauge("") }
func (c *counts) Timer(string) client.MetricsTimer     { return client.MetricsNopHandler.Timer("") }

type tagged struct {
	client.MetricsHandler
	counts *counts
	tags   map[string]string
}

func (t tagged) WithTags(tags map[string]string) client.MetricsHandler {
	return t.counts.WithTags(tags)
}

func (t tagged) Counter(name string) client.MetricsCounter {
	if name != deploymentsMetric {
		return t.MetricsHandler.Counter(name)
	}
	return counter(func(by int64) {
		t.counts.mu.Lock()
		defer t.counts.mu.Unlock()
		t.counts.of[t.tags["pipeline"]+" "+t.tags["environment"]+" "+t.tags["outcome"]+" "+t.tags["cause"]] += by
	})
}

type counter func(int64)

func (c counter) Inc(by int64) { c(by) }
