package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// What tests look at of the exchange's resources.
type (
	shareOrder struct {
		ID            string
		ClientOrderID *string `json:"client_order_id"`
		Symbol        string
		Side          string
		Type          string
		TimeInForce   string `json:"time_in_force"`
		PostOnly      bool   `json:"post_only"`
		Quantity      int64
		Filled        int64 `json:"filled_quantity"`
		Remaining     int64 `json:"remaining_quantity"`
		Cancelled     int64 `json:"cancelled_quantity"`
		Price         *int64
		Status        string
		SubmittedAt   time.Time  `json:"submitted_at"`
		CompletedAt   *time.Time `json:"completed_at"`
	}
	fill struct {
		ID            string
		OrderID       string `json:"order_id"`
		Symbol        string
		Side          string
		Quantity      int64
		Price         int64
		Fee           int64
		Liquidity     string
		OrderComplete bool `json:"order_complete"` // on the feed and in notices
		At            time.Time
	}
	trade struct {
		ID        string
		Symbol    string
		Price     int64
		Quantity  int64
		TakerSide string `json:"taker_side"`
		At        time.Time
	}
	candle struct {
		Symbol                 string
		Interval               string
		Start                  time.Time
		Open, High, Low, Close int64
		Volume, Trades         int64
	}
	level struct{ Price, Quantity, Orders int64 }
	book  struct {
		Symbol     string
		Sequence   int64
		Bids, Asks []level
	}
	holding struct {
		Symbol                    string
		Quantity, Held, Available int64
	}
	account struct{ Balance, Held, Available int64 }
	notice  struct {
		ID, Kind, Text string
		Data           fill
	}
)

// submission of an order or a cancellation, ended.
type orderOutcome struct {
	ID, Kind, Lane, Status string
	Result                 shareOrder
	Problem                *struct {
		Code   string
		Status int
	}
}

// floor is a guichet with an exchange, and its admin.
type floor struct {
	*process
	testing.TB
	admin *client
}

// openExchange starts a guichet and lists symbols with a tick and a lot of 1 and a fee of 10 %.
func (h *house) openExchange(symbols ...string) *floor {
	h.Helper()
	return h.serve().listing(h, symbols...)
}

func (p *process) listing(t testing.TB, symbols ...string) *floor {
	t.Helper()
	f := &floor{process: p, TB: t, admin: p.admin(t)}
	for _, symbol := range symbols {
		f.admin.list(symbol)
	}
	return f
}

// trader is somebody new with cash, and with as many shares of each symbol as given.
func (f *floor) trader(cash, shares int64, symbols ...string) *client {
	f.Helper()
	c := f.user(f.TB)
	if cash > 0 {
		c.deposit(cash)
	}
	for _, symbol := range symbols {
		f.admin.issue(symbol, c, shares)
	}
	return c
}

// traders are so many of them.
func (f *floor) traders(n int, cash, shares int64, symbols ...string) []*client {
	f.Helper()
	all := make([]*client, n)
	var making sync.WaitGroup
	for i := range all {
		making.Go(func() { all[i] = f.trader(cash, shares, symbols...) })
	}
	making.Wait()
	if f.Failed() {
		f.FailNow()
	}
	return all
}

// terms are those of an order.
type terms map[string]any

func limit(symbol, side string, quantity, price int64) terms {
	return terms{"symbol": symbol, "side": side, "quantity": quantity, "price": price}
}

func market(symbol, side string, quantity int64) terms {
	return terms{"symbol": symbol, "side": side, "type": "market", "quantity": quantity}
}

// with is the terms with one more.
func (t terms) with(field string, value any) terms {
	more := terms{field: value}
	for name, v := range t {
		if name != field {
			more[name] = v
		}
	}
	return more
}

// submit places an order and waits until it has been decided.
func (c *client) submit(order any, options ...option) orderOutcome {
	c.Helper()
	var o orderOutcome
	c.post("/v1/orders", order, append(options, wait)...).into(c, http.StatusOK, &o)
	if o.Kind != "order" || !strings.HasPrefix(o.Lane, "exchange-") {
		c.Errorf("%+v", o)
	}
	return o
}

// place places an order that must be accepted, and returns it as it is then.
func (c *client) place(order any) shareOrder {
	c.Helper()
	o := c.submit(order)
	if o.Status != "succeeded" || o.Result.ID != o.ID {
		c.Fatalf("%v: %+v %+v", order, o, o.Problem)
	}
	o.Result.checkSum(c)
	return o.Result
}

func (o *shareOrder) checkSum(t testing.TB) {
	t.Helper()
	if o.Filled+o.Remaining+o.Cancelled != o.Quantity || (o.Status == "open") != (o.CompletedAt == nil) || (o.Status == "open") != (o.Remaining > 0) || (o.Status == "filled") != (o.Filled == o.Quantity) {
		t.Errorf("the quantities of an order: %+v", *o)
	}
}

// is wants an order to be in a state.
func (o shareOrder) is(t testing.TB, status string, filled, remaining, cancelled int64) shareOrder {
	t.Helper()
	if o.Status != status || o.Filled != filled || o.Remaining != remaining || o.Cancelled != cancelled {
		t.Fatalf("an order is %s, filled %d, remaining %d, cancelled %d; want %s %d %d %d\n%+v", o.Status, o.Filled, o.Remaining, o.Cancelled, status, filled, remaining, cancelled, o)
	}
	return o
}

// rejected places an order that must be refused.
func (c *client) rejected(order any, code string) {
	c.Helper()
	o := c.submit(order)
	if o.Status != "rejected" || o.Problem == nil || o.Problem.Code != code {
		c.Errorf("%v: %+v %+v, want %s", order, o, o.Problem, code)
	}
	c.get("/v1/orders/"+o.ID).problem(c, http.StatusNotFound, "unknown_order")
}

// order reads one order.
func (c *client) order(id string) (o shareOrder) {
	c.Helper()
	c.get("/v1/orders/"+id).into(c, http.StatusOK, &o)
	o.checkSum(c)
	return o
}

// cancel cancels an order and waits until that has been decided.
func (c *client) cancel(id string, options ...option) (o orderOutcome) {
	c.Helper()
	c.do(http.MethodDelete, "/v1/orders/"+id, nil, append(options, wait)...).into(c, http.StatusOK, &o)
	if o.Kind != "order_cancellation" || o.Status == "succeeded" && o.Result.ID != id {
		c.Errorf("%+v", o)
	}
	return o
}

// notCancelled wants the cancellation of an order to be refused.
func (c *client) notCancelled(id, code string) {
	c.Helper()
	if o := c.cancel(id); o.Status != "rejected" || o.Problem.Code != code {
		c.Errorf("%+v %+v, want %s", o, o.Problem, code)
	}
}

// cancelAll cancels all orders of a symbol and returns how many they were.
func (c *client) cancelAll(symbol string) int {
	c.Helper()
	var o struct {
		Kind, Status string
		Result       struct {
			Symbol    string
			Cancelled int `json:"cancelled_orders"`
		}
	}
	c.do(http.MethodDelete, "/v1/orders?symbol="+symbol, nil, wait).into(c, http.StatusOK, &o)
	if o.Kind != "order_mass_cancellation" || o.Status != "succeeded" || o.Result.Symbol != symbol {
		c.Errorf("%+v", o)
	}
	return o.Result.Cancelled
}

// holds wants the client to have shares.
func (c *client) holds(symbol string, quantity, held int64) {
	c.Helper()
	if got := c.holding(symbol); got != (holding{symbol, quantity, held, quantity - held}) {
		c.Errorf("%s holds %+v, want %d, %d of them held", c.username, got, quantity, held)
	}
}

func (c *client) holding(symbol string) holding {
	c.Helper()
	for _, h := range allOf[holding](c, "/v1/holdings?limit=200") {
		if h.Symbol == symbol {
			return h
		}
	}
	return holding{Symbol: symbol}
}

// has wants the client to have cash.
func (c *client) has(balance, held int64) {
	c.Helper()
	if got := c.cash(); got != (account{balance, held, balance - held}) {
		c.Errorf("%s has %+v, want %d, %d of it held", c.username, got, balance, held)
	}
}

func (c *client) cash() (a account) {
	c.Helper()
	c.get("/v1/accounts/"+c.account).into(c, http.StatusOK, &a)
	return a
}

func (c *client) book(symbol string) (b book) {
	c.Helper()
	c.get("/v1/symbols/"+symbol+"/book?depth=1000").into(c, http.StatusOK, &b)
	return b
}

// fills are the client's, newest first.
func (c *client) fills(query string) []fill {
	c.Helper()
	return allOf[fill](c, "/v1/fills?limit=200"+query)
}

// allOf reads a list, page by page. The path has a query.
func allOf[T any](c *client, path string) []T {
	c.Helper()
	var all []T
	cursor := ""
	for {
		var page struct {
			Items      []T
			NextCursor *string `json:"next_cursor"`
		}
		c.get(path+cursor).into(c, http.StatusOK, &page)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}

// halt halts or resumes trading, as the admin.
func (c *client) halt(symbol string, halted bool) {
	c.Helper()
	c.do(http.MethodPatch, "/v1/symbols/"+symbol, map[string]any{"halted": halted}).expect(c, http.StatusOK)
}

// pauseLane pauses or resumes a lane, as the admin.
func (c *client) pauseLane(name string, paused bool) {
	c.Helper()
	c.do(http.MethodPatch, "/v1/lanes/"+name, map[string]any{"paused": paused}).expect(c, http.StatusOK)
}

// decode reads what an entry of the feed is about.
func decode[T any](t testing.TB, e feedEntry) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Text), &value); err != nil {
		t.Fatalf("%s: %v", e.Text, err)
	}
	return value
}

// ofEvent are the entries with an event.
func ofEvent[T any](t testing.TB, entries []feedEntry, event string) (all []T) {
	t.Helper()
	for _, e := range entries {
		if e.Event == event {
			all = append(all, decode[T](t, e))
		}
	}
	return all
}

// state is all that a client has, and what everybody sees of a symbol: what a refusal may not change.
func (c *client) state(symbol string) string {
	c.Helper()
	var text []string
	for _, path := range []string{"/v1/accounts/" + c.account, "/v1/holdings", "/v1/orders", "/v1/fills", "/v1/symbols/" + symbol + "/book", "/v1/symbols/" + symbol + "/trades"} {
		text = append(text, string(c.get(path).expect(c, http.StatusOK).body))
	}
	return strings.Join(text, "\n")
}

// fees is what a symbol's sellers have paid.
func (h *house) fees(symbol string) int64 {
	h.Helper()
	db := h.database()
	defer db.Close() //nolint:errcheck // only read
	return number(h, db, "SELECT balance FROM accounts WHERE number = ?", "fees-"+symbol)
}

// conserved wants people to have together the cash and the shares that they were given.
func (h *house) conserved(people []*client, cash, shares int64, symbols ...string) {
	h.Helper()
	var money int64
	for _, symbol := range symbols {
		money += h.fees(symbol)
	}
	owned := map[string]int64{}
	for _, c := range people {
		money += c.cash().Balance
		for _, held := range allOf[holding](c, "/v1/holdings?limit=200") {
			owned[held.Symbol] += held.Quantity
		}
	}
	if money != cash {
		h.Errorf("together they have, with the fees, %d of %d", money, cash)
	}
	for _, symbol := range symbols {
		if owned[symbol] != shares {
			h.Errorf("together they have %d of %d %s", owned[symbol], shares, symbol)
		}
	}
}
