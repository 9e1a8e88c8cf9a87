package main

import (
	"net/http"
	"testing"
)

// The worked example of the exchange: user 1 buys 50 TCB at 32 and user 2 sells them.
func TestExchangeWorkedExample(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB")
		buyer, seller := f.trader(10_000, 0), f.trader(0, 80, "TCB")
		hers, his := buyer.follow("").ready(), seller.follow("").ready()

		bid := buyer.place(limit("TCB", "buy", 50, 32)).is(t, "open", 0, 50, 0)
		if bid.Type != "limit" || bid.TimeInForce != "gtc" || bid.PostOnly || *bid.Price != 32 || bid.ClientOrderID != nil {
			t.Errorf("what was left out: %+v", bid)
		}
		buyer.has(10_000, 1600)
		seller.get("/v1/orders/"+bid.ID).problem(t, http.StatusNotFound, "unknown_order")
		offer := seller.place(limit("TCB", "sell", 50, 32)).is(t, "filled", 50, 0, 0)

		buyer.has(8400, 0)
		buyer.holds("TCB", 50, 0)
		seller.has(1440, 0)
		seller.holds("TCB", 30, 0)
		if fees := h.fees("TCB"); fees != 160 {
			t.Errorf("fees are %d", fees)
		}
		expectFill(t, buyer, hers, fill{ID: "TCB-1-buy", OrderID: bid.ID, Symbol: "TCB", Side: "buy", Quantity: 50, Price: 32, Liquidity: "maker"})
		expectFill(t, seller, his, fill{ID: "TCB-1-sell", OrderID: offer.ID, Symbol: "TCB", Side: "sell", Quantity: 50, Price: 32, Fee: 160, Liquidity: "taker"})
		buyer.order(bid.ID).is(t, "filled", 50, 0, 0)

		trades := allOf[trade](buyer, "/v1/symbols/TCB/trades?limit=50")
		if len(trades) != 1 || trades[0].ID != "TCB-1" || trades[0].Price != 32 || trades[0].Quantity != 50 || trades[0].TakerSide != "sell" {
			t.Errorf("the tape: %+v", trades)
		}
		if b := buyer.book("TCB"); len(b.Bids)+len(b.Asks) != 0 || b.Sequence != 2 {
			t.Errorf("the book: %+v", b)
		}
		for c, amount := range map[*client]int64{buyer: -1600, seller: 1440} {
			lines := c.statement(50, nothing)
			if lines[0].Kind != "trade" || lines[0].Amount != amount || lines[0].Reference == nil || *lines[0].Reference != "TCB-1" {
				t.Errorf("the statement: %+v", lines[0])
			}
		}
		h.audit()
	})
}

// expectFill wants one fill, in the list and on the feed.
func expectFill(t *testing.T, c *client, feed *feedReader, want fill) {
	t.Helper()
	listed := c.fills("")
	entries := feed.until(func(e feedEntry) bool { return e.Event == "order.filled" })
	told := decode[fill](t, entries[len(entries)-1])
	if !told.OrderComplete {
		t.Errorf("the order is not said to be complete: %+v", told)
	}
	if len(listed) != 1 || !listed[0].At.Equal(told.At) {
		t.Fatalf("listed %+v, told %+v", listed, told)
	}
	want.At, listed[0].At, told.OrderComplete = told.At, told.At, false
	if listed[0] != want || told != want {
		t.Errorf("listed %+v\ntold   %+v\nwant   %+v", listed[0], told, want)
	}
}

// What ends well: each kind of order, and what becomes of it.
func TestExchangeOrders(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("LIM", "MKT", "IOC", "FOK", "PST", "STP")
		for name, test := range map[string]func(*testing.T, *floor){
			"limit": limitOrders, "market": marketOrders, "ioc": immediateOrders, "fok": fillOrKillOrders, "post-only": postOnlyOrders, "self-trade": selfTrades,
		} {
			t.Run(name, func(t *testing.T) {
				here := *f
				here.TB = t
				here.admin = f.admin.of(t)
				test(t, &here)
			})
		}
		h.audit()
	})
}

// of is the same person in another test.
func (c *client) of(t testing.TB) *client {
	other := *c
	other.TB = t
	return &other
}

// Best price first, then first come, first served, at the price of the order that rests; what the limit was better is given back.
func limitOrders(t *testing.T, f *floor) {
	early, late, cheap, buyer := f.trader(0, 10, "LIM"), f.trader(0, 10, "LIM"), f.trader(0, 10, "LIM"), f.trader(2000, 0)
	first := early.place(limit("LIM", "sell", 10, 30))
	second := late.place(limit("LIM", "sell", 10, 30))
	best := cheap.place(limit("LIM", "sell", 5, 20))
	bid := buyer.place(limit("LIM", "buy", 40, 40)).is(t, "open", 25, 15, 0)
	buyer.has(2000-5*20-20*30, 15*40)
	buyer.holds("LIM", 25, 0)
	for c, o := range map[*client]shareOrder{early: first, late: second, cheap: best} {
		c.order(o.ID).is(t, "filled", o.Quantity, 0, 0)
		c.holds("LIM", 10-o.Quantity, 0)
	}
	var met []string
	for _, one := range buyer.fills("&order=" + bid.ID) {
		met = append(met, one.ID)
		if one.Liquidity != "taker" || one.Fee != 0 {
			t.Errorf("%+v", one)
		}
	}
	if len(met) != 3 || met[0] != "LIM-3-buy" || met[2] != "LIM-1-buy" {
		t.Errorf("newest first: %v", met)
	}
	if own := early.fills(""); len(own) != 1 || own[0].ID != "LIM-2-sell" || own[0].Fee != 30 {
		t.Errorf("who came first is served first: %+v", own)
	}
	if own := late.fills(""); len(own) != 1 || own[0].ID != "LIM-3-sell" {
		t.Errorf("who came second is served second: %+v", own)
	}
	cheap.place(limit("LIM", "sell", 5, 1)).is(t, "filled", 5, 0, 0) // at 40: the bid rested
	cheap.has(90+180, 0)
	buyer.order(bid.ID).is(t, "open", 30, 10, 0)
	buyer.has(2000-5*20-20*30-5*40, 10*40)
	buyer.cancel(bid.ID).Result.is(t, "cancelled", 30, 0, 10)
	buyer.has(2000-5*20-20*30-5*40, 0)
}

// A market order takes what there is, as far as the cash goes, and never rests.
func marketOrders(t *testing.T, f *floor) {
	seller, buyer := f.trader(0, 100, "MKT"), f.trader(100, 0)
	if o := buyer.place(market("MKT", "buy", 5)).is(t, "cancelled", 0, 0, 5); o.Price != nil || o.TimeInForce != "ioc" {
		t.Errorf("%+v", o)
	}
	seller.place(market("MKT", "sell", 5)).is(t, "cancelled", 0, 0, 5)
	seller.place(limit("MKT", "sell", 5, 10))
	seller.place(limit("MKT", "sell", 20, 15))
	buyer.place(market("MKT", "buy", 20)).is(t, "cancelled", 8, 0, 12) // 5 at 10 and 3 at 15: 95, and another would be 110
	buyer.has(5, 0)
	buyer.holds("MKT", 8, 0)
	buyer.place(market("MKT", "buy", 1)).is(t, "cancelled", 0, 0, 1)
	rich := f.trader(1000, 0)
	rich.rejected(market("MKT", "buy", 18).with("time_in_force", "fok"), "fok_not_fillable")
	rich.place(market("MKT", "buy", 17).with("time_in_force", "fok")).is(t, "filled", 17, 0, 0)
	rich.place(limit("MKT", "buy", 10, 2))
	seller.place(market("MKT", "sell", 4)).is(t, "filled", 4, 0, 0)
	seller.place(market("MKT", "sell", 70)).is(t, "cancelled", 6, 0, 64)
	seller.holds("MKT", 100-25-10, 0)
	rich.has(1000-17*15-10*2, 0)
}

// What an IOC order does not get at once is cancelled.
func immediateOrders(t *testing.T, f *floor) {
	seller, buyer := f.trader(0, 100, "IOC"), f.trader(1000, 0)
	ioc := func(side string, quantity, price int64) terms {
		return limit("IOC", side, quantity, price).with("time_in_force", "ioc")
	}
	buyer.place(ioc("buy", 10, 10)).is(t, "cancelled", 0, 0, 10)
	seller.place(limit("IOC", "sell", 6, 10))
	seller.place(limit("IOC", "sell", 6, 11))
	buyer.place(ioc("buy", 10, 10)).is(t, "cancelled", 6, 0, 4)
	buyer.place(ioc("buy", 6, 11)).is(t, "filled", 6, 0, 0)
	buyer.has(1000-60-66, 0)
	seller.place(ioc("sell", 10, 10)).is(t, "cancelled", 0, 0, 10)
	seller.holds("IOC", 88, 0)
	if b := buyer.book("IOC"); len(b.Bids)+len(b.Asks) != 0 {
		t.Errorf("%+v", b)
	}
}

// A FOK order is filled at once and whole, or leaves no trace.
func fillOrKillOrders(t *testing.T, f *floor) {
	seller, other, buyer := f.trader(0, 100, "FOK"), f.trader(100, 100, "FOK"), f.trader(1000, 0)
	seller.place(limit("FOK", "sell", 6, 10))
	other.place(limit("FOK", "sell", 6, 11))
	before, theirs := buyer.state("FOK"), seller.state("FOK")
	fok := func(quantity, price int64) terms {
		return limit("FOK", "buy", quantity, price).with("time_in_force", "fok")
	}
	buyer.rejected(fok(13, 11).with("client_order_id", "mine"), "fok_not_fillable")
	buyer.rejected(fok(7, 10), "fok_not_fillable")
	buyer.rejected(fok(1, 9), "fok_not_fillable")
	other.rejected(fok(8, 11), "fok_not_fillable") // own orders are in the way
	if buyer.state("FOK") != before || seller.state("FOK") != theirs {
		t.Errorf("a refusal left a trace: %s\nbefore: %s", buyer.state("FOK"), before)
	}
	buyer.place(fok(7, 11).with("client_order_id", "mine")).is(t, "filled", 7, 0, 0)
	buyer.has(1000-60-11, 0)
}

// A post-only order rests or is refused.
func postOnlyOrders(t *testing.T, f *floor) {
	seller, buyer := f.trader(0, 100, "PST"), f.trader(1000, 0)
	only := func(side string, price int64) terms { return limit("PST", side, 5, price).with("post_only", true) }
	if o := seller.place(only("sell", 20)).is(t, "open", 0, 5, 0); !o.PostOnly {
		t.Errorf("%+v", o)
	}
	before := buyer.state("PST")
	buyer.rejected(only("buy", 20), "post_only_would_cross")
	buyer.rejected(only("buy", 21), "post_only_would_cross")
	if after := buyer.state("PST"); after != before {
		t.Errorf("a refusal left a trace: %s\nbefore: %s", after, before)
	}
	buyer.place(only("buy", 19)).is(t, "open", 0, 5, 0)
	seller.rejected(only("sell", 19), "post_only_would_cross")
	seller.place(limit("PST", "sell", 1, 19)).is(t, "filled", 1, 0, 0)
}

// Nobody trades with themselves: the newer order is cancelled with what remains of it.
func selfTrades(t *testing.T, f *floor) {
	both, other := f.trader(1000, 100, "STP"), f.trader(1000, 100, "STP")
	other.place(limit("STP", "sell", 5, 10))
	own := both.place(limit("STP", "sell", 10, 11))
	other.place(limit("STP", "sell", 5, 12))
	feed := both.follow("").ready()
	bid := both.place(limit("STP", "buy", 20, 12)).is(t, "cancelled", 5, 0, 15)
	both.order(own.ID).is(t, "open", 0, 10, 0)
	both.has(1000-50, 0)
	both.holds("STP", 105, 10)
	told := feed.finished(bid.ID)
	if cancelled := ofEvent[shareOrder](t, told, "order.canceled"); len(cancelled) != 1 || cancelled[0].ID != bid.ID || cancelled[0].Cancelled != 15 {
		told = append(told, feed.until(func(e feedEntry) bool { return e.Event == "order.canceled" })...)
		t.Logf("told after the end: %s", brief(told))
	}
	both.place(market("STP", "buy", 3)).is(t, "cancelled", 0, 0, 3)
	other.place(market("STP", "buy", 10)).is(t, "filled", 10, 0, 0)
}
