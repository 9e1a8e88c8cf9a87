package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Hundreds race for few seats: nobody gets a seat that somebody else has.
func TestEventsCrowd(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const seats, people = 60, 200
		b := h.serve().announce(t, section{"A", 6, 10, 100})
		guests := b.guests(people, 1000)
		var sold atomic.Int64
		inParallel(people, func(i int) {
			for n := range 12 {
				seat := fmt.Sprintf("A-%d-%d", 1+(i+n)%6, 1+(i*7+n*3)%10)
				a := b.ask(guests[i], seat)
				if a.status == http.StatusConflict {
					continue
				}
				var r reservation
				a.into(t, http.StatusCreated, &r)
				if o := guests[i].pay(r); o.Status != "succeeded" {
					t.Errorf("%+v", o)
				}
				sold.Add(1)
			}
		})
		owners := map[string]int{}
		for _, g := range guests {
			for _, ticket := range g.tickets() {
				owners[ticket.Seat]++
			}
		}
		for seat, n := range owners {
			if n != 1 {
				t.Errorf("seat %s was sold %d times", seat, n)
			}
		}
		if int(sold.Load()) != len(owners) || len(owners) > seats {
			t.Errorf("%d were sold, %d have an owner", sold.Load(), len(owners))
		}
		h.audit()
	})
}

// What was answered 201 is there after kill -9 of every process, and after Redis has read its append-only file again.
func TestEventsSurviveKills(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		surviveKills(t, newEmbeddedHouse(t))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		surviveKills(t, newPrivateRedisHouse(t))
	})
}

func surviveKills(t *testing.T, h *house) {
	p := h.serve()
	b := p.announce(t, section{"A", 20, 50, 100})
	guests := b.guests(8, 100_000)
	type made struct {
		by *client
		r  reservation
	}
	var mu sync.Mutex
	var all []made
	for round := range rounds(t, 3) {
		var stopped atomic.Bool
		var working sync.WaitGroup
		for i, g := range guests {
			working.Go(func() {
				random := rand.New(rand.NewPCG(uint64(round), uint64(i)))
				for !stopped.Load() {
					seat := fmt.Sprintf("A-%d-%d", 1+random.IntN(20), 1+random.IntN(50))
					a, err := g.try(http.MethodPost, "/v1/events/"+b.event+"/reservations", map[string]any{"seats": []string{seat}})
					if err != nil || a.status != http.StatusCreated {
						continue
					}
					var r reservation
					a.into(t, http.StatusCreated, &r)
					mu.Lock()
					all = append(all, made{g, r})
					mu.Unlock()
				}
			})
		}
		eventually(t, "reservations", func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(all) < 40*(round+1) {
				return fmt.Errorf("%d were made", len(all))
			}
			return nil
		})
		p.kill()
		stopped.Store(true)
		working.Wait()
		if h.redis != nil {
			if err := h.redis.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := h.redis.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		p = h.serve()
		b.process, b.admin = p, p.admin(t)
		for i := range guests {
			*guests[i] = *guests[i].at(p)
		}
	}
	missing, seats := 0, map[string]string{}
	for _, m := range all {
		if got := m.by.reservation(m.r.ID); got.Status != "held" {
			missing++
			t.Errorf("%+v", got)
		}
		if other, taken := seats[m.r.Seats[0]]; taken {
			t.Errorf("seat %s is held by %s and by %s", m.r.Seats[0], other, m.r.ID)
		}
		seats[m.r.Seats[0]] = m.r.ID
	}
	for _, m := range all[:min(20, len(all))] {
		m.by.paid(m.r)
	}
	t.Logf("acked_lost=%d of %d reservations", missing, len(all))
	h.audit()
}

// Redis loses all it has: what was paid and what the database had heard of comes back, what it had not is told at payment, and nothing is sold twice.
func TestEventsRedisWiped(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	b := h.serve().announce(t, section{"A", 2, 5, 100})
	ada, bob := b.guest(1000), b.guest(1000)
	paid := ada.paid(b.reserve(ada, "A-1-1", "A-1-2"))
	held := b.reserve(ada, "A-1-3")
	h.synced(held.ID, "held")
	if err := h.redis.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hold again", func() error { // before anybody has asked for the seats
		a, err := ada.try(http.MethodGet, "/v1/reservations/"+held.ID, nil)
		if err != nil || a.status != http.StatusOK {
			return fmt.Errorf("%d, %w", a.status, err)
		}
		var r reservation
		a.into(t, http.StatusOK, &r)
		if r.Status != "held" {
			t.Fatalf("%+v", r)
		}
		return nil
	})
	b.shows("ssh..", ".....")
	b.ask(bob, "A-1-2").problem(t, http.StatusConflict, "seat_taken")
	b.ask(bob, "A-1-3").problem(t, http.StatusConflict, "seat_taken")
	ada.paid(held)
	b.reserve(bob, "A-1-4")
	if o := ada.refund(paid); o.Status != "succeeded" {
		t.Errorf("%+v", o)
	}
	b.eventuallyShows("..sh.", ".....")
	h.audit()
}

// Holds that the database has not heard of are lost with Redis. Their seats can be sold to others, and whoever had them is told at payment.
func TestEventsUnheardHoldsLost(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	api := h.start([]string{"api"}) // without a worker nothing is synchronised
	b := api.announce(t, section{"A", 1, 2, 100})
	ada, bob := api.user(t), api.user(t)
	lost := b.reserve(ada, "A-1-1")
	if err := h.redis.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	var his reservation
	eventually(t, "the seat for bob", func() error {
		a, err := b.process.client(t).at(api).try(http.MethodGet, "/readyz", nil)
		if err != nil || a.status != http.StatusOK {
			return fmt.Errorf("%d, %w", a.status, err)
		}
		return nil
	})
	b.ask(bob, "A-1-1").into(t, http.StatusCreated, &his)
	h.start([]string{"worker"})
	bob.deposit(1000)
	ada.deposit(1000)
	bob.paid(his)
	if a := ada.post("/v1/reservations/"+lost.ID+"/payment", nil, wait); a.status == http.StatusOK {
		var o reservationOutcome
		a.into(t, http.StatusOK, &o)
		if o.Status != "rejected" || !slices.Contains([]string{"unknown_reservation", "reservation_expired"}, o.Problem.Code) {
			t.Errorf("%+v", o)
		}
	} else {
		a.problem(t, http.StatusNotFound, "unknown_reservation")
	}
	if ada.balance() != 1000 {
		t.Errorf("ada paid for a seat that she has not: %d", ada.balance())
	}
	h.audit()
}

// MariaDB is away for a minute: reservations go on, and the database follows when it is back.
func TestEventsMariaDBAway(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	b := h.serve().announce(t, section{"A", 10, 10, 100})
	guests := b.guests(4, 1000)
	for i, g := range guests { // the processes know the event and the sessions
		b.reserve(g, fmt.Sprintf("A-1-%d", 1+i))
	}
	if err := h.mariadb.Kill(); err != nil {
		t.Fatal(err)
	}
	const away, asked = time.Minute, 60 // longer than a session is known without asking
	var all []reservation
	pace := time.NewTicker(away / asked)
	defer pace.Stop()
	for n := range asked {
		g := guests[n%len(guests)]
		var r reservation
		b.ask(g, fmt.Sprintf("A-%d-%d", 2+n/10, 1+n%10)).into(t, http.StatusCreated, &r)
		all = append(all, r)
		g.reservation(all[n%4].ID) // is read for as long as the database is away
		<-pace.C
	}
	b.ask(guests[0], "A-9-1").expect(t, http.StatusCreated)
	if err := h.mariadb.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		h.synced(r.ID, "held")
	}
	guests[0].paid(all[0])
	h.audit()
}

// The worker is killed again and again while reservations are made, paid and released: the database ends up with what Redis has.
func TestEventsWorkerKilled(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}, "GUICHET_HOLD=5s"), h.newCrew(2)
	b := api.announce(t, section{"A", 30, 30, 100})
	guests := b.guests(8, 1_000_000)
	var stopped atomic.Bool
	var working sync.WaitGroup
	var mu sync.Mutex
	ended := map[string]string{}
	for i, g := range guests {
		working.Go(func() {
			random := rand.New(rand.NewPCG(17, uint64(i)))
			for n := 0; !stopped.Load(); n++ {
				var r reservation
				a := b.ask(g, fmt.Sprintf("A-%d-%d", 1+random.IntN(30), 1+random.IntN(30)))
				if a.status != http.StatusCreated {
					continue
				}
				a.into(t, http.StatusCreated, &r)
				state := "expired"
				switch n % 3 {
				case 0:
					o := g.pay(r)
					state = o.Result.Status
					if o.Status != "succeeded" {
						state = "expired" // while no worker was there
					}
					if state == "paid" && n%2 == 0 {
						if o := g.refund(r); o.Status == "succeeded" {
							state = "refunded"
						}
					}
				case 1:
					if a := g.letGo(r); a.status == http.StatusOK {
						state = "released"
					}
				}
				mu.Lock()
				ended[r.ID] = state
				mu.Unlock()
			}
		})
	}
	for range rounds(t, 4) {
		before := 0
		eventually(t, "some reservations", func() error {
			mu.Lock()
			defer mu.Unlock()
			if before == 0 {
				before = len(ended) + 1
			}
			if len(ended) < before+30 {
				return fmt.Errorf("%d", len(ended))
			}
			return nil
		})
		w.kill(w.awaitHolderOf("events", -1))
	}
	stopped.Store(true)
	working.Wait()
	for r, state := range ended {
		h.synced(r, state)
	}
	h.audit()
}

// Payments race the end of their holds: each reservation is paid or expired, and never both.
func TestEventsPayRacesExpiry(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		b := h.serve("GUICHET_HOLD=1s").announce(t, section{"A", 4, 10, 100})
		guests := b.guests(40, 1000)
		outcomes := map[string]int{}
		var mu sync.Mutex
		inParallel(len(guests), func(i int) {
			r := b.reserve(guests[i], fmt.Sprintf("A-%d-%d", 1+i/10, 1+i%10))
			<-time.After(time.Until(r.ExpiresAt.Add(time.Duration(i-20) * 5 * time.Millisecond))) // the race itself, not a wait for something
			o := guests[i].pay(r)
			got := o.Status
			if o.Problem != nil {
				got = o.Problem.Code
			}
			mu.Lock()
			outcomes[got]++
			mu.Unlock()
			paid := got == "succeeded"
			if !paid && got != "reservation_expired" {
				t.Errorf("%+v", o)
			}
			if balance := guests[i].balance(); (balance == 900) != paid {
				t.Errorf("%s, and the balance is %d", got, balance)
			}
			want := map[bool]string{true: "paid", false: "expired"}[paid]
			h.synced(r.ID, want)
		})
		t.Logf("%v", outcomes)
		h.audit()
	})
}

// A refund races the check-in of a ticket of it: one of the two wins.
func TestEventsRefundRacesCheckIn(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		b := h.serve().announce(t, section{"A", 4, 10, 100})
		guests := b.guests(30, 1000)
		inParallel(len(guests), func(i int) {
			paid := guests[i].paid(b.reserve(guests[i], fmt.Sprintf("A-%d-%d", 1+i/10, 1+i%10)))
			var door answer
			var back reservationOutcome
			inParallel(2, func(which int) {
				if which == 0 {
					door = b.admin.post("/v1/tickets/"+paid.Tickets[0]+"/check-in", nil)
				} else {
					back = guests[i].refund(paid)
				}
			})
			entered, refunded := door.status == http.StatusOK, back.Status == "succeeded"
			if entered == refunded {
				t.Errorf("let in: %d %s; refund: %+v", door.status, door.body, back)
			}
			if balance := guests[i].balance(); (balance == 1000) != refunded {
				t.Errorf("refunded: %t, and the balance is %d", refunded, balance)
			}
		})
		h.audit()
	})
}

// A key that Redis has lost is not taken for a new one while the database, which knows it, is away. What bears no key is reserved meanwhile.
func TestReservationKeysWhileBothStoresFail(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	b := h.serve().announce(t, section{"A", 2, 5, 100})
	ada := b.guest(1000)
	ask := func(options ...option) answer {
		return ada.post("/v1/events/"+b.event+"/reservations", map[string]any{"quantity": 1}, options...)
	}
	once := header("Idempotency-Key", "once")
	var first reservation
	ask(once).into(t, http.StatusCreated, &first)
	h.synced(first.ID, "held")
	if err := h.redis.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.eventuallyShows("..h..", ".....") // Redis knows the event again
	if err := h.mariadb.Kill(); err != nil {
		t.Fatal(err)
	}
	ask(once).problem(t, http.StatusServiceUnavailable, "unavailable")
	ask().expect(t, http.StatusCreated)
	if err := h.mariadb.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the answer again", func() error {
		a := ask(once)
		if a.status == http.StatusServiceUnavailable {
			return fmt.Errorf("%s", a.body)
		}
		var again reservation
		if a.into(t, http.StatusCreated, &again); again.ID != first.ID || a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%+v; want %+v", again, first)
		}
		return nil
	})
}
