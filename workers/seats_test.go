package workers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/ticket"
)

// boxRig is a rig with a counter of events and its Redis.
type boxRig struct {
	*rig
	redis *redis.Client
	box   *eventsCounter
	at    *attendance
}

func newBoxRig(t *testing.T, r *rig) *boxRig {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	w := &Workers{DB: r.db, Redis: client, Clock: &r.clock, Tickets: ticket.NewSigner([32]byte{1}), metrics: r.metrics}
	return &boxRig{r, client, newEventsCounter(w), &attendance{x: r.executor(), ids: r.ids, fenced: func(err error) { t.Error(err) }}}
}

// announce announces an event of two seats that Redis knows.
func (b *boxRig) announce() (*events.Event, *events.Hall) {
	b.Helper()
	e := &events.Event{ID: b.ids.Next(), Name: "x", StartsAt: time.Now().Add(time.Hour), Sections: []events.Section{{Name: "A", Rows: 1, SeatsPerRow: 2, Price: 1}}, MaxPerUser: 9}
	hall, err := events.NewHall(e.ID, e.Sections)
	if err == nil {
		err = b.db.Write(b.Context(), func(tx database.Tx) error { return events.InsertEvent(tx, e) })
	}
	if err == nil {
		err = events.LoadSeats(b.Context(), b.db, b.box.seats, hall)
	}
	if err != nil {
		b.Fatal(err)
	}
	return e, hall
}

func (b *boxRig) reserve(hall *events.Hall) events.Reservation {
	b.Helper()
	reserved, err := b.box.seats.Reserve(b.Context(), hall, events.Want{ID: b.ids.Next(), UserID: b.ids.Next(), Account: "ADA1", Seats: []int{0}, Now: time.Now(), HoldFor: time.Minute, Stamp: 1})
	if err != nil {
		b.Fatal(err)
	}
	return reserved.Reservation
}

func (b *boxRig) rows(reservation id.ID) int64 {
	b.Helper()
	return b.query("SELECT COUNT(*) FROM reservations WHERE id = ?", reservation[:])
}

// An event of which Redis has what cannot be read keeps no other from being synchronised.
func TestBrokenEventKeepsNobodyWaiting(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		b := newBoxRig(t, r)
		_, broken := b.announce()
		_, sound := b.announce()
		lost, kept := b.reserve(broken), b.reserve(sound)
		if err := b.redis.HSet(t.Context(), "event:{"+broken.Event().String()+"}:reservations", lost.ID.String(), "nonsense").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.box.follow(t.Context(), b.at); !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), broken.Event().String()) {
			t.Errorf("following: %v", err)
		}
		if b.rows(kept.ID) != 1 || b.rows(lost.ID) != 0 {
			t.Errorf("%d and %d rows", b.rows(kept.ID), b.rows(lost.ID))
		}
	})
}

// Whoever changed the waiting room last may not have reached Redis.
func TestWaitingRoomIsReconciled(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		b := newBoxRig(t, r)
		e, _ := b.announce()
		for _, tt := range []struct {
			room events.WaitingRoom
			want string // the rate, as the scripts read it
		}{{events.WaitingRoom{Rate: 5, Window: time.Minute}, "5"}, {events.WaitingRoom{}, "0"}} {
			err := b.db.Write(t.Context(), func(tx database.Tx) error {
				_, err := events.SetWaitingRoom(tx, e.ID, tt.room)
				return err
			})
			if err == nil {
				err = b.box.reconcileAll(t.Context(), b.at)
			}
			if err != nil {
				t.Fatal(err)
			}
			if rate, err := b.redis.HGet(t.Context(), "event:{"+e.ID.String()+"}:hall", "rate").Result(); err != nil || rate != tt.want {
				t.Errorf("with %+v: %s, %v", tt.room, rate, err)
			}
		}
	})
}

// An event that was announced between two looks, while none is long over.
func TestReconcileWithoutOldEvents(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		b := newBoxRig(t, r)
		_, hall := b.announce()
		held := b.reserve(hall)
		if err := b.box.reconcileAll(t.Context(), b.at); err != nil {
			t.Fatal(err)
		}
		if _, found, err := b.box.seats.Get(t.Context(), hall, held.ID, time.Now()); err != nil || !found {
			t.Errorf("%t, %v", found, err)
		}
	})
}

func TestGuarded(t *testing.T) {
	t.Parallel()
	if err := guarded(func() error { panic("a bug") }); err == nil || !strings.Contains(err.Error(), "a bug") {
		t.Errorf("%v", err)
	}
	if err := guarded(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
