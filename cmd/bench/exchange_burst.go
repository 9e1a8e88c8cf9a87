package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// exchangeBurst asks what is matched and not settled when many have traded for a while and still do. It asks the database, in snapshots of the last second: what
// a snapshot has of a trade, it has to have of its settlement.
type exchangeBurst struct{}

const (
	// burstFactor makes 30 s of the usual window.
	burstFactor      = 3
	snapshots        = 5
	snapshotInterval = 200 * time.Millisecond
)

func (exchangeBurst) name() string { return "exchange-burst" }

func (e exchangeBurst) run(ctx context.Context, l *lab) error {
	h, err := l.openFloor(ctx, splitShape, symbolNames(tradedSymbols), crowd)
	if err != nil {
		return err
	}
	return h.close(ctx, e.measure(ctx, l, h))
}

func (e exchangeBurst) measure(ctx context.Context, l *lab, h *house) (err error) {
	window := burstFactor * l.duration
	end := time.Now().Add(l.warmup() + window)
	var taken []*snapshot
	defer func() {
		for _, s := range taken {
			err = errors.Join(err, s.close())
		}
	}()
	var m measurement
	var f *flow
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		m, f, err = h.trade(groupCtx, crowd, symbolNames(tradedSymbols), l.warmup(), window)
		return err
	})
	group.Go(func() (err error) {
		// The snapshots outlive the group.
		taken, err = e.take(groupCtx, func() (*snapshot, error) { return l.servers.snapshot(ctx, runDatabase) }, end)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return e.note(ctx, l, m, f, taken)
}

// take takes the snapshots, the last of them just before the end.
func (exchangeBurst) take(ctx context.Context, snap func() (*snapshot, error), end time.Time) (taken []*snapshot, err error) {
	for i := range snapshots {
		waitUntil(ctx, end.Add(-time.Duration(snapshots-i)*snapshotInterval), nil)
		if ctx.Err() != nil {
			return taken, ctx.Err()
		}
		s, err := snap()
		if err != nil {
			return taken, err
		}
		taken = append(taken, s)
	}
	return taken, nil
}

// note reports the run, and the worst of the snapshots.
func (exchangeBurst) note(ctx context.Context, l *lab, m measurement, f *flow, taken []*snapshot) error {
	var last settlement
	var moments []string
	for i, s := range taken {
		found, err := s.settlement(ctx)
		if err != nil {
			return err
		}
		if i > 0 && found.trades == last.trades {
			return fmt.Errorf("nothing was traded between two snapshots: %d trades", last.trades)
		}
		last = found
		l.report.set(valueUnsettled, float64(found.unsettled()))
		moments = append(moments, fmt.Sprintf("%d of %d trades (%d operations waited)", found.unsettled(), found.trades, found.waiting))
	}
	line := mixRow("burst of "+m.window.String()+"; exchange", crowd, m, f, last.trades, laneWords(l.exchangeLanes))
	line.remarks = "not settled at " + fmt.Sprint(len(taken)) + " moments of the last second: " + strings.Join(moments, ", ") + "; " + line.remarks
	l.report.add(line)
	return nil
}

// A snapshot is a transaction that sees a database as it was when it began.
type snapshot struct{ conn *sql.Conn }

func (s *realServers) snapshot(ctx context.Context, database string) (*snapshot, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "USE " + database, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return &snapshot{conn}, nil
}

// close ends the transaction by ending its connection, which the pool is not to have back: it has a database chosen.
func (s *snapshot) close() error {
	err := s.conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return errors.Join(err, s.conn.Close())
}

// A settlement is what a snapshot says of the trades in it.
type settlement struct {
	trades  int64
	open    int64 // without ledger entry, without one of both fills, or without the outcome of the operation that made it
	entries int64 // of the ledger, that settle trades
	fills   int64 // shares of all fills: twice those of all trades
	shares  int64 // of all trades
	filled  int64 // shares that the orders count as filled
	held    int64 // shares that the sell orders still offer, less those that the holdings hold
	waiting int64 // operations that were accepted and not yet executed: not matched either
}

// unsettled is how many trades are not settled; whatever does not add up otherwise counts as one each.
func (s settlement) unsettled() int64 {
	n := s.open
	for _, differs := range []bool{s.entries != s.trades, s.fills != 2*s.shares, s.filled != s.fills, s.held != 0} {
		if differs {
			n++
		}
	}
	return n
}

func (s *snapshot) settlement(ctx context.Context) (found settlement, err error) {
	const unsettled = `SELECT COUNT(*), COALESCE(SUM(e.operation_id IS NULL OR m.order_id IS NULL OR k.order_id IS NULL OR o.operation_id IS NULL), 0), COALESCE(SUM(t.quantity), 0)
		FROM trades t
		LEFT JOIN entries e ON e.operation_id = t.taker_order AND e.kind = 'trade' AND e.reference = CONCAT(t.symbol, '-', t.number)
		LEFT JOIN fills m ON m.order_id = t.maker_order AND m.symbol = t.symbol AND m.number = t.number
		LEFT JOIN fills k ON k.order_id = t.taker_order AND k.symbol = t.symbol AND k.number = t.number
		LEFT JOIN outcomes o ON o.operation_id = t.taker_order AND o.status = 'succeeded'`
	if err := s.conn.QueryRowContext(ctx, unsettled).Scan(&found.trades, &found.open, &found.shares); err != nil {
		return found, err
	}
	for _, sum := range []struct {
		into  *int64
		query string
	}{
		{&found.entries, "SELECT COUNT(*) FROM entries WHERE kind = 'trade'"},
		{&found.fills, "SELECT COALESCE(SUM(quantity), 0) FROM fills"},
		{&found.filled, "SELECT COALESCE(SUM(filled), 0) FROM orders"},
		{&found.held, "SELECT (SELECT COALESCE(SUM(quantity - filled), 0) FROM orders WHERE status = 'open' AND side = 'sell') - (SELECT COALESCE(SUM(held), 0) FROM holdings)"},
		{&found.waiting, "SELECT COALESCE(SUM(operations), 0) FROM journal_batches"},
	} {
		if err := s.conn.QueryRowContext(ctx, sum.query).Scan(sum.into); err != nil {
			return found, err
		}
	}
	return found, nil
}
