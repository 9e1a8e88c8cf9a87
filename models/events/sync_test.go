package events

import (
	"context"
	"testing"

	"guichet/models/id"
)

// rows is what a database has of reservations.
type rows map[id.ID]Reservation

// syncAll does what the syncer does, until nothing is left.
func syncAll(ctx context.Context, t fataler, seats *Seats, hall *Hall, to rows) {
	for {
		b, err := seats.Unsynced(ctx, hall, 7)
		must(t, err)
		if b.Marks == 0 {
			return
		}
		to.upsert(b)
		must(t, seats.Synced(ctx, hall, b))
	}
}

func (r rows) upsert(b Batch) {
	if r == nil {
		return
	}
	for _, reservation := range b.Reservations {
		r[reservation.ID] = reservation
	}
}

// TestSyncedTwice: marks that look alike are told apart.
func TestSyncedTwice(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x2 500")
		load(t, seats, hall, Snapshot{})
		r := reserve(t, seats, hall, best(ids.Next(), "", 1))
		first, err := seats.Unsynced(t.Context(), hall, 1)
		must(t, err)
		_, err = seats.Release(t.Context(), hall, r.ID, r.UserID, began) // in the same millisecond
		must(t, err)
		must(t, seats.Synced(t.Context(), hall, first))
		must(t, seats.Synced(t.Context(), hall, first))
		second, err := seats.Unsynced(t.Context(), hall, 10)
		if err != nil || second.Marks != 1 || second.Last != 2 || second.Version != 2 || second.More || len(second.Reservations) != 1 || second.Reservations[0].Status != StatusReleased {
			t.Fatalf("%+v, %v", second, err)
		}
	})
}

// TestSyncedAfterAChange: a reservation that has changed since the batch was read is kept.
func TestSyncedAfterAChange(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x2 500")
		load(t, seats, hall, Snapshot{})
		r := reserve(t, seats, hall, best(ids.Next(), "", 1))
		_, err := seats.Release(t.Context(), hall, r.ID, r.UserID, began)
		must(t, err)
		b, err := seats.Unsynced(t.Context(), hall, 10)
		must(t, err)
		payment := ids.Next()
		if n, err := seats.Settle(t.Context(), hall, []Settlement{{r.ID, r.UserID, payment, r.Seats, Sold}}, began); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		must(t, seats.Synced(t.Context(), hall, b))
		if got, found, err := seats.Get(t.Context(), hall, r.ID, began); !found || err != nil || got.Status != StatusPaid || got.PaidBy != payment {
			t.Fatalf("%+v, %t, %v", got, found, err)
		}
		after, err := seats.Unsynced(t.Context(), hall, 10)
		if err != nil || after.Marks != 1 || after.Reservations[0].Status != StatusPaid || len(after.Seats) != 1 || after.Seats[0].Status != SeatSold {
			t.Fatalf("%+v, %v", after, err)
		}
	})
}
