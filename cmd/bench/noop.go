package main

import (
	"context"
	"errors"
)

// noop measures the ceiling of HTTP on this machine: Echo reads a small JSON body and answers 202
// with another. No service with the same framework on the same cores can do better.
type noop struct{}

func (noop) name() string { return "noop" }

func (noop) run(ctx context.Context, l *lab) error {
	server, err := startBaseline(ctx, l, "noop")
	if err != nil {
		return err
	}
	for _, n := range l.clients {
		clients, err := server.clients(ctx, n, uniform, "/noop")
		if err != nil {
			return errors.Join(err, server.process.stop())
		}
		m, err := load{
			clients: clients, judge: promised, warmup: l.warmup(), window: l.duration,
			watch: []*process{server.process, l.generator()},
		}.drive(ctx)
		closeAll(clients)
		if err != nil {
			return errors.Join(err, server.process.stop())
		}
		l.report.add(row{
			run: "no-op HTTP ceiling", clients: n, pattern: uniform,
			accepted: m.acceptedRate(), latency: m.latency, remarks: cpuPerRequest(m.cpu, total(m.accepted)),
		})
	}
	return server.process.stop()
}
