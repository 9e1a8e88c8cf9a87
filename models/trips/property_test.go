package trips

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"guichet/models/money"
	"guichet/models/problem"
)

// Whatever is done in whatever order: the counters are what the purchases have, no ticket is sold twice, no money is made or lost, and a refusal changes nothing.
func TestWhateverIsDone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		people := []string{"ADA", "BOB", "EVE"}
		trips := []*Trip{train(seats(money.Amount(rapid.Int64Range(0, 300).Draw(rt, "price")), rapid.Int64Range(0, 12).Draw(rt, "stock")), ClassDefinition{"bed", 500, 3}), train(seats(7, 1))}
		d := newDesk(t, map[string]money.Amount{"ADA": 5000, "BOB": 400, "EVE": 0}, trips...)
		var made []*Purchase
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			before := d.snapshot()
			refusal := d.step(rt, people, trips, &made)
			d.sound()
			if refusal != nil && d.snapshot() != before {
				rt.Fatalf("%v, and something has changed: %s, before %s", refusal, d.snapshot(), before)
			}
			if t.Failed() {
				rt.FailNow()
			}
		}
	})
}

func (d *desk) step(rt *rapid.T, people []string, trips []*Trip, made *[]*Purchase) (refusal *problem.Problem) {
	who := rapid.SampledFrom(people).Draw(rt, "who")
	trip := rapid.SampledFrom(trips).Draw(rt, "trip")
	d.now = d.now.Add(time.Duration(rapid.Int64Range(0, 6).Draw(rt, "minutes")) * time.Minute)
	kind := rapid.IntRange(0, 6).Draw(rt, "kind")
	if kind > 2 && kind < 6 && len(*made) == 0 {
		kind = 0
	}
	var p *Purchase
	switch kind {
	case 0, 1, 2:
		c := d.request(trip, who, rapid.Int64Range(-1, 6).Draw(rt, "quantity"), kind == 1)
		c.Class = rapid.SampledFrom([]string{"seat", "bed", "none"}).Draw(rt, "class")
		if p, refusal = d.Purchase(d.cause(who), c); p != nil {
			*made = append(*made, p)
		}
	case 3:
		p = rapid.SampledFrom(*made).Draw(rt, "purchase")
		_, refusal = d.Confirm(d.cause(rapid.SampledFrom([]string{p.Account, who}).Draw(rt, "by")), change(p))
	case 4:
		p = rapid.SampledFrom(*made).Draw(rt, "purchase")
		_, refusal = d.Cancel(d.cause(rapid.SampledFrom([]string{p.Account, who}).Draw(rt, "by")), change(p))
	case 5:
		d.expire(*made...)
	case 6:
		return d.admin(rt, trip)
	}
	return refusal
}

// admin changes something of a trip.
func (d *desk) admin(rt *rapid.T, trip *Trip) *problem.Problem {
	c := &Change{}
	stock, price := rapid.Int64Range(0, 12).Draw(rt, "new stock"), money.Amount(rapid.Int64Range(0, 300).Draw(rt, "new price"))
	closed, bps, minutes := rapid.Bool().Draw(rt, "closed"), rapid.IntRange(0, MaxRefundBps).Draw(rt, "bps"), rapid.IntRange(0, 200).Draw(rt, "until")
	departs := noon.Add(time.Duration(rapid.Int64Range(0, 400).Draw(rt, "departs")) * time.Minute)
	switch rapid.IntRange(0, 3).Draw(rt, "what") {
	case 0:
		c.Classes = []ClassChange{{"seat", &price, &stock}}
	case 1:
		c.Closed, c.RefundBps, c.RefundMinutes = &closed, &bps, &minutes
	case 2:
		c.DepartsAt = &departs
	case 3:
		c.Classes = []ClassChange{{"bed", &price, &stock}}
	}
	definition, refusal := trip.Changed(c)
	if refusal != nil {
		return refusal
	}
	d.stamp++
	trip.Define(definition, d.stamp)
	return nil
}

// snapshot is all that a refusal may not change. Printing a map sorts it.
func (d *desk) snapshot() string {
	trips, purchases := d.All()
	counters, states, balances := map[string]string{}, map[string]string{}, map[string]money.Amount{}
	for _, t := range trips {
		counters[t.ID.String()] = fmt.Sprintf("%+v", *t)
	}
	for _, p := range purchases {
		states[p.ID.String()] = fmt.Sprintf("%+v", *p)
	}
	for number := range d.users {
		balances[number] = d.balance(number)
	}
	return fmt.Sprint(counters, states, balances, d.balance(House))
}

// A refund is what exact arithmetic says, rounded half up, and never more than the total.
func TestRefundProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		total, bps := rapid.Int64Range(0, int64(money.MaxBalance)).Draw(rt, "total"), rapid.IntRange(0, MaxRefundBps).Draw(rt, "bps")
		exact := new(big.Int).Mul(big.NewInt(total), big.NewInt(int64(bps)))
		exact.Add(exact, big.NewInt(MaxRefundBps/2)).Div(exact, big.NewInt(MaxRefundBps))
		if got := Refund(money.Amount(total), bps); int64(got) != exact.Int64() || got < 0 || int64(got) > total {
			rt.Errorf("%d bps of %d are %d, want %s", bps, total, got, exact)
		}
	})
}
