package main

import (
	"context"
	"fmt"
	"time"
)

// overload puts far more clients before the counter than it serves at its best, for a minute, in two
// ways: those who wait for the outcome, and those who take the promise and ask again at once. In both
// what is accepted must be applied soon: the surplus is refused at the door, not left standing inside.
type overload struct{}

const overloadBucket = 5 * time.Second

func (overload) name() string { return "overload" }

func (o overload) run(ctx context.Context, l *lab) error {
	for _, measure := range []func(context.Context, *lab, *house) error{o.closed, o.open} {
		h, err := l.openHouse(ctx, splitShape, peopleFor(l.overloadClients))
		if err != nil {
			return err
		}
		if err := h.close(ctx, measure(ctx, l, h)); err != nil {
			return err
		}
	}
	return nil
}

// closed is the loop of clients who wait.
func (o overload) closed(ctx context.Context, l *lab, h *house) error {
	m, err := o.drive(ctx, l, h, true)
	if err != nil {
		return fmt.Errorf("clients who wait: %w", err)
	}
	o.note(l, "overload, clients wait; "+h.label, m, m.latency, m.applied)
	return nil
}

// open is the loop of clients who do not wait. When their operations were applied is read from the operations themselves.
func (o overload) open(ctx context.Context, l *lab, h *house) error {
	m, err := o.drive(ctx, l, h, false)
	if err != nil {
		return fmt.Errorf("clients who do not wait: %w", err)
	}
	s, err := h.sampleOperations(ctx, l.overloadClients, m)
	if err != nil {
		return fmt.Errorf("operations of clients who do not wait: %w", err)
	}
	o.note(l, "overload, clients do not wait; "+h.label, m, s.latency, s.applied)
	return nil
}

func (overload) drive(ctx context.Context, l *lab, h *house, wait bool) (measurement, error) {
	return h.driveTransfers(ctx, l.overloadClients, uniform, wait, load{
		judge: orFull(judgeOf(wait)), warmup: l.warmup(), window: l.overload, bucket: min(overloadBucket, l.overload), watch: h.watched(true),
	})
}

// note reports one overload run and how far accepted and applied came apart in any of its buckets.
func (overload) note(l *lab, name string, m measurement, latency quantiles, done []int64) {
	line := row{
		run: name, clients: l.overloadClients, pattern: uniform, accepted: m.acceptedRate(),
		applied: rate(total(done), m.window), latency: latency,
		remarks: fmt.Sprintf("per %s accepted %s, applied %s; slowest %s ms; 503 lane_full %d; %s", m.bucket,
			m.perBucket(m.accepted), m.perBucket(done), millis(latency.max), total(m.refused),
			cpuPerRequest(m.cpu, total(done))),
	}
	l.report.add(line)
	l.report.set(valueOverloadP99, inMillis(latency.p99))
	for i := range done {
		if m.accepted[i] > 0 {
			l.report.set(valueOverloadGap, float64(m.accepted[i]-done[i])/float64(m.accepted[i]))
		}
	}
}
