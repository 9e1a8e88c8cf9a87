package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"guichet/models/id"
)

// A rowWatch takes a sample of the reservations that a load makes and asks the database until each is a row. The contract does not say when that is: it
// matters to whoever reads the database, and to what would be left should Redis be lost with its disk.
type rowWatch struct {
	db    *sql.DB
	from  time.Time    // when the sample begins
	due   atomic.Int64 // when the next is taken, in Unix ns
	taken chan reserved
}

// reserved is a reservation as it was answered.
type reserved struct {
	ID id.ID     `json:"id"`
	At time.Time `json:"reserved_at"`
}

const (
	// sampleInterval takes 50 reservations a second, which is felt nowhere.
	sampleInterval = 20 * time.Millisecond
	// rowInterval is how often the database is asked, and by how much a time may be too long.
	rowInterval = 25 * time.Millisecond
	// rowTimeout is after how long a reservation that is no row counts as lost.
	rowTimeout = 30 * time.Second
	// watchBacklog is how many of the sample may wait until the database is asked: those of many seconds.
	watchBacklog = 4096
)

func newRowWatch(db *sql.DB, from time.Time) *rowWatch {
	return &rowWatch{db: db, from: from, taken: make(chan reserved, watchBacklog)}
}

// offer takes an answered reservation into the sample if it is time for one. No watch takes none.
func (w *rowWatch) offer(body []byte) error {
	if w == nil {
		return nil
	}
	now := time.Now()
	due := w.due.Load()
	if now.Before(w.from) || now.UnixNano() < due || !w.due.CompareAndSwap(due, now.Add(sampleInterval).UnixNano()) {
		return nil
	}
	var r reserved
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	if r.ID.IsZero() || r.At.IsZero() {
		return fmt.Errorf("no id or no reserved_at in %s", body)
	}
	select {
	case w.taken <- r:
		return nil
	default:
		return errors.New("the database is not asked for rows any more")
	}
}

// run asks the database until the load has ended and all of the sample are rows, and returns how long after reserved_at they were.
func (w *rowWatch) run(ctx context.Context, ended <-chan struct{}) (quantiles, error) {
	times := newRecorder()
	missing := map[id.ID]time.Time{}
	ticker := time.NewTicker(rowInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return quantiles{}, ctx.Err()
		case <-ticker.C:
		}
		last := isClosed(ended)
		w.drain(missing)
		if len(missing) == 0 && last {
			return times.quantiles(), nil
		}
		if err := w.look(ctx, missing, times); err != nil {
			return quantiles{}, err
		}
	}
}

func (w *rowWatch) drain(missing map[id.ID]time.Time) {
	for {
		select {
		case r := <-w.taken:
			missing[r.ID] = r.At
		default:
			return
		}
	}
}

// look records those of the missing that have become rows, and forgets them. One that is missing for too long is an error.
func (w *rowWatch) look(ctx context.Context, missing map[id.ID]time.Time, times *recorder) error {
	if len(missing) == 0 {
		return nil
	}
	found, err := reservationRows(ctx, w.db, missing)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, i := range found {
		times.record(0, now.Sub(missing[i]))
		delete(missing, i)
	}
	for i, at := range missing {
		if now.Sub(at) > rowTimeout {
			return fmt.Errorf("reservation %s was made %s ago and is no row", i, now.Sub(at).Round(time.Second))
		}
	}
	return nil
}

func reservationRows(ctx context.Context, db *sql.DB, wanted map[id.ID]time.Time) (found []id.ID, err error) {
	keys := make([]string, 0, len(wanted))
	for i := range wanted {
		keys = append(keys, "x'"+hex.EncodeToString(i[:])+"'")
	}
	rows, err := db.QueryContext(ctx, "SELECT id FROM "+reservationTable+" WHERE id IN ("+strings.Join(keys, ",")+")")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // read to its end below
	for rows.Next() {
		var i id.ID
		if err := rows.Scan(&i); err != nil {
			return nil, err
		}
		found = append(found, i)
	}
	return found, rows.Err()
}

const reservationTable = runDatabase + ".reservations"

// awaitReservations waits until there are as many rows as reservations were answered 201: none was lost on the way, and none was made that nobody was told of.
func (s *realServers) awaitReservations(ctx context.Context, made int64) error {
	const interval = 50 * time.Millisecond
	for end := time.Now().Add(rowTimeout); ; waitUntil(ctx, time.Now().Add(interval), nil) {
		rows, err := s.count(ctx, reservationTable)
		if err != nil {
			return err
		}
		if rows == made {
			return nil
		}
		if rows > made || time.Now().After(end) {
			return fmt.Errorf("%d reservations were answered, and there are %d rows", made, rows)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
