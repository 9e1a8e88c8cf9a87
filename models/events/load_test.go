package events

import (
	"context"
	"errors"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/problem"
)

func TestLoad(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 2x5 500")
		alice, bob, sold := ids.Next(), ids.Next(), ids.Next()
		held := Reservation{ID: ids.Next(), EventID: hall.Event(), UserID: alice, Account: "A1", Seats: []int{3, 4}, Total: 1000, Status: StatusHeld, ReservedAt: began, ExpiresAt: began.Add(hold), Lamport: 5}
		beaten := held
		beaten.ID, beaten.UserID, beaten.Seats = ids.Next(), bob, []int{4, 5}
		due := held
		due.ID, due.Seats, due.ExpiresAt = ids.Next(), []int{9}, began.Add(-time.Minute)
		load(t, seats, hall, Snapshot{MaxPerUser: 5, Held: []Reservation{held, beaten, due}, Sold: []Sale{{0, sold, bob}, {7, sold, bob}}})
		wantMap(t, seats, hall, "s..hh|..s.h")
		if users := usersOf(t.Context(), t, seats, hall); len(users) != 2 || users[alice.String()] != "3" || users[bob.String()] != "2" {
			t.Errorf("%v", users)
		}
		database := rows{}
		if _, _, err := seats.Expire(t.Context(), hall.Event(), began, 10); err != nil {
			t.Error(err)
		}
		syncAll(t.Context(), t, seats, hall, database)
		if len(database) != 2 || database[beaten.ID].Status != StatusReleased || database[due.ID].Status != StatusExpired {
			t.Errorf("%+v", database)
		}
		if got, found, err := seats.Get(t.Context(), hall, held.ID, began); !found || err != nil || !same(got, held) {
			t.Errorf("%+v, %t, %v", got, found, err)
		}
		for _, key := range hall.keys.all() { // nothing of it goes away by itself
			if ttl, err := seats.client.PTTL(t.Context(), key).Result(); err != nil || ttl > 0 {
				t.Errorf("%s stays for %s, %v", key, ttl, err)
			}
		}
		load(t, seats, hall, Snapshot{}) // is there
		wantMap(t, seats, hall, "s..hh|..s..")
		if n := len(seats.client.Keys(t.Context(), "*").Val()); n != 6 { // hall, map, tickets, reservations, holds, users
			t.Errorf("%v", seats.client.Keys(t.Context(), "*").Val())
		}
	})
}

func TestLoadLarge(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 100x1000 500")
		var s Snapshot
		for seat := range MaxSeats - 2 {
			s.Sold = append(s.Sold, Sale{seat, id.ID{1, byte(seat >> 10)}, id.ID{2, byte(seat >> 12)}})
		}
		load(t, seats, hall, s)
		if got := reserve(t, seats, hall, best(ids.Next(), "", 2)); got.Seats[0] != MaxSeats-2 {
			t.Errorf("%v", got.Seats)
		}
		if _, err := seats.Reserve(t.Context(), hall, best(ids.Next(), "", 1)); !refused(err, problem.SoldOut) {
			t.Error(err)
		}
		state, err := seats.State(t.Context(), hall)
		must(t, err)
		if differences := Compare(&state, &Truth{Sold: s.Sold}); len(state.Sold) != MaxSeats-2 || len(differences) > 0 {
			t.Errorf("%d sold; %d differences", len(state.Sold), len(differences))
		}
	})
}

// TestLoadThatIsLate: what was read before another loaded the event, and lost it again, is not put in place.
func TestLoadThatIsLate(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x5 500")
		sold := Snapshot{StartsAt: began.Add(time.Hour), MaxPerUser: 5, Now: began, Sold: []Sale{{0, ids.Next(), ids.Next()}}}
		times := 0
		must(t, seats.Load(t.Context(), hall, func(context.Context) (Snapshot, error) {
			if times++; times > 1 {
				return sold, nil
			}
			wipe(t.Context(), t, seats, hall) // with it goes whose turn it is
			load(t, seats, hall, sold)
			wipe(t.Context(), t, seats, hall)
			return Snapshot{StartsAt: began.Add(time.Hour), MaxPerUser: 5, Now: began}, nil
		}))
		wantMap(t, seats, hall, "s....")
		if times != 2 {
			t.Errorf("read %d times", times)
		}
	})
}

func TestLoadThatFails(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x5 500")
		broken := errors.New("broken")
		if err := seats.Load(t.Context(), hall, func(context.Context) (Snapshot, error) { return Snapshot{}, broken }); !errors.Is(err, broken) {
			t.Error(err)
		}
		twice := Snapshot{Sold: []Sale{{0, ids.Next(), ids.Next()}, {0, ids.Next(), ids.Next()}}}
		if err := seats.Load(t.Context(), hall, func(context.Context) (Snapshot, error) { return twice, nil }); err == nil {
			t.Error("a seat was sold twice")
		}
		load(t, seats, hall, Snapshot{}) // at once: nobody has to wait for those who failed
		wantMap(t, seats, hall, ".....")
	})
}

func TestNotLoaded(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall, user := hallOf(t, "A 1x5 500"), ids.Next()
		_, err1 := seats.Map(t.Context(), hall)
		_, err2 := seats.Release(t.Context(), hall, ids.Next(), user, began)
		_, err3 := seats.Claim(t.Context(), hall, []ClaimOf{{ids.Next(), ids.Next()}}, began)
		_, err4 := seats.Settle(t.Context(), hall, []Settlement{{ids.Next(), user, ids.Next(), []int{0}, Sold}}, began)
		_, err5 := seats.Unsynced(t.Context(), hall, 10)
		_, err6 := seats.State(t.Context(), hall)
		_, err7 := seats.Place(t.Context(), hall.Event(), user, began)
		_, err8 := seats.Mend(t.Context(), hall, Difference{Kind: NotPaid, Seats: []int{0}}, began)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, seats.SetWaitingRoom(t.Context(), hall.Event(), WaitingRoom{}, began)} {
			if !errors.Is(err, ErrNotLoaded) {
				t.Errorf("%d: %v", i+1, err)
			}
		}
		if n, more, err := seats.Expire(t.Context(), hall.Event(), began, 10); n != 0 || more || err != nil {
			t.Errorf("%d, %t, %v", n, more, err)
		}
		if _, found, err := seats.Get(t.Context(), hall, ids.Next(), began); found || err != nil {
			t.Errorf("%t, %v", found, err)
		}
		must(t, seats.Synced(t.Context(), hall, Batch{Marks: 1, Last: 1}))
		if n := len(seats.client.Keys(t.Context(), "*").Val()); n != 0 {
			t.Errorf("%v", seats.client.Keys(t.Context(), "*").Val())
		}
	})
}

func TestForget(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x5 500")
		load(t, seats, hall, Snapshot{})
		r := reserve(t, seats, hall, best(ids.Next(), "", 1))
		forget := func(want bool) {
			t.Helper()
			if done, err := seats.Forget(t.Context(), hall.Event()); done != want || err != nil {
				t.Fatalf("%t, %v", done, err)
			}
		}
		forget(false)
		syncAll(t.Context(), t, seats, hall, nil)
		forget(false)
		_, err := seats.Release(t.Context(), hall, r.ID, r.UserID, began)
		must(t, err)
		forget(false)
		syncAll(t.Context(), t, seats, hall, nil)
		forget(true)
		forget(true)
		if _, err := seats.Map(t.Context(), hall); !errors.Is(err, ErrNotLoaded) {
			t.Fatal(err)
		}
	})
}

// Keys that Redis has lost are known to the database alone, for as long as they are promised to be known.
func TestRemembersKeys(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x5 500")
		remembers := func(in time.Duration) bool {
			t.Helper()
			known, err := seats.RemembersKeys(t.Context(), hall, began.Add(in))
			must(t, err)
			return known
		}
		if remembers(0) {
			t.Error("of an event that it does not know")
		}
		load(t, seats, hall, Snapshot{})
		if !remembers(0) {
			t.Error("nothing was reserved before")
		}
		wipe(t.Context(), t, seats, hall)
		load(t, seats, hall, Snapshot{AnyBefore: true})
		if remembers(0) || remembers(day-time.Minute) || !remembers(day) {
			t.Error("of an event that was loaded beside reservations whose keys it does not know")
		}
	})
}
