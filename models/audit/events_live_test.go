package audit

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/operation"
)

// TestEventsLive audits a store while seats are reserved, paid and given back, people are let in, the database hears late of what Redis has decided, and the same
// accounts' cash is moved in another lane.
func TestEventsLive(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		c := newCrowd(h)
		c.names = 20
		for _, number := range traders {
			c.doors[0].open(number)
			c.workers[0].execute(c.doors[1].accept(bank.Lane, deposit(number, 2_000)))
		}
		opera := c.doors[0].announce(1000 * time.Hour)
		missing := func() string {
			decided := h.codes(events.Lane)
			for _, code := range []string{"succeeded", "insufficient_funds", "reservation_not_held", "reservation_ended"} {
				if !slices.Contains(decided, code) {
					return "nothing ended as " + code
				}
			}
			return ""
		}
		c.audit(400, missing, c.visitor(opera), c.moveTradersCash, c.follow, c.letIn)
		expectHolds(t, h)
	})
}

// visitor reserves seats that nobody has, lets some of them go, and sends payments and refunds to the lane, which is passed on between two processes.
func (c *crowd) visitor(event id.ID) func(*rand.Rand) {
	type visit struct {
		account string
		id      id.ID
		seats   []int
		over    bool
	}
	var visits []*visit
	taken := map[int]bool{}
	end := func(v *visit) {
		v.over = true
		for _, seat := range v.seats {
			delete(taken, seat)
		}
	}
	return func(r *rand.Rand) {
		for range 1 + r.IntN(6) {
			first := r.IntN(211)
			seats := []int{first, first + 1, first + 2}[:1+r.IntN(3)]
			if slices.ContainsFunc(seats, func(seat int) bool { return taken[seat] }) {
				continue
			}
			v := &visit{account: traders[r.IntN(len(traders))], seats: seats}
			v.id = c.doors[r.IntN(2)].reserve(v.account, event, seats...)
			visits = append(visits, v)
			for _, seat := range seats {
				taken[seat] = true
			}
			if r.IntN(6) == 0 {
				c.box.end(v.id, events.StatusReleased)
				end(v)
			}
		}
		if len(visits) == 0 {
			return
		}
		var commands []command
		for range 1 + r.IntN(20) {
			v := visits[max(0, len(visits)-1-r.IntN(12))]
			commands = append(commands, []command{payment(v.account, event, v.id), refund(v.account, event, v.id)}[r.IntN(3)/2])
		}
		e := c.doors[r.IntN(2)].accept(events.Lane, commands...)
		worker := c.workers[r.IntN(2)]
		c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
		for _, v := range visits {
			if !v.over && c.statusOf(v.id).Ended() {
				end(v)
			}
		}
	}
}

// statusOf is what a reservation is by its row, or, if it is held there or has none, by Redis.
func (c *crowd) statusOf(reservation id.ID) events.Status {
	row, err := events.GetReservation(c.db.Read(context.WithoutCancel(c.Context())), reservation)
	if err != nil && !errors.Is(err, events.ErrUnknownReservation) {
		c.Errorf("reading a reservation: %v", err)
	}
	if err == nil && row.Status != events.StatusHeld {
		return row.Status
	}
	c.box.mu.Lock()
	defer c.box.mu.Unlock()
	return c.box.reservations[reservation].Status
}

// follow has the database hear of some reservations that no payment has claimed.
func (c *crowd) follow(r *rand.Rand) {
	var news []id.ID
	c.box.mu.Lock()
	for reservation, is := range c.box.reservations {
		if (is.ClaimedBy.IsZero() || is.Status != events.StatusHeld) && r.IntN(20) == 0 {
			news = append(news, reservation)
		}
	}
	c.box.mu.Unlock()
	c.again(func(tx database.Tx) error {
		if _, err := operation.LockLane(tx, events.Lane); err != nil {
			return err
		}
		return c.box.store(tx, news)
	})
}

// letIn lets somebody in whose ticket is still valid. Of most reservations nobody comes, so that they can be refunded.
func (c *crowd) letIn(r *rand.Rand) {
	type seat struct {
		reservation id.ID
		number      int
	}
	var valid []seat
	c.again(func(tx database.Tx) error {
		return tx.Query(func(rows *sql.Rows) error {
			for rows.Next() {
				var s seat
				if err := rows.Scan(&s.reservation, &s.number); err != nil {
					return err
				}
				valid = append(valid, s)
			}
			return rows.Err()
		}, "SELECT reservation_id, seat FROM tickets WHERE status = 'valid' AND seat % 7 = 0 ORDER BY seat LIMIT 10")
	})
	if len(valid) == 0 {
		return
	}
	s, gate := valid[r.IntN(len(valid))], c.doors[r.IntN(2)]
	c.again(func(tx database.Tx) error {
		if err := gate.checkIn(tx, s.reservation, s.number); !errors.Is(err, events.ErrTicketRefunded) {
			return err
		}
		return nil
	})
}
