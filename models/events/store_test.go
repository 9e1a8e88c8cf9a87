package events

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
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

// season is random rounds of payments and refunds on a store, and the same in memory, where all that there is was loaded at the start.
type season struct {
	*testing.T
	db     *database.DB
	random *rand.Rand
	memory *Round
	events []Event
	made   []Reservation // as they were made, which is what Redis goes on saying
	stored map[id.ID]bool
	users  map[string]id.ID // by account
	stamp  lamport.Stamp
}

const seasonCash = 300

func newSeason(t *testing.T, db *database.DB, seed uint64) *season {
	t.Helper()
	s := &season{T: t, db: db, random: rand.New(rand.NewPCG(seed, 2)), stamp: 1000, stored: map[id.ID]bool{}, users: map[string]id.ID{}}
	accounts := []bank.Account{{Number: HouseAccount}}
	var clock lamport.Clock
	for _, number := range []string{"ACC1", "ACC2", "ACC3"} {
		s.users[number] = ids.Next()
		write(t, db, func(tx database.Tx) error { return bank.OpenAccount(tx, &clock, number, s.users[number], began) })
		write(t, db, func(tx database.Tx) error {
			_, err := tx.Exec("UPDATE accounts SET balance = ? WHERE number = ?", seasonCash, number)
			return err
		})
		accounts = append(accounts, bank.Account{Number: number, UserID: s.users[number], Balance: seasonCash, Opened: clock.Now()})
	}
	for _, starts := range []time.Duration{time.Hour, 2 * time.Hour} {
		s.events = append(s.events, insertEvent(t, db, Event{StartsAt: began.Add(starts), MaxPerUser: 10, Lamport: 3}))
	}
	var reservations []Reservation
	for i := range 40 {
		number := fmt.Sprint("ACC", 1+s.random.IntN(3))
		r := row(s.events[i%2].ID, s.users[number], StatusHeld, s.random.IntN(6), 6+s.random.IntN(6))
		r.Account, r.Total = number, money.Amount(s.random.IntN(3)*20)
		s.made = append(s.made, r)
		if s.random.IntN(2) == 0 {
			store(t, db, r)
			s.stored[r.ID] = true
		}
	}
	reservations = slices.Clone(s.made)
	s.memory = NewRound(bank.NewLedger(accounts, nil), slices.Clone(s.events), reservations, map[Seat]id.ID{}, nil)
	return s
}

// step is a payment or a refund of a round.
type step struct {
	of      *Reservation
	refund  bool
	claimed bool
}

// play executes a round on the store and in memory, and expects the same.
func (s *season) play() {
	s.Helper()
	var steps []step
	var c Concerned
	for range 1 + s.random.IntN(8) {
		one := step{of: &s.made[s.random.IntN(len(s.made))], refund: s.random.IntN(3) == 0, claimed: s.random.IntN(8) > 0}
		steps = append(steps, one)
		c.Accounts, c.Events, c.Reservations = append(c.Accounts, one.of.Account), append(c.Events, one.of.EventID), append(c.Reservations, one.of.ID)
		if one.refund {
			c.Refunds = append(c.Refunds, one.of.ID)
		}
		if !one.refund || !s.stored[one.of.ID] { // Redis has told of it; perhaps several times
			c.Claimed = append(c.Claimed, *one.of)
		}
	}
	at := began.Add(time.Duration(s.random.IntN(65)) * time.Minute)
	write(s.T, s.db, func(tx database.Tx) error {
		loaded, err := LoadRound(tx, c)
		if err != nil {
			return err
		}
		for _, one := range steps {
			s.stamp++
			cause := bank.Cause{OperationID: ids.Next(), Stamp: s.stamp, At: at}
			is, refusal := one.decide(loaded, cause)
			want, wantRefusal := one.decide(s.memory, cause)
			if codeOf(refusal) != codeOf(wantRefusal) || refusal == nil && !same(*is, *want) {
				s.Fatalf("%+v of %+v: %v %+v; in memory %v %+v", one, one.of, refusal, is, wantRefusal, want)
			}
			if refusal == nil {
				s.stored[one.of.ID] = true
			}
		}
		s.memory.Forget()
		s.memory.Ledger.Forget()
		return loaded.Save(tx)
	})
}

func (p step) decide(r *Round, cause bank.Cause) (*Reservation, *problem.Problem) {
	if p.refund {
		return r.Refund(cause, p.of.ID)
	}
	return r.Pay(cause, p.of.ID, p.claimed)
}

func codeOf(refusal *problem.Problem) problem.Code {
	if refusal == nil {
		return ""
	}
	return refusal.Code
}

// checkIn lets somebody in, if there is a valid ticket of a reservation.
func (s *season) checkIn() {
	s.Helper()
	r := &s.made[s.random.IntN(len(s.made))]
	var clock lamport.Clock
	err := s.db.Write(s.Context(), func(tx database.Tx) error {
		t, err := CheckIn(tx, &clock, r.ID, r.Seats[0], "North 2", began)
		if err == nil {
			s.memory.Use(r.ID, r.Seats[0], t.Lamport)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrUnknownTicket) && !errors.Is(err, ErrTicketUsed) && !errors.Is(err, ErrTicketRefunded) {
		s.Fatal(err)
	}
}

// compare expects the store to have what memory has.
func (s *season) compare() {
	s.Helper()
	tx := s.db.Read(s.Context())
	for i := range s.made {
		want := s.memory.Reservation(s.made[i].ID)
		is, err := GetReservation(tx, want.ID)
		if !s.stored[want.ID] {
			if !errors.Is(err, ErrUnknownReservation) {
				s.Errorf("%+v, %v is stored, and nobody has stored it", is, err)
			}
			continue
		}
		if err != nil || !same(is, *want) {
			s.Errorf("%+v, %v; in memory %+v", is, err, want)
		}
		for _, ticket := range s.memory.Tickets(want.ID) {
			is, err := GetTicket(tx, want.ID, ticket.Seat)
			is.UsedAt, is.UsedWhere = time.Time{}, "" // which a round does not read
			if err != nil || is != ticket {
				s.Errorf("%+v, %v; in memory %+v", is, err, ticket)
			}
		}
	}
	sold := map[Seat]id.ID{}
	for _, e := range s.events {
		truth, err := ReadTruth(tx, e.ID)
		must(s, err)
		for _, sale := range truth.Sold {
			sold[Seat{e.ID, sale.Seat}] = sale.Reservation
			if want := s.memory.Reservation(sale.Reservation).UserID; sale.UserID != want {
				s.Errorf("%+v is a sale to %s", sale, want)
			}
		}
	}
	if fmt.Sprint(sold) != fmt.Sprint(s.memory.Sold()) {
		s.Errorf("sold are %v; in memory %v", sold, s.memory.Sold())
	}
	write(s.T, s.db, func(tx database.Tx) error {
		ledger, err := bank.Load(tx, []string{"ACC1", "ACC2", "ACC3", HouseAccount}, nil)
		if err != nil {
			return err
		}
		for _, number := range []string{"ACC1", "ACC2", "ACC3", HouseAccount} {
			if is, want := ledger.Account(number), s.memory.Account(number); is.Balance != want.Balance || is.Postings != want.Postings {
				s.Errorf("%+v; in memory %+v", is, want)
			}
		}
		return nil
	})
}

// TestRoundsAreStored: what rounds make of a store is what the rules make of memory, whatever of it the store has heard of before.
func TestRoundsAreStored(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		s := newSeason(t, db, 1)
		for range 60 {
			s.play()
			if s.random.IntN(4) == 0 {
				s.checkIn()
			}
			if s.compare(); t.Failed() {
				t.FailNow()
			}
		}
		var n int
		must(t, db.Read(t.Context()).Gorm().Raw("SELECT COUNT(DISTINCT status) FROM reservations").Row().Scan(&n))
		if n != 3 {
			t.Errorf("reservations are in %d states", n)
		}
	})
}

// TestLoadRound: of what the database and Redis say of a reservation the later counts, once, however often Redis says it.
func TestLoadRound(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		e := insertEvent(t, db, Event{StartsAt: began.Add(time.Hour), Lamport: 9})
		paid, held, unheard := row(e.ID, ids.Next(), StatusPaid, 1), row(e.ID, ids.Next(), StatusHeld, 2), row(e.ID, ids.Next(), StatusHeld, 3)
		store(t, db, paid, held)
		claimed := paid
		claimed.Status, claimed.ClaimedBy, claimed.PaidBy = StatusHeld, paid.PaidBy, id.ID{} // Redis was not told of the payment
		held.Status = StatusExpired
		write(t, db, func(tx database.Tx) error {
			r, err := LoadRound(tx, Concerned{Accounts: []string{"ACC1"}, Events: []id.ID{e.ID}, Reservations: []id.ID{paid.ID, held.ID, unheard.ID, paid.ID, ids.Next()},
				Claimed: []Reservation{claimed, held, unheard, claimed, unheard}})
			must(t, err)
			for _, want := range []Reservation{paid, held, unheard} {
				if is := r.Reservation(want.ID); is == nil || is.Status != want.Status || is.PaidBy != want.PaidBy {
					t.Errorf("%+v; want %+v", is, want)
				}
			}
			if len(r.reservations) != 3 || r.LastStamp() != 9 {
				t.Errorf("%d were loaded; the last stamp is %d", len(r.reservations), r.LastStamp())
			}
			_, err = LoadRound(tx, Concerned{})
			return err
		})
	})
}

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
		if err != nil || !s.StartsAt.Equal(e.StartsAt) || s.MaxPerUser != 6 || s.Room != room || s.Now.Before(before) || s.Now.After(time.Now()) {
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
