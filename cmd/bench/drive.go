package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// A client is one customer of a load: a connection, and what it asks next.
type client struct {
	wire *wire
	// next returns the request to send; it may be the same bytes each time, patched. The client is done when there is none.
	next func(*rand.Rand) []byte
	// judge, if there is one, stands in for that of the load: for clients to whom answers tell what to ask next.
	judge func(reply) (verdict, error)
}

// A verdict says what an answer means to the load.
type verdict int

const (
	applied  verdict = iota // the work is done
	accepted                // the work is promised
	refused                 // the service asks to come back after Retry-After
)

// A load is a closed loop: each client sends, waits for the answer, and sends again.
type load struct {
	clients []*client
	judge   func(reply) (verdict, error) // an error ends the load: no request may err
	warmup  time.Duration                // before the window, not counted
	window  time.Duration
	bucket  time.Duration   // 0: the whole window is one
	think   time.Duration   // each client pauses 0 … think between an answer and the next request
	watch   []*process      // whose CPU in the window is reported
	stop    <-chan struct{} // ends the load early when closed; nil: never
}

// A measurement is what a load saw. Counts are per bucket of the window; a request is accepted in the
// bucket in which it was sent and applied in the one in which its answer came.
type measurement struct {
	accepted, applied, refused []int64
	bucket, window             time.Duration // the last bucket is shorter if the window is no multiple
	latency                    quantiles     // from sending to the answer, of what was sent within the window
	start                      time.Time     // of the window
	cpu                        []cpuUse
}

// drive runs the load. On the first wrong answer it stops and returns it as error.
func (ld load) drive(ctx context.Context) (measurement, error) {
	if ld.bucket == 0 {
		ld.bucket = ld.window
	}
	begin := time.Now()
	r := &run{load: ld, start: begin.Add(ld.warmup), recorder: newRecorder()}
	r.end = r.start.Add(ld.window)
	// A client blocked in a read does not see its context; moving the deadline of its connection wakes it.
	defer context.AfterFunc(ctx, func() { r.deadline(time.Now()) })()
	// Longer than any answer may take, so that a service that forgets one is an error and not a hang.
	r.deadline(r.end.Add(45 * time.Second))
	group, groupCtx := errgroup.WithContext(ctx)
	tallies := make([]*tally, len(ld.clients))
	for i := range ld.clients {
		tallies[i] = newTally(int((ld.window + ld.bucket - 1) / ld.bucket))
		group.Go(func() error {
			err := r.client(groupCtx, i, tallies[i])
			if err == nil {
				return nil
			}
			r.deadline(time.Now())
			return fmt.Errorf("client %d: %w", i, err)
		})
	}
	var cpu []cpuUse
	group.Go(func() (err error) {
		cpu, err = measureCPU(groupCtx, ld.watch, r.start, r.end, ld.stop)
		return err
	})
	group.Go(func() error { return ld.profile(groupCtx, r.start, r.end) })
	err := group.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return r.sum(tallies, cpu), err
}

// A run is a load under way.
type run struct {
	load
	start, end time.Time // of the window
	recorder   *recorder
}

func (r *run) deadline(t time.Time) {
	for _, c := range r.clients {
		_ = c.wire.conn.SetDeadline(t) // fails on a closed connection only, whose reads fail by themselves
	}
}

// client is the life of client i until the window ends.
func (r *run) client(ctx context.Context, i int, t *tally) error {
	c := r.clients[i]
	judge := r.judge
	if c.judge != nil {
		judge = c.judge
	}
	rng := rand.New(rand.NewPCG(uint64(i), 2)) // seeded: each run asks the same
	for {
		sent := time.Now()
		if !sent.Before(r.end) || r.stopped(ctx) {
			return nil
		}
		request := c.next(rng)
		if request == nil {
			return nil
		}
		answer, err := c.wire.roundTrip(request)
		if err != nil {
			return err
		}
		got := time.Now()
		v, err := judge(answer)
		if err != nil {
			return err
		}
		r.note(t, i, v, sent, got)
		switch {
		case v == refused:
			pause(ctx, answer.retryAfter, r.end)
		case r.think > 0:
			pause(ctx, time.Duration(rng.Int64N(int64(r.think))), r.end)
		}
	}
}

func (r *run) stopped(ctx context.Context) bool {
	select {
	case <-r.stop:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// note counts one answer where it belongs.
func (r *run) note(t *tally, client int, v verdict, sent, got time.Time) {
	at, inside := r.bucketOf(sent)
	if inside && v == refused {
		t.refused[at]++
		return
	}
	if inside {
		t.accepted[at]++
		r.recorder.record(client, got.Sub(sent))
	}
	if at, inside := r.bucketOf(got); inside && v == applied {
		t.applied[at]++
	}
}

func (r *run) bucketOf(t time.Time) (index int, inside bool) {
	if t.Before(r.start) || !t.Before(r.end) {
		return 0, false
	}
	return int(t.Sub(r.start) / r.bucket), true
}

func (r *run) sum(tallies []*tally, cpu []cpuUse) measurement {
	total := newTally(len(tallies[0].accepted))
	for _, t := range tallies {
		for i := range total.accepted {
			total.accepted[i] += t.accepted[i]
			total.applied[i] += t.applied[i]
			total.refused[i] += t.refused[i]
		}
	}
	return measurement{
		accepted: total.accepted, applied: total.applied, refused: total.refused,
		bucket: r.bucket, window: r.window, latency: r.recorder.quantiles(), start: r.start, cpu: cpu,
	}
}

// A tally is one client's counts per bucket; each client has its own, so that counting needs no lock.
type tally struct{ accepted, applied, refused []int64 }

func newTally(buckets int) *tally {
	return &tally{make([]int64, buckets), make([]int64, buckets), make([]int64, buckets)}
}

// pause waits d, but not past the end of the window nor of the context.
func pause(ctx context.Context, d time.Duration, end time.Time) {
	timer := time.NewTimer(min(d, time.Until(end)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// closeAll closes the connections of the clients.
func closeAll(clients []*client) {
	for _, c := range clients {
		c.wire.close()
	}
}
