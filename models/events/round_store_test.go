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
