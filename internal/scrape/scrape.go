// Package scrape lets Prometheus scrape what a process counts.
package scrape

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Path is where Prometheus finds the metrics, on a listener of their own.
const Path = "/metrics"

// NewRegistry has what the Go runtime and the process count of themselves.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// Server serves a registry at Path, and nothing else.
func Server(registry *prometheus.Registry) *http.Server {
	routes := http.NewServeMux()
	routes.Handle("GET "+Path, promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	return &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second, MaxHeaderBytes: 16 << 10}
}
