package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"guichet/models/exchange"
)

// listOnEachLane lists a symbol for each lane of the exchange.
func (f *floor) listOnEachLane(lanes int) []string {
	f.Helper()
	symbols := make([]string, lanes)
	for n, found := 0, 0; found < lanes; n++ {
		symbol := fmt.Sprint("S", n)
		for lane := range lanes {
			if symbols[lane] == "" && exchange.LaneOf(symbol, lanes) == exchange.LaneName(lane) {
				symbols[lane] = symbol
				f.admin.list(symbol)
				found++
			}
		}
	}
	return symbols
}

// anyOrder is what somebody might ask for, around a price of 50.
func anyOrder(random *rand.Rand, symbol string) terms {
	side := []string{"buy", "sell"}[random.IntN(2)]
	order := limit(symbol, side, 1+random.Int64N(9), 45+random.Int64N(11))
	switch random.IntN(10) {
	case 0:
		return market(symbol, side, 1+random.Int64N(9))
	case 1:
		return order.with("time_in_force", "ioc")
	case 2:
		return order.with("time_in_force", "fok")
	case 3:
		return order.with("post_only", true)
	}
	return order
}

// refusals that an order of the crowd may meet.
var refusals = []string{"insufficient_funds", "insufficient_shares", "post_only_would_cross", "fok_not_fillable"}

// act does one thing as somebody in a crowd would.
func (c *client) act(random *rand.Rand, symbol string, own *[]string) {
	c.Helper()
	if len(*own) > 0 && random.IntN(4) == 0 {
		n := random.IntN(len(*own))
		if o := c.cancel((*own)[n]); o.Status != "succeeded" && (o.Problem == nil || o.Problem.Code != "order_not_open") {
			c.Errorf("%+v %+v", o, o.Problem)
		}
		*own = slices.Delete(*own, n, n+1)
		return
	}
	o := c.submit(anyOrder(random, symbol))
	switch {
	case o.Status == "succeeded":
		o.Result.checkSum(c)
		if o.Result.Status == "open" {
			*own = append(*own, o.ID)
		}
	case o.Status != "rejected" || !slices.Contains(refusals, o.Problem.Code):
		c.Errorf("%+v %+v", o, o.Problem)
	}
}

// Hundreds of clients at once on one symbol: cash and shares are conserved, and what is held is what open orders require.
func TestExchangeCrowdOnOneSymbol(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const people, clientsEach, callsEach, cash, shares = 8, 40, 4, 1500, 30
		f := h.openExchange("HOT")
		crowd := f.traders(people, cash, shares, "HOT")
		h.crowd(crowd, clientsEach, callsEach, "HOT")
		h.conserved(crowd, people*cash, people*shares, "HOT")
		b := crowd[0].book("HOT")
		if len(b.Bids) > 0 && len(b.Asks) > 0 && b.Bids[0].Price >= b.Asks[0].Price {
			t.Errorf("the book is crossed: %+v", b)
		}
		for _, c := range crowd {
			c.settled("HOT")
		}
		var volume int64
		trades := allOf[trade](crowd[0], "/v1/symbols/HOT/trades?limit=200")
		for i, one := range trades {
			volume += one.Quantity
			if want := fmt.Sprint("HOT-", len(trades)-i); one.ID != want {
				t.Errorf("trade %s stands where %s should", one.ID, want)
			}
		}
		t.Logf("%d trades of %d shares", len(trades), volume)
		h.audit()
	})
}

// crowd lets each of the people act through so many clients at once.
func (h *house) crowd(people []*client, clientsEach, callsEach int, symbols ...string) {
	h.Helper()
	var all sync.WaitGroup
	for i := range len(people) * clientsEach {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3)) //nolint:gosec // a seed
			var own []string
			for range callsEach {
				people[i%len(people)].act(random, symbols[random.IntN(len(symbols))], &own)
			}
		})
	}
	all.Wait()
}

// settled wants what the client's orders say to be what their fills sum to, and what is held to be what their open orders require.
func (c *client) settled(symbols ...string) {
	c.Helper()
	filled := map[string]int64{}
	for _, one := range c.fills("") {
		filled[one.OrderID] += one.Quantity
	}
	var cash int64
	shares := map[string]int64{}
	for _, o := range allOf[shareOrder](c, "/v1/orders?limit=200") {
		o.checkSum(c)
		if filled[o.ID] != o.Filled {
			c.Errorf("%+v has fills of %d", o, filled[o.ID])
		}
		delete(filled, o.ID)
		if o.Side == "buy" && o.Status == "open" {
			cash += o.Remaining * *o.Price
		} else {
			shares[o.Symbol] += o.Remaining
		}
	}
	if len(filled) > 0 {
		c.Errorf("fills of no order: %v", filled)
	}
	if got := c.cash(); got.Held != cash {
		c.Errorf("%+v, and open orders require %d", got, cash)
	}
	for _, symbol := range symbols {
		if got := c.holding(symbol); got.Held != shares[symbol] {
			c.Errorf("%+v, and open orders offer %d", got, shares[symbol])
		}
	}
}

// Symbols on several lanes, traded at once by the same people with the same cash.
func TestExchangeOnSeveralLanes(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const lanes, people, cash, shares = 3, 6, 3000, 30
		h.settings = append(h.settings, "GUICHET_EXCHANGE_LANES=3")
		f := h.openExchange()
		symbols := f.listOnEachLane(lanes)
		crowd := f.traders(people, cash, shares, symbols...)
		for n, symbol := range symbols {
			if o := crowd[0].submit(limit(symbol, "buy", 1, 1)); o.Lane != exchange.LaneName(n) {
				t.Errorf("an order of %s is served by %s", symbol, o.Lane)
			}
		}
		h.crowd(crowd, 15, 4, symbols...)
		h.conserved(crowd, people*cash, people*shares, symbols...)
		for _, c := range crowd {
			c.settled(symbols...)
		}
		if o := crowd[0].submit(limit("NONE", "buy", 1, 1)); o.Status != "rejected" || o.Problem.Code != "unknown_symbol" {
			t.Errorf("%+v", o)
		}
		h.audit()

		// The books are made again from what is open.
		before := make([]book, lanes)
		for n, symbol := range symbols {
			before[n] = crowd[0].book(symbol)
		}
		f.kill()
		again := h.serve()
		for n, symbol := range symbols {
			ada := crowd[0].at(again)
			if after := ada.book(symbol); fmt.Sprint(after) != fmt.Sprint(before[n]) {
				t.Errorf("the book was %+v and is %+v", before[n], after)
			}
			crowd[n].at(again).act(rand.New(rand.NewPCG(5, uint64(n))), symbol, new([]string))
		}
		h.crowd([]*client{crowd[0].at(again), crowd[1].at(again)}, 10, 2, symbols...)
		h.audit()
	})
}

// The same key is the same order, told again; another body under it is refused.
func TestExchangeIdempotency(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB")
		ada := f.trader(1000, 0)
		order := limit("TCB", "buy", 1, 10)
		first := ada.submit(order, key("one"))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				a := ada.post("/v1/orders", order, key("one"), wait)
				if o := a.operation(t, http.StatusOK); o.ID != first.ID || !a.replayed() {
					t.Errorf("%v %s", a.header, a.body)
				}
			})
		}
		all.Wait()
		ada.has(1000, 10)
		ada.post("/v1/orders", order.with("price", 11), key("one")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		refused := limit("TCB", "buy", 1, 10_000)
		o := ada.submit(refused, key("two"))
		ada.deposit(100_000)
		if again := ada.submit(refused, key("two")); again.ID != o.ID || again.Status != "rejected" { // what was refused stays refused
			t.Errorf("%+v", again)
		}
		cancelled := ada.cancel(first.ID, key("three"))
		if again := ada.cancel(first.ID, key("three")); again.ID != cancelled.ID || again.Status != "succeeded" {
			t.Errorf("%+v", again)
		}
		symbol := map[string]any{"symbol": "NEW", "name": "of tests", "tick": 1, "lot": 1}
		f.admin.post("/v1/symbols", symbol, key("four")).expect(t, http.StatusCreated)
		if a := f.admin.post("/v1/symbols", symbol, key("four")).expect(t, http.StatusCreated); !a.replayed() {
			t.Errorf("%v", a.header)
		}
		f.admin.post("/v1/symbols", symbol).problem(t, http.StatusConflict, "symbol_taken")
		grant := map[string]any{"account": ada.account, "quantity": 5}
		for range 3 {
			f.admin.post("/v1/symbols/NEW/issues", grant, key("five"), wait).expect(t, http.StatusOK)
		}
		ada.holds("NEW", 5, 0)
		h.audit()
	})
}
