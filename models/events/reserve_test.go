package events

import (
	"errors"
	"slices"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/problem"
)

func TestReserve(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 2x5 500", "B 2x4 100")
		user, other := ids.Next(), ids.Next()
		if _, err := seats.Reserve(t.Context(), hall, wants(t, hall, user, "A-1-1")); !errors.Is(err, ErrNotLoaded) {
			t.Fatal(err)
		}
		load(t, seats, hall, Snapshot{MaxPerUser: 6})
		want := wants(t, hall, user, "A-1-2", "A-2-1", "A-1-3")
		r := reserve(t, seats, hall, want)
		if expected := (Reservation{ID: want.ID, EventID: hall.Event(), UserID: user, Account: "ACC1", Seats: want.Seats, Total: 1500, Status: StatusHeld,
			ReservedAt: began, ExpiresAt: began.Add(hold), Lamport: 7}); !same(r, expected) {
			t.Fatalf("%+v", r)
		}
		wantMap(t, seats, hall, ".hh..|h....|....|....")
		if read, found, err := seats.Get(t.Context(), hall, r.ID, began); !found || err != nil || !same(read, r) {
			t.Fatalf("%+v, %t, %v", read, found, err)
		}
		if again := reserve(t, seats, hall, want); !same(again, r) { // the request came twice
			t.Fatalf("%+v", again)
		}

		_, err := seats.Reserve(t.Context(), hall, wants(t, hall, other, "A-1-1", "A-1-2", "B-1-1", "A-2-1"))
		if !refused(err, problem.SeatTaken) || !slices.Equal(pointers(err), []string{"/seats/1", "/seats/3"}) {
			t.Fatalf("%v", err)
		}
		for _, c := range []struct {
			want Want
			code problem.Code
		}{
			{best(user, "", 4), problem.SeatLimit},
			{best(other, "C", 1), problem.UnknownSection},
			{best(other, "", 6), problem.NoAdjacentSeats},
			{best(other, "B", 5), problem.NoAdjacentSeats},
		} {
			if _, err := seats.Reserve(t.Context(), hall, c.want); !refused(err, c.code) {
				t.Errorf("%+v: %v", c.want, err)
			}
		}
		wantMap(t, seats, hall, ".hh..|h....|....|....")
		reserve(t, seats, hall, best(other, "", 2))
		wantMap(t, seats, hall, ".hhhh|h....|....|....")
		reserve(t, seats, hall, best(other, "", 2)) // the row's seats 2-3 and 3-4 are as near to its middle
		wantMap(t, seats, hall, ".hhhh|hhh..|....|....")
		reserve(t, seats, hall, best(other, "B", 2))
		wantMap(t, seats, hall, ".hhhh|hhh..|.hh.|....")
		third := ids.Next()
		reserve(t, seats, hall, best(third, "", 3))
		wantMap(t, seats, hall, ".hhhh|hhh..|.hh.|hhh.")
		if _, err := seats.Reserve(t.Context(), hall, best(third, "B", 3)); !refused(err, problem.NoAdjacentSeats) {
			t.Error(err)
		}
		fourth := ids.Next()
		reserve(t, seats, hall, wants(t, hall, fourth, "B-1-1"))
		if _, err := seats.Reserve(t.Context(), hall, best(third, "B", 3)); !refused(err, problem.SoldOut) {
			t.Error(err)
		}
		if _, err := seats.Reserve(t.Context(), hall, best(fourth, "", 5)); !refused(err, problem.NoAdjacentSeats) {
			t.Error(err)
		}
		reserve(t, seats, hall, wants(t, hall, fourth, "A-1-1"))
		if _, err := seats.Reserve(t.Context(), hall, best(ids.Next(), "", 5)); !refused(err, problem.SoldOut) {
			t.Error(err)
		}
	})
}

func TestReservationKeepsToTheStart(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x5 500")
		starts := began.Add(time.Minute)
		load(t, seats, hall, Snapshot{StartsAt: starts})
		if r := reserve(t, seats, hall, best(ids.Next(), "", 1)); !r.ExpiresAt.Equal(starts) {
			t.Fatalf("held until %s", r.ExpiresAt)
		}
		late := best(ids.Next(), "", 1)
		late.Now = starts.Add(-time.Millisecond)
		reserve(t, seats, hall, late)
		late = best(ids.Next(), "", 1)
		late.Now = starts
		if _, err := seats.Reserve(t.Context(), hall, late); !refused(err, problem.EventStarted) {
			t.Fatal(err)
		}
	})
}

func TestIdempotencyKeys(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x5 500")
		load(t, seats, hall, Snapshot{})
		user := ids.Next()
		want := best(user, "", 2)
		want.Key = &Key{Hash: [32]byte{1, 0, 13, 10}, Request: [32]byte{2, 0, '\n'}}
		first, err := seats.Reserve(t.Context(), hall, want)
		if err != nil || first.Replayed {
			t.Fatalf("%+v, %v", first, err)
		}
		if again, err := seats.Reserve(t.Context(), hall, want); err != nil || again.Replayed || !same(again.Reservation, first.Reservation) { // a request to Redis came twice
			t.Fatalf("%+v, %v", again, err)
		}
		replay := want
		replay.ID = ids.Next()
		for _, at := range []time.Time{began, began.Add(hold), began.Add(24 * time.Hour)} { // also once it has expired, and on the next day
			replay.Now = at
			again, err := seats.Reserve(t.Context(), hall, replay)
			if err != nil || !again.Replayed || !same(again.Reservation, first.Reservation) {
				t.Fatalf("%+v, %v", again, err)
			}
		}
		if _, err := seats.Release(t.Context(), hall, first.Reservation.ID, user, began); err != nil {
			t.Fatal(err)
		}
		syncAll(t.Context(), t, seats, hall, nil)
		if again, err := seats.Reserve(t.Context(), hall, replay); err != nil || !same(again.Reservation, first.Reservation) { // once Redis has nothing else of it
			t.Fatalf("%+v, %v", again, err)
		}
		reused := replay
		reused.Key = &Key{Hash: want.Key.Hash, Request: [32]byte{3}}
		if _, err := seats.Reserve(t.Context(), hall, reused); !refused(err, problem.IdempotencyKeyReused) {
			t.Fatal(err)
		}
		another := best(ids.Next(), "", 2)
		another.Key = want.Key
		if made, err := seats.Reserve(t.Context(), hall, another); err != nil || made.Replayed { // another's key
			t.Fatalf("%+v, %v", made, err)
		}
		ttl, err := seats.client.PTTL(t.Context(), hall.keys.made(began.UnixMilli()/day.Milliseconds())).Result()
		if err != nil || ttl < 47*time.Hour || ttl > 48*time.Hour {
			t.Fatalf("keys are kept for %s, %v", ttl, err)
		}
	})
}

// TestRefusalKeepsNoKey: who was refused may try again with the same key.
func TestRefusalKeepsNoKey(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x1 500")
		load(t, seats, hall, Snapshot{})
		r := reserve(t, seats, hall, best(ids.Next(), "", 1))
		want := best(ids.Next(), "", 1)
		want.Key = &Key{Hash: [32]byte{1}}
		if _, err := seats.Reserve(t.Context(), hall, want); !refused(err, problem.SoldOut) {
			t.Fatal(err)
		}
		_, err := seats.Release(t.Context(), hall, r.ID, r.UserID, began)
		must(t, err)
		reserve(t, seats, hall, want)
	})
}

func TestLimitAcrossExpiry(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x9 500")
		load(t, seats, hall, Snapshot{MaxPerUser: 3})
		user := ids.Next()
		reserve(t, seats, hall, wants(t, hall, user, "A-1-1", "A-1-2"))
		again := wants(t, hall, user, "A-1-8", "A-1-9")
		again.Now = began.Add(hold - time.Millisecond)
		if _, err := seats.Reserve(t.Context(), hall, again); !refused(err, problem.SeatLimit) {
			t.Fatal(err)
		}
		again.Now = began.Add(hold)
		reserve(t, seats, hall, again)
		wantMap(t, seats, hall, ".......hh")
		if users := usersOf(t.Context(), t, seats, hall); users[user.String()] != "2" {
			t.Fatalf("%v", users)
		}
	})
}

// TestHoldEndsOnTheMillisecond: a seat is somebody else's from the moment at which its hold expires, however it is asked for.
func TestHoldEndsOnTheMillisecond(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x2 500")
		load(t, seats, hall, Snapshot{})
		for i, want := range []Want{wants(t, hall, ids.Next(), "A-1-1", "A-1-2"), best(ids.Next(), "A", 2), best(ids.Next(), "", 2), wants(t, hall, ids.Next(), "A-1-2", "A-1-1")} {
			want.Now = began.Add(time.Duration(i) * hold)
			if i > 0 {
				want.Now = want.Now.Add(-time.Millisecond)
				if _, err := seats.Reserve(t.Context(), hall, want); !refused(err, problem.SeatTaken) && !refused(err, problem.SoldOut) {
					t.Fatalf("%d: %v", i, err)
				}
				want.Now = want.Now.Add(time.Millisecond)
			}
			if r := reserve(t, seats, hall, want); !r.ExpiresAt.Equal(want.Now.Add(hold)) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// TestManyHoldsStandInTheWay: more than one script ends.
func TestManyHoldsStandInTheWay(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 10x90 500")
		load(t, seats, hall, Snapshot{MaxPerUser: 1000})
		user := ids.Next()
		for range 900 {
			reserve(t, seats, hall, best(user, "", 1))
		}
		if _, err := seats.Reserve(t.Context(), hall, best(ids.Next(), "", 1)); !refused(err, problem.SoldOut) {
			t.Fatal(err)
		}
		want := best(ids.Next(), "", 90)
		want.Now = began.Add(hold)
		if r := reserve(t, seats, hall, want); hall.Name(r.Seats[0]) != "A-1-1" {
			t.Fatalf("%v", r.Seats)
		}
		if users := usersOf(t.Context(), t, seats, hall); len(users) != 1 || users[want.UserID.String()] != "90" {
			t.Fatalf("%v", users)
		}
	})
}

// TestBestIsFoundWhereverItIs: the map is read in pieces, and no row falls between them.
func TestBestIsFoundWhereverItIs(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x1 500", "B 700x9 500", "C 1x9 500")
		free := []int{0, 1, 198, 199, 200, 201, 202, 400, 598, 599, 600, 601, 602, 699, 700} // rows from B's first on
		var s Snapshot
		for row := range 701 {
			for i := range 9 {
				if !slices.Contains(free, row) {
					s.Sold = append(s.Sold, Sale{1 + 9*row + i, id.ID{1, byte(row)}, id.ID{2, byte(row)}})
				}
			}
		}
		load(t, seats, hall, s)
		for _, row := range free {
			if r := reserve(t, seats, hall, best(ids.Next(), "", 9)); r.Seats[0] != 1+9*row || r.Seats[8] != 9+9*row {
				t.Fatalf("%v; want row %d", r.Seats, row)
			}
		}
	})
}
