package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/database"
)

// Lists are paged without overlap or loss, filtered, and in order.
func TestTripsLists(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		ada, grace := c.customerWith(10_000), c.customerWith(10_000)
		var offered []trip
		for n := range 6 {
			offered = append(offered, c.admin.offer(tripIn(time.Duration(10-n/2)*time.Hour, class("seat", 10, 100))))
			if n%3 == 0 {
				offered[n].Status = c.admin.changeTrip(offered[n].ID, terms{"status": "closed"}).Status
			}
		}
		offered[5].Status = c.admin.changeTrip(offered[5].ID, terms{"departs_at": "2020-01-01T00:00:00Z"}).Status
		offered[5].DepartsAt = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		slices.SortStableFunc(offered, func(a, b trip) int { return a.DepartsAt.Compare(b.DepartsAt) })
		for _, status := range []string{"", "open", "closed", "departed"} {
			var want []string
			query := ""
			for _, one := range offered {
				if status == "" || one.Status == status {
					want = append(want, one.ID)
				}
			}
			if status != "" {
				query = "&status=" + status
			}
			for _, limit := range []int{1, 2, 200} {
				var got []string
				for _, one := range allOf[trip](ada, fmt.Sprintf("/v1/trips?limit=%d%s", limit, query)) {
					got = append(got, one.ID)
				}
				if !slices.Equal(got, want) || len(want) == 0 {
					t.Errorf("%s by %d: %v, want %v", status, limit, got, want)
				}
			}
		}
		open := []string{}
		for _, one := range offered {
			if one.Status == "open" {
				open = append(open, one.ID)
			}
		}
		var made []purchase
		for n := range 9 {
			p := ada.ask(open[n%len(open)], "seat", 1)
			grace.ask(open[0], "seat", 1)
			switch n % 3 {
			case 0:
				o := ada.confirm(p.ID)
				p = o.got(ada, "paid")
			case 1:
				o := ada.giveBack(p.ID)
				p = o.got(ada, "cancelled")
			}
			made = append(made, p)
		}
		slices.Reverse(made)
		for query, wanted := range map[string]func(p purchase) bool{
			"": func(purchase) bool { return true }, "&status=paid": func(p purchase) bool { return p.Status == "paid" }, "&status=refunded": func(purchase) bool { return false },
			"&trip=" + open[1]: func(p purchase) bool { return p.Trip == open[1] }, "&trip=none": func(purchase) bool { return false },
			"&status=held&trip=" + open[0]: func(p purchase) bool { return p.Status == "held" && p.Trip == open[0] },
		} {
			for _, limit := range []int{1, 2, 200} {
				var want []purchase
				for _, p := range made {
					if wanted(p) {
						want = append(want, p)
					}
				}
				got := allOf[purchase](ada, fmt.Sprintf("/v1/purchases?limit=%d%s", limit, query))
				if !slices.EqualFunc(got, want, func(a, b purchase) bool {
					return a.ID == b.ID && a.Status == b.Status && slices.Equal(a.Tickets, b.Tickets)
				}) {
					t.Errorf("%s by %d: %+v, want %+v", query, limit, got, want)
				}
			}
		}
		for _, path := range []string{"/v1/trips?cursor=x", "/v1/trips?cursor=MS4y", "/v1/trips?cursor=!", "/v1/purchases?cursor=MS4y"} {
			ada.get(path).problem(t, http.StatusBadRequest, "malformed")
		}
		ada.get("/v1/trips?status=late").problem(t, http.StatusUnprocessableEntity, "invalid")
		h.audit()
	})
}

// Hundreds of clients at once on one class: not one ticket more is sold or held than there are, and the money is where the tickets went.
func TestTripsCrowdNeverOversells(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const people, clientsEach, stock, price = 10, 30, 150, 7
		c := h.openCounter()
		hot := c.admin.offerSeats(price, stock)
		crowd := c.customers(people, 5000)
		var sold, held, refused atomic.Int64
		var all sync.WaitGroup
		for i := range people * clientsEach {
			all.Go(func() {
				o := crowd[i%people].buy(tickets(hot.ID, "seat", int64(1+i%3)).with("confirm", i%2 == 0))
				switch {
				case o.Status == "succeeded" && o.Result.Status == "paid":
					sold.Add(o.Result.Quantity)
				case o.Status == "succeeded":
					held.Add(o.Result.Quantity)
				case o.Problem != nil && o.Problem.Code == "not_enough_stock":
					refused.Add(1)
				default:
					t.Errorf("%+v %+v", o, o.Problem)
				}
			})
		}
		all.Wait()
		if left := crowd[0].available(hot.ID); left != 0 || sold.Load()+held.Load() != stock || refused.Load() == 0 {
			t.Errorf("%d sold and %d held of %d, and %d are left; %d were refused", sold.Load(), held.Load(), stock, left, refused.Load())
		}
		if got := h.takings(); got != sold.Load()*price {
			t.Errorf("the house has taken %d for %d tickets", got, sold.Load())
		}

		// All at once give back, confirm and ask again.
		for i := range people * clientsEach {
			all.Go(func() {
				one := crowd[i%people]
				random := rand.New(rand.NewPCG(uint64(i), 4)) //nolint:gosec // a seed
				for _, p := range allOf[purchase](one, "/v1/purchases?limit=200") {
					if random.IntN(clientsEach) > 0 {
						continue
					}
					if random.IntN(2) == 0 {
						one.confirm(p.ID)
					} else {
						one.giveBack(p.ID)
					}
					one.buy(tickets(hot.ID, "seat", 1+random.Int64N(2)).with("confirm", true))
				}
			})
		}
		all.Wait()
		var have, paid int64
		for _, one := range crowd {
			for _, p := range allOf[purchase](one, "/v1/purchases?limit=200") {
				switch p.Status {
				case "paid":
					have += p.Quantity
					paid += p.Total
				case "held":
					have += p.Quantity
				}
			}
		}
		if left := crowd[0].available(hot.ID); have+left != stock || h.takings() != paid {
			t.Errorf("%d are somebody's and %d are left of %d; %d are paid, and the house has taken %d", have, left, stock, paid, h.takings())
		}
		h.audit()
	})
}

// While the lane is paused trips can be read and changed, and a place in line is told, which only goes down.
func TestTripsPausedLane(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		seats := c.admin.offerSeats(1, 1000)
		ada := c.customerWith(2000)
		c.admin.pauseLane("trips", true)
		const ahead = 300
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range ahead / 20 {
					ada.post("/v1/purchases", tickets(seats.ID, "seat", 1).with("confirm", true)).expect(t, http.StatusAccepted)
				}
			})
		}
		all.Wait()
		last := ada.post("/v1/purchases", tickets(seats.ID, "seat", 1)).operation(t, http.StatusAccepted)
		look := func() outcome { return ada.get("/v1/operations/"+last.ID).operation(t, http.StatusOK) }
		if o := look(); o.Position == nil || *o.Position != ahead || o.Status != "queued" {
			t.Fatalf("%+v", o)
		}
		if got := ada.available(seats.ID); got != 1000 {
			t.Errorf("a paused lane sells: %d are left", got)
		}
		c.admin.changeTrip(seats.ID, terms{"classes": []terms{class("seat", 2, 1000)}}) // which those that wait see
		ada.get("/v1/purchases/"+last.ID).problem(t, http.StatusNotFound, "unknown_purchase")
		ada.deposit(1) // other lanes are not paused
		c.admin.pauseLane("trips", false)
		seen := int64(ahead)
		eventually(t, "its turn", func() error {
			o := look()
			if o.Position == nil {
				return nil
			}
			if *o.Position > seen {
				t.Fatalf("the place in line went from %d to %d", seen, *o.Position)
			}
			seen = *o.Position
			return fmt.Errorf("at place %d", seen)
		})
		if p := ada.purchase(last.ID).is(t, "held"); p.Price != 2 {
			t.Errorf("%+v", p)
		}
		ada.has(2001-2*ahead, 0)
		h.audit()
	})
}

// travellers are a crowd that buys tickets and gives them back.
func (h *house) travellers(api *process, seed uint64) (*crowd, trip) {
	h.Helper()
	seats := api.admin(h).offerSeats(3, 200)
	c := h.gather(api, seed)
	c.choose = func(p *customer, _ string) errand {
		if n := len(p.submissions); n > 0 && p.random.IntN(2) == 0 {
			if s := p.submissions[p.random.IntN(n)]; s.status == "succeeded" && s.errand.path == "/v1/purchases" {
				return []errand{{http.MethodDelete, "/v1/purchases/" + s.operation.String(), nil}, {http.MethodPost, "/v1/purchases/" + s.operation.String() + "/confirmation", nil}}[p.random.IntN(2)]
			}
		}
		return errand{http.MethodPost, "/v1/purchases", tickets(seats.ID, "seat", 1+p.random.Int64N(5)).with("confirm", p.random.IntN(2) == 0)}
	}
	c.setOut()
	return c, seats
}

// judgeTickets waits until everything accepted has been executed, and compares what the store has with what people were told.
func (c *crowd) judgeTickets(seats trip) {
	c.Helper()
	db := c.house.database()
	eventually(c, "an empty journal", func() error {
		if waiting := number(c, db, "SELECT COUNT(*) FROM journal_batches"); waiting > 0 {
			return fmt.Errorf("%d batches wait", waiting)
		}
		return nil
	})
	acked, lost := 0, 0
	for _, p := range c.people {
		for _, s := range p.submissions {
			if s.operation.IsZero() {
				continue
			}
			acked++
			if status := statusOf(c, db, s); status == "" || s.status != "" && s.status != status {
				lost++
				c.Errorf("%s was acknowledged as %s %q; the store has %q", s.errand.path, s.operation, s.status, status)
			}
		}
	}
	if failed := number(c, db, "SELECT COUNT(*) FROM outcomes WHERE status = 'failed'"); failed > 0 {
		c.Errorf("%d operations have failed: a fault of a store was taken for a bug", failed)
	}
	var money int64
	for _, p := range c.people {
		money += number(c, db, "SELECT balance FROM accounts WHERE number = ?", p.account)
	}
	money += c.house.takings()
	taken := number(c, db, "SELECT COALESCE(SUM(quantity), 0) FROM purchases WHERE status IN ('held', 'paid')")
	left := number(c, db, "SELECT stock - sold - held FROM trip_classes")
	c.Logf("%d acknowledged, %d lost; %d tickets are somebody's and %d are left; %d purchases", acked, lost, taken, left, number(c, db, "SELECT COUNT(*) FROM purchases"))
	if money != crowdSize*startCash || taken+left != seats.Classes[0].Stock {
		c.Errorf("together they have %d of %d; %d tickets of %d", money, crowdSize*startCash, taken+left, seats.Classes[0].Stock)
	}
	c.house.audit()
}

func statusOf(t testing.TB, db *database.DB, s *submission) (status string) {
	t.Helper()
	rows, err := db.Read(context.Background()).Gorm().Raw("SELECT status FROM outcomes WHERE operation_id = ?", s.operation[:]).Rows()
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		check(t, rows.Scan(&status))
	}
	check(t, rows.Err())
	return status
}

// The holder of the lane is killed under load, and a standby takes over.
func TestTripsChaosWorkerKilled(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}, "GUICHET_HOLD=1s"), h.newCrew(2)
	c, seats := h.travellers(api, 71)
	for range rounds(t, 3) {
		c.after(80, 300)
		w.kill(w.awaitHolderOf("trips", -1))
	}
	c.after(100, 200)
	c.finish()
	w.tend()
	c.judgeTickets(seats)
}

func TestTripsChaosAllInOneKilled(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c, seats := h.travellers(h.serve("GUICHET_HOLD=1s"), 73)
		for range rounds(t, 3) {
			c.after(80, 300)
			c.api.Load().kill()
			c.api.Store(h.serve("GUICHET_HOLD=1s"))
		}
		c.after(100, 200)
		c.finish()
		c.judgeTickets(seats)
	})
}
