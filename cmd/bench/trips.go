package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
)

// tripRun names the rows of trips, which figures look up.
const tripRun = "purchases, MariaDB + Redis, api and worker apart"

// hotTrip is the load of trips: everybody buys one ticket of one class of one trip, and pays in the same step.
const hotTrip pattern = "one hot trip"

const (
	hotClass = "seat"
	// hotStock is the most that a class may have, so that no run sells it out.
	hotStock = 1_000_000_000
)

// tripLoad measures purchases that are confirmed and paid. Each client waits for the finished operation, so that POST to answer is POST to paid.
type tripLoad struct{}

func (tripLoad) name() string { return "trips" }

func (t tripLoad) run(ctx context.Context, l *lab) error {
	for _, n := range crowds(l.clients) {
		h, admin, err := l.openStaffed(ctx, peopleFor(n))
		if err != nil {
			return err
		}
		if err := h.close(ctx, t.measure(ctx, l, h, admin, n)); err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
	}
	return nil
}

func (tripLoad) measure(ctx context.Context, l *lab, h *house, admin *person, n int) error {
	trip, err := h.offerTrip(ctx, admin)
	if err != nil {
		return err
	}
	b := &buyers{body: purchaseOf(trip)}
	clients, err := connectClients(ctx, h.address, n, func(i int) *client { return b.client(h.pen(&h.people[i], "Prefer: wait=30")) })
	if err != nil {
		return err
	}
	defer closeAll(clients)
	m, err := load{clients: clients, judge: b.judge, warmup: l.warmup(), window: l.duration, watch: h.watched(true)}.drive(ctx)
	if err != nil {
		return err
	}
	if err := h.checkSold(ctx, trip, b.bought.Load()); err != nil {
		return err
	}
	l.report.add(row{
		run: tripRun, clients: n, pattern: hotTrip, accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
		remarks: fmt.Sprintf("slowest %s ms; %s", millis(m.latency.max), cpuPerRequest(m.cpu, total(m.applied))),
	})
	return nil
}

// offerTrip makes the hot trip and returns its id.
func (h *house) offerTrip(ctx context.Context, admin *person) (string, error) {
	body := map[string]any{
		"name": "Bench", "departs_at": aYearAhead(),
		"classes": []map[string]any{{"name": hotClass, "price": ticketPrice, "stock": hotStock}},
	}
	var trip struct{ ID string }
	_, err := h.call(ctx, http.MethodPost, "/v1/trips", admin.token, body, &trip)
	return trip.ID, err
}

// checkSold sees to it that as many tickets are gone as were bought: the clients were told of every one.
func (h *house) checkSold(ctx context.Context, trip string, bought int64) error {
	var t struct {
		Classes []struct{ Stock, Available int64 }
	}
	if _, err := h.call(ctx, http.MethodGet, "/v1/trips/"+trip, h.people[0].token, nil, &t); err != nil {
		return err
	}
	if len(t.Classes) != 1 || t.Classes[0].Stock-t.Classes[0].Available != bought {
		return fmt.Errorf("%d tickets were bought, and the trip has %+v", bought, t.Classes)
	}
	return nil
}

// purchaseOf is the body of a purchase of one ticket that is paid at once, for guichet and for the naive handler alike.
func purchaseOf(trip string) string {
	return fmt.Sprintf(`{"trip":"%s","class":"%s","quantity":1,"confirm":true}`, trip, hotClass)
}

// buyers are the clients of a trip.
type buyers struct {
	body   string
	bought atomic.Int64
}

// client buys the same again and again.
func (b *buyers) client(p *pen) *client {
	request := p.write(http.MethodPost, "/v1/purchases", b.body)
	return &client{next: func(*rand.Rand) []byte { return request }}
}

func (b *buyers) judge(r reply) (verdict, error) {
	v, err := finished(r)
	if err == nil {
		b.bought.Add(1)
	}
	return v, err
}
