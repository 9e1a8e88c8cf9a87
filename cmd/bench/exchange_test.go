package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

func TestSwing(t *testing.T) {
	t.Parallel()
	for step, want := range map[int64]int64{0: 0, 1: 1, band: band, 2 * band: 0, 3 * band: -band, 4*band - 1: -1, 4 * band: 0} {
		if got := swing(step); got != want {
			t.Errorf("step %d: %d, want %d", step, got, want)
		}
	}
	for step := range int64(8 * band) {
		if d := swing(step+1) - swing(step); d != 1 && d != -1 {
			t.Fatalf("step %d moves by %d", step, d)
		}
	}
}

// asked is a request of a trader, read.
type asked struct {
	method, path string
	order        struct {
		Symbol, Side, Type string
		TimeInForce        string `json:"time_in_force"`
		Quantity           int64
		Price              *int64
	}
}

func readAsked(t *testing.T, request []byte) (a asked) {
	t.Helper()
	head, body, found := strings.Cut(string(request), "\r\n\r\n")
	line, _, _ := strings.Cut(head, "\r\n")
	words := strings.Fields(line)
	if !found || len(words) != 3 || !strings.Contains(head, "\r\nHost: host\r\nAccount: 7\r\n") && !strings.HasSuffix(head, "\r\nHost: host\r\nAccount: 7") {
		t.Fatalf("request %q", request)
	}
	a.method, a.path = words[0], words[1]
	if a.method == http.MethodPost {
		if !strings.Contains(head, fmt.Sprintf("Content-Length: %d", len(body))) {
			t.Fatalf("request %q", request)
		}
		if err := json.Unmarshal([]byte(body), &a.order); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func answer(t *testing.T, trader *trader, body string) verdict {
	t.Helper()
	v, err := trader.judge(reply{status: http.StatusOK, body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTradersAskForTheMix(t *testing.T) {
	t.Parallel()
	f := &flow{symbols: symbolNames(tradedSymbols)}
	trader := newTrader(f, newDesk("host", "Account: 7"))
	rng := rand.New(rand.NewPCG(1, 2))
	const requests = 20_000
	resting, counts, symbols := map[string]bool{}, map[string]int{}, map[string]int{}
	for i := range requests {
		a := readAsked(t, trader.next(rng))
		if a.method == http.MethodDelete {
			order := strings.TrimPrefix(a.path, "/v1/orders/")
			if !resting[order] {
				t.Fatalf("%s is cancelled, and does not rest", order)
			}
			delete(resting, order)
			counts["cancel"]++
			answer(t, trader, `{"id":"c","status":"succeeded","result":{"status":"cancelled"}}`)
			continue
		}
		counts[a.order.Type+" "+a.order.TimeInForce]++
		symbols[a.order.Symbol]++
		if (a.order.Type == "limit") != (a.order.Price != nil) || a.order.Quantity < 1 || a.order.Quantity > largestQuantity*takerFactor {
			t.Fatalf("order %+v", a.order)
		}
		status := "filled"
		if a.order.TimeInForce == "gtc" && i%2 == 0 {
			status = "open"
			resting[fmt.Sprint(i)] = true
		}
		answer(t, trader, fmt.Sprintf(`{"id":"%d","status":"succeeded","result":{"status":"%s"}}`, i, status))
	}
	for kind, share := range map[string]float64{"limit gtc": limitShare, "cancel": cancelShare, "market ioc": marketShare, "limit fok": 0.5, "limit ioc": 0.5} {
		if got := 100 * float64(counts[kind]) / requests; got < 0.8*share-0.2 || got > 1.2*share+0.2 {
			t.Errorf("%.1f %% %s, want %.1f", got, kind, share)
		}
	}
	if len(symbols) != tradedSymbols {
		t.Errorf("symbols %v", symbols)
	}
	if f.declined.Load() != 0 || f.answered.Load() != requests {
		t.Errorf("answered %d, declined %d", f.answered.Load(), f.declined.Load())
	}
}

func TestTradersWithdrawWhatIsFarthestBehind(t *testing.T) {
	t.Parallel()
	trader := newTrader(&flow{}, newDesk("host"))
	for i, q := range []quote{{"near", "buy", center - 1}, {"far", "sell", center + 50}, {"filled", "buy", center + 70}} {
		trader.remember(q)
		if len(trader.resting) != i+1 {
			t.Fatalf("%d are remembered", len(trader.resting))
		}
	}
	for _, want := range []string{"far", "near", "filled"} {
		if got := trader.farthest(center); got != want {
			t.Errorf("%s is withdrawn, want %s", got, want)
		}
	}
	for i := range mostRemembered + 1 {
		trader.remember(quote{id: fmt.Sprint(i)})
	}
	if len(trader.resting) != mostRemembered || trader.resting[0].id != "1" {
		t.Errorf("%d are remembered, first %s", len(trader.resting), trader.resting[0].id)
	}
}

func TestTradersAcceptOnlyExpectedRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		asked action
		code  string
		wrong bool
	}{
		{withdraw, "order_not_open", false},
		{placeFOK, "fok_not_fillable", false},
		{withdraw, "unknown_order", true},
		{placeLimit, "insufficient_funds", true},
		{placeMarket, "fok_not_fillable", true},
	}
	for _, test := range tests {
		trader := newTrader(&flow{}, newDesk("host"))
		trader.asked = test.asked
		body := fmt.Sprintf(`{"id":"1","status":"rejected","problem":{"code":"%s"}}`, test.code)
		v, err := trader.judge(reply{status: http.StatusOK, body: []byte(body)})
		if (err != nil) != test.wrong || v != accepted || trader.flow.declined.Load() != 1 {
			t.Errorf("%+v: %v, %v", test, v, err)
		}
	}
	trader := newTrader(&flow{}, newDesk("host"))
	for _, r := range []reply{{status: http.StatusAccepted}, {status: http.StatusOK, body: []byte(`{"status":"failed","problem":{"code":"fault"}}`)}} {
		if _, err := trader.judge(r); err == nil {
			t.Errorf("%d %s is taken", r.status, r.body)
		}
	}
}

func TestReadFills(t *testing.T) {
	t.Parallel()
	stream := ": hello\n\nid: 1\nevent: operation.finished\ndata: {\"order_id\":\"no\"}\n\nid: 2\nevent: order.filled\ndata: {\"at\":\"x\",\"order_id\":\"yes\",\"fee\":1}\n\n"
	fills := make(chan filled, 2)
	if err := readFills(strings.NewReader(stream), fills); err == nil {
		t.Error("the end of the stream is no error")
	}
	if f := <-fills; f.order != "yes" || f.at.IsZero() || len(fills) != 0 {
		t.Errorf("%+v, and %d more", f, len(fills))
	}
}

func TestUnsettled(t *testing.T) {
	t.Parallel()
	settled := settlement{trades: 3, entries: 3, shares: 10, fills: 20, filled: 20, waiting: 7}
	if n := settled.unsettled(); n != 0 {
		t.Errorf("%d of settled trades are not", n)
	}
	for _, spoil := range []func(*settlement){
		func(s *settlement) { s.open = 1 }, func(s *settlement) { s.entries++ }, func(s *settlement) { s.fills-- }, func(s *settlement) { s.filled-- },
		func(s *settlement) { s.held = 5 },
	} {
		s := settled
		if spoil(&s); s.unsettled() == 0 {
			t.Errorf("%+v counts as settled", s)
		}
	}
}

func TestParseBenchmark(t *testing.T) {
	t.Parallel()
	output := "goos: linux\nBenchmarkBookMillion 1 1 ns/op\nBenchmarkBook \t 20142 \t 62.9 ns/op \t 15902000 operations/s \t 0 B/op \t 0 allocs/op\nPASS\n"
	got, err := parseBenchmark(output, "BenchmarkBook")
	if err != nil || got["ns/op"] != 62.9 || got["operations/s"] != 15902000 || len(got) != 4 {
		t.Errorf("%v, %v", got, err)
	}
	for _, output := range []string{"PASS", "BenchmarkBook 1 x ns/op"} {
		if got, err := parseBenchmark(output, "BenchmarkBook"); err == nil {
			t.Errorf("%q is read as %v", output, got)
		}
	}
}
