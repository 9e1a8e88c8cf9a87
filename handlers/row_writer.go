package handlers

import (
	"context"
	"time"

	"guichet/models/database"
	"guichet/models/events"
)

const (
	// rowPatience is how long a reservation may wait to be written.
	rowPatience = 5 * time.Second
	// mostRows is how many are written at once.
	mostRows = 256
)

// rowWriter writes reservations to the database before they are acknowledged. Whatever came while the last ones were being written is written together: a
// store whose commits cost more than the rest of the request still keeps up.
type rowWriter struct {
	store   func(context.Context, []events.Reservation) error // all of them, or none
	waiting chan rowToWrite
	writing chan struct{} // has a token while nobody writes

	patience time.Duration // rowPatience, unless a test is about something else than time
}

type rowToWrite struct {
	reservation events.Reservation
	done        chan error
}

func newRowWriter(db *database.DB) *rowWriter {
	store := func(ctx context.Context, reservations []events.Reservation) error {
		return db.Write(ctx, func(tx database.Tx) error { return events.StoreReservations(tx, reservations) })
	}
	w := &rowWriter{store: store, waiting: make(chan rowToWrite, 4*mostRows), writing: make(chan struct{}, 1), patience: rowPatience}
	w.writing <- struct{}{}
	return w
}

// write returns when the reservation is in the database.
func (w *rowWriter) write(ctx context.Context, reservation events.Reservation) error {
	ctx, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	row := rowToWrite{reservation, make(chan error, 1)}
	for line := w.waiting; ; {
		select {
		case line <- row:
			line = nil
		case err := <-row.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-w.writing: // whoever waits writes for all, also who finds the line full of rows that nobody waits for any more
			w.writeWaiting(context.WithoutCancel(ctx))
			w.writing <- struct{}{}
		}
	}
}

func (w *rowWriter) writeWaiting(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	var rows []rowToWrite
	for len(rows) < mostRows {
		select {
		case row := <-w.waiting:
			rows = append(rows, row)
			continue
		default:
		}
		break
	}
	if len(rows) == 0 {
		return
	}
	reservations := make([]events.Reservation, len(rows))
	for i := range rows {
		reservations[i] = rows[i].reservation
	}
	err := w.store(ctx, reservations)
	if database.IsDeadlock(err) { // with the lane, which writes the same rows
		err = w.store(ctx, reservations)
	}
	for i := range rows {
		rows[i].done <- err
	}
}
