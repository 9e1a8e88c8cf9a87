package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// naiveBalance is what each account of the naive books starts with: enough for any run.
const naiveBalance = 1_000_000_000_000

// naive measures the handler that one would write first, on the same MariaDB, at its best: pool sizes
// and both ways of sending parameters are tried first, for uniform and hot apart, and the best is kept.
type naive struct{}

func (naive) name() string { return "naive" }

// A tuning is one way of connecting the naive handler to its database.
type tuning struct {
	pool     int
	prepared bool
}

func (t tuning) String() string {
	if t.prepared {
		return fmt.Sprintf("pool %d, prepared", t.pool)
	}
	return fmt.Sprintf("pool %d, interpolated", t.pool)
}

// tunings are those that are tried. Few connections serve two cores best, and gorm's prepared
// statements cost more within transactions than they save, but that is for each run to show.
var tunings = []tuning{{8, false}, {16, false}, {32, false}, {64, false}, {16, true}, {32, true}}

func (n naive) run(ctx context.Context, l *lab) error {
	servers, err := l.real(ctx)
	if err != nil {
		return err
	}
	dsn, err := servers.createDatabase(ctx, "bench_naive")
	if err != nil {
		return err
	}
	for _, p := range patterns {
		best, err := n.tune(ctx, l, dsn, p)
		if err != nil {
			return err
		}
		for _, clients := range l.clients {
			if err := n.measure(ctx, l, dsn, best, p, clients); err != nil {
				return err
			}
		}
	}
	return nil
}

// tune returns the tuning with the highest rate in short runs at the client counts above one.
func (n naive) tune(ctx context.Context, l *lab, dsn string, p pattern) (best tuning, err error) {
	window := min(2*time.Second, l.duration)
	var highest float64
	for _, t := range tunings {
		for _, clients := range crowds(l.clients) {
			m, err := n.drive(ctx, l, dsn, t, p, clients, window)
			if err != nil {
				return best, fmt.Errorf("%v, %d clients: %w", t, clients, err)
			}
			progress("naive, %s, %v, %d clients: %s/s", p, t, clients, kilo(m.appliedRate()))
			if m.appliedRate() > highest {
				highest, best = m.appliedRate(), t
			}
		}
	}
	return best, nil
}

func (n naive) measure(ctx context.Context, l *lab, dsn string, t tuning, p pattern, clients int) error {
	m, err := n.drive(ctx, l, dsn, t, p, clients, l.duration)
	if err != nil {
		return fmt.Errorf("%d clients, %s: %w", clients, p, err)
	}
	l.report.add(row{
		run: naiveRun, clients: clients, pattern: p,
		accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
		remarks: t.String() + "; " + cpuPerRequest(m.cpu, total(m.applied)),
	})
	return nil
}

// drive runs one load on fresh tables and checks the books afterwards.
func (naive) drive(ctx context.Context, l *lab, dsn string, t tuning, p pattern, n int, window time.Duration) (m measurement, err error) {
	accounts := poolOf(n) + 1
	books, err := openNaiveBooks(dsn, 1, false)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, books.close()) }()
	if err := books.reset(accounts, naiveBalance); err != nil {
		return m, err
	}
	server, err := startBaseline(ctx, l, "naive", "-dsn", dsn, "-pool", strconv.Itoa(t.pool), "-prepared="+strconv.FormatBool(t.prepared))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, server.process.stop()) }()
	clients, err := server.clients(ctx, n, p, "/naive")
	if err != nil {
		return m, err
	}
	defer closeAll(clients)
	servers, err := l.real(ctx)
	if err != nil {
		return m, err
	}
	m, err = load{
		clients: clients, judge: finished, warmup: min(l.warmup(), window), window: window,
		watch: []*process{server.process, servers.mariadb, l.generator()},
	}.drive(ctx)
	if err != nil {
		return m, err
	}
	return m, books.check(accounts, naiveBalance)
}
