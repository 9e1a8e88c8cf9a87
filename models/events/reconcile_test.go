package events

import (
	"slices"
	"strings"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/testbed"
)

// reconcile does what the reconciler does, and returns the kinds of what it mended.
func reconcile(t *testing.T, seats *Seats, hall *Hall, truth Truth) (mended []DifferenceKind) {
	t.Helper()
	state, err := seats.State(t.Context(), hall)
	must(t, err)
	for _, d := range Compare(&state, &truth) {
		done, err := seats.Mend(t.Context(), hall, d, began)
		must(t, err)
		if done {
			mended = append(mended, d.Kind)
		}
	}
	return mended
}

func wantMended(t *testing.T, got []DifferenceKind, want ...DifferenceKind) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("mended is %v; want %v", got, want)
	}
}

// TestReconcileClaims: what a crash between the commit and its settlement left is settled by what the database says of the payment.
func TestReconcileClaims(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 4x2 500")
		load(t, seats, hall, Snapshot{})
		truth := Truth{Decided: map[id.ID]SettledTo{}}
		var made []Reservation
		var claims []ClaimOf
		for range 4 {
			made = append(made, reserve(t, seats, hall, best(ids.Next(), "", 2)))
			claims = append(claims, ClaimOf{made[len(made)-1].ID, ids.Next()})
		}
		wantMap(t, seats, hall, "hh|hh|hh|hh")
		_, err := seats.Claim(t.Context(), hall, claims, began)
		must(t, err)
		truth.Held = slices.Clone(made[1:])
		truth.Held[0].Status, truth.Held = StatusReleased, truth.Held[1:] // the second's payment was refused
		for _, seat := range made[0].Seats {
			truth.Sold = append(truth.Sold, Sale{seat, made[0].ID, made[0].UserID})
		}
		truth.Decided[claims[0].Operation], truth.Decided[claims[1].Operation], truth.Decided[claims[2].Operation] = Sold, Freed, Unclaimed // the fourth's is in line
		wantMended(t, reconcile(t, seats, hall, truth), ClaimPaid, ClaimRefused, ClaimOrphan)
		for i, want := range []Status{StatusPaid, StatusReleased, StatusHeld, StatusHeld} {
			r, _, err := seats.Get(t.Context(), hall, made[i].ID, began)
			if err != nil || r.Status != want || r.ClaimedBy.IsZero() != (i < 3) || i == 0 && r.PaidBy != claims[0].Operation {
				t.Errorf("%d is %+v, %v", i, r, err)
			}
		}
		syncAll(t.Context(), t, seats, hall, nil)
		wantMended(t, reconcile(t, seats, hall, truth))
	})
}

func TestReconcileSeats(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x8 500")
		orphan, victim, elsewhere := Sale{0, ids.Next(), ids.Next()}, ids.Next(), ids.Next()
		load(t, seats, hall, Snapshot{Sold: []Sale{orphan, {7, orphan.Reservation, orphan.UserID}}})
		loses := reserve(t, seats, hall, wants(t, hall, victim, "A-1-3", "A-1-4"))
		keeps := reserve(t, seats, hall, wants(t, hall, elsewhere, "A-1-6"))
		unsynced := reserve(t, seats, hall, wants(t, hall, elsewhere, "A-1-5"))
		database := rows{}
		b, err := seats.Unsynced(t.Context(), hall, 2)
		must(t, err)
		database.upsert(b)
		must(t, seats.Synced(t.Context(), hall, b))
		lost, late := keeps, keeps
		lost.ID, lost.Seats = ids.Next(), []int{1} // Redis has lost it, and its seat is free
		late.ID, late.Seats = ids.Next(), []int{4} // Redis has lost it, and its seat is another's
		buyer := ids.Next()
		truth := Truth{Held: []Reservation{database[loses.ID], database[keeps.ID], lost, late}, Sold: []Sale{{7, orphan.Reservation, orphan.UserID}, {3, ids.Next(), buyer}}}
		wantMap(t, seats, hall, "s.hhhh.s")
		wantMended(t, reconcile(t, seats, hall, truth), NotPaid, NotSold, Lost, Lost)
		wantMap(t, seats, hall, ".h.shh.s")
		users := usersOf(t.Context(), t, seats, hall)
		if len(users) != 3 || users[orphan.UserID.String()] != "1" || users[buyer.String()] != "1" || users[elsewhere.String()] != "3" {
			t.Errorf("%v", users)
		}
		syncAll(t.Context(), t, seats, hall, database)
		for reservation, want := range map[id.ID]Status{loses.ID: StatusReleased, keeps.ID: StatusHeld, unsynced.ID: StatusHeld, lost.ID: StatusHeld, late.ID: StatusReleased} {
			if database[reservation].Status != want {
				t.Errorf("%+v; want %s", database[reservation], want)
			}
		}
		truth.Held = []Reservation{database[keeps.ID], database[unsynced.ID], database[lost.ID]}
		wantMended(t, reconcile(t, seats, hall, truth))

		truth.Held = truth.Held[:2] // the database was restored from before it heard of one
		wantMended(t, reconcile(t, seats, hall, truth), Unheard)
		truth.Held = truth.Held[:3]
		must(t, seats.client.SetRange(t.Context(), hall.keys.text(), 0, "sss").Err())
		wantMended(t, reconcile(t, seats, hall, truth), BrokenMap)
		wantMap(t, seats, hall, ".h.shh.s")

		truth.Sold = truth.Sold[:1] // and of the other seat nobody knows whose it was
		wantMended(t, reconcile(t, seats, hall, truth), NotPaid, Miscounted)
		must(t, seats.client.HSet(t.Context(), hall.keys.users(), elsewhere.String(), 1, victim.String(), 9).Err())
		wantMended(t, reconcile(t, seats, hall, truth), Miscounted, Miscounted)
		users = usersOf(t.Context(), t, seats, hall)
		if len(users) != 2 || users[orphan.UserID.String()] != "1" || users[elsewhere.String()] != "3" {
			t.Errorf("%v", users)
		}
	})
}

// TestMendComesLate: what has changed since it was compared is left alone.
func TestMendComesLate(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x4 500")
		sold := ids.Next()
		load(t, seats, hall, Snapshot{Sold: []Sale{{0, sold, ids.Next()}}})
		held := reserve(t, seats, hall, wants(t, hall, ids.Next(), "A-1-2"))
		operation := ids.Next()
		_, err := seats.Claim(t.Context(), hall, []ClaimOf{{held.ID, operation}}, began)
		must(t, err)
		_, err = seats.Settle(t.Context(), hall, []Settlement{{held.ID, held.UserID, operation, held.Seats, Sold}}, began)
		must(t, err)
		_, err = seats.Settle(t.Context(), hall, []Settlement{{Reservation: sold, Operation: ids.Next(), Seats: []int{0}, To: Refunded}}, began)
		must(t, err)
		next := reserve(t, seats, hall, wants(t, hall, ids.Next(), "A-1-1"))
		for _, d := range []Difference{
			{Kind: NotPaid, Reservation: Reservation{ID: sold}, Seats: []int{0}},
			{Kind: NotPaid, Reservation: next, Seats: next.Seats},
			{Kind: ClaimRefused, Reservation: held, Operation: operation, Seats: held.Seats},
			{Kind: ClaimOrphan, Reservation: held, Operation: operation, Seats: held.Seats},
			{Kind: ClaimRefused, Reservation: Reservation{ID: ids.Next()}, Operation: operation, Seats: []int{2}},
			{Kind: Lost, Reservation: next, Seats: next.Seats},
			{Kind: Unheard, Reservation: Reservation{ID: ids.Next()}, Seats: []int{2}},
		} {
			if mended, err := seats.Mend(t.Context(), hall, d, began); mended || err != nil {
				t.Errorf("%+v: %t, %v", d, mended, err)
			}
		}
		wantMap(t, seats, hall, "hs..")
	})
}

func TestDurable(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		durable, why := Durable(t.Context(), seats.client)
		if embedded := strings.HasSuffix(t.Name(), "miniredis"); durable == embedded || durable != (why == "") {
			t.Fatalf("%t, %q", durable, why)
		}
		if !durable {
			return
		}
		for _, setting := range [][3]string{{"appendfsync", "everysec", "always"}, {"no-appendfsync-on-rewrite", "yes", "no"}, {"maxmemory-policy", "allkeys-lru", "noeviction"}} {
			must(t, seats.client.ConfigSet(t.Context(), "maxmemory", "1gb").Err())
			must(t, seats.client.ConfigSet(t.Context(), setting[0], setting[1]).Err())
			if durable, why := Durable(t.Context(), seats.client); durable || !strings.Contains(why, setting[0]) {
				t.Errorf("%v: %t, %q", setting, durable, why)
			}
			must(t, seats.client.ConfigSet(t.Context(), setting[0], setting[2]).Err())
		}
	})
}

func TestRelaxedIsNotDurable(t *testing.T) {
	t.Parallel()
	client := connectRedis(t, testbed.PrivateRedis(t, testbed.Options{Relaxed: true}).URL())
	t.Cleanup(func() { _ = client.Close() })
	if durable, why := Durable(t.Context(), client); durable || !strings.Contains(why, "appendonly") {
		t.Errorf("%t, %q", durable, why)
	}
}

// TestRedisKilledWhileHoldsAreOpen: a Redis that is durable comes back with what it had.
func TestRedisKilledWhileHoldsAreOpen(t *testing.T) {
	t.Parallel()
	server := testbed.PrivateRedis(t, testbed.Options{})
	client := connectRedis(t, server.URL())
	t.Cleanup(func() { _ = client.Close() })
	seats, hall := NewSeats(client), hallOf(t, "A 1x8 500")
	load(t, seats, hall, Snapshot{})
	r := reserve(t, seats, hall, best(ids.Next(), "", 2))
	must(t, server.Kill())
	must(t, server.Restart(t.Context()))
	eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil })
	wantMap(t, seats, hall, "...hh...")
	b, err := seats.Unsynced(t.Context(), hall, 10)
	if err != nil || b.Marks != 1 || !same(b.Reservations[0], r) || !b.Oldest.Equal(began) {
		t.Fatalf("%+v, %v", b, err)
	}

	database := rows{}
	syncAll(t.Context(), t, seats, hall, database)
	must(t, server.Wipe(t.Context()))
	eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil })
	must(t, seats.Synced(t.Context(), hall, b)) // of a time that is over
	load(t, seats, hall, Snapshot{Held: []Reservation{database[r.ID]}})
	wantMap(t, seats, hall, "...hh...")
	results, err := seats.Claim(t.Context(), hall, []ClaimOf{{r.ID, ids.Next()}}, began.Add(hold-time.Millisecond))
	if err != nil || results[0].Outcome != Claimed {
		t.Fatalf("%+v, %v", results, err)
	}
}

// TestSoldSeatStaysSold: who has lost a seat to who has bought it does not free it.
func TestSoldSeatStaysSold(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x4 500")
		load(t, seats, hall, Snapshot{})
		claimed := reserve(t, seats, hall, wants(t, hall, ids.Next(), "A-1-1", "A-1-2"))
		held := reserve(t, seats, hall, wants(t, hall, ids.Next(), "A-1-4", "A-1-3"))
		payment, buyer := ids.Next(), ids.Next()
		_, err := seats.Claim(t.Context(), hall, []ClaimOf{{claimed.ID, payment}}, began)
		must(t, err)
		_, err = seats.Settle(t.Context(), hall, []Settlement{{ids.Next(), buyer, ids.Next(), []int{1, 2}, Sold}, {claimed.ID, claimed.UserID, payment, claimed.Seats, Freed}}, began)
		must(t, err)
		wantMap(t, seats, hall, ".ss.")
		if users := usersOf(t.Context(), t, seats, hall); len(users) != 1 || users[buyer.String()] != "2" {
			t.Errorf("%v", users)
		}
		if r, _, err := seats.Get(t.Context(), hall, held.ID, began); err != nil || r.Status != StatusReleased {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
