package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// eventRace has many users race for few seats, again and again, each round on an event of its own, and in some rounds kills Redis on the way. Then everything
// that was answered is held against everything that can be asked: no seat may have been given to two, and nothing that was given may be gone.
type eventRace struct{}

const (
	raceRows    = 2 // of a hall: 200 seats
	racePerUser = 4
	mapPatience = 15 * time.Second
	// redisAway is how long Redis stays away after it was killed: long enough for everybody to notice.
	redisAway = 100 * time.Millisecond
)

func (eventRace) name() string { return "events-race" }

func (e eventRace) run(ctx context.Context, l *lab) error {
	h, admin, err := l.openStaffed(ctx, peopleFor(l.raceClients))
	if err != nil {
		return err
	}
	err = e.measure(ctx, l, h, admin)
	if err == nil {
		// The Redis that is watched from here on is another process.
		err = l.servers.findProcesses(ctx)
	}
	return h.close(ctx, err)
}

func (eventRace) measure(ctx context.Context, l *lab, h *house, admin *person) error {
	r, err := h.openRace(ctx, admin, l.raceClients, l.servers.crashRedis)
	if err != nil {
		return err
	}
	defer r.close()
	for i := range l.raceRounds {
		if err := r.round(ctx, i); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
	}
	if err := r.checkTickets(ctx); err != nil {
		return err
	}
	l.report.set(valueOversold, float64(len(r.oversold)))
	l.report.set(valueMissing, float64(r.missing))
	l.report.add(row{run: "race for seats, MariaDB + Redis, api and worker apart", clients: l.raceClients, latency: r.times.quantiles(), remarks: r.words(l.raceRounds)})
	return nil
}

// crashRedis kills Redis and starts it again on what it has written.
func (s *realServers) crashRedis(ctx context.Context) error {
	if err := s.redisServer.Kill(); err != nil {
		return err
	}
	waitUntil(ctx, time.Now().Add(redisAway), nil)
	return s.redisServer.Restart(ctx)
}

// A race is all rounds: the racers, and what has been found.
type race struct {
	house  *house
	admin  *person
	racers []*racer
	crash  func(context.Context) error // ends the store of seats at once and starts it again
	times  *recorder                   // of reservations that were asked for once
	rng    *rand.Rand
	// patience is how long the map may lag: a seat that was paid shows as sold only after the commit that sold it, and should Redis have died just then, once
	// the two have been compared.
	patience time.Duration

	made, released, paid, crashes int
	unclaimed                     int               // seats that are held by nobody who knows: their answers were lost with Redis
	refused                       int               // 503
	oversold                      map[string]bool   // seats that two have or had, by event and name
	missing                       int               // reservations that were answered 201, and are gone or cannot be paid
	sold                          map[string]string // seats that were paid, by event and name: the reservation
	codes                         map[string]string // of tickets: the reservation
}

// openRace connects the racers.
func (h *house) openRace(ctx context.Context, admin *person, n int, crash func(context.Context) error) (*race, error) {
	r := &race{
		house: h, admin: admin, crash: crash, times: newRecorder(), rng: rand.New(rand.NewPCG(5, 6)), patience: mapPatience,
		oversold: map[string]bool{}, sold: map[string]string{}, codes: map[string]string{},
	}
	for i := 1; i <= n; i++ {
		w, err := dialWire(ctx, h.address)
		if err != nil {
			r.close()
			return nil, err
		}
		r.racers = append(r.racers, &racer{
			race: r, person: &h.people[i], wire: w, pen: h.pen(&h.people[i]), payPen: h.pen(&h.people[i], "Prefer: wait=30"),
			index: i, rng: rand.New(rand.NewPCG(uint64(i), 7)),
		})
	}
	return r, nil
}

func (r *race) close() {
	for _, c := range r.racers {
		c.wire.close()
	}
}

// crashPoints tells after how many answers of a round Redis is killed, while all reserve or while all pay; 0: not at all. In two of ten rounds it is
// in the race, in another while what was won is paid.
func (r *race) crashPoints(round int) (reserving, paying int64) {
	switch round % 10 {
	case 1, 6:
		return 1 + r.rng.Int64N(raceRows*seatsPerRow/3), 0
	case 8:
		return 0, 1 + r.rng.Int64N(raceRows*seatsPerRow/3)
	default:
		return 0, 0
	}
}

// round is one event, from its announcement until all that was won is paid.
func (r *race) round(ctx context.Context, number int) error {
	at, err := r.house.announce(ctx, r.admin, fmt.Sprintf("Race %d", number+1), raceRows, racePerUser)
	if err != nil {
		return err
	}
	reserving, paying := r.crashPoints(number)
	refusedBefore := r.refused
	if err := r.during(ctx, reserving, func(c *racer, f *fuse) error { return c.compete(ctx, at, f) }); err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	claims := r.claims()
	r.compare(at, claims)
	r.count(claims)
	if err := r.each(ctx, func(c *racer) error { return c.confirm(ctx, "held") }); err != nil {
		return fmt.Errorf("look at what was reserved: %w", err)
	}
	if err := r.checkMap(ctx, at, 'h', reserving > 0 || r.refused > refusedBefore); err != nil {
		return err
	}
	if err := r.during(ctx, paying, func(c *racer, f *fuse) error { return c.pay(ctx, f) }); err != nil {
		return fmt.Errorf("pay: %w", err)
	}
	if err := r.each(ctx, func(c *racer) error { return c.confirm(ctx, "paid") }); err != nil {
		return fmt.Errorf("look at what was paid: %w", err)
	}
	if err := r.checkMap(ctx, at, 's', true); err != nil {
		return err
	}
	r.checkPaid(at, claims)
	return nil
}

// during has all racers do something at once. After so many ticks of the fuse Redis is killed; 0: never.
func (r *race) during(ctx context.Context, after int64, do func(*racer, *fuse) error) error {
	f := &fuse{after: after, blown: make(chan struct{})}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer f.blow() // too few answers: it is killed at the end, which must not harm what was answered either
		return r.each(ctx, func(c *racer) error { return do(c, f) })
	})
	if after > 0 {
		r.crashes++
		group.Go(func() error {
			select {
			case <-f.blown:
				return r.crash(ctx)
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	return group.Wait()
}

// each has all racers do something at once, from one signal on, and adds up what they were refused.
func (r *race) each(ctx context.Context, do func(*racer) error) error {
	r.deadline(time.Now().Add(raceTimeout))
	// A racer blocked in a read does not see its context; moving the deadline of its connection wakes it.
	defer context.AfterFunc(ctx, func() { r.deadline(time.Now()) })()
	start := make(chan struct{})
	var group errgroup.Group
	for _, c := range r.racers {
		group.Go(func() error {
			<-start
			if err := do(c); err != nil {
				return fmt.Errorf("%s: %w", c.person.username, err)
			}
			return nil
		})
	}
	close(start)
	err := group.Wait()
	for _, c := range r.racers {
		r.refused += c.refused
		c.refused = 0
	}
	return err
}

func (r *race) deadline(t time.Time) {
	for _, c := range r.racers {
		_ = c.wire.conn.SetDeadline(t) // fails on a closed connection only, whose reads fail by themselves
	}
}

// words tell what happened.
func (r *race) words(rounds int) string {
	return fmt.Sprintf("%d rounds of %d seats, Redis killed in %d; reservations: %d made, %d released, %d paid; %d answers 503; %d seats held whose answer was lost with Redis; %d seats oversold, %d reservations missing",
		rounds, raceRows*seatsPerRow, r.crashes, r.made, r.released, r.paid, r.refused, r.unclaimed, len(r.oversold), r.missing)
}

// A fuse blows after so many ticks.
type fuse struct {
	after int64
	ticks atomic.Int64
	once  sync.Once
	blown chan struct{}
}

func (f *fuse) tick() {
	if f.ticks.Add(1) == f.after {
		f.blow()
	}
}

func (f *fuse) blow() { f.once.Do(func() { close(f.blown) }) }
