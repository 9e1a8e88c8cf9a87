package main

import (
	"context"
	"fmt"
)

// transfers measures a shape of guichet under transfers of 1, uniform and to one hot account, at each client count, in two ways: clients who take the promise, a 202,
// and go on, and clients who wait for the finished operation (Prefer: wait) before they ask again.
type transfers struct{ shape }

// waitingClients ends the name of the runs whose clients wait.
const waitingClients = ", clients wait"

func (t transfers) name() string { return t.word }

func (t transfers) run(ctx context.Context, l *lab) error {
	for _, p := range patterns {
		for _, n := range l.clients {
			for _, drive := range []func(context.Context, *lab, *house, pattern, int) error{t.promised, t.waited} {
				if err := t.measure(ctx, l, p, n, drive); err != nil {
					return fmt.Errorf("%d clients, %s: %w", n, p, err)
				}
			}
		}
	}
	return nil
}

func (t transfers) measure(ctx context.Context, l *lab, p pattern, n int, drive func(context.Context, *lab, *house, pattern, int) error) error {
	h, err := l.openHouse(ctx, t.shape, peopleFor(n))
	if err != nil {
		return err
	}
	return h.close(ctx, drive(ctx, l, h, p, n))
}

// promised is the loop of clients who go on. When their operations were applied is read from the operations themselves.
func (t transfers) promised(ctx context.Context, l *lab, h *house, p pattern, n int) error {
	m, err := h.driveTransfers(ctx, n, p, false, t.load(l, h, false))
	if err != nil {
		return err
	}
	s, err := h.sampleOperations(ctx, n, m)
	if err != nil {
		return err
	}
	t.note(l, t.label, p, n, m, s.latency, s.applied)
	return nil
}

// waited is the loop of clients who wait: for them, POST to answer is POST to applied.
func (t transfers) waited(ctx context.Context, l *lab, h *house, p pattern, n int) error {
	m, err := h.driveTransfers(ctx, n, p, true, t.load(l, h, true))
	if err != nil {
		return err
	}
	t.note(l, t.label+waitingClients, p, n, m, m.latency, m.applied)
	return nil
}

// driveTransfers runs a load of n clients, who wait for each outcome or take their 202 and go on.
func (h *house) driveTransfers(ctx context.Context, n int, p pattern, wait bool, ld load) (measurement, error) {
	var err error
	if ld.clients, err = h.clients(ctx, n, p, wait); err != nil {
		return measurement{}, err
	}
	defer closeAll(ld.clients)
	return ld.drive(ctx)
}

// judgeOf is what the answers of transfers have to be.
func judgeOf(wait bool) func(reply) (verdict, error) {
	if wait {
		return finished
	}
	return promised
}

func (transfers) load(l *lab, h *house, wait bool) load {
	return load{judge: judgeOf(wait), warmup: l.warmup(), window: l.duration, watch: h.watched(true)}
}

func (transfers) note(l *lab, run string, p pattern, n int, m measurement, latency quantiles, applied []int64) {
	l.report.add(row{
		run: run, clients: n, pattern: p, accepted: m.acceptedRate(), applied: rate(total(applied), m.window),
		latency: latency, remarks: cpuPerRequest(m.cpu, total(applied)),
	})
}
