package main

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
)

func TestExchangeCancellations(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB", "LOOM")
		ada, grace := f.trader(10_000, 100, "TCB", "LOOM"), f.trader(10_000, 100, "TCB")
		feed := ada.follow("").ready()

		bid := ada.place(limit("TCB", "buy", 10, 20))
		offer := ada.place(limit("TCB", "sell", 10, 40))
		if o := ada.cancel(bid.ID); o.Status != "succeeded" {
			t.Fatalf("%+v", o)
		} else {
			o.Result.is(t, "cancelled", 0, 0, 10)
		}
		ada.has(10_000, 0)
		ada.cancel(offer.ID).Result.is(t, "cancelled", 0, 0, 10)
		ada.holds("TCB", 100, 0)
		for _, want := range []string{bid.ID, offer.ID} {
			told := feed.until(func(e feedEntry) bool { return e.Event == "order.canceled" })
			if got := decode[shareOrder](t, told[len(told)-1]); got.ID != want || got.Cancelled != 10 || got.Status != "cancelled" {
				t.Errorf("told of %+v", got)
			}
		}

		// What cannot be cancelled: what has ended, is another's, is not there, or was refused.
		ada.notCancelled(bid.ID, "order_not_open")
		whole := ada.place(limit("TCB", "buy", 10, 30))
		grace.place(limit("TCB", "sell", 10, 30)).is(t, "filled", 10, 0, 0)
		ada.notCancelled(whole.ID, "order_not_open")
		part := ada.place(limit("TCB", "buy", 10, 30))
		grace.place(limit("TCB", "sell", 4, 30)).is(t, "filled", 4, 0, 0)
		for _, id := range []string{part.ID, whole.ID} {
			grace.do(http.MethodDelete, "/v1/orders/"+id, nil, wait).problem(t, http.StatusNotFound, "unknown_order")
		}
		for _, id := range []string{"x", "00000000-0000-0000-0000-000000000000", part.ID + "0", ada.deposit(1).ID} {
			ada.do(http.MethodDelete, "/v1/orders/"+id, nil, wait).problem(t, http.StatusNotFound, "unknown_order")
		}
		ada.order(part.ID).is(t, "open", 4, 6, 0)
		ada.cancel(part.ID).Result.is(t, "cancelled", 4, 0, 6)
		ada.has(10_001-300-120, 0)
		ada.notCancelled(ada.submit(limit("TCB", "buy", 1000, 30)).ID, "unknown_order")

		cancelAll(t, ada, grace)
		cancelInLine(t, f, ada)
		h.audit()
	})
}

func cancelAll(t *testing.T, ada, grace *client) {
	t.Helper()
	if n := ada.cancelAll("TCB"); n != 0 {
		t.Errorf("%d orders of none", n)
	}
	for price := range int64(5) {
		ada.place(limit("TCB", "buy", 2, 10+price))
		ada.place(limit("TCB", "sell", 2, 50+price))
	}
	elsewhere := ada.place(limit("LOOM", "sell", 1, 50))
	hers := grace.place(limit("TCB", "sell", 5, 50))
	grace.place(limit("TCB", "sell", 2, 14)).is(t, "filled", 2, 0, 0)
	if n := ada.cancelAll("TCB"); n != 9 {
		t.Errorf("%d orders cancelled, want 9", n)
	}
	if open := allOf[shareOrder](ada, "/v1/orders?limit=200&status=open"); len(open) != 1 || open[0].ID != elsewhere.ID {
		t.Errorf("still open: %+v", open)
	}
	grace.order(hers.ID).is(t, "open", 0, 5, 0)
	ada.has(10_001-300-120-28, 0)
	ada.holds("TCB", 116, 0)
	ada.do(http.MethodDelete, "/v1/orders?symbol=NONE", nil, wait).problem(t, http.StatusNotFound, "unknown_symbol")
	ada.do(http.MethodDelete, "/v1/orders", nil, wait).expect(t, http.StatusUnprocessableEntity)
	grace.cancelAll("TCB")
}

// What waits in line can be cancelled: the cancellation comes after it.
func cancelInLine(t *testing.T, f *floor, ada *client) {
	t.Helper()
	f.admin.pauseLane("exchange-0", true)
	good := ada.post("/v1/orders", limit("TCB", "buy", 10, 20)).operation(t, http.StatusAccepted)
	bad := ada.post("/v1/orders", limit("TCB", "buy", 10, 20_000)).operation(t, http.StatusAccepted)
	var cancellations []outcome
	for _, id := range []string{good.ID, good.ID, bad.ID} {
		cancellations = append(cancellations, ada.do(http.MethodDelete, "/v1/orders/"+id, nil).operation(t, http.StatusAccepted))
	}
	f.admin.pauseLane("exchange-0", false)
	for i, want := range []string{"", "order_not_open", "unknown_order"} {
		o := ada.get("/v1/operations/"+cancellations[i].ID+"?wait=30").operation(t, http.StatusOK)
		if (o.Problem == nil) != (want == "") || o.Problem != nil && o.Problem.Code != want {
			t.Errorf("cancellation %d: %+v %+v, want %q", i, o, o.Problem, want)
		}
	}
	ada.order(good.ID).is(t, "cancelled", 0, 0, 10)
}

// A cancellation races a fill, many times: one of them wins, and never both.
func TestExchangeCancelRacesFill(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const pairs, rounds, quantity = 4, 25, 3
		f := h.openExchange("RACE")
		makers, takers := f.traders(pairs, 0, 1000, "RACE"), f.traders(pairs, 100_000, 0)
		filled, cancelled := make([]int64, pairs), make([]int64, pairs)
		var all sync.WaitGroup
		for i := range pairs { // each at a price of their own, so that they meet nobody else
			all.Go(func() {
				price := int64(100 + i)
				for range rounds {
					offer := makers[i].place(limit("RACE", "sell", quantity, price))
					var taken shareOrder
					var withdrawn orderOutcome
					var both sync.WaitGroup
					both.Go(func() {
						taken = takers[i].place(limit("RACE", "buy", quantity, price).with("time_in_force", "ioc"))
					})
					both.Go(func() { withdrawn = makers[i].cancel(offer.ID) })
					both.Wait()
					after := makers[i].order(offer.ID)
					// The buyer may have met a cheaper offer of others, and others this one.
					switch {
					case withdrawn.Status == "succeeded" && after.Status == "cancelled" && after.Filled+after.Cancelled == quantity:
						cancelled[i] += after.Cancelled
					case withdrawn.Status == "rejected" && withdrawn.Problem.Code == "order_not_open" && after.Status == "filled":
					default:
						t.Errorf("the order is %+v, its cancellation %+v, the buyer's %+v", after, withdrawn, taken)
					}
					filled[i] += taken.Filled
				}
			})
		}
		all.Wait()
		var bought, offered, withdrawn int64
		for i := range pairs {
			bought, withdrawn, offered = bought+filled[i], withdrawn+cancelled[i], offered+rounds*quantity
		}
		t.Logf("%d offered: %d filled, %d cancelled", offered, bought, withdrawn)
		if bought+withdrawn != offered {
			t.Errorf("%d were offered, %d filled and %d cancelled", offered, bought, withdrawn)
		}
		h.conserved(append(makers, takers...), pairs*100_000, pairs*1000, "RACE")
		h.audit()
	})
}

// A client's own order id is good for one order for ever, however many ask at once, and whatever the symbol.
func TestExchangeClientOrderIDs(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.serve("GUICHET_EXCHANGE_LANES=3").listing(h, "TCB")
		symbols := f.listOnEachLane(3)
		ada, grace := f.trader(100_000, 0), f.trader(100_000, 0)
		for round := range 3 {
			id := "order-" + strconv.Itoa(round)
			outcomes := make([]orderOutcome, 50)
			var all sync.WaitGroup
			for i := range outcomes {
				all.Go(func() {
					symbol := "TCB"
					if round > 0 { // lanes that know nothing of each other
						symbol = symbols[i%len(symbols)]
					}
					outcomes[i] = ada.submit(limit(symbol, "buy", 1, int64(1+i)).with("client_order_id", id))
				})
			}
			all.Wait()
			accepted := 0
			for _, o := range outcomes {
				switch {
				case o.Status == "succeeded":
					accepted++
				case o.Status != "rejected" || o.Problem.Code != "duplicate_client_order_id":
					t.Errorf("%+v %+v", o, o.Problem)
				}
			}
			found := allOf[shareOrder](ada, "/v1/orders?client_order_id="+id)
			if accepted != 1 || len(found) != 1 || found[0].ClientOrderID == nil || *found[0].ClientOrderID != id {
				t.Errorf("%s: %d accepted, found %+v", id, accepted, found)
			}
		}
		ada.cancelAll("TCB")
		ada.rejected(limit("TCB", "buy", 1, 1).with("client_order_id", "order-0"), "duplicate_client_order_id") // for ever
		grace.place(limit("TCB", "buy", 1, 1).with("client_order_id", "order-0"))                               // each has their own
		ada.rejected(limit("TCB", "buy", 1, 1_000_000).with("client_order_id", "order-9"), "insufficient_funds")
		ada.place(limit("TCB", "buy", 1, 1).with("client_order_id", "order-9"))
		ada.place(limit("TCB", "buy", 1, 1).with("client_order_id", "ORDER-9")) // another id
		h.audit()
	})
}
