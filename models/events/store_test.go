package events

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/testbed/stores"
)

func write(t *testing.T, db *database.DB, do func(tx database.Tx) error) {
	t.Helper()
	must(t, db.Write(t.Context(), do))
}

// store writes reservations as Redis has them.
func store(t *testing.T, db *database.DB, reservations ...Reservation) {
	t.Helper()
	write(t, db, func(tx database.Tx) error { return StoreReservations(tx, reservations) })
}

func insertEvent(t *testing.T, db *database.DB, e Event) Event {
	t.Helper()
	if e.ID.IsZero() {
		e.ID = ids.Next()
	}
	if e.Sections == nil {
		e.Sections = []Section{{Name: "A", Rows: 3, SeatsPerRow: 4, Price: 20}}
	}
	write(t, db, func(tx database.Tx) error { return InsertEvent(tx, &e) })
	return e
}

// row makes a reservation as a table can have it.
func row(event, user id.ID, status Status, seats ...int) Reservation {
	r := Reservation{ID: ids.Next(), EventID: event, UserID: user, Account: "ACC1", Seats: seats, Total: 20 * money.Amount(len(seats)), Status: status,
		ReservedAt: began, ExpiresAt: began.Add(hold), Lamport: 7}
	if status == StatusPaid || status == StatusRefunded {
		r.PaidBy = ids.Next()
	}
	if status == StatusRefunded {
		r.RefundedBy = ids.Next()
	}
	return r
}

func idsOf[T any](list []T, of func(T) id.ID) (found []id.ID) {
	for i := range list {
		found = append(found, of(list[i]))
	}
	return found
}

func idOfReservation(r Reservation) id.ID { return r.ID }

func idOfEvent(e Event) id.ID { return e.ID }

// TestStoreReservations: a row follows while it is held, and is left alone once it is not, whatever comes late or twice.
func TestStoreReservations(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		states := []Status{StatusHeld, StatusPaid, StatusReleased, StatusExpired, StatusRefunded}
		event, user := ids.Next(), ids.Next()
		type late struct{ before, after, want Reservation }
		var all []late
		var before, after []Reservation
		for _, status := range states {
			for _, then := range []Status{StatusHeld, StatusReleased, StatusExpired} {
				r := row(event, user, status, 3, 1, 2)
				follower := r
				follower.Status, follower.Lamport, follower.PaidBy, follower.RefundedBy = then, 8, id.ID{}, id.ID{}
				want := r
				if status == StatusHeld {
					want.Status, want.Lamport = then, 8
				}
				all, before, after = append(all, late{r, follower, want}), append(before, r), append(after, follower)
			}
		}
		fresh := row(event, user, StatusReleased, 9)
		all, after = append(all, late{after: fresh, want: fresh}), append(after, fresh)
		store(t, db)
		store(t, db, before...)
		for range 2 {
			store(t, db, after...)
			for _, l := range all {
				is, err := GetReservation(db.Read(t.Context()), l.want.ID)
				if err != nil || !same(is, l.want) {
					t.Errorf("%s, and then %s, is %+v, %v", l.before.Status, l.after.Status, is, err)
				}
			}
		}
		store(t, db, before...) // long after
		for _, l := range all {
			if is, err := GetReservation(db.Read(t.Context()), l.want.ID); err != nil || l.want.Status != StatusHeld && !same(is, l.want) {
				t.Errorf("%s, and then %s, became %+v, %v", l.before.Status, l.after.Status, is, err)
			}
		}
	})
}

// TestNewlyExpired: that a reservation has expired is told until its row says so, and never of one that the row says something else of.
func TestNewlyExpired(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		event, user := ids.Next(), ids.Next()
		var batch, want []Reservation
		for _, status := range []Status{"", StatusHeld, StatusPaid, StatusReleased, StatusExpired, StatusRefunded} {
			r := row(event, user, status, 1)
			if status != "" {
				store(t, db, r)
			}
			r.Status = StatusExpired
			batch = append(batch, r)
			if status == "" || status == StatusHeld {
				want = append(want, r)
			}
		}
		batch = append(batch, row(event, user, StatusHeld, 2), row(event, user, StatusReleased, 3))
		for range 2 { // to read it tells nobody
			news, err := NewlyExpired(db.Read(t.Context()), batch)
			if got := idsOf(news, idOfReservation); err != nil || !slices.Equal(got, idsOf(want, idOfReservation)) || !same(news[0], want[0]) {
				t.Errorf("%+v have expired, %v; want %+v", news, err, want)
			}
		}
		store(t, db, batch...)
		if news, err := NewlyExpired(db.Read(t.Context()), batch); err != nil || len(news) != 0 {
			t.Errorf("it is told again of %v, %v", news, err)
		}
		if news, err := NewlyExpired(db.Read(t.Context()), nil); err != nil || len(news) != 0 {
			t.Errorf("of nothing it is told %v, %v", news, err)
		}
	})
}

// TestReservationLists: whatever the filter, pages show what there is, newest first, each once.
func TestReservationLists(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		random := rand.New(rand.NewPCG(3, 4))
		events, users := []id.ID{ids.Next(), ids.Next()}, []id.ID{ids.Next(), ids.Next(), ids.Next()}
		states := []Status{StatusHeld, StatusPaid, StatusReleased, StatusExpired, StatusRefunded}
		var all []Reservation
		for range 120 {
			all = append(all, row(events[random.IntN(2)], users[random.IntN(2)], states[random.IntN(5)], random.IntN(9)))
		}
		store(t, db, all...)
		slices.Reverse(all)
		for _, user := range users {
			for _, event := range []id.ID{{}, events[0], events[1], ids.Next()} {
				for _, status := range append(states, "") {
					var want, got []id.ID
					for i := range all {
						if all[i].UserID == user && (event.IsZero() || all[i].EventID == event) && (status == "" || all[i].Status == status) {
							want = append(want, all[i].ID)
						}
					}
					f := ReservationFilter{User: user, Event: event, Status: status, Limit: 7}
					for {
						found, err := Reservations(db.Read(t.Context()), f)
						must(t, err)
						if got = append(got, idsOf(found, idOfReservation)...); len(found) < f.Limit {
							break
						}
						f.Before = found[len(found)-1].ID
					}
					if !slices.Equal(got, want) {
						t.Errorf("%+v: %v; want %v", f, got, want)
					}
				}
			}
		}
		found, err := Reservations(db.Read(t.Context()), ReservationFilter{User: all[0].UserID, Limit: 1})
		if err != nil || len(found) != 1 || !same(found[0], all[0]) {
			t.Errorf("%+v, %v; want %+v", found, err, all[0])
		}
	})
}

// TestEventLists: events come in the order in which they start, those that start at once by their ids.
func TestEventLists(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		tx := db.Read(t.Context())
		if found, err := Events(tx, time.Time{}, id.ID{}, 5); err != nil || len(found) != 0 {
			t.Errorf("%v, %v", found, err)
		}
		var all []Event
		for i := range 23 {
			all = append(all, insertEvent(t, db, Event{Name: fmt.Sprint("Nº ", i), StartsAt: began.Add(time.Duration(i*7%5) * time.Microsecond), MaxPerUser: 1 + i,
				Waiting: WaitingRoom{Rate: i, Window: time.Duration(i) * time.Second}, Lamport: lamport.Stamp(i)}))
		}
		slices.SortFunc(all, func(a, b Event) int {
			if c := a.StartsAt.Compare(b.StartsAt); c != 0 {
				return c
			}
			return slices.Compare(a.ID[:], b.ID[:])
		})
		for limit := 1; limit < 25; limit += 6 {
			var got []Event
			var last Event
			for {
				found, err := Events(tx, last.StartsAt, last.ID, limit)
				must(t, err)
				if got = append(got, found...); len(found) < limit {
					break
				}
				last = found[len(found)-1]
			}
			if fmt.Sprint(got) != fmt.Sprint(all) {
				t.Errorf("by %d: %v; want %v", limit, got, all)
			}
		}
		for after := range 6 {
			since := began.Add(time.Duration(after-1) * time.Microsecond)
			later := slices.DeleteFunc(slices.Clone(all), func(e Event) bool { return !e.StartsAt.After(since) })
			open, err := OpenEvents(tx, since)
			if err != nil || !slices.Equal(open, idsOf(later, idOfEvent)) {
				t.Errorf("since %v: %v, %v; want %v", since, open, err, later)
			}
		}
		if _, err := GetEvent(tx, ids.Next()); !errors.Is(err, ErrUnknownEvent) {
			t.Error(err)
		}
		room := WaitingRoom{Rate: 3, Window: time.Minute}
		write(t, db, func(tx database.Tx) error {
			changed, err := SetWaitingRoom(tx, all[2].ID, room)
			if all[2].Waiting = room; fmt.Sprint(changed) != fmt.Sprint(all[2]) {
				t.Errorf("%+v; want %+v", changed, all[2])
			}
			return err
		})
		if is, err := GetEvent(tx, all[2].ID); err != nil || fmt.Sprint(is) != fmt.Sprint(all[2]) {
			t.Errorf("%+v, %v; want %+v", is, err, all[2])
		}
		if err := db.Write(t.Context(), func(tx database.Tx) error { _, err := SetWaitingRoom(tx, ids.Next(), room); return err }); !errors.Is(err, ErrUnknownEvent) {
			t.Error(err)
		}
		if err := db.Write(t.Context(), func(tx database.Tx) error { return InsertEvent(tx, &all[0]) }); !database.IsDuplicate(err) {
			t.Errorf("an event was announced twice: %v", err)
		}
	})
}

// TestReadSnapshot: Redis is made anew from what is held, also past its time, and what is sold, and from nothing else.
func TestReadSnapshot(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		room := WaitingRoom{Rate: 5, Window: time.Minute}
		e, other := insertEvent(t, db, Event{StartsAt: began.Add(time.Hour), MaxPerUser: 6, Waiting: room}), insertEvent(t, db, Event{StartsAt: began})
		if s, err := readSnapshot(db.Read(t.Context()), e.ID); err != nil || s.AnyBefore {
			t.Errorf("%+v, %v; nothing was reserved yet", s, err)
		}
		user := ids.Next()
		held, over, paid := row(e.ID, user, StatusHeld, 2, 0), row(e.ID, user, StatusHeld, 4), row(e.ID, ids.Next(), StatusPaid, 7, 5)
		over.ExpiresAt = began
		elsewhere := row(other.ID, user, StatusPaid, 5, 1)
		store(t, db, held, over, paid, elsewhere, row(other.ID, user, StatusHeld, 2), row(e.ID, user, StatusReleased, 6), row(e.ID, user, StatusExpired, 6), row(e.ID, user, StatusRefunded, 6))
		sold := database.Rows{Table: "sold_seats", Columns: []string{"event_id", "seat", "reservation_id"}}
		for _, r := range []Reservation{paid, elsewhere} {
			for _, seat := range r.Seats {
				sold.Add(r.EventID[:], seat, r.ID[:])
			}
		}
		write(t, db, sold.Insert)
		before := time.Now()
		s, err := readSnapshot(db.Read(t.Context()), e.ID)
		if err != nil || !s.StartsAt.Equal(e.StartsAt) || s.MaxPerUser != 6 || !s.AnyBefore || s.Room != room || s.Now.Before(before) || s.Now.After(time.Now()) {
			t.Errorf("%+v, %v", s, err)
		}
		truth, err := ReadTruth(db.Read(t.Context()), e.ID)
		must(t, err)
		for _, list := range [][]Reservation{s.Held, truth.Held} {
			slices.SortFunc(list, func(a, b Reservation) int { return slices.Compare(a.ID[:], b.ID[:]) })
			if len(list) != 2 || !same(list[0], held) || !same(list[1], over) {
				t.Errorf("held are %+v", list)
			}
		}
		for _, list := range [][]Sale{s.Sold, truth.Sold} {
			slices.SortFunc(list, func(a, b Sale) int { return a.Seat - b.Seat })
			if !slices.Equal(list, []Sale{{5, paid.ID, paid.UserID}, {7, paid.ID, paid.UserID}}) {
				t.Errorf("sold are %+v", list)
			}
		}
		if _, err := readSnapshot(db.Read(t.Context()), ids.Next()); !errors.Is(err, ErrUnknownEvent) {
			t.Error(err)
		}

		// And Redis is then as the database.
		hall, err := NewHall(e.ID, e.Sections)
		must(t, err)
		client := connectMini(t)
		defer client.Close() //nolint:errcheck // at the end of the test
		seats := NewSeats(client)
		must(t, LoadSeats(t.Context(), db, seats, hall))
		wantMap(t, seats, hall, "h.h.|hs.s|....")
		if nobody, err := NewHall(ids.Next(), e.Sections); err != nil || !errors.Is(LoadSeats(t.Context(), db, seats, nobody), ErrUnknownEvent) {
			t.Errorf("an event that there is not was loaded: %v", err)
		}
	})
}
