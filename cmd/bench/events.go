package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// reservationRun names the rows of reservations, which figures look up.
const reservationRun = "reservations, MariaDB + Redis, api and worker apart"

// freeSeats is the load of events: each client reserves one named seat after the other, which nobody else wants.
const freeSeats pattern = "free seats"

const (
	// largestHall and mostPerUser are the most that the contract allows, in seats.
	largestHall = 100_000
	mostPerUser = 1000
	fewestHalls = 4
	// mostReservations a second, by all clients and by each, are what halls are made for: more than this machine's HTTP lets through.
	mostReservations     = 50_000
	mostReservationsEach = 5_000
)

// seatWords tells the loads of trips and events in the report's conditions.
const seatWords = "trips: everybody buys one ticket of one class and pays in the same step; events: one named seat a reservation, from one hall of up to 100,000 after the other; " +
	"sold out: a named seat and any seat in turns; race: users who ask for 1 to 3 seats, by name or by number, pay what they got, and sometimes let go of it"

// eventLoad measures reservations of free seats, and how long after it each of a sample is a row in MySQL.
type eventLoad struct{}

func (eventLoad) name() string { return "events" }

func (e eventLoad) run(ctx context.Context, l *lab) error {
	for _, n := range crowds(l.clients) {
		if err := (noop{}).once(ctx, l, n); err != nil {
			return err
		}
		h, admin, err := l.openStaffed(ctx, peopleFor(n))
		if err != nil {
			return err
		}
		if err := h.close(ctx, e.measure(ctx, l, h, admin, n)); err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
	}
	return nil
}

func (e eventLoad) measure(ctx context.Context, l *lab, h *house, admin *person, n int) error {
	b, clients, err := h.openBooking(ctx, admin, n, l.warmup()+l.duration)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	b.watch = newRowWatch(l.servers.db, time.Now().Add(l.warmup()))
	m, lag, err := e.drive(ctx, load{clients: clients, warmup: l.warmup(), window: l.duration, watch: h.watched(true)}, b)
	if err != nil {
		return err
	}
	ended := time.Now()
	if err := l.servers.awaitReservations(ctx, b.made.Load()); err != nil {
		return err
	}
	l.report.set(valueRowLag, lag.p99.Seconds())
	l.report.add(row{
		run: reservationRun, clients: n, pattern: freeSeats, accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
		remarks: fmt.Sprintf("%d halls of %d seats; slowest %s ms; a row in MySQL after: p50 %s, p99 %s, worst %s ms of %d; all %d rows %s ms after the last answer; %s",
			len(b.halls), b.halls[0].seats(), millis(m.latency.max), millis(lag.p50), millis(lag.p99), millis(lag.max), lag.count,
			b.made.Load(), millis(time.Since(ended)), cpuPerRequest(m.cpu, total(m.applied))),
	})
	return nil
}

// drive runs the load with the watch of its rows beside it.
func (eventLoad) drive(ctx context.Context, ld load, b *booking) (m measurement, lag quantiles, err error) {
	ended := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		defer close(ended)
		m, err = ld.drive(ctx)
		return err
	})
	group.Go(func() (err error) {
		lag, err = b.watch.run(ctx, ended)
		return err
	})
	err = group.Wait()
	return m, lag, err
}

// A booking is what the guests of one load share.
type booking struct {
	halls  []hall
	guests int
	made   atomic.Int64
	watch  *rowWatch // may be nil
}

// openBooking makes halls with seats for so long a load, and connects n guests.
func (h *house) openBooking(ctx context.Context, admin *person, n int, span time.Duration) (*booking, []*client, error) {
	count, rows := hallsFor(n, span)
	halls, err := h.announceAll(ctx, admin, count, rows)
	if err != nil {
		return nil, nil, fmt.Errorf("announce halls: %w", err)
	}
	b := &booking{halls: halls, guests: n}
	clients, err := connectClients(ctx, h.address, n, func(i int) *client {
		g := &guest{booking: b, pen: h.pen(&h.people[i]), index: i - 1}
		return &client{next: g.next, judge: g.judge}
	})
	return b, clients, err
}

// hallsFor is how many halls of how many rows have seats for n guests who reserve for so long, each no more than a user may.
func hallsFor(n int, span time.Duration) (count, rows int) {
	seats := min(mostReservations, n*mostReservationsEach) * int(span/time.Millisecond) / 1000
	size := min(largestHall, n*mostPerUser)
	return max(fewestHalls, (seats+size-1)/size), size / seatsPerRow
}

// A guest is one client of a booking. The seats of guest i are i, i + guests, i + 2 × guests … of each hall, one hall after the other.
type guest struct {
	booking *booking
	pen     *pen
	index   int
	asked   int
	held    []string // reservations, if they are kept
	keep    bool
}

func (g *guest) next(*rand.Rand) []byte {
	halls, each := g.booking.halls, g.booking.share()
	// Who has had all seats asks for the first again, which is refused, and the judge tells why.
	at, n := halls[g.asked/each%len(halls)], g.asked%each*g.booking.guests+g.index
	g.asked++
	return g.pen.write(http.MethodPost, at.path, seatsBody(at.seat(n)))
}

func (g *guest) judge(r reply) (verdict, error) {
	if r.status == http.StatusConflict && g.asked > g.booking.seatsEach() {
		return 0, fmt.Errorf("all %d seats of a client are reserved: raise mostReservations", g.booking.seatsEach())
	}
	if r.status != http.StatusCreated {
		return 0, unexpected(r)
	}
	g.booking.made.Add(1)
	if g.keep {
		reservation, err := operationID(r.body)
		if err != nil {
			return 0, err
		}
		g.held = append(g.held, reservation)
	}
	return applied, g.booking.watch.offer(r.body)
}

// seatsEach is how many seats each guest has for himself, at least.
func (b *booking) seatsEach() int { return len(b.halls) * b.share() }

// share is how many seats of each hall each guest has for himself.
func (b *booking) share() int { return b.halls[0].seats() / b.guests }

// conflict says whether an answer is 409 with the given code.
func conflict(r reply, code string) bool {
	return r.status == http.StatusConflict && bytes.Contains(r.body, []byte(`"code":"`+code+`"`))
}
