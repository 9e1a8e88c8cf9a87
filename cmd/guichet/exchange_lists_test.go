package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

// Lists are paged without overlap or loss, and filtered.
func TestExchangeLists(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("AAA", "BBB")
		ada, grace := f.trader(100_000, 100, "AAA", "BBB"), f.trader(100_000, 100, "AAA", "BBB")
		var placed []shareOrder
		for n := range 12 {
			symbol := []string{"AAA", "BBB"}[n%2]
			o := limit(symbol, "buy", 2, int64(20+n)).with("client_order_id", fmt.Sprint("n-", n))
			placed = append(placed, ada.place(o))
			switch n % 4 {
			case 0:
				grace.place(limit(symbol, "sell", 1, int64(20+n)))
				grace.place(limit(symbol, "sell", 1, int64(20+n)))
			case 1:
				ada.cancel(placed[n].ID)
			}
		}
		slices.Reverse(placed)
		statuses := func(o shareOrder) string {
			return map[string]string{"n-0": "filled", "n-4": "filled", "n-8": "filled", "n-1": "cancelled", "n-5": "cancelled", "n-9": "cancelled"}[*o.ClientOrderID]
		}
		for query, wanted := range map[string]func(shareOrder) bool{
			"":                                   func(shareOrder) bool { return true },
			"&symbol=AAA":                        func(o shareOrder) bool { return o.Symbol == "AAA" },
			"&symbol=NONE":                       func(shareOrder) bool { return false },
			"&status=open":                       func(o shareOrder) bool { return statuses(o) == "" },
			"&status=filled":                     func(o shareOrder) bool { return statuses(o) == "filled" },
			"&status=cancelled&symbol=BBB":       func(o shareOrder) bool { return statuses(o) == "cancelled" && o.Symbol == "BBB" },
			"&client_order_id=n-3":               func(o shareOrder) bool { return *o.ClientOrderID == "n-3" },
			"&client_order_id=n-3&status=filled": func(shareOrder) bool { return false },
			"&client_order_id=none":              func(shareOrder) bool { return false },
		} {
			var want []string
			for _, o := range placed {
				if wanted(o) {
					want = append(want, o.ID)
				}
			}
			for _, size := range []int{1, 2, 5, 200} {
				var got []string
				for _, o := range allOf[shareOrder](ada, fmt.Sprintf("/v1/orders?limit=%d%s", size, query)) {
					got = append(got, o.ID)
					if one := ada.order(o.ID); one.Status != o.Status || one.Filled != o.Filled {
						t.Errorf("listed %+v, alone %+v", o, one)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("orders?%s by %d: %v, want %v", query, size, got, want)
				}
			}
		}
		checkFills(t, ada, grace, placed)
		checkTape(t, ada)
		checkCandles(t, ada)
		for symbol := range 3 {
			f.admin.list(fmt.Sprint("MORE", symbol))
		}
		for path, want := range map[string][]string{"/v1/symbols": {"AAA", "BBB", "MORE0", "MORE1", "MORE2"}, "/v1/holdings": {"AAA", "BBB"}} {
			for _, size := range []int{1, 2, 200} {
				var got []string
				for _, one := range allOf[holding](ada, fmt.Sprintf("%s?limit=%d", path, size)) {
					got = append(got, one.Symbol)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s by %d: %v", path, size, got)
				}
			}
		}
		for _, query := range []string{"status=new", "symbol=a", "client_order_id=%20", "limit=0"} {
			ada.get("/v1/orders?"+query).expect(t, http.StatusUnprocessableEntity)
		}
		h.audit()
	})
}

func fillIDs(fills []fill) (all []string) {
	for _, one := range fills {
		all = append(all, one.ID)
	}
	return all
}

// checkFills: ada's orders 0, 4 and 8 of AAA were filled by two of grace's each, so there are six trades.
func checkFills(t *testing.T, ada, grace *client, placed []shareOrder) {
	t.Helper()
	want := []string{"AAA-6-buy", "AAA-5-buy", "AAA-4-buy", "AAA-3-buy", "AAA-2-buy", "AAA-1-buy"}
	for _, size := range []int{1, 2, 5, 200} {
		if got := fillIDs(allOf[fill](ada, fmt.Sprintf("/v1/fills?limit=%d", size))); !slices.Equal(got, want) {
			t.Errorf("fills by %d: %v", size, got)
		}
	}
	for query, want := range map[string][]string{
		"&symbol=AAA": want, "&symbol=BBB": nil, "&order=" + placed[len(placed)-1].ID: want[4:], "&order=x": nil, "&order=" + placed[0].ID: nil,
		"&order=" + placed[len(placed)-1].ID + "&symbol=BBB": nil,
	} {
		for _, size := range []int{1, 200} {
			if got := fillIDs(allOf[fill](ada, fmt.Sprintf("/v1/fills?limit=%d%s", size, query))); !slices.Equal(got, want) {
				t.Errorf("fills?%s by %d: %v, want %v", query, size, got, want)
			}
		}
	}
	if got := fillIDs(grace.fills("")); len(got) != 6 || got[0] != "AAA-6-sell" {
		t.Errorf("the other side: %v", got)
	}
	if got := grace.fills("&order=" + placed[len(placed)-1].ID); got != nil {
		t.Errorf("fills of another's order: %v", got)
	}
}

func checkTape(t *testing.T, ada *client) {
	t.Helper()
	for _, size := range []int{1, 4, 200} {
		tape := allOf[trade](ada, fmt.Sprintf("/v1/symbols/AAA/trades?limit=%d", size))
		for i, one := range tape {
			if one.ID != fmt.Sprint("AAA-", 6-i) || one.Quantity != 1 || one.TakerSide != "sell" || one.Price != []int64{28, 28, 24, 24, 20, 20}[i] {
				t.Errorf("trade %d: %+v", i, one)
			}
		}
		if len(tape) != 6 {
			t.Errorf("%d trades", len(tape))
		}
	}
	if tape := allOf[trade](ada, "/v1/symbols/BBB/trades?limit=5"); len(tape) != 0 {
		t.Errorf("%v", tape)
	}
	for _, path := range []string{"", "/book", "/trades", "/candles"} {
		ada.get("/v1/symbols/NONE"+path).problem(t, http.StatusNotFound, "unknown_symbol")
	}
	for _, depth := range []string{"0", "-1", "1001", "x", "1.5"} {
		if a := ada.get("/v1/symbols/AAA/book?depth=" + depth); a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
			t.Errorf("depth %s: %d", depth, a.status)
		}
	}
	var top book
	ada.get("/v1/symbols/AAA/book?depth=1").into(t, http.StatusOK, &top)
	if whole := ada.book("AAA"); len(top.Bids) != 1 || top.Bids[0] != whole.Bids[0] || len(whole.Bids) != 3 || whole.Bids[0].Price != 30 || top.Sequence != whole.Sequence {
		t.Errorf("the best %+v of %+v", top, whole)
	}
}

// checkCandles compares candles of each interval with the tape.
func checkCandles(t *testing.T, ada *client) {
	t.Helper()
	tape := allOf[trade](ada, "/v1/symbols/AAA/trades?limit=200")
	slices.Reverse(tape)
	for name, length := range map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour} {
		var want []candle
		for _, one := range tape {
			start := one.At.Truncate(length)
			if len(want) == 0 || !want[len(want)-1].Start.Equal(start) {
				want = append(want, candle{Symbol: "AAA", Interval: name, Start: start, Open: one.Price, High: one.Price, Low: one.Price})
			}
			c := &want[len(want)-1]
			c.High, c.Low, c.Close = max(c.High, one.Price), min(c.Low, one.Price), one.Price
			c.Volume += one.Quantity
			c.Trades++
		}
		slices.Reverse(want)
		path := "/v1/symbols/AAA/candles?limit=1&interval=" + name
		if got := allOf[candle](ada, path); !slices.Equal(got, want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
		from := url.QueryEscape(want[0].Start.Format(time.RFC3339))
		later := url.QueryEscape(want[0].Start.Add(time.Second).Format(time.RFC3339))
		if got := allOf[candle](ada, path+"&from="+from); !slices.Equal(got, want[:1]) {
			t.Errorf("%s from the last: %+v", name, got)
		}
		if got := allOf[candle](ada, path+"&from="+later); len(got) != 0 {
			t.Errorf("%s from later: %+v", name, got)
		}
		if got := allOf[candle](ada, path+"&to="+from); !slices.Equal(got, want[1:]) {
			t.Errorf("%s up to the last: %+v", name, got)
		}
	}
	ada.get("/v1/symbols/AAA/candles?interval=2m").expect(t, http.StatusUnprocessableEntity)
}
