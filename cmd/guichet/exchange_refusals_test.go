package main

import (
	"fmt"
	"net/http"
	"testing"
)

// Each refusal comes before those after it: an order that is wrong in every way is mended step by step.
func TestExchangeOrderOfTheChecks(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange()
		for symbol, fee := range map[string]int{"ODD": 1000, "HLT": 1000} {
			f.admin.post("/v1/symbols", map[string]any{"symbol": symbol, "name": "of tests", "tick": 5, "lot": 10, "fee_bps": fee}).expect(t, http.StatusCreated)
		}
		maker := f.trader(100_000, 100, "ODD")
		maker.place(limit("ODD", "sell", 10, 50))
		maker.place(limit("ODD", "buy", 10, 40))
		poor := f.trader(1000, 20, "ODD")
		poor.place(limit("ODD", "buy", 10, 5).with("client_order_id", "used"))
		full := f.trader(0, 100, "ODD")
		for range maxBalance / maxAmount {
			full.deposit(maxAmount)
		}
		full.deposit(maxBalance % maxAmount)
		f.admin.issue("HLT", poor, 20)
		f.admin.halt("HLT", true)

		wrong := limit("NONE", "sell", 15, 52).with("client_order_id", "used")
		fresh := wrong.with("client_order_id", "fresh").with("symbol", "ODD")
		const huge = 1_000_000_000_000
		steps := []struct {
			who   *client
			order terms
			code  string
		}{
			{poor, wrong, "unknown_symbol"},
			{poor, wrong.with("symbol", "HLT"), "symbol_halted"},
			{poor, wrong.with("symbol", "ODD"), "duplicate_client_order_id"},
			{poor, fresh, "invalid_lot"},
			{poor, fresh.with("quantity", huge), "invalid_tick"},
			{poor, fresh.with("quantity", huge).with("price", huge), "insufficient_shares"},
			{poor, fresh.with("quantity", huge).with("price", huge).with("side", "buy"), "notional_overflow"},
			{poor, fresh.with("quantity", 30).with("price", 50).with("side", "buy").with("post_only", true), "insufficient_funds"},
			{poor, fresh.with("quantity", 30).with("price", 50).with("side", "buy").with("time_in_force", "fok"), "insufficient_funds"},
			{full, fresh.with("quantity", 10).with("price", 5).with("post_only", true), "balance_limit"},
			{poor, fresh.with("quantity", 10).with("price", 50).with("side", "buy").with("post_only", true), "post_only_would_cross"},
			{poor, fresh.with("quantity", 10).with("price", 45).with("side", "buy").with("time_in_force", "fok"), "fok_not_fillable"},
		}
		before := poor.state("ODD") + full.state("ODD") + maker.state("ODD")
		for _, step := range steps {
			step.who.rejected(step.order, step.code)
			if after := poor.state("ODD") + full.state("ODD") + maker.state("ODD"); after != before {
				t.Fatalf("%s changed something:\n%s\nbefore:\n%s", step.code, after, before)
			}
		}
		poor.place(fresh.with("quantity", 10).with("price", 60)) // the id is still free
		poor.holds("ODD", 20, 10)
		poor.rejected(fresh.with("quantity", 20), "duplicate_client_order_id")
		poor.rejected(limit("ODD", "sell", 20, 60), "insufficient_shares") // some are offered already
		poor.rejected(limit("ODD", "buy", 20, 50), "insufficient_funds")   // some is held already
		h.audit()
	})
}

// What is not a quantity or a price is refused before it comes into line, and so is what does not go together.
func TestExchangeMalformedOrders(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB")
		const fits = 1_000_000_000_000
		ada := f.trader(maxAmount, 0)
		bodies := map[string]string{
			"quantity": `{"symbol":"TCB","side":"buy","time_in_force":"ioc","price":1,"quantity":%s}`,
			"price":    `{"symbol":"TCB","side":"buy","time_in_force":"ioc","quantity":1,"price":%s}`,
		}
		most := map[string]string{"quantity": "1000000000000", "price": "1000000000000000"}
		for field, body := range bodies {
			for _, c := range amounts {
				if c.text == "" || c.status == http.StatusOK {
					continue
				}
				ada.post("/v1/orders", fmt.Sprintf(body, c.text)).expect(t, c.status)
			}
			ada.post("/v1/orders", fmt.Sprintf(body, most[field])).expect(t, http.StatusAccepted)
			ada.post("/v1/orders", fmt.Sprintf(body, "1")).expect(t, http.StatusAccepted)
			ada.post("/v1/orders", fmt.Sprintf(body, most[field][:len(most[field])-1]+"1")).problem(t, http.StatusUnprocessableEntity, "invalid")
		}
		good := limit("TCB", "buy", 1, 1)
		for name, body := range map[string]any{
			"no price":              terms{"symbol": "TCB", "side": "buy", "quantity": 1},
			"market with a price":   market("TCB", "buy", 1).with("price", 1),
			"market gtc":            market("TCB", "buy", 1).with("time_in_force", "gtc"),
			"market post-only":      market("TCB", "buy", 1).with("post_only", true),
			"ioc post-only":         good.with("time_in_force", "ioc").with("post_only", true),
			"fok post-only":         good.with("time_in_force", "fok").with("post_only", true),
			"no side":               terms{"symbol": "TCB", "quantity": 1, "price": 1},
			"another side":          good.with("side", "hold"),
			"another type":          good.with("type", "stop"),
			"another time in force": good.with("time_in_force", "day"),
			"a small symbol":        good.with("symbol", "tcb"),
			"a long symbol":         good.with("symbol", "ABCDEFGHIJKLM"),
			"an empty client id":    good.with("client_order_id", ""),
			"a client id of spaces": good.with("client_order_id", "a b"),
			"a long client id":      good.with("client_order_id", fmt.Sprintf("%065d", 1)),
			"a field of no meaning": good.with("stop_price", 1),
		} {
			if a := ada.post("/v1/orders", body); a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		ada.place(good.with("client_order_id", fmt.Sprintf("%064d", 1)))
		ada.has(maxAmount, 1)
		f.trader(0, fits, "TCB").place(limit("TCB", "sell", fits, 9007)).is(t, "open", 0, fits, 0)
		h.audit()
	})
}

// Price × quantity at the edges of 53 and 64 bits.
func TestExchangeNotionalEdges(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB")
		const most = 1_000_000_000_000
		seller, buyer := f.trader(0, most, "TCB"), f.trader(0, 0)
		for range maxBalance / maxAmount {
			buyer.deposit(maxAmount)
		}
		buyer.deposit(maxBalance % maxAmount)
		for _, c := range []struct{ quantity, price int64 }{
			{1 << 32, 1 << 32},             // 2^64: wraps to 0
			{9224, maxAmount},              // just over 2^63: wraps below 0
			{18447, maxAmount},             // just over 2^64: wraps to less than there is
			{most, maxAmount},              // 10^27
			{1 << 31, 1 << 32},             // 2^63
			{3, 1_000_000_000_000},         // fits
			{10, maxAmount},                // over 2^53 alone
			{most, 9008},                   // likewise
			{1, 1},                         // fits
			{9_007_199_254_740_991, 1},     // no quantity
			{6361 * 69431, 20_394_401},     // 2^53 − 1 exactly
			{6361 * 69431, 20_394_401 + 1}, // and a step more
		} {
			order := limit("TCB", "buy", c.quantity, c.price)
			switch {
			case c.quantity > most:
				buyer.post("/v1/orders", order).problem(t, http.StatusUnprocessableEntity, "invalid")
			case c.price > maxBalance/c.quantity:
				buyer.rejected(order, "notional_overflow")
				if c.quantity <= most {
					seller.rejected(order.with("side", "sell"), "notional_overflow")
				}
			default:
				o := buyer.place(order).is(t, "open", 0, c.quantity, 0)
				buyer.has(maxBalance, c.quantity*c.price)
				buyer.cancel(o.ID)
				buyer.has(maxBalance, 0)
			}
		}
		// The largest trade that there can be, and the smallest.
		offer := seller.place(limit("TCB", "sell", 6361*69431, 20_394_401))
		buyer.place(limit("TCB", "buy", 6361*69431, 20_394_401)).is(t, "filled", 6361*69431, 0, 0)
		seller.order(offer.ID).is(t, "filled", 6361*69431, 0, 0)
		buyer.has(0, 0)
		seller.has(maxBalance-(maxBalance+5)/10, 0)
		h.audit()
	})
}

// The fee is rounded half up to the minor unit, and never more than the proceeds.
func TestExchangeFees(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TEN")
		for symbol, fee := range map[string]int{"ALL": 10_000, "NIL": 0, "ONE": 1} {
			f.admin.post("/v1/symbols", map[string]any{"symbol": symbol, "name": "of tests", "tick": 1, "lot": 1, "fee_bps": fee}).expect(t, http.StatusCreated)
		}
		seller, buyer := f.trader(0, 100, "TEN", "ALL", "NIL", "ONE"), f.trader(100_000, 0)
		var received, paid int64
		for _, c := range []struct {
			symbol               string
			quantity, price, fee int64
		}{
			{"TEN", 1, 1, 0}, {"TEN", 1, 4, 0}, {"TEN", 1, 5, 1}, {"TEN", 5, 1, 1}, {"TEN", 1, 14, 1}, {"TEN", 1, 15, 2}, {"TEN", 2, 12, 2},
			{"ALL", 1, 1, 1}, {"ALL", 3, 7, 21}, {"NIL", 1, 1, 0}, {"NIL", 7, 1000, 0}, {"ONE", 1, 4999, 0}, {"ONE", 1, 5000, 1},
		} {
			buyer.place(limit(c.symbol, "buy", c.quantity, c.price))
			seller.place(limit(c.symbol, "sell", c.quantity, c.price)).is(t, "filled", c.quantity, 0, 0)
			if own := seller.fills("")[0]; own.Fee != c.fee || own.Symbol != c.symbol {
				t.Errorf("the fee on %+v is %+v", c, own)
			}
			paid += c.quantity * c.price
			received += c.quantity*c.price - c.fee
			seller.has(received, 0)
			buyer.has(100_000-paid, 0)
		}
		if sum := h.fees("TEN") + h.fees("ALL") + h.fees("NIL") + h.fees("ONE"); sum != paid-received {
			t.Errorf("the fees are %d, want %d", sum, paid-received)
		}
		h.audit()
	})
}
