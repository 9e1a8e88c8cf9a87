package trips

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// Load reads what the commands touch, all in one breath: their trips, their purchases, and, locked, the accounts that may pay or be paid. Trips and purchases need
// no locks of their own: who changes them has the lane's row locked.
func Load(tx database.Tx, commands []*Command) (*Office, error) {
	n := needs{accounts: map[string]bool{}, trips: map[id.ID]bool{}, purchases: map[id.ID]bool{}}
	for _, c := range commands {
		n.add(c)
	}
	var trips []*Trip
	var purchases []*Purchase
	ledger, err := bank.Load(tx, slices.Collect(maps.Keys(n.accounts)), nil,
		func(tx database.Tx) error {
			if len(n.trips) == 0 {
				return nil
			}
			return queryTrips(tx, &trips, "trips", " WHERE t.id IN "+database.Placeholders(len(n.trips)), id.Args(id.Keys(n.trips))...)
		},
		func(tx database.Tx) error {
			if len(n.purchases) == 0 {
				return nil
			}
			return queryPurchases(tx, func(p *Purchase) { purchases = append(purchases, p) }, "WHERE id IN "+database.Placeholders(len(n.purchases)), id.Args(id.Keys(n.purchases))...)
		})
	if err != nil {
		return nil, err
	}
	return NewOffice(ledger, trips, purchases), nil
}

// needs is what a round has to have read before it can decide its commands.
type needs struct {
	accounts  map[string]bool
	trips     map[id.ID]bool
	purchases map[id.ID]bool
}

func (n *needs) add(c *Command) {
	for _, trip := range c.Trips() {
		n.trips[trip] = true
	}
	switch c.Kind {
	case KindPurchase:
		if c.Purchase.Confirm {
			n.accounts[c.Purchase.Account], n.accounts[House] = true, true
		}
	case KindConfirmation, KindCancellation:
		n.accounts[c.Change.Account], n.accounts[House] = true, true
		n.purchases[c.Change.Purchase] = true
	case KindExpiry:
		for _, due := range c.Expiry.Purchases {
			n.purchases[due.Purchase] = true
		}
	}
}

// Save stores what the round has made: purchases, the counters of classes, and the ledger.
func (o *Office) Save(tx database.Tx) error {
	// One after the other: after an error that ended the transaction, the next statement would be one of its own, and stay.
	for _, write := range []func(database.Tx) error{o.saveClasses, o.savePurchases, o.saveHeld, o.releaseHeld, o.Ledger.Save} {
		if err := write(tx); err != nil {
			return fmt.Errorf("trips: storing what changed: %w", err)
		}
	}
	return nil
}

func (o *Office) saveClasses(tx database.Tx) error {
	rows := classRows()
	for class, trip := range o.classes {
		addClass(&rows, trip, class)
	}
	return rows.Upsert(tx, classKey, []string{"sold", "held", "lamport"})
}

func (o *Office) savePurchases(tx database.Tx) error {
	columns := strings.Split(purchaseColumns, ", ")
	inserted, changed := database.Rows{Table: "purchases", Columns: columns}, database.Rows{Table: "purchases", Columns: columns}
	made := make(map[id.ID]bool, len(o.made))
	for _, p := range o.made {
		made[p.ID] = true
		addPurchase(&inserted, p)
	}
	for _, p := range o.changed {
		if !made[p.ID] {
			addPurchase(&changed, p)
		}
	}
	if err := inserted.Insert(tx); err != nil {
		return err
	}
	return changed.Upsert(tx, []string{"id"}, []string{"status", "paid_by", "refunded_by", "refunded", "lamport"})
}

func addPurchase(rows *database.Rows, p *Purchase) {
	rows.Add(p.ID[:], p.UserID[:], p.Account, p.TripID[:], p.Class, p.Quantity, int64(p.Price), string(p.Status), operation.Micro(p.ExpiresAt), operation.Micro(p.CreatedAt),
		p.PaidBy, p.RefundedBy, int64(p.Refunded), int64(p.Lamport))
}

// saveHeld notes when what is newly held expires.
func (o *Office) saveHeld(tx database.Tx) error {
	rows := database.Rows{Table: "held_purchases", Columns: []string{"expires_at_us", "purchase_id"}}
	for _, p := range o.made {
		if p.Status == Held {
			rows.Add(operation.Micro(p.ExpiresAt), p.ID[:])
		}
	}
	return rows.Insert(tx)
}

// releaseAtOnce is how many rows one statement names: each is two values, of which SQLite's driver takes few gladly.
const releaseAtOnce = 200

// releaseHeld forgets when what is held no more would have expired. What was paid before this round has no such row, and what was paid and refunded in it has.
func (o *Office) releaseHeld(tx database.Tx) error {
	for chunk := range slices.Chunk(o.released, releaseAtOnce) {
		args := make([]any, 0, 2*len(chunk))
		for _, p := range chunk {
			args = append(args, operation.Micro(p.ExpiresAt), p.ID[:])
		}
		// Keys one by one, and not a list of pairs, which not every store finds by the key.
		statement := "DELETE FROM held_purchases WHERE expires_at_us = ? AND purchase_id = ?" + strings.Repeat(" OR expires_at_us = ? AND purchase_id = ?", len(chunk)-1)
		if _, err := tx.Exec(statement, args...); err != nil {
			return err
		}
	}
	return nil
}
