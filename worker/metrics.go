package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"gravity/internal/scrape"
)

// boundaries are those of all durations, in seconds: a call to Temporal takes milliseconds, and a step of a
// deployment an hour. OpenTelemetry's own are meant for milliseconds.
var boundaries = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200}

// metrics are what Temporal's SDK counts of a worker, what the workflows count of deployments, and the process's own.
// The SDK's are listed at https://docs.temporal.io/references/sdk-metrics.
type metrics struct {
	registry *prometheus.Registry
	provider *metric.MeterProvider
}

func newMetrics() (*metrics, error) {
	registry := scrape.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("exporting metrics to Prometheus: %w", err)
	}
	seconds := metric.NewView(metric.Instrument{Kind: metric.InstrumentKindHistogram, Unit: "s"},
		metric.Stream{Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: boundaries}})
	return &metrics{registry: registry, provider: metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(seconds))}, nil
}

// handler is what the SDK counts with. A metric that cannot be counted is logged, and stops nothing.
func (m *metrics) handler(log *slog.Logger) client.MetricsHandler {
	return opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter:                m.provider.Meter("temporal-sdk-go"),
		OnError:              func(err error) { log.Warn("a metric is not counted", "error", err) },
		UseMonotonicCounters: true,
	})
}

// serve answers Prometheus at an address until close is called.
func (m *metrics) serve(address string, log *slog.Logger) (close func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w; choose another address with --metrics-listen", err)
	}
	server := scrape.Server(m.registry)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	log.Info("serving metrics", "address", listener.Addr().String(), "path", scrape.Path)
	return func() { _ = server.Close() }, nil
}
