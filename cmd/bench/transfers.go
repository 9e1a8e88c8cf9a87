package main

import (
	"context"
	"fmt"
)

// transfers measures a shape of guichet under transfers of 1, uniform and to one hot account, at each
// client count. Each client waits for the finished operation, so that POST to answer is POST to applied.
type transfers struct{ shape }

func (t transfers) name() string { return t.word }

func (t transfers) run(ctx context.Context, l *lab) error {
	for _, p := range patterns {
		for _, n := range l.clients {
			if err := t.measure(ctx, l, p, n); err != nil {
				return fmt.Errorf("%d clients, %s: %w", n, p, err)
			}
		}
	}
	return nil
}

func (t transfers) measure(ctx context.Context, l *lab, p pattern, n int) error {
	h, err := l.openHouse(ctx, t.shape, peopleFor(n))
	if err != nil {
		return err
	}
	return h.close(ctx, t.drive(ctx, l, h, p, n))
}

func (t transfers) drive(ctx context.Context, l *lab, h *house, p pattern, n int) error {
	clients, err := h.clients(ctx, n, p, true)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	m, err := load{
		clients: clients, judge: finished, warmup: l.warmup(), window: l.duration, watch: h.watched(true),
	}.drive(ctx)
	if err != nil {
		return err
	}
	l.report.add(row{
		run: t.label, clients: n, pattern: p, accepted: m.acceptedRate(), applied: m.appliedRate(),
		latency: m.latency, remarks: cpuPerRequest(m.cpu, total(m.applied)),
	})
	return nil
}
