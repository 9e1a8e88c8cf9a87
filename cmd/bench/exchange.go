package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// exchangeRun names the rows of the exchange under its mix, which figures look up.
const exchangeRun = "exchange, MariaDB + Redis, api and worker apart"

// tradedSymbols is how many symbols the mix is spread over.
const tradedSymbols = 4

// shareholding is what each person has of each symbol before a run: enough for any run.
const shareholding = 1_000_000_000

const adminPassword = "nobody-guesses-this-one-either"

// exchangeLoad measures the exchange under the mix. Each client waits for the outcome of its order, which is there when both sides of its trades are settled.
type exchangeLoad struct{}

func (exchangeLoad) name() string { return "exchange" }

func (e exchangeLoad) run(ctx context.Context, l *lab) error {
	for _, n := range crowds(l.clients) {
		if err := e.measure(ctx, l, n); err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
	}
	return nil
}

func (exchangeLoad) measure(ctx context.Context, l *lab, n int) error {
	h, err := l.openFloor(ctx, splitShape, symbolNames(tradedSymbols), n)
	if err != nil {
		return err
	}
	return h.close(ctx, h.tradeAndNote(ctx, n, symbolNames(tradedSymbols), exchangeRun))
}

// symbolNames are the symbols that the bench lists.
func symbolNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "BENCH" + strconv.Itoa(i+1)
	}
	return names
}

// openFloor is openHouse with symbols, of which the owner of the hot account and n traders have shares.
func (l *lab) openFloor(ctx context.Context, s shape, symbols []string, n int) (*house, error) {
	s.extra = []string{"GUICHET_ADMIN_PASSWORD=" + adminPassword, "GUICHET_EXCHANGE_LANES=" + strconv.Itoa(l.exchangeLanes)}
	h, err := l.openHouse(ctx, s, peopleFor(n))
	if err != nil {
		return nil, err
	}
	if err := h.list(ctx, symbols, h.people[:n+1]); err != nil {
		return nil, h.close(ctx, fmt.Errorf("list symbols: %w", err))
	}
	return h, nil
}

// list lists symbols, and issues shares of each to the people.
func (h *house) list(ctx context.Context, symbols []string, people []person) error {
	admin := person{username: "admin"}
	if err := h.signInWith(ctx, &admin, adminPassword); err != nil {
		return err
	}
	for _, symbol := range symbols {
		body := map[string]any{"symbol": symbol, "name": "Bench " + symbol, "tick": 1, "lot": 1}
		if _, err := h.call(ctx, http.MethodPost, "/v1/symbols", admin.token, body, nil); err != nil {
			return err
		}
	}
	return h.eachPerson(people, func(p *person) error {
		for _, symbol := range symbols {
			var o operation
			body := map[string]any{"account": p.number, "quantity": shareholding}
			if _, err := h.call(ctx, http.MethodPost, "/v1/symbols/"+symbol+"/issues", admin.token, body, &o); err != nil {
				return err
			}
			if o.Status != "succeeded" {
				return fmt.Errorf("issue %s is %s", o.ID, o.Status)
			}
		}
		return nil
	})
}

// desk writes the requests of a person.
func (h *house) desk(p *person) *desk {
	return newDesk(h.address, "Authorization: Bearer "+p.token, "Prefer: wait=30")
}

// traders connects the first n people after the hot account's owner.
func (h *house) traders(ctx context.Context, n int, f *flow) ([]*client, error) {
	return connectTraders(ctx, h.address, n, f, func(i int) *desk { return h.desk(&h.people[i]) })
}

// connectTraders connects clients 1 … n, each with a desk of its own.
func connectTraders(ctx context.Context, address string, n int, f *flow, desks func(i int) *desk) ([]*client, error) {
	var clients []*client
	for i := 1; i <= n; i++ {
		w, err := dialWire(ctx, address)
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		t := newTrader(f, desks(i))
		clients = append(clients, &client{wire: w, next: t.next, judge: t.judge})
	}
	return clients, nil
}

// trade drives the mix with n clients.
func (h *house) trade(ctx context.Context, n int, symbols []string, warmup, window time.Duration) (measurement, *flow, error) {
	f := &flow{symbols: symbols}
	clients, err := h.traders(ctx, n, f)
	if err != nil {
		return measurement{}, nil, err
	}
	defer closeAll(clients)
	m, err := load{clients: clients, warmup: warmup, window: window, watch: h.watched(true)}.drive(ctx)
	return m, f, err
}

// tradeAndNote drives the mix for the usual window and adds a row of the given name.
func (h *house) tradeAndNote(ctx context.Context, n int, symbols []string, name string) error {
	m, f, err := h.trade(ctx, n, symbols, h.lab.warmup(), h.lab.duration)
	if err != nil {
		return err
	}
	trades, err := h.lab.servers.count(ctx, runDatabase+".trades")
	if err != nil {
		return err
	}
	h.lab.report.add(mixRow(name, n, m, f, trades, laneWords(h.lab.exchangeLanes)))
	return nil
}

func laneWords(lanes int) string {
	if lanes == 1 {
		return "1 lane"
	}
	return strconv.Itoa(lanes) + " lanes"
}

// mixRow is the row of a run of the mix in which there were so many trades.
func mixRow(name string, n int, m measurement, f *flow, trades int64, how string) row {
	return row{
		run: name, clients: n, pattern: orderMix, accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
		remarks: fmt.Sprintf("%s; %d symbols; %.2f trades a request; %.1f %% rejected by a rule; slowest %s ms; %s", how, len(f.symbols),
			float64(trades)/float64(max(1, f.answered.Load())), 100*f.declinedShare(), millis(m.latency.max), cpuPerRequest(m.cpu, total(m.applied))),
	}
}
