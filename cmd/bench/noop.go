package main

import (
	"context"
	"errors"
)

// noop measures the ceiling of HTTP on this machine: Echo reads a small JSON body and answers 202
// with another. No service with the same framework on the same cores can do better.
type noop struct{}

func (noop) name() string { return "noop" }

// noopRun names the rows of the ceiling, which figures look up.
const noopRun = "no-op HTTP ceiling"

func (n noop) run(ctx context.Context, l *lab) error {
	for _, clients := range l.clients {
		if err := n.measure(ctx, l, clients); err != nil {
			return err
		}
	}
	return nil
}

// once measures the ceiling for so many clients unless this run has done so: a figure that is a share of it needs it in the same report.
func (n noop) once(ctx context.Context, l *lab, clients int) error {
	if _, known := l.report.find(noopRun, clients, uniform); known {
		return nil
	}
	return n.measure(ctx, l, clients)
}

func (noop) measure(ctx context.Context, l *lab, n int) (err error) {
	server, err := startBaseline(ctx, l, "noop")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.process.stop()) }()
	clients, err := server.clients(ctx, n, uniform, "/noop")
	if err != nil {
		return err
	}
	defer closeAll(clients)
	m, err := load{
		clients: clients, judge: promised, warmup: l.warmup(), window: l.duration,
		watch: []*process{server.process, l.generator()},
	}.drive(ctx)
	if err != nil {
		return err
	}
	l.report.add(row{
		run: noopRun, clients: n, pattern: uniform,
		accepted: m.acceptedRate(), latency: m.latency, remarks: cpuPerRequest(m.cpu, total(m.accepted)),
	})
	return nil
}
