package workers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	operations *prometheus.CounterVec
	envelope   *prometheus.HistogramVec
	seconds    *prometheus.HistogramVec
	retries    *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	label := []string{"lane"}
	m := metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "guichet_lane_operations_total", Help: "Operations that ended."}, label),
		envelope: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "guichet_lane_envelope_operations", Help: "Operations in an envelope.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10)}, label),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "guichet_lane_envelope_seconds", Help: "Time to execute an envelope, commit included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, label),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "guichet_lane_retries_total", Help: "Attempts that a fault of a store undid."}, label),
	}
	if registry != nil {
		registry.MustRegister(m.operations, m.envelope, m.seconds, m.retries)
	}
	return m
}

func (m metrics) lane(name string) *laneMetrics {
	return &laneMetrics{
		operations: m.operations.WithLabelValues(name), envelope: m.envelope.WithLabelValues(name),
		seconds: m.seconds.WithLabelValues(name), retries: m.retries.WithLabelValues(name),
	}
}

type laneMetrics struct {
	operations prometheus.Counter
	envelope   prometheus.Observer
	seconds    prometheus.Observer
	retries    prometheus.Counter
}

func (m *laneMetrics) observe(operations int, took time.Duration) {
	m.operations.Add(float64(operations))
	m.envelope.Observe(float64(operations))
	m.seconds.Observe(took.Seconds())
}
