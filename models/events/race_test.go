package events

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/problem"
)

// TestSameSeatAtTheSameInstant: of two who want the same seat, exactly one gets it, each of 10,000 times.
func TestSameSeatAtTheSameInstant(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		const rounds = 10_000
		hall := hallOf(t, "A 100x100 500")
		load(t, seats, hall, Snapshot{})
		other := NewSeats(seats.client)
		won := together(2, func(k int) (won [rounds]bool) {
			s := []*Seats{seats, other}[k]
			for i := range rounds {
				want := Want{ID: ids.Next(), UserID: ids.Next(), Account: "A", Seats: []int{i}, Now: began, HoldFor: hold}
				_, err := s.Reserve(t.Context(), hall, want)
				if err != nil && !refused(err, problem.SeatTaken) {
					t.Errorf("seat %d: %v", i, err)
				}
				won[i] = err == nil
			}
			return won
		})
		for i := range rounds {
			if won[0][i] == won[1][i] {
				t.Fatalf("seat %d: %t and %t", i, won[0][i], won[1][i])
			}
		}
	})
}

// TestManyClientsOverFewSeats: 500 clients want two seats each of 200, the best together or by name, and let go of some. No seat has two owners at any time.
func TestManyClientsOverFewSeats(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 10x20 500")
		load(t, seats, hall, Snapshot{MaxPerUser: 2})
		kept := together(500, func(k int) []int {
			want := best(ids.Next(), "", 2)
			if k%2 == 0 {
				want.Quantity, want.Seats = 0, []int{k % 200, (k + 1) % 200}
			}
			made, err := seats.Reserve(t.Context(), hall, want)
			if err == nil && k%5 == 0 {
				_, err = seats.Release(t.Context(), hall, made.Reservation.ID, want.UserID, began)
				made = Reserved{}
			}
			if err != nil && !refused(err, problem.SeatTaken) && !refused(err, problem.SoldOut) && !refused(err, problem.NoAdjacentSeats) {
				t.Errorf("client %d: %v", k, err)
			}
			return made.Reservation.Seats
		})
		owned := map[int]int{}
		for k, list := range kept {
			for _, seat := range list {
				if before, twice := owned[seat]; twice {
					t.Errorf("seat %d is client %d's and client %d's", seat, before, k)
				}
				owned[seat] = k
			}
		}
		state, err := seats.State(t.Context(), hall)
		must(t, err)
		if len(state.Owners) != len(owned) || len(owned) < 100 || len(usersOf(t.Context(), t, seats, hall)) != len(owned)/2 {
			t.Errorf("%d seats are owned, and %d clients got theirs", len(state.Owners), len(owned)/2)
		}
	})
}

// TestPaymentRacesExpiry: a hold is either claimed or expired, whoever comes first.
func TestPaymentRacesExpiry(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		const rounds = 300
		hall := hallOf(t, "A 1x1 500")
		load(t, seats, hall, Snapshot{})
		due := began.Add(hold)
		for range rounds {
			r := reserve(t, seats, hall, best(ids.Next(), "", 1))
			claimed := together(2, func(k int) ClaimOutcome {
				if k == 0 {
					_, _, err := seats.Expire(t.Context(), hall.Event(), due, 10)
					must(t, err)
					return ""
				}
				results, err := seats.Claim(t.Context(), hall, []ClaimOf{{r.ID, ids.Next()}}, due.Add(-time.Millisecond))
				must(t, err)
				return results[0].Outcome
			})[1]
			now, found, err := seats.Get(t.Context(), hall, r.ID, due)
			must(t, err)
			held := now.Status == StatusHeld && !now.ClaimedBy.IsZero() && mapText(t, seats, hall) == "h"
			expired := now.Status == StatusExpired && mapText(t, seats, hall) == "."
			if won := claimed == Claimed && held; !found || !won && (claimed != ClaimExpired || !expired) {
				t.Fatalf("%s, %+v", claimed, now)
			}
			_, err = seats.Settle(t.Context(), hall, []Settlement{{r.ID, r.UserID, now.ClaimedBy, r.Seats, Freed}}, due)
			must(t, err)
		}
	})
}

// TestSyncLosesNothing: while others reserve and release, two syncers read and take out, not always in that order, and sometimes crash in between. In the end the
// database has every reservation as it is, and a follower of the batches has the map.
func TestSyncLosesNothing(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 10x10 500")
		load(t, seats, hall, Snapshot{MaxPerUser: 100})
		ctx, stop := context.WithCancel(t.Context())
		batches := make(chan Batch, 100_000)
		synced := make(chan struct{})
		go func() {
			defer close(synced)
			together(2, func(k int) error {
				for round := 0; ctx.Err() == nil; round++ {
					b, err := seats.Unsynced(t.Context(), hall, 1+(round+k)%9)
					if err != nil {
						t.Error(err)
						return err
					}
					// A database takes an older version after a newer one only if it does not lock; the version says which is which.
					batches <- b
					if round%3 != 2 {
						if err := seats.Synced(t.Context(), hall, b); err != nil {
							t.Error(err)
						}
					}
				}
				return nil
			})
		}()
		final := make(map[id.ID]Status)
		for _, made := range together(20, func(int) map[id.ID]Status {
			user, mine := ids.Next(), map[id.ID]Status{}
			for i := range 40 {
				r, err := seats.Reserve(t.Context(), hall, best(user, "", 1+i%3))
				if err != nil {
					continue
				}
				mine[r.Reservation.ID] = StatusHeld
				if i%2 == 0 {
					if _, err := seats.Release(t.Context(), hall, r.Reservation.ID, user, began); err != nil {
						t.Error(err)
					}
					mine[r.Reservation.ID] = StatusReleased
				}
			}
			return mine
		}) {
			maps.Copy(final, made)
		}
		eventually(t, func() bool {
			n, err := seats.Pending(t.Context(), []id.ID{hall.Event()}, began)
			return err == nil && n[0].Unsynced == 0
		})
		stop()
		<-synced
		close(batches)
		versions, database := map[id.ID]int64{}, rows{}
		shown, shownAt := map[int]SeatStatus{}, map[int]int64{}
		for b := range batches {
			for _, r := range b.Reservations {
				if b.Version >= versions[r.ID] {
					database[r.ID], versions[r.ID] = r, b.Version
				}
			}
			for _, s := range b.Seats {
				if b.Version >= shownAt[s.Seat] {
					shown[s.Seat], shownAt[s.Seat] = s.Status, b.Version
				}
			}
		}
		for reservation, status := range final {
			if database[reservation].Status != status {
				t.Errorf("the database has %+v, and it is %s", database[reservation], status)
			}
		}
		text := mapText(t, seats, hall)
		for seat := range hall.Size() {
			if want := seatStatuses[text[hall.place(seat)]]; shown[seat] != want && (shown[seat] != "" || want != SeatFree) {
				t.Errorf("seat %d is %s, and is shown %s", seat, want, shown[seat])
			}
		}
	})
}

// TestLoadByManyAtOnce: one of those who find an event missing reads it, the others wait for it, and nothing that is reserved right after is lost.
func TestLoadByManyAtOnce(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 10x20 500")
		reads := make(chan struct{}, 100)
		read := func(context.Context) (Snapshot, error) {
			reads <- struct{}{}
			return Snapshot{StartsAt: began.Add(time.Hour), MaxPerUser: 5, Now: began, Sold: []Sale{{0, ids.Next(), ids.Next()}}}, nil
		}
		got := together(20, func(int) error {
			want := best(ids.Next(), "", 1)
			_, err := seats.Reserve(t.Context(), hall, want)
			if errors.Is(err, ErrNotLoaded) {
				must(t, seats.Load(t.Context(), hall, read))
				_, err = seats.Reserve(t.Context(), hall, want)
			}
			return err
		})
		for _, err := range got {
			must(t, err)
		}
		state, err := seats.State(t.Context(), hall)
		must(t, err)
		if len(reads) != 1 || len(state.Owners) != 21 || len(state.Sold) != 1 {
			t.Errorf("read %d times, %d owners", len(reads), len(state.Owners))
		}
	})
}

// A process that tells late of a payment that it has committed takes no seat from whoever has it since: the reservation was refunded, and the database has it.
func TestLatePayment(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x2 500")
		load(t, seats, hall, Snapshot{})
		first := reserve(t, seats, hall, wants(t, hall, ids.Next(), "A-1-1"))
		payment := ids.Next()
		claims, err := seats.Claim(t.Context(), hall, []ClaimOf{{first.ID, payment}}, began)
		if err != nil || claims[0].Outcome != Claimed {
			t.Fatalf("%+v, %v", claims, err)
		}
		late := []Settlement{{first.ID, first.UserID, payment, first.Seats, Paid}}
		if n, err := seats.Settle(t.Context(), hall, late, began); n != 1 || err != nil {
			t.Fatalf("in time: %d, %v", n, err)
		}
		wantMap(t, seats, hall, "s.")
		if n, err := seats.Settle(t.Context(), hall, []Settlement{{first.ID, first.UserID, ids.Next(), first.Seats, Refunded}}, began); n != 1 || err != nil {
			t.Fatalf("the refund: %d, %v", n, err)
		}
		syncAll(t.Context(), t, seats, hall, rows{})
		second := reserve(t, seats, hall, wants(t, hall, ids.Next(), "A-1-1"))
		if n, err := seats.Settle(t.Context(), hall, late, began); n != 0 || err != nil {
			t.Errorf("late: %d, %v", n, err)
		}
		if got, found, err := seats.Get(t.Context(), hall, second.ID, began); !found || err != nil || got.Status != StatusHeld {
			t.Errorf("whoever has the seat since: %+v, %t, %v", got, found, err)
		}
		wantMap(t, seats, hall, "h.")
	})
}
