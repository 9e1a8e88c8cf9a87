package handlers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"guichet/models/events"
	"guichet/models/id"
)

// rowsOf is reservations of one user that are held.
func rowsOf(c *counter, n int) []events.Reservation {
	user, event, now := c.IDs.Next(), c.IDs.Next(), time.Now().UTC().Truncate(time.Millisecond)
	rows := make([]events.Reservation, n)
	for i := range rows {
		rows[i] = events.Reservation{ID: c.IDs.Next(), EventID: event, UserID: user, Account: "ADA1", Seats: []int{i}, Total: 1, Status: events.StatusHeld, ReservedAt: now, ExpiresAt: now, Lamport: 1}
	}
	return rows
}

// scribe is a writer of rows whose transactions are counted, and run into faults.
type scribe struct {
	*rowWriter
	mu      sync.Mutex
	batches [][]id.ID
	spoiled id.ID         // no transaction with its row succeeds
	gate    chan struct{} // nil, or each transaction waits for it
}

var errSpoiled = errors.New("a row that cannot be written")

func newScribe(c *counter) *scribe {
	s := &scribe{rowWriter: newRowWriter(c.DB)}
	s.patience = time.Minute // however slow the machine is
	store := s.store
	s.store = func(ctx context.Context, reservations []events.Reservation) error {
		batch := make([]id.ID, len(reservations))
		for i := range reservations {
			batch[i] = reservations[i].ID
		}
		s.mu.Lock()
		s.batches = append(s.batches, batch)
		s.mu.Unlock()
		if s.gate != nil {
			<-s.gate
		}
		if slices.Contains(batch, s.spoiled) {
			return errSpoiled
		}
		return store(ctx, reservations)
	}
	return s
}

// begun waits until so many transactions have begun.
func (s *scribe) begun(t *testing.T, n int) {
	t.Helper()
	until(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.batches) >= n
	})
}

func until(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not in a minute")
		}
	}
}

func isWritten(t *testing.T, c *counter, reservation id.ID) bool {
	t.Helper()
	_, err := events.GetReservation(c.DB.Read(t.Context()), reservation)
	if err != nil && !errors.Is(err, events.ErrUnknownReservation) {
		t.Error(err)
	}
	return err == nil
}

// TestRowsAreWrittenTogether: whoever is told that a row is there finds it, each row is in one transaction, and there are few of these.
func TestRowsAreWrittenTogether(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		const writers = 600
		s, rows := newScribe(c), rowsOf(c, writers)
		s.gate = make(chan struct{})
		var group sync.WaitGroup
		write := func(i int) {
			group.Go(func() {
				if err := s.write(t.Context(), rows[i]); err != nil {
					t.Error(err)
				} else if !isWritten(t, c, rows[i].ID) {
					t.Errorf("row %d is not there", i)
				}
			})
		}
		write(0)
		s.begun(t, 1)
		for i := range writers - 1 { // while the first is being written
			write(1 + i)
		}
		until(t, func() bool { return len(s.waiting) == writers-1 })
		close(s.gate)
		group.Wait()
		if n, fewest := len(s.batches), 1+(writers-1+mostRows-1)/mostRows; n != fewest {
			t.Errorf("there were %d transactions, where %d are enough", n, fewest)
		}
		written := slices.Concat(s.batches...)
		if slices.SortFunc(written, id.Compare); len(slices.Compact(written)) != writers || c.count("reservations") != writers {
			t.Errorf("%d of %d rows were written", len(written), writers)
		}
	})
}

// TestRowFaults: an error is told to all whose rows were in the transaction, and to nobody else.
func TestRowFaults(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		const writers = 700
		s, rows := newScribe(c), rowsOf(c, writers)
		s.spoiled = rows[300].ID
		told := make([]error, writers)
		var group sync.WaitGroup
		for i := range rows {
			group.Go(func() { told[i] = s.write(t.Context(), rows[i]) })
		}
		group.Wait()
		faulty := map[id.ID]bool{}
		for _, batch := range s.batches {
			for _, row := range batch {
				faulty[row] = slices.Contains(batch, s.spoiled)
			}
		}
		for i := range rows {
			if failed := told[i] != nil; failed != faulty[rows[i].ID] || failed && !errors.Is(told[i], errSpoiled) || failed == isWritten(t, c, rows[i].ID) {
				t.Errorf("row %d was told %v; there was a fault: %t", i, told[i], faulty[rows[i].ID])
			}
		}
		s.spoiled = id.ID{}
		if err := s.write(t.Context(), rows[300]); err != nil || !isWritten(t, c, rows[300].ID) {
			t.Errorf("after the fault: %v", err)
		}
	})
}

// TestRowsOfThoseWhoGiveUp: who gives up, in line or before it, leaves nobody behind: the next one is served, though the line is full of rows that nobody waits for.
func TestRowsOfThoseWhoGiveUp(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		s := newScribe(c)
		rows := rowsOf(c, cap(s.waiting)+50) // more than there is room for in line
		hasty, giveUp := context.WithCancel(t.Context())
		<-s.writing // as if somebody were writing
		var line sync.WaitGroup
		for i := range len(rows) - 1 {
			line.Go(func() {
				if err := s.write(hasty, rows[i]); !errors.Is(err, context.Canceled) {
					t.Errorf("row %d: %v", i, err)
				}
			})
		}
		until(t, func() bool { return len(s.waiting) == cap(s.waiting) })
		giveUp()
		line.Wait()
		s.writing <- struct{}{}
		last := rows[len(rows)-1]
		if err := s.write(t.Context(), last); err != nil {
			t.Error(err)
		}
		if !isWritten(t, c, last.ID) {
			t.Error("the next one is not written")
		}
	})
}

// TestRowOfAWriterWhoGivesUp: who gives up while writing for all has written for all.
func TestRowOfAWriterWhoGivesUp(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		s, rows := newScribe(c), rowsOf(c, 2)
		s.gate = make(chan struct{})
		hasty, giveUp := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if err := s.write(hasty, rows[0]); err != nil && !errors.Is(err, context.Canceled) { // both are true
				t.Error(err)
			}
		})
		s.begun(t, 1)
		group.Go(func() {
			if err := s.write(t.Context(), rows[1]); err != nil {
				t.Error(err)
			}
		})
		until(t, func() bool { return len(s.waiting) == 1 })
		giveUp()
		close(s.gate)
		group.Wait()
		for i := range rows {
			if !isWritten(t, c, rows[i].ID) {
				t.Errorf("row %d is not there", i)
			}
		}
	})
}
