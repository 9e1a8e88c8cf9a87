package workers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
				err = b.box.reconcile(t.Context(), b.at, e.ID)
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

// Events that cannot be followed, or not be reconciled, keep no other from being reconciled.
func TestReconciledBesideBrokenEvents(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		b := newBoxRig(t, r)
		_, broken := b.announce()
		_, gone := b.announce()
		sound, _ := b.announce()
		lost := b.reserve(broken)
		room := events.WaitingRoom{Rate: 5, Window: time.Minute}
		err := b.redis.HSet(t.Context(), "event:{"+broken.Event().String()+"}:reservations", lost.ID.String(), "nonsense").Err()
		if err == nil {
			err = b.redis.Set(t.Context(), "event:{"+gone.Event().String()+"}:map", "short", 0).Err()
		}
		if err == nil {
			err = b.db.Write(t.Context(), func(tx database.Tx) error {
				_, err := events.SetWaitingRoom(tx, sound.ID, room)
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var attending sync.WaitGroup
		attending.Go(func() { b.box.attend(ctx, b.at) })
		defer attending.Wait()
		defer stop()
		eventually(t, func() error {
			rate, err := b.redis.HGet(t.Context(), "event:{"+sound.ID.String()+"}:hall", "rate").Result()
			if err == nil && rate != "5" {
				err = fmt.Errorf("the rate is %s", rate)
			}
			return err
		})
	})
}

// One event is due at a time, whoever has waited longest first, and again after the usual time. Those that are not open any more are not kept.
func TestUpkeep(t *testing.T) {
	t.Parallel()
	ids, now, u := id.NewGenerator(), time.Now(), upkeep{}
	open := []id.ID{ids.Next(), ids.Next(), ids.Next()}
	next := func(want int) {
		t.Helper()
		event, found := u.next(open, now)
		if is := slices.Index(open, event); is != want || found != (want >= 0) {
			t.Errorf("event %d is due, %t; want %d", is, found, want)
		}
		now = now.Add(syncEvery)
	}
	for _, want := range []int{0, 1, 2, -1} {
		next(want)
	}
	now = now.Add(reconcileEvery - 4*syncEvery)
	next(0)
	open = append(open, ids.Next()) // is announced
	for _, want := range []int{3, 1, 2, -1} {
		next(want)
	}
	if open = open[:1]; len(u.reconcile) != 4 {
		t.Errorf("%d are known", len(u.reconcile))
	}
	if next(-1); len(u.reconcile) != 1 {
		t.Errorf("%d are kept", len(u.reconcile))
	}
}

// An event that was announced between two looks, while none is long over.
func TestReconcileWithoutOldEvents(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		b := newBoxRig(t, r)
		_, hall := b.announce()
		held := b.reserve(hall)
		err := b.box.reconcile(t.Context(), b.at, hall.Event())
		if err == nil {
			err = b.box.forgetOver(t.Context(), time.Now())
		}
		if err != nil {
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

// Only who rests is woken, and as often as it may be, once.
func TestRestingIsWoken(t *testing.T) {
	t.Parallel()
	c := &eventsCounter{poke: make(chan struct{}, 1)}
	if c.wake(); len(c.poke) != 0 {
		t.Error("woken, although there are events")
	}
	c.resting.Store(true)
	c.wake()
	if c.wake(); len(c.poke) != 1 {
		t.Errorf("woken %d times, want once", len(c.poke))
	}
}
