package handlers

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"guichet/api"
	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// market is a counter with an admin, two users and the symbol TCB.
type market struct {
	*counter
	admin, ada, grace trader
}

type trader struct {
	user           id.ID
	token, account string
}

func onTheMarket(t *testing.T, test func(t *testing.T, m *market)) {
	t.Helper()
	onBothStores(t, func(t *testing.T, c *counter) {
		must(t, c.Identity.EnsureAdmin(t.Context(), "correct-horse-battery", func(tx database.Tx, user id.ID) error {
			_, err := bank.OpenAnyAccount(tx, c.Clock, user, time.Now())
			return err
		}))
		m := &market{counter: c, admin: c.trader("admin")}
		for name, who := range map[string]*trader{"ada": &m.ada, "grace": &m.grace} {
			c.expect(c.ask("POST", "/v1/users", `{"username":"`+name+`","password":"correct-horse-battery"}`), 201, "")
			*who = c.trader(name)
		}
		m.expect(m.by(m.admin, "POST", "/v1/symbols", `{"symbol":"TCB","name":"Turing \"Computing\" Bureau","tick":1,"lot":1}`), 201, "")
		test(t, m)
	})
}

func (c *counter) trader(name string) trader {
	c.t.Helper()
	token := "Bearer " + c.signIn(`{"username":"`+name+`","password":"correct-horse-battery"}`)
	me := c.expect(c.ask("GET", "/v1/users/me", "", "Authorization", token), 200, "").json
	user, err := id.Parse(me["id"].(string))
	must(c.t, err)
	return trader{user, token, me["account_number"].(string)}
}

func (m *market) by(who trader, method, path, body string, headers ...string) reply {
	return m.ask(method, path, body, append(headers, "Authorization", who.token)...)
}

// insert writes a row as a lane would.
func (m *market) insert(table string, row map[string]any) {
	m.t.Helper()
	rows := database.Rows{Table: table}
	var values []any
	for column, value := range row {
		rows.Columns, values = append(rows.Columns, column), append(values, value)
	}
	rows.Add(values...)
	must(m.t, m.DB.Write(m.t.Context(), rows.Insert))
}

// words are the values of a member of each item of a page, in one line.
func words(page reply, member string) string {
	items, _ := page.json["items"].([]any)
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = fmt.Sprint(item.(map[string]any)[member])
	}
	return strings.Join(all, " ")
}

// pages reads a list to its end, some items at a time. Each answer is later than what it shows.
func (m *market) pages(who trader, path string, limit int, member string, stamp lamport.Stamp) string {
	m.t.Helper()
	var all []string
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	for cursor := ""; ; {
		page := m.expect(m.by(who, "GET", path+separator+"limit="+strconv.Itoa(limit)+cursor, ""), 200, "")
		if sent, err := lamport.Parse(page.Header().Get("Lamport-Time")); err != nil || sent <= stamp {
			m.t.Errorf("%s shows what happened at %d, and is sent at %s", path, stamp, page.Header().Get("Lamport-Time"))
		}
		if found := words(page, member); found != "" {
			all = append(all, found)
		}
		next, more := page.json["next_cursor"].(string)
		if !more {
			return strings.Join(all, " ")
		}
		cursor = "&cursor=" + next
	}
}

func TestListing(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		const lab = `{"symbol":"LAB","name":"Lab","tick":5,"lot":100,"fee_bps":0}`
		m.expect(m.by(m.ada, "POST", "/v1/symbols", lab), 403, "forbidden")
		m.expect(m.by(m.ada, "GET", "/v1/symbols/LAB", ""), 404, "unknown_symbol")
		must(t, m.DB.Write(t.Context(), func(tx database.Tx) error { return operation.AdvanceLane(tx, exchange.LaneName(1), 1, 5000) }))
		made := m.expect(m.by(m.admin, "POST", "/v1/symbols", lab, "Idempotency-Key", "k"), 201, "")
		again := m.expect(m.by(m.admin, "POST", "/v1/symbols", lab, "Idempotency-Key", "k"), 201, "")
		if fmt.Sprint(again.json) != fmt.Sprint(made.json) || again.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("answered %v, then %v", made.json, again.json)
		}
		m.expect(m.by(m.admin, "POST", "/v1/symbols", lab), 409, "symbol_taken")
		m.expect(m.by(m.admin, "POST", "/v1/symbols", strings.Replace(lab, "LAB", "LAC", 1), "Idempotency-Key", "k"), 422, "idempotency_key_reused")
		listed, err := exchange.GetSymbol(m.DB.Read(t.Context()), "LAB")
		must(t, err)
		if listed.Listed <= 5000 || listed.Lamport != listed.Listed || listed.Lane != exchange.LaneOf("LAB", 2) || listed.ListedAt.IsZero() || listed.Tick != 5 || listed.Lot != 100 || listed.FeeBps != 0 {
			t.Errorf("listed %+v", listed)
		}
		if n := m.count("accounts WHERE number = 'fees-LAB' AND user_id IS NULL AND balance = 0 AND opened_lamport > 5000"); n != 1 {
			t.Errorf("%d accounts for the fees", n)
		}
		shown := m.expect(m.by(m.ada, "GET", "/v1/symbols/LAB", ""), 200, "")
		if fmt.Sprint(shown.json) != fmt.Sprint(made.json) {
			t.Errorf("made %v, shown %v", made.json, shown.json)
		}
		if tcb := m.expect(m.by(m.ada, "GET", "/v1/symbols/TCB", ""), 200, "").json; tcb["fee_bps"] != 1000.0 || tcb["name"] != `Turing "Computing" Bureau` || tcb["halted"] != false {
			t.Errorf("made %v", tcb)
		}
		if all := m.pages(m.ada, "/v1/symbols", 1, "symbol", listed.Lamport); all != "LAB TCB" {
			t.Errorf("listed: %s", all)
		}
	})
}

// What halts and resumes leave behind is what the audit follows.
func TestHalting(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		patch := func(halted bool, lane lamport.Stamp) {
			t.Helper()
			must(t, m.DB.Write(t.Context(), func(tx database.Tx) error {
				return operation.AdvanceLane(tx, exchange.LaneOf("TCB", 2), int64(lane), lane)
			}))
			answer := m.expect(m.by(m.admin, "PATCH", "/v1/symbols/TCB", fmt.Sprintf(`{"halted":%t}`, halted)), 200, "")
			if answer.json["halted"] != halted || answer.json["symbol"] != "TCB" {
				t.Errorf("answered %v", answer.json)
			}
		}
		m.expect(m.by(m.ada, "PATCH", "/v1/symbols/TCB", `{"halted":true}`), 403, "forbidden")
		m.expect(m.by(m.admin, "PATCH", "/v1/symbols/NONE", `{"halted":true}`), 404, "unknown_symbol")
		patch(false, 1000) // as it is
		if n := m.count("symbol_halts"); n != 0 {
			t.Errorf("%d halts", n)
		}
		patch(true, 2000)
		patch(true, 3000)
		patch(false, 4000)
		if n := m.count("symbol_halts WHERE symbol = 'TCB' AND halted AND lamport > 2000 AND lamport < 3000"); n != 1 {
			t.Errorf("%d halts", n)
		}
		if n := m.count("symbol_halts h JOIN symbols s ON s.symbol = h.symbol AND s.lamport = h.lamport WHERE NOT h.halted AND NOT s.halted AND s.lamport > 4000 AND at_us > 0"); n != 1 {
			t.Errorf("%d resumptions", n)
		}
	})
}

func TestOrderFields(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		`"price":7`: "limit gtc 7 false",
		`"type":"limit","price":7,"time_in_force":"ioc"`:    "limit ioc 7 false",
		`"type":"limit","price":7,"time_in_force":"fok"`:    "limit fok 7 false",
		`"price":7,"post_only":true`:                        "limit gtc 7 true",
		`"price":7,"post_only":true,"time_in_force":"gtc"`:  "limit gtc 7 true",
		`"price":7,"post_only":false,"time_in_force":"ioc"`: "limit ioc 7 false",
		`"type":"market"`:                                       "market ioc 0 false",
		`"type":"market","time_in_force":"ioc"`:                 "market ioc 0 false",
		`"type":"market","time_in_force":"fok"`:                 "market fok 0 false",
		``:                                                      "/price",
		`"type":"limit","time_in_force":"ioc"`:                  "/price",
		`"type":"market","price":7`:                             "/price",
		`"type":"market","time_in_force":"gtc"`:                 "/time_in_force",
		`"price":7,"post_only":true,"time_in_force":"ioc"`:      "/post_only",
		`"price":7,"post_only":true,"time_in_force":"fok"`:      "/post_only",
		`"type":"market","post_only":true`:                      "/post_only",
		`"type":"market","post_only":true,"price":7`:            "/price /post_only",
		`"type":"market","time_in_force":"gtc","price":7`:       "/price /time_in_force",
		`"post_only":true,"time_in_force":"ioc","type":"limit"`: "/price /post_only",
	} {
		var body api.NewOrder
		must(t, json.Unmarshal([]byte(strings.TrimSuffix(`{"symbol":"TCB","side":"sell","quantity":3,"client_order_id":"mine",`+fields, ",")+"}"), &body))
		command, refused := orderCommand("1234567890", &body)
		got := fmt.Sprintf("%s %s %d %t", command.Type, command.TimeInForce, command.Price, command.PostOnly)
		if len(refused) > 0 {
			var pointers []string
			for _, field := range refused {
				pointers = append(pointers, field.Pointer)
			}
			got = strings.Join(pointers, " ")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", fields, got, want)
		}
		if err := command.Check(); (err == nil) != (len(refused) == 0) {
			t.Errorf("%s: the fields %v are refused, the command with %v", fields, refused, err)
		}
		if command.Account != "1234567890" || command.Symbol != "TCB" || command.Side != exchange.Sell || command.Quantity != 3 || command.ClientOrderID != "mine" {
			t.Errorf("%s: %+v", fields, command)
		}
	}
}

// order inserts an order of somebody's.
func (m *market) order(who trader, symbol string, status exchange.Status, clientID any, stamp lamport.Stamp) id.ID {
	m.t.Helper()
	made := m.IDs.Next()
	completed := int64(0)
	if status != exchange.Open {
		completed = 2_000_000
	}
	m.insert("orders", map[string]any{
		"id": made[:], "user_id": who.user[:], "account": who.account, "client_order_id": clientID, "symbol": symbol, "side": "buy", "type": "limit", "time_in_force": "gtc",
		"post_only": false, "quantity": 10, "filled": 4, "price": 7, "status": string(status), "priority": int64(stamp), "submitted_at_us": 1_000_000, "completed_at_us": completed, "lamport": int64(stamp),
	})
	return made
}

func TestReadingOrders(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		var ids []string
		for i, status := range []exchange.Status{exchange.Open, exchange.Filled, exchange.Cancelled, exchange.Open, exchange.Filled, exchange.Open} {
			clientID := any(nil)
			if i%2 == 0 {
				clientID = fmt.Sprint("mine-", i)
			}
			ids = append(ids, m.order(m.ada, []string{"TCB", "LAB"}[i/3], status, clientID, lamport.Stamp(1000*(i+1))).String())
			m.order(m.grace, "TCB", status, clientID, 99)
		}
		pick := func(places ...int) string {
			var picked []string
			for _, i := range places {
				picked = append(picked, ids[i])
			}
			return strings.Join(picked, " ")
		}
		for query, want := range map[string]string{
			"": pick(5, 4, 3, 2, 1, 0), "?status=open": pick(5, 3, 0), "?status=filled": pick(4, 1), "?status=cancelled": pick(2), "?symbol=TCB": pick(2, 1, 0), "?symbol=LAB": pick(5, 4, 3),
			"?symbol=LAB&status=open": pick(5, 3), "?symbol=NONE": "", "?client_order_id=mine-2": pick(2), "?client_order_id=mine-2&status=open": "", "?client_order_id=mine-2&symbol=LAB": "",
			"?client_order_id=mine-2&symbol=TCB&status=cancelled": pick(2), "?client_order_id=mine-1": "", "?client_order_id=MINE-2": "",
		} {
			for _, limit := range []int{1, 2, 50} {
				if got := m.pages(m.ada, "/v1/orders"+query, limit, "id", 0); got != want {
					t.Errorf("%q, %d at a time: %s, want %s", query, limit, got, want)
				}
			}
		}
		m.pages(m.ada, "/v1/orders", 50, "id", 6000)
		m.expect(m.by(m.ada, "GET", "/v1/orders?status=none", ""), 422, "invalid")
		m.expect(m.by(m.grace, "GET", "/v1/orders/"+ids[0], ""), 404, "unknown_order")
		m.expect(m.by(m.admin, "GET", "/v1/orders/"+ids[0], ""), 404, "unknown_order")
		m.expect(m.by(m.ada, "GET", "/v1/orders/none", ""), 404, "unknown_order")
		got := m.expect(m.by(m.ada, "GET", "/v1/orders/"+ids[2], ""), 200, "").Body.String()
		want := `{"id":"` + ids[2] + `","client_order_id":"mine-2","symbol":"TCB","side":"buy","type":"limit","time_in_force":"gtc","post_only":false,"quantity":10,"filled_quantity":4,` +
			`"remaining_quantity":0,"cancelled_quantity":6,"price":7,"status":"cancelled","submitted_at":"1970-01-01T00:00:01Z","completed_at":"1970-01-01T00:00:02Z"}`
		if got != want {
			t.Errorf("shown  %s\nwant   %s", got, want)
		}
	})
}

func TestReadingFills(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		orders := []id.ID{m.IDs.Next(), m.IDs.Next()}
		for i, f := range []struct {
			symbol string
			number int64
			at     int64
			order  int
			who    trader
		}{{"TCB", 1, 1_000_001, 0, m.ada}, {"LAB", 1, 1_000_001, 1, m.ada}, {"TCB", 2, 1_000_001, 0, m.ada}, {"LAB", 2, 2_000_000, 1, m.ada}, {"TCB", 3, 1_500_000, 0, m.grace}, {"LAB", 30, 2_000_000, 1, m.ada}} {
			m.insert("fills", map[string]any{
				"user_id": f.who.user[:], "at_us": f.at, "symbol": f.symbol, "number": f.number, "order_id": orders[f.order][:], "side": "sell", "quantity": 50, "price": 32, "fee": 160,
				"liquidity": "maker", "lamport": 1000 * (i + 1),
			})
		}
		for query, want := range map[string]string{
			"": "LAB-30-sell LAB-2-sell TCB-2-sell TCB-1-sell LAB-1-sell", "?symbol=TCB": "TCB-2-sell TCB-1-sell", "?order=" + orders[1].String(): "LAB-30-sell LAB-2-sell LAB-1-sell",
			"?symbol=TCB&order=" + orders[1].String(): "", "?order=none": "", "?order=" + m.IDs.Next().String(): "",
		} {
			for _, limit := range []int{1, 2, 50} {
				if got := m.pages(m.ada, "/v1/fills"+query, limit, "id", 0); got != want {
					t.Errorf("%q, %d at a time: %s, want %s", query, limit, got, want)
				}
			}
		}
		m.pages(m.ada, "/v1/fills", 50, "id", 6000)
		page := m.expect(m.by(m.grace, "GET", "/v1/fills", ""), 200, "").Body.String()
		want := `{"items":[{"id":"TCB-3-sell","order_id":"` + orders[0].String() + `","symbol":"TCB","side":"sell","quantity":50,"price":32,"fee":160,"liquidity":"maker","at":"1970-01-01T00:00:01.5Z"}],"next_cursor":null}`
		if page != want {
			t.Errorf("shown  %s\nwant   %s", page, want)
		}
	})
}

func TestReadingTheMarket(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		for _, path := range []string{"book", "trades", "candles"} {
			m.expect(m.by(m.ada, "GET", "/v1/symbols/NONE/"+path, ""), 404, "unknown_symbol")
			empty := m.expect(m.by(m.ada, "GET", "/v1/symbols/TCB/"+path, ""), 200, "").Body.String()
			if want := map[string]string{"book": `{"symbol":"TCB","sequence":0,"bids":[],"asks":[]}`}[path]; empty != want && empty != `{"items":[],"next_cursor":null}` {
				t.Errorf("%s: %s", path, empty)
			}
		}
		order := m.IDs.Next()
		for n := 1; n <= 12; n++ {
			m.insert("trades", map[string]any{"symbol": "TCB", "number": n, "price": 32, "quantity": 50, "taker_side": "sell", "maker_order": order[:], "taker_order": order[:], "at_us": n * 1000})
			m.insert("candles", map[string]any{"symbol": "TCB", "interval_s": 300, "start_us": n * 300_000_000, "open": n, "high": 40, "low": 1, "close": 32, "volume": 50, "trades": 1})
			m.insert("book_levels", map[string]any{"symbol": "TCB", "side": "buy", "price": n, "quantity": 10 * n, "orders": n})
			m.insert("book_levels", map[string]any{"symbol": "TCB", "side": "sell", "price": 100 + n, "quantity": n, "orders": 1})
		}
		must(t, m.DB.Write(t.Context(), func(tx database.Tx) error {
			_, err := tx.Exec("UPDATE symbols SET sequence = 7, lamport = 9000 WHERE symbol = 'TCB'")
			return err
		}))
		book := m.expect(m.by(m.ada, "GET", "/v1/symbols/TCB/book?depth=2", ""), 200, "")
		want := `{"symbol":"TCB","sequence":7,"bids":[{"price":12,"quantity":120,"orders":12},{"price":11,"quantity":110,"orders":11}],"asks":[{"price":101,"quantity":1,"orders":1},{"price":102,"quantity":2,"orders":1}]}`
		if sent, err := lamport.Parse(book.Header().Get("Lamport-Time")); book.Body.String() != want || err != nil || sent <= 9000 {
			t.Errorf("at %d: %s", sent, book.Body)
		}
		if all := m.expect(m.by(m.ada, "GET", "/v1/symbols/TCB/book", ""), 200, "").json; len(all["bids"].([]any)) != 12 || len(all["asks"].([]any)) != 12 {
			t.Errorf("the whole book is %v", all)
		}
		if got := m.pages(m.ada, "/v1/symbols/TCB/trades", 5, "id", 9000); got != "TCB-12 TCB-11 TCB-10 TCB-9 TCB-8 TCB-7 TCB-6 TCB-5 TCB-4 TCB-3 TCB-2 TCB-1" {
			t.Error(got)
		}
		for query, want := range map[string]string{
			"?interval=5m": "12 11 10 9 8 7 6 5 4 3 2 1", "": "", "?interval=1d": "", "?interval=5m&from=1970-01-01T00:50:00Z": "12 11 10", "?interval=5m&from=1970-01-01T00:50:00.000001Z": "12 11",
			"?interval=5m&to=1970-01-01T00:10:00Z": "1", "?interval=5m&from=1970-01-01T00:10:00Z&to=1970-01-01T00:25:00Z": "4 3 2", "?interval=5m&to=0001-01-01T00:00:00Z": "", "?interval=5m&from=9999-12-31T23:59:59Z": "",
		} {
			for _, limit := range []int{1, 2, 50} {
				if got := m.pages(m.ada, "/v1/symbols/TCB/candles"+query, limit, "open", 9000); got != want {
					t.Errorf("%q, %d at a time: %s, want %s", query, limit, got, want)
				}
			}
		}
	})
}

func TestReadingHoldings(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		for symbol, quantity := range map[string]int{"TCB": 100, "LAB": 20, "SOLD": 0} {
			m.insert("holdings", map[string]any{"account": m.ada.account, "symbol": symbol, "quantity": quantity, "held": quantity / 4, "lamport": 7000})
		}
		if got := m.pages(m.ada, "/v1/holdings", 1, "symbol", 7000); got != "LAB TCB" {
			t.Error(got)
		}
		got := m.expect(m.by(m.ada, "GET", "/v1/holdings", ""), 200, "").Body.String()
		if want := `{"items":[{"symbol":"LAB","quantity":20,"held":5,"available":15},{"symbol":"TCB","quantity":100,"held":25,"available":75}],"next_cursor":null}`; got != want {
			t.Error(got)
		}
		if got := m.pages(m.grace, "/v1/holdings", 1, "symbol", 0); got != "" {
			t.Error(got)
		}
	})
}
