package audit

import (
	"bytes"
	"cmp"
	"iter"
	"maps"
	"slices"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/trips"
)

// checkTrips checks that the tables of trips agree with each other and with the ledger, by themselves: nothing here knows when what may be bought.
func checkTrips(tx database.Tx) ([]*Check, error) {
	var checks []*Check
	for _, check := range []func(database.Tx) ([]*Check, error){checkStock, checkHeld} {
		found, err := check(tx)
		if err != nil {
			return nil, err
		}
		checks = append(checks, found...)
	}
	till, err := checkTill("purchases_equal_entries", tillRows(tx))
	return append(checks, till), err
}

// classKey names a class of a trip.
type classKey struct {
	trip id.ID
	name string
}

// taken is how many tickets of a class the purchases have.
type taken struct{ sold, held int64 }

// checkStock: purchases are as their state says, and what they have of a class is what it says is sold and held, which together are no more than there are.
func checkStock(tx database.Tx) ([]*Check, error) {
	states, stock := &Check{Name: "purchase_states"}, &Check{Name: "stock_equals_purchases"}
	classes := map[classKey]taken{}
	for p, err := range purchaseRows(tx) {
		if err != nil {
			return nil, err
		}
		checkState(states, &p.Purchase)
		key := classKey{p.TripID, p.Class}
		now := classes[key]
		switch p.Status {
		case trips.Paid:
			now.sold += p.Quantity
		case trips.Held:
			now.held += p.Quantity
		default: // the tickets are free again
		}
		classes[key] = now
	}
	for c, err := range classRows(tx) {
		if err != nil {
			return nil, err
		}
		stock.Checked++
		key := classKey{c.trip, c.Name}
		switch now := classes[key]; {
		case c.Sold != now.sold || c.Held != now.held:
			stock.find("class %s of trip %s: %d are sold and %d held; by the purchases, %d and %d", c.Name, c.trip, c.Sold, c.Held, now.sold, now.held)
		case c.Available() < 0:
			stock.find("class %s of trip %s: %d are sold and %d held of %d", c.Name, c.trip, c.Sold, c.Held, c.Stock)
		}
		delete(classes, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(classes), byTrip) {
		stock.find("class %s of trip %s has purchases, and is itself missing", key.name, key.trip)
	}
	return []*Check{states, stock}, nil
}

func byTrip(a, b classKey) int {
	return cmp.Or(bytes.Compare(a.trip[:], b.trip[:]), cmp.Compare(a.name, b.name))
}

// checkState: who has paid and who was refunded is known by the operations, and nobody is paid back more than they have paid.
func checkState(c *Check, p *trips.Purchase) {
	c.Checked++
	paid, refunded := !p.PaidBy.IsZero(), !p.RefundedBy.IsZero()
	var agrees bool
	switch p.Status {
	case trips.Held:
		agrees = !paid && !refunded && !p.ExpiresAt.IsZero()
	case trips.Cancelled, trips.Expired:
		agrees = !paid && !refunded
	case trips.Paid:
		agrees = paid && !refunded
	case trips.Refunded:
		agrees = paid && refunded
	}
	total, err := p.Price.Times(p.Quantity)
	switch {
	case !agrees:
		c.find("purchase %s is %q; paid: %t, refunded: %t, expires at %s", p.ID, p.Status, paid, refunded, p.ExpiresAt)
	case p.Quantity < 1 || p.Quantity > trips.MaxQuantity || err != nil:
		c.find("purchase %s is of %d at %d", p.ID, p.Quantity, p.Price)
	case p.Refunded < 0 || p.Refunded > total || p.Refunded > 0 && !refunded:
		c.find("purchase %s: %d of %d were refunded", p.ID, p.Refunded, total)
	}
}

// checkHeld: what is held, and nothing else, is in the list of what expires when.
func checkHeld(tx database.Tx) ([]*Check, error) {
	c := &Check{Name: "held_purchases_listed"}
	var held *heldRow
	end := func() {
		if held != nil {
			c.find("purchase %s is held until %d µs, and not listed", held.purchase, held.expiresUs)
		}
		held = nil
	}
	for row, err := range heldRows(tx) {
		if err != nil {
			return nil, err
		}
		switch {
		case !row.listed:
			end()
			c.Checked++
			one := *row
			held = &one
		case held == nil || held.purchase != row.purchase || held.expiresUs != row.expiresUs:
			c.find("purchase %s is listed to expire at %d µs, and not held until then", row.purchase, row.expiresUs)
		default:
			held = nil
		}
	}
	end()
	return []*Check{c}, nil
}

// checkTill: every payment and every refund of what was sold is an entry of the ledger, made by the operation that the purchase or the reservation names, and nothing
// else has moved the house's account.
func checkTill(name string, rows iter.Seq2[*tillRow, error]) (*Check, error) {
	c := &Check{Name: name}
	var operation id.ID
	wanted := map[till]bool{}
	end := func() {
		for w := range wanted {
			c.find("%s says that operation %s moved %d on the house's account as a %s, with account %s, and it did not", w.purchase, operation, w.amount, w.kind, w.account)
		}
		clear(wanted)
	}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		if row.operation != operation {
			end()
			operation = row.operation
		}
		amount := row.price * money.Amount(row.quantity)
		switch key := (till{row.kind, row.account, amount, row.reference.String}); {
		case !row.entered:
			if key.purchase = row.purchase.String(); amount != 0 {
				c.Checked++
				wanted[key] = true
			}
		case !wanted[key]:
			c.find("operation %s moved %d on the house's account as a %s for %q, with account %s, which nothing that was sold says, or it did so already",
				row.operation, amount, row.kind, key.purchase, row.account)
		default:
			delete(wanted, key)
		}
	}
	end()
	return c, nil
}

// till is what an operation has moved on the house's account.
type till struct {
	kind, account string
	amount        money.Amount
	purchase      string
}
