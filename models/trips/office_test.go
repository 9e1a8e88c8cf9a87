package trips

import (
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

func TestHoldConfirmRefund(t *testing.T) {
	t.Parallel()
	trip := train(seats(1900, 10))
	d := newDesk(t, map[string]money.Amount{"ADA": 5000}, trip)
	p := d.hold(trip, "ADA", 2)
	if p.Total() != 3800 || !p.ExpiresAt.Equal(noon.Add(10*time.Minute)) || p.UserID != d.users["ADA"] || !p.PaidBy.IsZero() {
		t.Errorf("%+v", p)
	}
	d.stock(trip, 0, 2)
	if d.balance("ADA") != 5000 {
		t.Error("what is held has been paid")
	}
	trip.Classes[0].Price = 2500 // which what is held does not see
	paid, refusal := d.confirm(p)
	if refusal != nil || paid != p || p.Status != Paid || p.PaidBy.IsZero() || p.Lamport != d.stamp || trip.Classes[0].Lamport != d.stamp {
		t.Fatalf("%+v %v", paid, refusal)
	}
	d.stock(trip, 2, 0)
	if d.balance("ADA") != 1200 || d.balance(House) != 3800 {
		t.Errorf("%d and %d", d.balance("ADA"), d.balance(House))
	}
	if e := d.Ledger.Entries[0]; e.Kind != "purchase" || e.Reference != p.ID.String() || e.OperationID != p.PaidBy {
		t.Errorf("%+v", e)
	}
	back, refusal := d.cancel(p)
	if refusal != nil || back.Status != Refunded || back.Refunded != 3800 || back.RefundedBy.IsZero() {
		t.Fatalf("%+v %v", back, refusal)
	}
	d.stock(trip, 0, 0)
	if e := d.Ledger.Entries[1]; e.Kind != "refund" || e.Reference != p.ID.String() || e.OperationID != p.RefundedBy || d.balance("ADA") != 5000 {
		t.Errorf("%+v", e)
	}
	d.sound()
}

// Each refusal comes before those after it, and changes nothing.
func TestRefusalsOfPurchases(t *testing.T) {
	t.Parallel()
	trip, gone, closed, both := train(seats(100, 5)), train(seats(100, 5)), train(seats(100, 5)), train(seats(100, 5))
	gone.DepartsAt, both.DepartsAt = noon, noon
	closed.Closed, both.Closed = true, true
	d := newDesk(t, map[string]money.Amount{"ADA": 499}, trip, gone, closed, both)
	d.hold(trip, "ADA", 1)
	for _, tt := range []struct {
		name string
		trip string
		with func(c *PurchaseCommand)
		code problem.Code
	}{
		{"no trip has the id", ids.Next().String(), func(c *PurchaseCommand) { c.Class = "none" }, problem.UnknownTrip},
		{"no id", "x", func(c *PurchaseCommand) { c.Class = "none" }, problem.UnknownTrip},
		{"the zero id", id.ID{}.String(), nil, problem.UnknownTrip},
		{"no class", both.ID.String(), func(c *PurchaseCommand) { c.Class, c.Quantity = "Seat", 0 }, problem.UnknownClass},
		{"none", both.ID.String(), func(c *PurchaseCommand) { c.Quantity = 0 }, problem.InvalidQuantity},
		{"less than none", both.ID.String(), func(c *PurchaseCommand) { c.Quantity = -1 }, problem.InvalidQuantity},
		{"one too many", both.ID.String(), func(c *PurchaseCommand) { c.Quantity = MaxQuantity + 1 }, problem.InvalidQuantity},
		{"the least that there is", both.ID.String(), func(c *PurchaseCommand) { c.Quantity = -1 << 63 }, problem.InvalidQuantity},
		{"the most that there is", both.ID.String(), func(c *PurchaseCommand) { c.Quantity = 1<<63 - 1 }, problem.InvalidQuantity},
		{"closed and departed", both.ID.String(), func(c *PurchaseCommand) { c.Quantity = MaxQuantity }, problem.TripClosed},
		{"closed", closed.ID.String(), nil, problem.TripClosed},
		{"departed this moment", gone.ID.String(), func(c *PurchaseCommand) { c.Quantity = MaxQuantity }, problem.Departed},
		{"one more than is left", trip.ID.String(), func(c *PurchaseCommand) { c.Quantity = 5 }, problem.NotEnoughStock},
		{"not enough for all", trip.ID.String(), func(c *PurchaseCommand) { c.Quantity, c.Confirm = 5, true }, problem.NotEnoughStock},
	} {
		c := d.request(trip, "ADA", 1, true)
		c.Trip = tt.trip
		if tt.with != nil {
			tt.with(c)
		}
		p, refusal := d.Purchase(d.cause("ADA"), c)
		t.Log(tt.name)
		refused(t, p, refusal, tt.code)
		d.stock(trip, 0, 1)
	}
	poor := d.request(trip, "ADA", 4, true)
	trip.Classes[0].Price = 125
	p, refusal := d.Purchase(d.cause("ADA"), poor)
	refused(t, p, refusal, problem.InsufficientFunds) // one unit is missing
	d.stock(trip, 0, 1)
	trip.Classes[0].Price = 124
	d.buy(trip, "ADA", 4)
	d.stock(trip, 4, 1)
	if _, all := d.All(); len(all) != 2 || d.balance("ADA") != 3 {
		t.Errorf("%v", all)
	}
}

// At each moment around an end, what may be done.
func TestTimes(t *testing.T) {
	t.Parallel()
	const moment = time.Microsecond
	t.Run("confirmation", func(t *testing.T) {
		for at, code := range map[time.Duration]problem.Code{10*time.Minute - moment: "", 10 * time.Minute: problem.PurchaseExpired, 10*time.Minute + moment: problem.PurchaseExpired} {
			trip := train(seats(100, 5))
			d := newDesk(t, map[string]money.Amount{"ADA": 1000}, trip)
			p := d.hold(trip, "ADA", 1)
			d.now = noon.Add(at)
			if _, refusal := d.confirm(p); code == "" && refusal != nil || code != "" && (refusal == nil || refusal.Code != code) {
				t.Errorf("%v: %v, want %q", at, refusal, code)
			}
		}
	})
	t.Run("expiry", func(t *testing.T) {
		for at, want := range map[time.Duration]int{10*time.Minute - moment: 0, 10 * time.Minute: 1, time.Hour: 1} {
			trip := train(seats(100, 5))
			d := newDesk(t, map[string]money.Amount{"ADA": 1000}, trip)
			p := d.hold(trip, "ADA", 2)
			d.now = noon.Add(at)
			if expired := d.expire(p); len(expired) != want {
				t.Errorf("%v: %v", at, expired)
			}
			d.stock(trip, 0, int64(2*(1-want)))
			if again := d.expire(p, p); want == 1 && len(again) != 0 {
				t.Errorf("expired twice: %v", again)
			}
			d.sound()
		}
	})
	t.Run("departure ends holding", func(t *testing.T) {
		trip := train(seats(100, 5))
		d := newDesk(t, map[string]money.Amount{"ADA": 1000}, trip)
		d.now = trip.DepartsAt.Add(-moment)
		p := d.hold(trip, "ADA", 1)
		if !p.ExpiresAt.Equal(trip.DepartsAt) {
			t.Errorf("held until %v", p.ExpiresAt)
		}
		d.now = trip.DepartsAt
		none, refusal := d.confirm(p)
		refused(t, none, refusal, problem.PurchaseExpired)
		none, refusal = d.cancel(p)
		refused(t, none, refusal, problem.PurchaseEnded)
	})
	t.Run("departs earlier than it did", func(t *testing.T) {
		trip := train(seats(100, 5))
		d := newDesk(t, map[string]money.Amount{"ADA": 1000}, trip)
		p := d.hold(trip, "ADA", 1)
		trip.DepartsAt = noon.Add(time.Minute)
		d.now = trip.DepartsAt
		none, refusal := d.confirm(p)
		refused(t, none, refusal, problem.Departed)
		if p, refusal := d.cancel(p); refusal != nil || p.Status != Cancelled {
			t.Errorf("%v", refusal)
		}
	})
	t.Run("refund", func(t *testing.T) {
		for _, tt := range []struct {
			minutes, bps int
			before       time.Duration
			code         problem.Code
		}{
			{0, 10_000, moment, ""}, {0, 10_000, 0, problem.Departed}, {0, 10_000, -moment, problem.Departed},
			{60, 1, time.Hour + moment, ""}, {60, 10_000, time.Hour, problem.RefundClosed}, {60, 10_000, time.Minute, problem.RefundClosed}, {60, 10_000, 0, problem.Departed},
			{0, 0, time.Hour, problem.RefundClosed}, {MaxRefundMinutes, 10_000, time.Hour, problem.RefundClosed},
		} {
			trip := train(seats(100, 5))
			d := newDesk(t, map[string]money.Amount{"ADA": 1000}, trip)
			p := d.buy(trip, "ADA", 1)
			trip.RefundMinutes, trip.RefundBps = tt.minutes, tt.bps
			d.now = trip.DepartsAt.Add(-tt.before)
			back, refusal := d.cancel(p)
			if tt.code != "" {
				refused(t, back, refusal, tt.code)
				d.stock(trip, 1, 0)
				continue
			}
			if refusal != nil || back.Status != Refunded {
				t.Errorf("%+v: %v", tt, refusal)
			}
			d.sound()
		}
	})
}

// What may be done to a purchase in each state.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		confirm, cancel problem.Code
		make            func(d *desk, trip *Trip) *Purchase
	}{
		{"paid", problem.PurchaseNotHeld, "", func(d *desk, trip *Trip) *Purchase { return d.buy(trip, "ADA", 1) }},
		{"cancelled", problem.PurchaseNotHeld, problem.PurchaseEnded, func(d *desk, trip *Trip) *Purchase { p, _ := d.cancel(d.hold(trip, "ADA", 1)); return p }},
		{"refunded", problem.PurchaseNotHeld, problem.PurchaseEnded, func(d *desk, trip *Trip) *Purchase { p, _ := d.cancel(d.buy(trip, "ADA", 1)); return p }},
		{"expired", problem.PurchaseExpired, problem.PurchaseEnded, func(d *desk, trip *Trip) *Purchase {
			p := d.hold(trip, "ADA", 1)
			d.now = p.ExpiresAt
			return d.expire(p)[0]
		}},
		{"closed", "", "", func(d *desk, trip *Trip) *Purchase { p := d.hold(trip, "ADA", 1); trip.Closed = true; return p }},
	} {
		for verb, code := range map[string]problem.Code{"confirm": tt.confirm, "cancel": tt.cancel} {
			trip := train(seats(100, 5))
			d := newDesk(t, map[string]money.Amount{"ADA": 1000, "BOB": 1000}, trip)
			p := tt.make(d, trip)
			before := *p
			stranger := change(p)
			none, refusal := d.Confirm(d.cause("BOB"), stranger)
			refused(t, none, refusal, problem.UnknownPurchase)
			none, refusal = d.Cancel(d.cause("BOB"), stranger)
			refused(t, none, refusal, problem.UnknownPurchase)
			if *p != before {
				t.Errorf("%s: a stranger changed it: %+v", tt.name, p)
			}
			t.Log(tt.name, verb)
			if verb == "confirm" {
				none, refusal = d.confirm(p)
			} else {
				none, refusal = d.cancel(p)
			}
			if code != "" {
				refused(t, none, refusal, code)
				if *p != before {
					t.Errorf("%s: refused, and changed: %+v", tt.name, p)
				}
			} else if refusal != nil {
				t.Errorf("%s: %v", tt.name, refusal)
			}
			d.sound()
		}
	}
}

// A confirmation that cannot be paid leaves the tickets held.
func TestUnpaidStaysHeld(t *testing.T) {
	t.Parallel()
	trip := train(seats(100, 5))
	d := newDesk(t, map[string]money.Amount{"ADA": 199}, trip)
	p := d.hold(trip, "ADA", 2)
	none, refusal := d.confirm(p)
	refused(t, none, refusal, problem.InsufficientFunds)
	if p.Status != Held || !p.PaidBy.IsZero() {
		t.Errorf("%+v", p)
	}
	d.stock(trip, 0, 2)
	d.sound()
}

// What costs nothing moves no money, and is paid all the same.
func TestFreeTickets(t *testing.T) {
	t.Parallel()
	trip := train(seats(0, 5))
	d := newDesk(t, map[string]money.Amount{"ADA": 0}, trip)
	p := d.buy(trip, "ADA", 1)
	held := d.hold(trip, "ADA", 2)
	if _, refusal := d.confirm(held); refusal != nil || held.PaidBy.IsZero() {
		t.Fatal(refusal)
	}
	if back, refusal := d.cancel(p); refusal != nil || back.Status != Refunded || back.Refunded != 0 || back.RefundedBy.IsZero() {
		t.Errorf("%v %v", back, refusal)
	}
	d.stock(trip, 2, 0)
	if len(d.Ledger.Entries) != 0 {
		t.Errorf("%+v", d.Ledger.Entries)
	}
	d.sound()
}

// The dearest purchase, and a refund to an account that has no room for it.
func TestMost(t *testing.T) {
	t.Parallel()
	trip := train(seats(MaxPrice, MaxStock))
	d := newDesk(t, map[string]money.Amount{"ADA": money.MaxBalance}, trip)
	p := d.buy(trip, "ADA", MaxQuantity)
	if p.Total() != money.Max || d.balance("ADA") != money.MaxBalance-money.Max {
		t.Errorf("%+v", p)
	}
	d.Ledger.Account("ADA").Balance += money.Max
	none, refusal := d.cancel(p)
	refused(t, none, refusal, problem.BalanceLimit)
	d.stock(trip, MaxQuantity, 0)
	d.Ledger.Account("ADA").Balance -= money.Max
	if back, refusal := d.cancel(p); refusal != nil || back.Refunded != money.Max {
		t.Errorf("%v", refusal)
	}
	d.sound()
}

func TestRefund(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		total money.Amount
		bps   int
		want  money.Amount
	}{
		{0, 10_000, 0}, {1, 10_000, 1}, {1, 5000, 1}, {1, 4999, 0}, {3, 5000, 2}, {10_000, 1, 1}, {4999, 1, 0}, {5000, 1, 1}, {14_999, 1, 1}, {15_000, 1, 2}, {100, 0, 0},
		{money.Max, 10_000, money.Max}, {money.Max, 9_999, money.Max - money.Max/10_000}, {money.Max - 1, 1, money.Max / 10_000}, {money.MaxBalance, 10_000, money.MaxBalance},
	} {
		if got := Refund(tt.total, tt.bps); got != tt.want {
			t.Errorf("%d bps of %d are %d, want %d", tt.bps, tt.total, got, tt.want)
		}
	}
}
