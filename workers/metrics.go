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
	seats      *seatMetrics
	messages   *messageMetrics
}

// seatMetrics are about the seats that Redis has and the database has not heard of.
type seatMetrics struct {
	unsynced prometheus.Gauge
	lag      prometheus.Gauge
	lags     prometheus.Histogram
	mended   *prometheus.CounterVec
}

func newSeatMetrics() *seatMetrics {
	return &seatMetrics{
		unsynced: prometheus.NewGauge(prometheus.GaugeOpts{Name: "guichet_seats_unsynced", Help: "Changes of seats that the database has not heard of."}),
		lag:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "guichet_seats_sync_lag_seconds", Help: "How far the database was behind Redis when it last heard of changes; 0 when there are none."}),
		lags: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "guichet_seats_sync_seconds", Help: "Age of the oldest change in each batch that the database heard of.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}),
		mended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "guichet_seats_mended_total", Help: "Differences between Redis and the database that were mended."}, []string{"kind"}),
	}
}

// messageMetrics are about the messages that the log has and the table has not.
type messageMetrics struct {
	unstored prometheus.Gauge
	lag      prometheus.Gauge
	lags     prometheus.Histogram
	stored   prometheus.Counter
}

func newMessageMetrics() *messageMetrics {
	return &messageMetrics{
		unstored: prometheus.NewGauge(prometheus.GaugeOpts{Name: "guichet_messages_unstored", Help: "Messages that the database did not have when it last got some."}),
		lag:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "guichet_messages_store_lag_seconds", Help: "How far the database was behind the log of messages when it last got some; 0 when there are none."}),
		lags: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "guichet_messages_store_seconds", Help: "Age of the oldest message in each batch that the database got.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}),
		stored: prometheus.NewCounter(prometheus.CounterOpts{Name: "guichet_messages_stored_total", Help: "Messages that the database got."}),
	}
}

func newMetrics(registry prometheus.Registerer) metrics {
	label := []string{"lane"}
	m := metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "guichet_lane_operations_total", Help: "Operations that ended."}, label),
		envelope: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "guichet_lane_envelope_operations", Help: "Operations in an envelope.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10)}, label),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "guichet_lane_envelope_seconds", Help: "Time to execute an envelope, commit included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, label),
		seats: newSeatMetrics(), messages: newMessageMetrics(),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "guichet_lane_retries_total", Help: "Attempts that a fault of a store undid."}, label),
	}
	if registry != nil {
		registry.MustRegister(m.operations, m.envelope, m.seconds, m.retries, m.seats.unsynced, m.seats.lag, m.seats.lags, m.seats.mended,
			m.messages.unstored, m.messages.lag, m.messages.lags, m.messages.stored)
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
