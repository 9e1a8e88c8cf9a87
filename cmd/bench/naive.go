package main

import (
	"context"
	"errors"
	"fmt"
)

// naiveBalance is what each account of the naive books starts with: enough for any run.
const naiveBalance = 1_000_000_000_000

// naive measures transfers as one would write them first, and tunes them for uniform and hot apart.
type naive struct{}

func (naive) name() string { return "naive" }

// tunings are those that are tried. Few connections serve two cores best, and gorm's prepared
// statements cost more within transactions than they save, but that is for each run to show.
var tunings = []tuning{{8, false}, {16, false}, {32, false}, {64, false}, {16, true}, {32, true}}

func (n naive) run(ctx context.Context, l *lab) error {
	for _, p := range patterns {
		drive := func(ctx context.Context, a attempt) (row, error) { return n.drive(ctx, a, p) }
		err := rival{what: fmt.Sprintf("naive, %s", p), database: "bench_naive", tunings: tunings, drive: drive}.measure(ctx, l, l.clients)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

func (naive) drive(ctx context.Context, a attempt, p pattern) (line row, err error) {
	accounts := poolOf(a.clients) + 1
	books, err := openNaiveBooks(a.dsn, 1, false)
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, books.close()) }()
	if err := books.reset(accounts, naiveBalance); err != nil {
		return line, err
	}
	m, err := a.drive(ctx, "naive", nil, finished, func(s *baselineServer) ([]*client, error) { return s.clients(ctx, a.clients, p, "/naive") })
	if err != nil {
		return line, err
	}
	return a.row(naiveRun, p, m), books.check(accounts, naiveBalance)
}
