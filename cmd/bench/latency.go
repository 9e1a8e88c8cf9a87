package main

import (
	"context"
	"fmt"
	"time"
)

// latency measures how long one client waits on a system that does nothing else: asking again at once,
// and with pauses between requests, so that each one finds the lane idle and has to wake it, as well as
// the machine's cores. That is where a queue that is polled shows.
type latency struct{}

// thinking is the longest pause between two requests; the pauses are spread evenly below it.
const thinking = 40 * time.Millisecond

func (latency) name() string { return "latency" }

func (latency) run(ctx context.Context, l *lab) error {
	for _, s := range shapes {
		h, err := l.openHouse(ctx, s, peopleFor(1))
		if err != nil {
			return err
		}
		err = measureLatency(ctx, l, h)
		if err == nil {
			err = measurePausing(ctx, l, h)
		}
		if err := h.close(ctx, err); err != nil {
			return fmt.Errorf("%s: %w", s.word, err)
		}
	}
	return nil
}

func measureLatency(ctx context.Context, l *lab, h *house) error {
	q, err := driveOne(ctx, l, h, 0)
	if err != nil {
		return err
	}
	noteLatency(l, h, q, "one after the other")
	l.report.set(valueWaitP50, inMillis(q.p50))
	l.report.set(valueWaitP99, inMillis(q.p99))
	return nil
}

func measurePausing(ctx context.Context, l *lab, h *house) error {
	q, err := driveOne(ctx, l, h, thinking)
	if err == nil {
		noteLatency(l, h, q, fmt.Sprintf("with pauses of 0–%d ms", thinking.Milliseconds()))
	}
	return err
}

func driveOne(ctx context.Context, l *lab, h *house, think time.Duration) (quantiles, error) {
	clients, err := h.clients(ctx, 1, uniform, true)
	if err != nil {
		return quantiles{}, err
	}
	defer closeAll(clients)
	m, err := load{clients: clients, judge: finished, warmup: l.warmup(), window: l.duration, think: think}.drive(ctx)
	return m.latency, err
}

func noteLatency(l *lab, h *house, q quantiles, how string) {
	l.report.add(row{
		run: "Prefer: wait on an idle system; " + h.label, clients: 1, pattern: uniform, latency: q,
		remarks: fmt.Sprintf("%d requests, %s; slowest %s ms", q.count, how, millis(q.max)),
	})
}

func inMillis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
