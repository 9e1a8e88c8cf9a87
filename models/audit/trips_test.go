package audit

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/trips"
)

func TestTripsHold(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		h.travel()
		report, err := Run(t.Context(), h.db)
		must(t, err)
		if !report.Holds() {
			t.Errorf("findings against a true history:%s", findings(report.Checks))
		}
		expectChecked(t, report.Checks, map[string]int64{"entries_sum_to_zero": 10, "balances_equal_postings": 20, "held_equals_holds": 6, "one_outcome_each": 30, "lane_sequences_dense": 30,
			"fifo": 25, "parked_agree": 1, "lamport": 40, "purchase_states": 9, "stock_equals_purchases": 5, "held_purchases_listed": 1, "purchases_equal_entries": 6, "replay": 30})
	})
}

// TestTripsFindings falsifies the tables of trips, one lie at a time, and expects just those checks to report it that can see it.
func TestTripsFindings(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		s := h.travel()
		expectFindings(t, h, slices.Concat(liesOfTrips(s), liesOfClasses(s), liesOfPurchases(s), liesOfTheTill(s)))
	})
}

func liesOfTrips(s season) []lie {
	return []lie{
		{"a trip has another name", "replay", []statementOf{tell("UPDATE trips SET name = 'Day train' WHERE id = ?", s.alps)}},
		{"a trip departs later", "replay", []statementOf{tell("UPDATE trips SET departs_at_us = departs_at_us + 1 WHERE id = ?", s.alps)}},
		{"a trip is closed", "replay", []statementOf{tell("UPDATE trips SET closed = TRUE WHERE id = ?", s.alps)}},
		{"a trip refunds more", "replay", []statementOf{tell("UPDATE trips SET refund_bps = refund_bps + 1 WHERE id = ?", s.alps)}},
		{"a trip refunds for longer", "replay", []statementOf{tell("UPDATE trips SET refund_minutes = 1 WHERE id = ?", s.alps)}},
		{"a trip's stamp is behind", "replay", []statementOf{tell("UPDATE trips SET lamport = lamport - 1 WHERE id = ?", s.alps)}},
		{"a trip was made earlier", "replay", []statementOf{tell("UPDATE trips SET created_lamport = created_lamport - 1 WHERE id = ?", s.ferry)}},
		{"a trip is gone", "replay", []statementOf{tell("DELETE FROM trips WHERE id = ?", s.ferry)}},
		{"a trip that nobody made", "replay", []statementOf{tell("INSERT INTO trips SELECT ?, name, departs_at_us, closed, refund_bps, refund_minutes, lamport, created_lamport FROM trips WHERE id = ?", s.held, s.ferry)}},
		{"a trip was never changed", "replay", []statementOf{tell("DELETE FROM trip_changes WHERE trip_id = ? AND lamport > (SELECT created_lamport FROM trips WHERE id = ?)", s.alps, s.alps)}},
		{"a change cannot be read", "replay", []statementOf{tell("UPDATE trip_changes SET definition = '{' WHERE trip_id = ?", s.ferry)}},
		{"a trip refunded less when somebody was refunded", "replay", []statementOf{
			tell(`UPDATE trip_changes SET definition = REPLACE(definition, '"refund_bps":2500', '"refund_bps":2400') WHERE trip_id = ? AND lamport < (SELECT lamport FROM outcomes WHERE operation_id = ?)`, s.alps, s.refunding)}},
		{"a trip was closed earlier", "replay", []statementOf{
			tell(`UPDATE trip_changes SET lamport = (SELECT lamport FROM outcomes WHERE operation_id = ?) - 1 WHERE definition LIKE '%"closed":true%' AND trip_id = ?`, s.paid, s.alps)}},
	}
}

func liesOfClasses(s season) []lie {
	return []lie{
		{"more are sold", "stock_equals_purchases replay", []statementOf{tell("UPDATE trip_classes SET sold = sold + 1 WHERE trip_id = ? AND name = 'seat'", s.alps)}},
		{"fewer are held", "stock_equals_purchases replay", []statementOf{tell("UPDATE trip_classes SET held = held - 1 WHERE trip_id = ? AND name = 'seat'", s.alps)}},
		{"there are fewer than are taken", "stock_equals_purchases replay", []statementOf{tell("UPDATE trip_classes SET stock = 4 WHERE trip_id = ? AND name = 'seat'", s.alps)}},
		{"there is one more", "replay", []statementOf{tell("UPDATE trip_classes SET stock = stock + 1 WHERE trip_id = ? AND name = 'seat'", s.alps)}},
		{"a class has another price", "replay", []statementOf{tell("UPDATE trip_classes SET price = price + 1 WHERE trip_id = ? AND name = 'bed'", s.alps)}},
		{"a class stands elsewhere", "replay", []statementOf{tell("UPDATE trip_classes SET ordinal = 5 WHERE trip_id = ? AND name = 'bed'", s.alps)}},
		{"a class has another name", "stock_equals_purchases replay", []statementOf{tell("UPDATE trip_classes SET name = 'Bed' WHERE trip_id = ? AND name = 'bed'", s.alps)}},
		{"a class's stamp is behind", "replay", []statementOf{tell("UPDATE trip_classes SET lamport = lamport - 1 WHERE trip_id = ? AND name = 'seat'", s.alps)}},
		{"a class is gone", "stock_equals_purchases replay", []statementOf{tell("DELETE FROM trip_classes WHERE trip_id = ? AND name = 'bed'", s.alps)}},
		{"a class that nothing was sold of is gone", "replay", []statementOf{tell("DELETE FROM trip_classes WHERE trip_id = ? AND name = 'bed'", s.ferry)}},
	}
}

func liesOfPurchases(s season) []lie {
	return []lie{
		{"what was paid is held", "purchase_states stock_equals_purchases held_purchases_listed replay", []statementOf{tell("UPDATE purchases SET status = 'held' WHERE id = ?", s.confirmed)}},
		{"what is held has expired", "stock_equals_purchases held_purchases_listed replay", []statementOf{tell("UPDATE purchases SET status = 'expired' WHERE id = ?", s.held)}},
		{"what has expired was cancelled", "replay", []statementOf{tell("UPDATE purchases SET status = 'cancelled' WHERE id = ?", s.expired)}},
		{"what was cancelled is in no known state", "purchase_states replay", []statementOf{tell("UPDATE purchases SET status = 'lost' WHERE id = ?", s.cancelled)}},
		{"what was refunded is paid", "purchase_states stock_equals_purchases replay", []statementOf{tell("UPDATE purchases SET status = 'paid' WHERE id = ?", s.refunded)}},
		{"a purchase is of more", "stock_equals_purchases replay", []statementOf{tell("UPDATE purchases SET quantity = quantity + 1 WHERE id = ?", s.held)}},
		{"a purchase is of none", "purchase_states stock_equals_purchases replay", []statementOf{tell("UPDATE purchases SET quantity = 0 WHERE id = ?", s.held)}},
		{"a purchase is worth more than there may be", "purchase_states replay", []statementOf{tell("UPDATE purchases SET price = 9223372036854775807 WHERE id = ?", s.held)}},
		{"a purchase is of another class", "stock_equals_purchases replay", []statementOf{tell("UPDATE purchases SET class = 'bed' WHERE id = ?", s.held)}},
		{"a purchase is of another trip", "stock_equals_purchases replay", []statementOf{tell("UPDATE purchases SET trip_id = ? WHERE id = ?", s.ferry, s.held)}},
		{"a purchase is another user's", "replay", []statementOf{tell("UPDATE purchases SET user_id = ? WHERE id = ?", s.alps, s.held)}},
		{"a purchase is paid from another account, some day", "replay", []statementOf{tell("UPDATE purchases SET account = 'BOB1' WHERE id = ?", s.held)}},
		{"a purchase is held for longer", "held_purchases_listed replay", []statementOf{tell("UPDATE purchases SET expires_at_us = expires_at_us + 1 WHERE id = ?", s.held)}},
		{"a purchase is held for ever", "purchase_states held_purchases_listed replay", []statementOf{tell("UPDATE purchases SET expires_at_us = 0 WHERE id = ?", s.held)}},
		{"a purchase was made earlier", "replay", []statementOf{tell("UPDATE purchases SET created_at_us = created_at_us - 1 WHERE id = ?", s.held)}},
		{"a purchase's stamp is behind", "replay", []statementOf{tell("UPDATE purchases SET lamport = lamport - 1 WHERE id = ?", s.held)}},
		{"a purchase is gone", "stock_equals_purchases held_purchases_listed replay", []statementOf{tell("DELETE FROM purchases WHERE id = ?", s.held)}},
		{"a purchase that had ended is gone", "replay", []statementOf{tell("DELETE FROM purchases WHERE id = ?", s.cancelled)}},
		{"a purchase that nobody made", "replay", []statementOf{tell(`INSERT INTO purchases (id, user_id, account, trip_id, class, quantity, price, status, expires_at_us, created_at_us, lamport)
			SELECT ?, user_id, account, trip_id, class, quantity, price, status, expires_at_us, created_at_us, lamport FROM purchases WHERE id = ?`, id.NewGenerator().Next(), s.cancelled)}},
		{"what is held is not listed", "held_purchases_listed", []statementOf{tell("DELETE FROM held_purchases")}},
		{"what is held is listed for another time", "held_purchases_listed", []statementOf{tell("UPDATE held_purchases SET expires_at_us = expires_at_us + 1")}},
		{"what is held is listed twice", "held_purchases_listed", []statementOf{tell("INSERT INTO held_purchases SELECT expires_at_us + 1, purchase_id FROM held_purchases")}},
		{"what is paid is listed", "held_purchases_listed", []statementOf{tell("INSERT INTO held_purchases (expires_at_us, purchase_id) VALUES (5, ?)", s.paid)}},
		{"an expiry was of another purchase", "replay", []statementOf{tell("UPDATE operations SET payload = REPLACE(payload, ?, ?) WHERE id = ?", s.expired.String(), s.held.String(), s.expiring)}},
		{"a purchase asked for more", "replay", []statementOf{tell(`UPDATE operations SET payload = REPLACE(payload, '"quantity":2', '"quantity":3') WHERE id = ?`, s.held)}},
		{"a purchase cannot be read", "replay", []statementOf{tell("UPDATE operations SET payload = '{}' WHERE id = ?", s.refused)}},
		{"a refusal is a success", "replay", []statementOf{tell("UPDATE outcomes SET status = 'succeeded', problem = NULL WHERE operation_id = ?", s.refused)}},
	}
}

func liesOfTheTill(s season) []lie {
	return []lie{
		{"what is held has been paid by somebody", "purchase_states purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET paid_by = ? WHERE id = ?", s.refused, s.held)}},
		{"nobody has paid", "purchase_states purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET paid_by = NULL WHERE id = ?", s.confirmed)}},
		{"another operation has paid", "purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET paid_by = ? WHERE id = ?", s.refused, s.confirmed)}},
		{"nobody has refunded", "purchase_states purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET refunded_by = NULL WHERE id = ?", s.refunded)}},
		{"more was refunded", "purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET refunded = refunded + 1 WHERE id = ?", s.refunded)}},
		{"more was refunded than was paid", "purchase_states purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET refunded = 2021 WHERE id = ?", s.refunded)}},
		{"what is paid cost more", "purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET price = price + 1 WHERE id = ?", s.paid)}},
		{"another account has paid", "purchases_equal_entries replay", []statementOf{tell("UPDATE purchases SET account = 'EVE1' WHERE id = ?", s.paid)}},
		{"a payment has no entry", "entries_sum_to_zero purchases_equal_entries replay", []statementOf{tell("DELETE FROM entries WHERE operation_id = ?", s.confirming)}},
		{"a payment is of another purchase", "purchases_equal_entries replay", []statementOf{tell("UPDATE entries SET reference = ? WHERE operation_id = ?", s.held.String(), s.confirming)}},
		{"a refund says that it is a payment", "purchases_equal_entries replay", []statementOf{tell("UPDATE entries SET kind = 'purchase' WHERE operation_id = ?", s.refunding)}},
		{"a payment has not reached the house", "entries_sum_to_zero balances_equal_postings purchases_equal_entries replay", []statementOf{tell("DELETE FROM postings WHERE operation_id = ? AND account = 'trips'", s.confirming)}},
		{"the house has taken more", "balances_equal_postings replay", []statementOf{tell("UPDATE accounts SET balance = balance + 1 WHERE number = 'trips'")}},
	}
}

// TestTripsLive audits a store while tickets are bought and given back, trips are changed, and the same accounts' cash is moved in another lane.
func TestTripsLive(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		c := newCrowd(h)
		c.names = 20
		for _, number := range traders {
			c.doors[0].open(number)
			c.workers[0].execute(c.doors[1].accept(bank.Lane, deposit(number, 100_000)))
		}
		offered := []id.ID{c.doors[0].offer(1000*time.Hour, 70, 60), c.doors[1].offer(1000*time.Hour, 11, 9)}
		missing := func() string {
			return c.fewer(20, "purchases", "SELECT COUNT(*) FROM purchases WHERE status <> 'held'")
		}
		c.audit(400, missing, c.traveller(offered), c.moveTradersCash, func(r *rand.Rand) {
			price, stock, closed := money.Amount(r.IntN(90)), int64(r.IntN(70)), r.IntN(4) == 0
			change := &trips.Change{Closed: &closed}
			if r.IntN(2) == 0 {
				change = &trips.Change{Classes: []trips.ClassChange{{Name: "seat", Price: &price, Stock: &stock}}}
			}
			trip := offered[r.IntN(2)]
			c.again(func(tx database.Tx) error {
				if err := c.doors[r.IntN(2)].change(tx, trip, change); database.IsTransient(err) { // what is in use cannot be taken away
					return err
				}
				return nil
			})
		})
		expectHolds(t, h)
	})
}

// traveller sends envelopes to the lane, each passed on between two processes.
func (c *crowd) traveller(offered []id.ID) func(*rand.Rand) {
	type bought struct {
		account, class string
		trip, id       id.ID
	}
	var all []bought
	return func(r *rand.Rand) {
		var commands []command
		var asked []bought
		for range 1 + r.IntN(20) {
			account, class, trip := traders[r.IntN(len(traders))], []string{"seat", "bed"}[r.IntN(2)], offered[r.IntN(2)]
			one := bought{}
			switch n := r.IntN(8); {
			case n < 2 && len(all) > 0:
				p := all[r.IntN(len(all))]
				commands = append(commands, []command{confirmation(p.account, p.trip, p.class, p.id), cancellation(p.account, p.trip, p.class, p.id)}[n])
			case n == 2 && len(all) > 0:
				p := all[r.IntN(len(all))]
				commands = append(commands, expiry(p.trip, p.class, p.id))
			case n < 6:
				commands, one = append(commands, ask(account, trip, class, int64(1+r.IntN(4))).briefly()), bought{account: account, class: class, trip: trip}
			default:
				commands, one = append(commands, buy(account, trip, class, int64(1+r.IntN(4)))), bought{account: account, class: class, trip: trip}
			}
			asked = append(asked, one)
		}
		e := c.doors[r.IntN(2)].accept(trips.Lane, commands...)
		worker := c.workers[r.IntN(2)]
		c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
		for i := range asked {
			if asked[i].account != "" {
				asked[i].id = e.Commands[i].ID
				all = append(all, asked[i])
			}
		}
	}
}
