package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A rival is a naive handler, the one that one would write first, which guichet is compared with on the same MariaDB. It is measured at its best: pool sizes and
// both ways of sending parameters are tried first, and the best is kept.
type rival struct {
	what     string // in words, for who watches
	database string
	tunings  []tuning // that are tried
	drive    func(ctx context.Context, a attempt) (row, error)
}

// A tuning is one way of connecting a naive handler to its database.
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

// An attempt is one load on a rival, whose tables are made anew for it and checked afterwards.
type attempt struct {
	lab     *lab
	dsn     string
	tuning  tuning
	clients int
	window  time.Duration
}

// measure adds a row for each number of clients.
func (r rival) measure(ctx context.Context, l *lab, clients []int) error {
	servers, err := l.real(ctx)
	if err != nil {
		return err
	}
	dsn, err := servers.createDatabase(ctx, r.database)
	if err != nil {
		return err
	}
	best, err := r.tune(ctx, l, dsn)
	if err != nil {
		return err
	}
	for _, n := range clients {
		line, err := r.drive(ctx, attempt{l, dsn, best, n, l.duration})
		if err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
		l.report.add(line)
	}
	return nil
}

// tune returns the tuning with the highest rate in short runs at the client counts above one.
func (r rival) tune(ctx context.Context, l *lab, dsn string) (best tuning, err error) {
	window := min(2*time.Second, l.duration)
	var highest float64
	for _, t := range r.tunings {
		for _, n := range crowds(l.clients) {
			line, err := r.drive(ctx, attempt{l, dsn, t, n, window})
			if err != nil {
				return best, fmt.Errorf("%v, %d clients: %w", t, n, err)
			}
			progress("  %s, %v, %d clients: %s/s", r.what, t, n, kilo(line.applied))
			if line.applied > highest {
				highest, best = line.applied, t
			}
		}
	}
	return best, nil
}

// drive runs the load on a process of the handler's own, which flags tell which handler it is. Without a judge the clients have their own.
func (a attempt) drive(ctx context.Context, name string, flags []string, judge func(reply) (verdict, error), connect func(s *baselineServer) ([]*client, error)) (m measurement, err error) {
	flags = append(flags, "-dsn", a.dsn, "-pool", strconv.Itoa(a.tuning.pool), "-prepared="+strconv.FormatBool(a.tuning.prepared))
	server, err := startBaseline(ctx, a.lab, name, flags...)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, server.process.stop()) }()
	clients, err := connect(server)
	if err != nil {
		return m, err
	}
	defer closeAll(clients)
	servers, err := a.lab.real(ctx)
	if err != nil {
		return m, err
	}
	return load{
		clients: clients, judge: judge, warmup: min(a.lab.warmup(), a.window), window: a.window,
		watch: []*process{server.process, servers.mariadb, a.lab.generator()},
	}.drive(ctx)
}

// row is what an attempt adds to the report.
func (a attempt) row(run string, p pattern, m measurement) row {
	return row{
		run: run, clients: a.clients, pattern: p, accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
		remarks: a.tuning.String() + "; " + cpuPerRequest(m.cpu, total(m.applied)),
	}
}
