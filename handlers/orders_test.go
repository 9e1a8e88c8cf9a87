package handlers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/operation"
	"guichet/models/problem"
)

// submit sends a request whose operation its lane's intake takes, and returns what was journaled.
func (m *market) submit(who trader, lane, method, path, body string, headers ...string) *operation.Operation {
	m.t.Helper()
	go func() {
		in := m.intakes[lane]
		in.accept(m.t.Context(), in.gather(<-in.submissions))
	}()
	accepted := m.expect(m.by(who, method, path, body, headers...), 202, "")
	made, err := id.Parse(accepted.json["id"].(string))
	must(m.t, err)
	found, err := m.journal.Get(m.t.Context(), made, who.user)
	must(m.t, err)
	if found.Lane != lane {
		m.t.Errorf("%s %s went to lane %s", method, path, found.Lane)
	}
	return found
}

// Commands go to the lane of their symbol, which they name.
func TestSubmitting(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		lane := exchange.LaneOf("TCB", 2)
		placed := m.submit(m.ada, lane, "POST", "/v1/orders", `{"symbol":"TCB","side":"buy","quantity":50,"price":32}`)
		if got := string(placed.Payload); placed.Kind != exchange.KindOrder || got != `{"account":"`+m.ada.account+`","symbol":"TCB","side":"buy","type":"limit","time_in_force":"gtc","quantity":50,"price":32}` {
			t.Errorf("%s %s", placed.Kind, got)
		}
		path := "/v1/orders/" + placed.ID.String()
		cancelled := m.submit(m.ada, lane, "DELETE", path, "")
		if got := string(cancelled.Payload); cancelled.Kind != exchange.KindCancellation || got != `{"symbol":"TCB","order":"`+placed.ID.String()+`"}` {
			t.Errorf("%s %s", cancelled.Kind, got)
		}
		for _, who := range []trader{m.grace, m.admin} {
			m.expect(m.by(who, "DELETE", path, ""), 404, "unknown_order")
		}
		for _, unknown := range []string{"none", cancelled.ID.String(), m.IDs.Next().String()} {
			m.expect(m.by(m.ada, "DELETE", "/v1/orders/"+unknown, ""), 404, "unknown_order")
		}
		m.expect(m.by(m.ada, "GET", path, ""), 404, "unknown_order") // it waits

		issued := m.submit(m.admin, lane, "POST", "/v1/symbols/TCB/issues", `{"account":"`+m.ada.account+`","quantity":9}`)
		if got := string(issued.Payload); issued.Kind != exchange.KindIssue || got != `{"account":"`+m.ada.account+`","symbol":"TCB","quantity":9}` {
			t.Errorf("%s %s", issued.Kind, got)
		}
		m.expect(m.by(m.ada, "POST", "/v1/symbols/TCB/issues", `{"account":"`+m.ada.account+`","quantity":9}`), 403, "forbidden")
		m.expect(m.by(m.admin, "POST", "/v1/symbols/NONE/issues", `{"account":"`+m.ada.account+`","quantity":9}`), 404, "unknown_symbol")

		all := m.submit(m.ada, lane, "DELETE", "/v1/orders?symbol=TCB", "", "Idempotency-Key", "all")
		if got := string(all.Payload); all.Kind != exchange.KindMassCancellation || got != `{"account":"`+m.ada.account+`","symbol":"TCB"}` {
			t.Errorf("%s %s", all.Kind, got)
		}
		m.expect(m.by(m.ada, "DELETE", "/v1/orders", ""), 422, "invalid")
		m.expect(m.by(m.ada, "DELETE", "/v1/orders?symbol=NONE", ""), 404, "unknown_symbol")
		m.expect(m.by(m.ada, "POST", "/v1/orders", `{"symbol":"TCB","side":"buy","quantity":50}`), 422, "invalid")
		m.submit(m.ada, exchange.LaneOf("NONE", 2), "POST", "/v1/orders", `{"symbol":"NONE","side":"buy","quantity":50,"price":32}`)
	})
}

// The query is part of what a key was used for.
func TestKeysOfMassCancellations(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		lab := "LAB" // one that shares the lane
		for n := 0; exchange.LaneOf(lab, 2) != exchange.LaneOf("TCB", 2); n++ {
			lab = fmt.Sprint("LAB", n)
		}
		m.expect(m.by(m.admin, "POST", "/v1/symbols", `{"symbol":"`+lab+`","name":"Lab","tick":1,"lot":1}`), 201, "")
		m.submit(m.ada, exchange.LaneOf("TCB", 2), "DELETE", "/v1/orders?symbol=TCB", "", "Idempotency-Key", "k")
		go func() {
			in := m.intakes[exchange.LaneOf(lab, 2)]
			in.accept(m.t.Context(), in.gather(<-in.submissions))
		}()
		m.expect(m.by(m.ada, "DELETE", "/v1/orders?symbol="+lab, "", "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	})
}

// An order that this process does not remember is found in the store, or in line.
func TestCancellingWhatOthersSubmitted(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		lane := exchange.LaneOf("TCB", 2)
		waiting := m.submit(m.ada, lane, "POST", "/v1/orders", `{"symbol":"TCB","side":"buy","quantity":50,"price":32}`)
		rejected := m.submit(m.ada, lane, "POST", "/v1/orders", `{"symbol":"TCB","side":"buy","quantity":51,"price":32}`)
		deposit := m.submit(m.ada, bank.Lane, "POST", "/v1/accounts/"+m.ada.account+"/deposits", `{"amount":5}`)
		must(t, m.DB.Write(t.Context(), func(tx database.Tx) error {
			no := operation.Outcome{OperationID: rejected.ID, Sequence: 1, Status: operation.Rejected, Lamport: 1, Problem: problem.New(problem.InsufficientFunds, "")}
			return operation.Conclude(tx, lane, []operation.Outcome{no})
		}))
		m.ordered.young, m.ordered.old = nil, nil
		open := m.order(m.ada, "TCB", exchange.Open, nil, 1)
		for _, order := range []id.ID{waiting.ID, open} {
			m.expect(m.by(m.grace, "DELETE", "/v1/orders/"+order.String(), ""), 404, "unknown_order")
			if cancelled := m.submit(m.ada, lane, "DELETE", "/v1/orders/"+order.String(), ""); !strings.Contains(string(cancelled.Payload), `"symbol":"TCB","order":"`+order.String()) {
				t.Errorf("%s", cancelled.Payload)
			}
		}
		for _, order := range []id.ID{rejected.ID, deposit.ID} {
			m.expect(m.by(m.ada, "DELETE", "/v1/orders/"+order.String(), ""), 404, "unknown_order")
		}
	})
}

func TestRecentOrdersAreBounded(t *testing.T) {
	t.Parallel()
	var recent recent[ordered]
	ids := id.NewGenerator()
	first := ids.Next()
	recent.add(first, ordered{symbol: "TCB"})
	for range mostRecent {
		recent.add(ids.Next(), ordered{})
	}
	if o, found := recent.find(first); !found || o.symbol != "TCB" {
		t.Error("forgotten too soon")
	}
	for range mostRecent {
		recent.add(ids.Next(), ordered{})
	}
	if _, found := recent.find(first); found || len(recent.young)+len(recent.old) > 2*mostRecent {
		t.Errorf("%d and %d are remembered", len(recent.young), len(recent.old))
	}
}

// A symbol of a lane that is not served, because there were more when it was listed, harms nobody.
func TestLaneThatIsNotServed(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		far := exchange.Symbol{Symbol: "FAR", Name: "Far", Tick: 1, Lot: 1, Lane: exchange.LaneName(7), ListedAt: time.Now()}
		must(t, m.DB.Write(t.Context(), func(tx database.Tx) error { return exchange.InsertSymbol(tx, m.Clock, &far) }))
		refused := m.expect(m.by(m.ada, "POST", "/v1/orders", `{"symbol":"FAR","side":"buy","quantity":50,"price":32}`), 503, "unavailable")
		if refused.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
}

func TestTopicsOfTheMarket(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		session := identity.Session{UserID: m.ada.user}
		me := feed.UserTopic(m.ada.user)
		for names, want := range map[string]string{
			"me": me, "trades:TCB": "trades:TCB", "book:TCB, candles:TCB,book:TCB,me": "book:TCB candles:TCB " + me,
			"trades:NONE": "", "trades:": "", "trades:tcb": "", "levels:TCB": "", "TCB": "", "me,book:NONE": "", "user:" + m.ada.user.String(): "",
		} {
			topics, err := m.resolveTopics(t.Context(), &session, &names)
			if got := strings.Join(topics, " "); got != want || (err == nil) != (want != "") {
				t.Errorf("%q: %q, %v", names, got, err)
			}
		}
		m.expect(m.by(m.ada, "GET", "/v1/feed?topics=book:NONE", ""), 422, "unknown_topic")
	})
}
