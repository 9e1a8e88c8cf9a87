package trips

import (
	"database/sql"
	"errors"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// ErrUnknownPurchase says that there is no such purchase, or that it is not the user's.
var ErrUnknownPurchase = errors.New("trips: no such purchase")

const purchaseColumns = "id, user_id, account, trip_id, class, quantity, price, status, expires_at_us, created_at_us, paid_by, refunded_by, refunded, lamport"

// PurchaseFilter says which purchases of a user are asked for. Zero fields do not filter.
type PurchaseFilter struct {
	User   id.ID
	Trip   id.ID
	Status Status
	Before id.ID // purchases that are older than this one
	Limit  int
}

// Purchases reads a user's purchases, newest first.
func Purchases(tx database.Tx, f PurchaseFilter) ([]Purchase, error) {
	where, args := "WHERE user_id = ?", []any{f.User[:]}
	and := func(condition string, value any) { where, args = where+" AND "+condition, append(args, value) }
	if !f.Trip.IsZero() {
		and("trip_id = ?", f.Trip[:])
	}
	if f.Status != "" {
		and("status = ?", string(f.Status))
	}
	if !f.Before.IsZero() {
		and("id < ?", f.Before[:])
	}
	var purchases []Purchase
	err := queryPurchases(tx, func(p *Purchase) { purchases = append(purchases, *p) }, where+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
	return purchases, err
}

// GetPurchase reads one purchase of a user, or ErrUnknownPurchase.
func GetPurchase(tx database.Tx, user, purchase id.ID) (*Purchase, error) {
	var found *Purchase
	err := queryPurchases(tx, func(p *Purchase) { found = p }, "WHERE id = ? AND user_id = ?", purchase[:], user[:])
	if err == nil && found == nil {
		err = ErrUnknownPurchase
	}
	return found, err
}

// PurchaseOwner is the user whose purchase it is, or ErrUnknownPurchase.
func PurchaseOwner(tx database.Tx, purchase id.ID) (owner id.ID, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			if err := rows.Scan(&owner); err != nil {
				return err
			}
		}
		return rows.Err()
	}, "SELECT user_id FROM purchases WHERE id = ?", purchase[:])
	if err == nil && owner.IsZero() {
		err = ErrUnknownPurchase
	}
	return owner, err
}

func queryPurchases(tx database.Tx, visit func(*Purchase), where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var p Purchase
			var expires, created int64
			if err := rows.Scan(&p.ID, &p.UserID, &p.Account, &p.TripID, &p.Class, &p.Quantity, &p.Price, &p.Status, &expires, &created, &p.PaidBy, &p.RefundedBy, &p.Refunded,
				&p.Lamport); err != nil {
				return err
			}
			p.ExpiresAt, p.CreatedAt = operation.FromMicro(expires), operation.FromMicro(created)
			visit(&p)
		}
		return rows.Err()
	}, "SELECT "+purchaseColumns+" FROM purchases "+where, args...)
}

// AnyHeld says whether any purchase is held.
func AnyHeld(tx database.Tx) (bool, error) {
	return tx.Any("SELECT 1 FROM held_purchases LIMIT 1")
}

// Due reads which purchases are held for too long at a time, the longest first.
func Due(tx database.Tx, at time.Time, limit int) ([]DuePurchase, error) {
	var due []DuePurchase
	err := tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var d DuePurchase
			if err := rows.Scan(&d.Purchase, &d.Trip, &d.Class); err != nil {
				return err
			}
			due = append(due, d)
		}
		return rows.Err()
	}, `SELECT p.id, p.trip_id, p.class FROM held_purchases h JOIN purchases p ON p.id = h.purchase_id
		WHERE h.expires_at_us <= ? ORDER BY h.expires_at_us, h.purchase_id LIMIT ?`, operation.Micro(at), limit)
	return due, err
}
