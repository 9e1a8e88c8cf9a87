package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"
)

// soldOut is the load of events of which nothing is left.
const soldOut pattern = "sold out"

const (
	soldHalls = 4
	soldRows  = 100 // of each hall: 10,000 seats
	// holdersOfAll have bought everything, each as much as one may. They are not among the clients, who would be refused for having enough.
	holdersOfAll = soldRows * seatsPerRow / mostPerUser
)

// eventSoldOut measures how soon those are refused who come too late: most, where many want the same.
type eventSoldOut struct{}

func (eventSoldOut) name() string { return "events-soldout" }

func (e eventSoldOut) run(ctx context.Context, l *lab) error {
	n := l.clients[len(l.clients)-1]
	if err := (noop{}).once(ctx, l, n); err != nil {
		return err
	}
	h, admin, err := l.openStaffed(ctx, peopleFor(n)+holdersOfAll)
	if err != nil {
		return err
	}
	return h.close(ctx, e.measure(ctx, l, h, admin, n))
}

func (e eventSoldOut) measure(ctx context.Context, l *lab, h *house, admin *person, n int) error {
	halls, err := h.announceAll(ctx, admin, soldHalls, soldRows)
	if err != nil {
		return fmt.Errorf("announce halls: %w", err)
	}
	if err := e.sellAll(ctx, h, halls, h.people[peopleFor(n):]); err != nil {
		return fmt.Errorf("sell everything: %w", err)
	}
	clients, err := connectClients(ctx, h.address, n, func(i int) *client {
		c := &latecomer{halls: halls, pen: h.pen(&h.people[i])}
		return &client{next: c.next, judge: c.judge}
	})
	if err != nil {
		return err
	}
	defer closeAll(clients)
	m, err := load{clients: clients, warmup: l.warmup(), window: l.duration, watch: h.watched(true)}.drive(ctx)
	if err != nil {
		return err
	}
	l.report.add(row{
		run: reservationRun, clients: n, pattern: soldOut, accepted: m.acceptedRate(), latency: m.latency,
		remarks: fmt.Sprintf("accepted: refused with 409; %d halls of %d seats; slowest %s ms; %s", len(halls), halls[0].seats(), millis(m.latency.max), cpuPerRequest(m.cpu, total(m.accepted))),
	})
	return nil
}

// sellAll has the first holdersOfAll of the people buy all seats.
func (e eventSoldOut) sellAll(ctx context.Context, h *house, halls []hall, people []person) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range holdersOfAll {
		group.Go(func() error { return e.buyShare(ctx, h, &people[i], halls, i) })
	}
	return group.Wait()
}

// buyShare reserves the holder's rows of each hall, row by row, and pays them.
func (eventSoldOut) buyShare(ctx context.Context, h *house, p *person, halls []hall, index int) error {
	for _, at := range halls {
		for r := index; r < at.rows; r += holdersOfAll {
			names := make([]string, seatsPerRow)
			for i := range names {
				names[i] = at.seat(r*seatsPerRow + i)
			}
			var reservation struct{ ID string }
			if _, err := h.call(ctx, http.MethodPost, at.path, p.token, map[string]any{"seats": names}, &reservation); err != nil {
				return err
			}
			var o operation
			if _, err := h.call(ctx, http.MethodPost, paymentPath(reservation.ID), p.token, nil, &o); err != nil {
				return err
			}
			if err := h.await(ctx, p, &o); err != nil {
				return err
			}
		}
	}
	return nil
}

func paymentPath(reservation string) string { return "/v1/reservations/" + reservation + "/payment" }

// A latecomer is a client who asks for a seat by its name and for any seat, in turns.
type latecomer struct {
	halls  []hall
	pen    *pen
	byName bool
}

func (c *latecomer) next(rng *rand.Rand) []byte {
	at := c.halls[rng.IntN(len(c.halls))]
	c.byName = !c.byName
	if c.byName {
		return c.pen.write(http.MethodPost, at.path, seatsBody(at.seat(rng.IntN(at.seats()))))
	}
	return c.pen.write(http.MethodPost, at.path, `{"quantity":1}`)
}

// judge expects the refusal that fits what was asked.
func (c *latecomer) judge(r reply) (verdict, error) {
	if c.byName && conflict(r, "seat_taken") || !c.byName && conflict(r, "sold_out") {
		return accepted, nil
	}
	return 0, unexpected(r)
}

// seatsBody is the body of a reservation of seats by name.
func seatsBody(names ...string) string { return `{"seats":["` + strings.Join(names, `","`) + `"]}` }
