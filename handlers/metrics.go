package handlers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"guichet/models/operation"
)

func (s *Server) registerMetrics() {
	s.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "guichet_http_request_seconds", Help: "Time to answer a request, by route and class of status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "route", "status"})
	s.Metrics.MustRegister(s.requests, &storeCollector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for name, pool := range s.DB.Pools() {
		s.Metrics.MustRegister(collectors.NewDBStatsCollector(pool, name))
	}
}

// storeCollector reads, when it is scraped, what is not counted along the way.
type storeCollector struct{ *Server }

var (
	laneDepth     = prometheus.NewDesc("guichet_lane_depth", "Operations accepted and not yet ended.", []string{"lane"}, nil)
	laneOldest    = prometheus.NewDesc("guichet_lane_oldest_age_seconds", "Age of the oldest of them.", []string{"lane"}, nil)
	lanePaused    = prometheus.NewDesc("guichet_lane_paused", "1 while the lane is paused.", []string{"lane"}, nil)
	laneHeld      = prometheus.NewDesc("guichet_lane_held", "1 while a worker holds the lane.", []string{"lane"}, nil)
	feedReaders   = prometheus.NewDesc("guichet_feed_subscriptions", "Open subscriptions, by topic and reader.", nil, nil)
	feedWaiters   = prometheus.NewDesc("guichet_feed_waiters", "Requests that wait for the end of an operation.", nil, nil)
	feedDelivered = prometheus.NewDesc("guichet_feed_deliveries_total", "Entries handed to readers.", nil, nil)
	feedCutOff    = prometheus.NewDesc("guichet_feed_cut_off_total", "Readers cut off because they fell behind.", nil, nil)
	feedCaughtUp  = prometheus.NewDesc("guichet_feed_caught_up_total", "Entries read from the table because their publication was lost.", nil, nil)
	feedPosition  = prometheus.NewDesc("guichet_feed_position", "Position of the newest entry delivered.", nil, nil)
	lamportTime   = prometheus.NewDesc("guichet_lamport_time", "The process's Lamport clock.", nil, nil)
)

// Describe is part of prometheus.Collector.
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{laneDepth, laneOldest, lanePaused, laneHeld, feedReaders, feedWaiters, feedDelivered, feedCutOff, feedCaughtUp, feedPosition, lamportTime} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector. Lanes are left out while the database is away.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyPatience)
	defer cancel()
	states, err := operation.ReadLanes(c.DB.Read(ctx))
	depths, depthErr := c.journal.Depths(ctx)
	if depthErr == nil {
		depthErr = c.addMessages(ctx, depths)
	}
	if err == nil && depthErr == nil {
		for _, state := range states {
			depth := depths[state.Name]
			gauge(laneDepth, float64(depth.Operations), state.Name)
			age := 0.0
			if !depth.Oldest.IsZero() {
				age = time.Since(depth.Oldest).Seconds()
			}
			gauge(laneOldest, age, state.Name)
			gauge(lanePaused, oneIf(state.Paused), state.Name)
			gauge(laneHeld, oneIf(state.Holder != ""), state.Name)
		}
	}
	stats := c.Hub.Stats()
	gauge(feedReaders, float64(stats.Subscriptions))
	gauge(feedWaiters, float64(stats.Waiters))
	count(feedDelivered, stats.Delivered)
	count(feedCutOff, stats.CutOff)
	count(feedCaughtUp, stats.CaughtUp)
	gauge(feedPosition, float64(c.Hub.Position()))
	gauge(lamportTime, float64(c.Clock.Now()))
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
