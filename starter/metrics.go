package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"gravity/internal/scrape"
	"gravity/internal/webhook"
)

// metrics count what the receiver is sent and what it answers.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	reloads  *prometheus.CounterVec
	right    prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: scrape.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gravity_webhook_requests_total", Help: "Requests to the webhook, by event, outcome and status code.",
		}, []string{"event", "outcome", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gravity_webhook_duration_seconds", Help: "Time from a request's header to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"event"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gravity_configuration_reloads_total", Help: "Times that the configuration was read anew, by whether it was right.",
		}, []string{"right"}),
		right: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gravity_configuration_right", Help: "Whether the configuration was right when it was last read: 1 or 0.",
		}),
	}
	m.right.Set(1) // the receiver does not start with a wrong one
	m.registry.MustRegister(m.requests, m.duration, m.reloads, m.right)
	return m
}

// observe counts a request.
func (m *metrics) observe(o webhook.Observation) {
	m.requests.WithLabelValues(o.Event, string(o.Status), strconv.Itoa(o.Code)).Inc()
	m.duration.WithLabelValues(o.Event).Observe(o.Took.Seconds())
}

func (m *metrics) reloaded(err error) {
	m.reloads.WithLabelValues(strconv.FormatBool(err == nil)).Inc()
	m.right.Set(1)
	if err != nil {
		m.right.Set(0)
	}
}
