package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// failover kills the worker that holds the lane while clients keep asking, and measures until the
// standby has applied the next operation. Nobody may see an error: they only wait longer.
type failover struct{}

const (
	failoverClients = 32
	failoverKills   = 3
	// failoverTimeout is how long the standby may take at all before the run counts as failed.
	failoverTimeout = 25 * time.Second
)

func (failover) name() string { return "failover" }

func (f failover) run(ctx context.Context, l *lab) error {
	s := splitShape
	s.roles = []string{"api", "worker", "worker"}
	h, err := l.openHouse(ctx, s, peopleFor(failoverClients))
	if err != nil {
		return err
	}
	return h.close(ctx, f.measure(ctx, l, h))
}

func (f failover) measure(ctx context.Context, l *lab, h *house) error {
	clients, err := h.clients(ctx, failoverClients, uniform, true)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	watch := &takeoverWatch{seen: make(chan time.Time, 1)}
	stop := make(chan struct{})
	start := time.Now()
	var m measurement
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		m, err = load{
			clients: clients, judge: watch.judge, window: failoverKills * (failoverTimeout + time.Minute), stop: stop,
		}.drive(ctx)
		return err
	})
	var times []time.Duration
	group.Go(func() (err error) {
		defer close(stop)
		times, err = f.kills(ctx, h, watch)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	inversions, read, err := h.inversions(context.WithoutCancel(ctx), failoverClients, start)
	if err != nil {
		return err
	}
	worst := slices.Max(times)
	l.report.set(valueFailover, worst.Seconds())
	l.report.set(valueFailoverSwap, float64(inversions))
	l.report.add(row{
		run: "kill -9 of the lane's holder, until the standby has applied the next", clients: failoverClients, pattern: uniform,
		remarks: fmt.Sprintf("%d kills: median %s ms, worst %s ms; %d of %d operations read were out of order; slowest answer %s ms",
			len(times), millis(median(times)), millis(worst), inversions, read, millis(m.latency.max)),
	})
	return nil
}

// kills ends the holder again and again, each time with a fresh standby in the place of the last victim.
func (f failover) kills(ctx context.Context, h *house, watch *takeoverWatch) ([]time.Duration, error) {
	var times []time.Duration
	for range failoverKills {
		holder, err := busierWorker(ctx, h)
		if err != nil {
			return nil, err
		}
		took, err := killAndWait(ctx, holder, watch)
		if err != nil {
			return nil, err
		}
		progress("  standby serves after %s ms", millis(took))
		times = append(times, took)
		h.processes = slices.DeleteFunc(h.processes, func(p *process) bool { return p == holder })
		if err := h.spawn(ctx, "worker"); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// busierWorker tells the holder of the lane from its standby by what they use of the CPU: under load
// the holder is the busy one. That needs no knowledge of how a worker names itself.
func busierWorker(ctx context.Context, h *house) (*process, error) {
	workers := h.processes[1:]
	// The newest worker starts up during the first second; it is the second after that which tells.
	from := time.Now().Add(time.Second)
	waitUntil(ctx, from, nil)
	before, err := cpuTimes(workers)
	if err != nil {
		return nil, err
	}
	waitUntil(ctx, from.Add(time.Second), nil)
	after, err := cpuTimes(workers)
	if err != nil {
		return nil, err
	}
	first, second := after[0]-before[0], after[1]-before[1]
	switch {
	case first > 2*second:
		return workers[0], nil
	case second > 2*first:
		return workers[1], nil
	default:
		return nil, errors.Join(ctx.Err(), fmt.Errorf("cannot tell who holds the lane: CPU %s and %s", first, second))
	}
}

func killAndWait(ctx context.Context, holder *process, watch *takeoverWatch) (time.Duration, error) {
	killed := time.Now()
	holder.kill()
	watch.arm(time.Now())
	select {
	case at := <-watch.seen:
		return at.Sub(killed), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(failoverTimeout):
		return 0, fmt.Errorf("nothing applied within %s of killing the holder", failoverTimeout)
	}
}

// A takeoverWatch is a judge that looks for the first operation which the dead holder cannot have
// finished. Answers alone do not tell: some of its last are still on their way when it dies.
type takeoverWatch struct {
	mu   sync.Mutex
	dead time.Time      // zero: nobody has died, or the successor has been seen
	seen chan time.Time // when the answer to that operation came
}

func (w *takeoverWatch) arm(dead time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = dead
}

func (w *takeoverWatch) judge(r reply) (verdict, error) {
	v, err := finished(r)
	if err != nil {
		return v, err
	}
	at, err := finishedAt(r.body)
	if err != nil {
		return v, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dead.IsZero() && at.After(w.dead) {
		w.dead = time.Time{}
		w.seen <- time.Now()
	}
	return v, nil
}

func finishedAt(body []byte) (time.Time, error) {
	_, rest, _ := bytes.Cut(body, []byte(`"finished_at":"`))
	text, _, found := bytes.Cut(rest, []byte(`"`))
	if !found {
		return time.Time{}, fmt.Errorf("no finished_at in %s", body)
	}
	return time.Parse(time.RFC3339Nano, string(text))
}

// inversions counts, among the operations of the clients since a time, those that were executed
// before an earlier one of the journal: ids are in order of acceptance, stamps in order of execution.
func (h *house) inversions(ctx context.Context, clients int, since time.Time) (count, read int, err error) {
	var all []operation
	for i := 1; i <= clients; i++ {
		err := h.eachOperation(ctx, &h.people[i], since, func(o operation) { all = append(all, o) })
		if err != nil {
			return 0, 0, err
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(all); i++ {
		if all[i].LamportEnd <= all[i-1].LamportEnd {
			count++
		}
	}
	return count, len(all), nil
}
