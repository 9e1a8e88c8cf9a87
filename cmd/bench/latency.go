package main

import (
	"context"
	"fmt"
	"time"
)

// latency measures how long one client waits on a system that does nothing else. It pauses between
// requests, so that each one finds the lane idle and has to wake it: that is where a queue that is
// polled shows.
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
		if err := h.close(ctx, measureLatency(ctx, l, h)); err != nil {
			return fmt.Errorf("%s: %w", s.word, err)
		}
	}
	return nil
}

func measureLatency(ctx context.Context, l *lab, h *house) error {
	clients, err := h.clients(ctx, 1, uniform, true)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	m, err := load{clients: clients, judge: finished, warmup: l.warmup(), window: l.duration, think: thinking}.drive(ctx)
	if err != nil {
		return err
	}
	l.report.add(row{
		run: "Prefer: wait on an idle system; " + h.label, clients: 1, pattern: uniform, latency: m.latency,
		remarks: fmt.Sprintf("%d requests with pauses of 0–%d ms; slowest %s ms", m.latency.count, thinking.Milliseconds(), millis(m.latency.max)),
	})
	l.report.set(valueWaitP50, inMillis(m.latency.p50))
	l.report.set(valueWaitP99, inMillis(m.latency.p99))
	return nil
}

func inMillis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
