package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// paymentRun names the rows of payments.
const paymentRun = "payments of reservations, MariaDB + Redis, api and worker apart"

const (
	// mostPayments a second, by all clients and by each, are what reservations are made for before the window.
	mostPayments     = 15_000
	mostPaymentsEach = 1_500
	// preparing is how long making them may take at all; they are held for longer.
	preparing = 4 * time.Minute
)

// eventPayment measures payments. What is paid has been reserved before, and is in MySQL by then, so that nothing else goes on.
type eventPayment struct{}

func (eventPayment) name() string { return "events-payment" }

func (e eventPayment) run(ctx context.Context, l *lab) error {
	n := l.clients[len(l.clients)-1]
	h, admin, err := l.openStaffed(ctx, peopleFor(n))
	if err != nil {
		return err
	}
	return h.close(ctx, e.measure(ctx, l, h, admin, n))
}

func (e eventPayment) measure(ctx context.Context, l *lab, h *house, admin *person, n int) error {
	span := l.warmup() + l.duration
	b, clients, err := h.openBooking(ctx, admin, n, span)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	payers, err := e.prepare(ctx, h, b, clients, min(mostPayments, n*mostPaymentsEach)*int(span/time.Millisecond)/1000/n+1)
	if err != nil {
		return fmt.Errorf("reserve what is to be paid: %w", err)
	}
	if err := l.servers.awaitReservations(ctx, b.made.Load()); err != nil {
		return err
	}
	m, err := load{clients: clients, warmup: l.warmup(), window: l.duration, watch: h.watched(true)}.drive(ctx)
	if err != nil {
		return err
	}
	if err := e.check(ctx, l, payers); err != nil {
		return err
	}
	l.report.add(row{
		run: paymentRun, clients: n, pattern: freeSeats, accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
		remarks: fmt.Sprintf("one seat each; slowest %s ms; %s", millis(m.latency.max), cpuPerRequest(m.cpu, total(m.applied))),
	})
	return nil
}

// prepare has each client reserve so many seats, and makes it one who pays them.
func (eventPayment) prepare(ctx context.Context, h *house, b *booking, clients []*client, each int) ([]*payer, error) {
	guests := make([]*guest, len(clients))
	for i, c := range clients {
		g := &guest{booking: b, pen: h.pen(&h.people[i+1]), index: i, keep: true}
		guests[i] = g
		c.judge = g.judge
		c.next = func(rng *rand.Rand) []byte {
			if len(g.held) == each {
				return nil
			}
			return g.next(rng)
		}
	}
	if _, err := (load{clients: clients, window: preparing}).drive(ctx); err != nil {
		return nil, err
	}
	payers := make([]*payer, len(clients))
	for i, c := range clients {
		if len(guests[i].held) < each {
			return nil, fmt.Errorf("not done within %s", preparing)
		}
		payers[i] = &payer{pen: h.pen(&h.people[i+1], "Prefer: wait=30"), held: guests[i].held}
		c.next, c.judge = payers[i].next, payers[i].judge
	}
	return payers, nil
}

// check sees to it that there is one ticket for each payment that a client was told of. Who had paid everything before the end has spoilt the figure.
func (eventPayment) check(ctx context.Context, l *lab, payers []*payer) error {
	var paid int64
	for _, p := range payers {
		if paid += int64(p.paid); p.done {
			return errors.New("a client had nothing left to pay: raise mostPayments")
		}
	}
	tickets, err := l.servers.count(ctx, runDatabase+".tickets")
	if err != nil {
		return err
	}
	if tickets != paid {
		return fmt.Errorf("%d reservations of one seat were paid, and there are %d tickets", paid, tickets)
	}
	return nil
}

// A payer is a client who pays one reservation after the other.
type payer struct {
	pen  *pen
	held []string
	paid int
	done bool
}

func (p *payer) next(*rand.Rand) []byte {
	if len(p.held) == 0 {
		p.done = true
		return nil
	}
	request := p.pen.write(http.MethodPost, paymentPath(p.held[0]), "")
	p.held = p.held[1:]
	return request
}

func (p *payer) judge(r reply) (verdict, error) {
	v, err := finished(r)
	if err == nil {
		p.paid++
	}
	return v, err
}
