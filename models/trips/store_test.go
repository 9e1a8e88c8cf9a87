package trips

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed/stores"
)

// house is a store with a lane of trips.
type house struct {
	*testing.T
	db    *database.DB
	clock lamport.Clock
	users map[string]id.ID
	now   time.Time
}

func newHouse(t *testing.T, db *database.DB, cash map[string]money.Amount) *house {
	h := &house{T: t, db: db, users: map[string]id.ID{}, now: noon}
	h.clock.Witness(100)
	ok(t, operation.EnsureLanes(t.Context(), db, []string{Lane, bank.Lane}))
	rows := database.Rows{Table: "accounts", Columns: []string{"number", "user_id", "balance", "lamport", "opened_lamport", "opened_at_us"}}
	for number, balance := range cash {
		h.users[number] = ids.Next()
		user := h.users[number]
		rows.Add(number, user[:], int64(balance), 1, 1, noon.UnixMicro())
	}
	h.write(rows.Insert)
	return h
}

func (h *house) write(do func(tx database.Tx) error) {
	h.Helper()
	ok(h, h.db.Write(h.Context(), do))
}

func (h *house) offer(d *Definition) (t *Trip) {
	h.Helper()
	h.write(func(tx database.Tx) (err error) {
		t, err = Insert(tx, &h.clock, ids.Next(), d, h.now)
		return err
	})
	return t
}

func (h *house) update(trip id.ID, c *Change) (t *Trip, err error) {
	h.Helper()
	err = h.db.Write(h.Context(), func(tx database.Tx) (err error) {
		t, err = Update(tx, &h.clock, trip, c, h.now)
		return err
	})
	return t, err
}

func (h *house) get(trip id.ID) *Trip {
	h.Helper()
	t, err := Get(h.db.Read(h.Context()), trip)
	ok(h, err)
	return t
}

// submitted is a command and whose it is.
type submitted struct {
	*Command
	id id.ID
	by id.ID
}

func (h *house) command(account string, c *Command) submitted {
	return submitted{c, ids.Next(), h.users[account]}
}

func (h *house) purchase(account string, t *Trip, class string, quantity int64, confirm bool) submitted {
	return h.command(account, &Command{Kind: KindPurchase, Purchase: PurchaseCommand{account, t.ID.String(), class, quantity, confirm, tenMinutes}})
}

func (h *house) changeOf(kind, account string, p *Purchase) submitted {
	return h.command(account, &Command{Kind: kind, Change: ChangeCommand{p.Account, p.TripID, p.Class, p.ID}})
}

// decide does what a round does with one command.
func decide(o *Office, c submitted, stamp lamport.Stamp, at time.Time) (p *Purchase, refusal *problem.Problem) {
	cause := Cause{Cause: bank.Cause{OperationID: c.id, Stamp: stamp, At: at}, UserID: c.by}
	switch c.Kind {
	case KindPurchase:
		return o.Purchase(cause, &c.Purchase)
	case KindConfirmation:
		return o.Confirm(cause, &c.Change)
	case KindCancellation:
		return o.Cancel(cause, &c.Change)
	default:
		o.Expire(cause, &c.Expiry)
		return nil, nil
	}
}

// round executes commands in one transaction, as a lane does, and returns the refusals.
func (h *house) round(commands ...submitted) (codes []problem.Code, last lamport.Stamp) {
	h.Helper()
	h.write(func(tx database.Tx) error {
		codes = nil
		lane, err := operation.LockLane(tx, Lane)
		if err != nil {
			return err
		}
		var read []*Command
		for _, c := range commands {
			read = append(read, c.Command)
		}
		office, err := Load(tx, read)
		if err != nil {
			return err
		}
		h.clock.Receive(max(lane.Lamport, office.LastStamp()))
		for _, c := range commands {
			last = h.clock.Tick()
			code := problem.Code("")
			if _, refusal := decide(office, c, last, h.now); refusal != nil {
				code = refusal.Code
			}
			codes = append(codes, code)
		}
		return tx.Deferred(func(tx database.Tx) error {
			return errors.Join(office.Save(tx), operation.AdvanceLane(tx, Lane, lane.Sequence+int64(len(commands)), last))
		})
	})
	return codes, last
}

func (h *house) must(commands ...submitted) {
	h.Helper()
	if codes, _ := h.round(commands...); slices.ContainsFunc(codes, func(c problem.Code) bool { return c != "" }) {
		h.Fatalf("%v", codes)
	}
}

func (h *house) find(account string, purchase id.ID) *Purchase {
	h.Helper()
	p, err := GetPurchase(h.db.Read(h.Context()), h.users[account], purchase)
	ok(h, err)
	return p
}

func (h *house) number(query string, args ...any) (n int64) {
	h.Helper()
	ok(h, h.db.Read(h.Context()).Gorm().Raw(query, args...).Row().Scan(&n))
	return n
}

func alps() *Definition {
	return &Definition{Name: `Train "to" the Älps`, DepartsAt: noon.Add(3 * time.Hour), RefundBps: 5000, RefundMinutes: 30, Classes: []ClassDefinition{{"zweite", 1900, 10}, {"Erste", 4900, 2}}}
}

func TestTripsInStore(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db, map[string]money.Amount{"ADA": 10_000})
		if _, err := Get(db.Read(t.Context()), ids.Next()); !errors.Is(err, ErrUnknownTrip) {
			t.Errorf("%v", err)
		}
		made := h.offer(alps())
		read := h.get(made.ID)
		if fmt.Sprintf("%+v", *read) != fmt.Sprintf("%+v", *made) || read.Classes[0].Name != "zweite" || read.Created <= 100 {
			t.Errorf("read %+v, made %+v", *read, *made)
		}
		buy := h.purchase("ADA", made, "zweite", 3, false)
		h.must(buy)

		_, err := h.update(made.ID, &Change{Classes: []ClassChange{{"zweite", nil, new(int64(2))}}})
		if refusal := new(problem.Problem); !errors.As(err, &refusal) || refusal.Code != problem.StockInUse {
			t.Errorf("%v", err)
		}
		if _, err := h.update(ids.Next(), &Change{}); !errors.Is(err, ErrUnknownTrip) {
			t.Errorf("%v", err)
		}
		before := h.get(made.ID)
		if same, err := h.update(made.ID, &Change{Closed: new(false), Classes: []ClassChange{{"Erste", new(money.Amount(4900)), nil}}}); err != nil || same.Lamport != before.Lamport {
			t.Errorf("%+v %v", same, err)
		}
		changed, err := h.update(made.ID, &Change{Name: new("Day train"), Closed: new(true), RefundBps: new(0), RefundMinutes: new(0), DepartsAt: new(time.Unix(0, 0).UTC()),
			Classes: []ClassChange{{"deck", new(money.Amount(0)), new(int64(0))}, {"zweite", nil, new(int64(3))}}})
		ok(t, err)
		read = h.get(made.ID)
		if fmt.Sprintf("%+v", *read) != fmt.Sprintf("%+v", *changed) || read.Lamport <= before.LastStamp() || read.Classes[0].Held != 3 || read.Classes[1].Lamport != made.Lamport {
			t.Errorf("read %+v, changed %+v", *read, *changed)
		}
		if n := h.number("SELECT COUNT(*) FROM trip_changes"); n != 2 {
			t.Errorf("%d changes", n)
		}
		if codes, last := h.round(h.purchase("ADA", made, "deck", 1, true)); codes[0] != problem.TripClosed || last <= changed.Lamport {
			t.Errorf("%v at %d after a change at %d", codes, last, changed.Lamport)
		}
	})
}

func TestListTrips(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db, nil)
		var all []*Trip
		for n := range 12 {
			d := alps()
			d.Name, d.DepartsAt, d.Closed = fmt.Sprint("trip ", n), noon.Add(time.Duration(n%4-1)*time.Hour), n%3 == 0
			all = append(all, h.offer(d))
		}
		slices.SortFunc(all, func(a, b *Trip) int {
			if a.DepartsAt.Equal(b.DepartsAt) {
				return slices.Compare(a.ID[:], b.ID[:])
			}
			return a.DepartsAt.Compare(b.DepartsAt)
		})
		for _, status := range []TripStatus{"", Open, Closed, Departed} {
			var want []string
			for _, trip := range all {
				if status == "" || trip.Status(noon) == status {
					want = append(want, trip.Name)
				}
			}
			if len(want) < 2 {
				t.Errorf("this tests nothing: %v", want)
			}
			for _, limit := range []int{1, 2, 5, 50} {
				var got []string
				for f := (TripFilter{Status: status, Now: noon, Limit: limit}); ; {
					page, err := List(db.Read(t.Context()), f)
					ok(t, err)
					for _, trip := range page {
						got = append(got, trip.Name)
						f.After = &TripKey{trip.DepartsAt, trip.ID}
						if len(trip.Classes) != 2 {
							t.Errorf("%+v", trip)
						}
					}
					if len(page) < limit {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%q by %d: %v, want %v", status, limit, got, want)
				}
			}
		}
	})
}

func TestPurchasesInStore(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db, map[string]money.Amount{"ADA": 100_000, "BOB": 5000})
		first, second := h.offer(alps()), h.offer(alps())
		held, paid, other := h.purchase("ADA", first, "zweite", 3, false), h.purchase("ADA", second, "Erste", 2, true), h.purchase("BOB", first, "Erste", 1, true)
		codes, _ := h.round(held, paid, h.purchase("BOB", first, "Erste", 1, true), other, h.purchase("BOB", first, "zweite", 8, false))
		if fmt.Sprint(codes) != fmt.Sprint([]problem.Code{"", "", "", problem.InsufficientFunds, problem.NotEnoughStock}) {
			t.Fatalf("%v", codes)
		}
		if p := h.find("ADA", held.id); p.Status != Held || !p.ExpiresAt.Equal(noon.Add(10*time.Minute)) || !p.CreatedAt.Equal(noon) || p.TripID != first.ID || p.Price != 1900 || p.Account != "ADA" {
			t.Errorf("%+v", p)
		}
		if p := h.find("ADA", paid.id); p.PaidBy != paid.id || !p.ExpiresAt.IsZero() || p.Quantity != 2 {
			t.Errorf("%+v", p)
		}
		if _, err := GetPurchase(db.Read(t.Context()), h.users["BOB"], paid.id); !errors.Is(err, ErrUnknownPurchase) {
			t.Errorf("%v", err)
		}
		confirmation := h.changeOf(KindConfirmation, "ADA", h.find("ADA", held.id))
		refund := h.changeOf(KindCancellation, "ADA", h.find("ADA", paid.id))
		h.must(confirmation, refund)
		if p := h.find("ADA", held.id); p.Status != Paid || p.PaidBy != confirmation.id {
			t.Errorf("%+v", p)
		}
		if p := h.find("ADA", paid.id); p.Status != Refunded || p.PaidBy != paid.id || p.RefundedBy != refund.id || p.Refunded != 4900 {
			t.Errorf("%+v", p)
		}
		if n := h.number("SELECT COUNT(*) FROM held_purchases"); n != 0 {
			t.Errorf("%d are listed as held", n)
		}
		if c := h.get(first.ID).Classes; c[0].Sold != 3 || c[0].Held != 0 || c[1].Sold != 1 {
			t.Errorf("%+v", c)
		}
		if balance := h.number("SELECT balance FROM accounts WHERE number = 'trips'"); balance != 3*1900+2*4900-4900+4900 {
			t.Errorf("the house has %d", balance)
		}
	})
}

func TestListPurchases(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db, map[string]money.Amount{"ADA": 100_000, "BOB": 100_000})
		trips := []*Trip{h.offer(alps()), h.offer(alps())}
		var commands []submitted
		for n := range 12 {
			commands = append(commands, h.purchase([]string{"ADA", "ADA", "BOB"}[n%3], trips[n/2%2], "zweite", 1, n%4 == 0))
		}
		h.must(commands...)
		h.must(h.changeOf(KindCancellation, "ADA", h.find("ADA", commands[1].id)))
		slices.Reverse(commands)
		for _, f := range []PurchaseFilter{{}, {Trip: trips[0].ID}, {Status: Held}, {Status: Paid}, {Status: Cancelled}, {Status: Expired}, {Status: Held, Trip: trips[1].ID}, {Trip: ids.Next()}} {
			f.User = h.users["ADA"]
			var want []id.ID
			for _, c := range commands {
				if c.by != f.User {
					continue
				}
				if p := h.find("ADA", c.id); (f.Trip.IsZero() || p.TripID == f.Trip) && (f.Status == "" || p.Status == f.Status) {
					want = append(want, c.id)
				}
			}
			for _, limit := range []int{1, 3, 50} {
				f.Limit, f.Before = limit, id.ID{}
				var got []id.ID
				for {
					page, err := Purchases(db.Read(t.Context()), f)
					ok(t, err)
					for _, p := range page {
						got, f.Before = append(got, p.ID), p.ID
					}
					if len(page) < limit {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%+v: %v, want %v", f, got, want)
				}
			}
		}
	})
}

// What is due is found, the longest first, and not any more when it has expired. Hundreds expire at once.
func TestDue(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db, map[string]money.Amount{"ADA": 100_000})
		d := alps()
		d.Classes[0].Stock = 1000
		trip := h.offer(d)
		const many = 450
		var commands []submitted
		for n := range many {
			commands = append(commands, h.purchase("ADA", trip, "zweite", 2, false))
			if n%150 == 149 {
				h.must(commands[n-149:]...)
				h.now = h.now.Add(time.Minute)
			}
		}
		due := func(at time.Time, limit int) []DuePurchase {
			t.Helper()
			found, err := Due(db.Read(t.Context()), at, limit)
			ok(t, err)
			return found
		}
		over := noon.Add(10 * time.Minute)
		for at, want := range map[time.Duration]int{-time.Microsecond: 0, 0: 150, time.Minute: 256, time.Hour: 256} {
			if found := due(over.Add(at), MaxExpiries); len(found) != want {
				t.Errorf("%d are due after %v, want %d", len(found), at, want)
			}
		}
		if first := due(over.Add(time.Hour), 1); first[0] != (DuePurchase{commands[0].id, trip.ID, "zweite"}) {
			t.Errorf("%+v", first)
		}
		h.must(h.changeOf(KindCancellation, "ADA", h.find("ADA", commands[0].id)), h.changeOf(KindConfirmation, "ADA", h.find("ADA", commands[1].id)))
		h.now = over.Add(time.Hour)
		for left := many - 2; left > 0; {
			found := due(h.now, MaxExpiries)
			h.must(h.command("", &Command{Kind: KindExpiry, Expiry: ExpiryCommand{found}}))
			left -= len(found)
			if c := h.get(trip.ID).Classes[0]; c.Held != int64(2*left) || c.Sold != 2 {
				t.Fatalf("%+v with %d left", c, left)
			}
		}
		if found := due(h.now, 1); len(found) != 0 || h.find("ADA", commands[2].id).Status != Expired || h.find("ADA", commands[0].id).Status != Cancelled {
			t.Errorf("%+v", found)
		}
	})
}

func TestPurchaseOwner(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		purchase, user, trip := ids.Next(), ids.Next(), ids.Next()
		rows := database.Rows{Table: "purchases", Columns: []string{"id", "user_id", "account", "trip_id", "class", "quantity", "price", "status", "expires_at_us", "created_at_us", "lamport"}}
		rows.Add(purchase[:], user[:], "1", trip[:], "second", 1, 100, "paid", 1, 1, 1)
		ok(t, db.Write(t.Context(), rows.Insert))
		if owner, err := PurchaseOwner(db.Read(t.Context()), purchase); err != nil || owner != user {
			t.Errorf("the owner is %v (%v), want %v", owner, err, user)
		}
		if _, err := PurchaseOwner(db.Read(t.Context()), trip); !errors.Is(err, ErrUnknownPurchase) {
			t.Errorf("a purchase that never was: %v", err)
		}
	})
}
