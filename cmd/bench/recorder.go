package main

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// slowest is the longest time that a recorder tells apart; what is slower counts as this.
const slowest = 2 * time.Minute

// A recorder collects latencies of many clients, to three digits from 1 µs to slowest. It is split
// into shards because one lock would be felt at the 50,000 requests a second of the no-op ceiling,
// and a histogram for each client would take 200 MB at 1,024 clients.
type recorder struct {
	shards [8]struct {
		mu        sync.Mutex
		histogram *hdrhistogram.Histogram
		_         [48]byte // a cache line each
	}
}

func newRecorder() *recorder {
	r := new(recorder)
	for i := range r.shards {
		r.shards[i].histogram = hdrhistogram.New(1, slowest.Microseconds(), 3)
	}
	return r
}

// record adds a latency of the client with the given index.
func (r *recorder) record(client int, latency time.Duration) {
	shard := &r.shards[client%len(r.shards)]
	micros := min(max(latency.Microseconds(), 1), slowest.Microseconds())
	shard.mu.Lock()
	_ = shard.histogram.RecordValue(micros) // in range, so it cannot fail
	shard.mu.Unlock()
}

// quantiles merges the shards.
func (r *recorder) quantiles() quantiles {
	all := hdrhistogram.New(1, slowest.Microseconds(), 3)
	for i := range r.shards {
		r.shards[i].mu.Lock()
		all.Merge(r.shards[i].histogram)
		r.shards[i].mu.Unlock()
	}
	at := func(percent float64) time.Duration {
		return time.Duration(all.ValueAtQuantile(percent)) * time.Microsecond
	}
	return quantiles{count: all.TotalCount(), p50: at(50), p99: at(99), max: time.Duration(all.Max()) * time.Microsecond}
}

// quantiles is what a report shows of a distribution; all zero when nothing was recorded.
type quantiles struct {
	count         int64
	p50, p99, max time.Duration
}
