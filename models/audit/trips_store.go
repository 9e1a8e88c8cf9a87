package audit

import (
	"database/sql"
	"iter"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/trips"
)

type tripRow struct {
	trips.Trip // without its classes
	departsUs  int64
}

// tripRows yields the trips by their ids.
func tripRows(tx database.Tx) iter.Seq2[*tripRow, error] {
	rows := query(tx, "SELECT id, name, departs_at_us, closed, refund_bps, refund_minutes, lamport, created_lamport FROM trips ORDER BY id", func(t *tripRow) []any {
		return []any{&t.ID, &t.Name, &t.departsUs, &t.Closed, &t.RefundBps, &t.RefundMinutes, &t.Lamport, &t.Created}
	})
	return func(yield func(*tripRow, error) bool) {
		for t, err := range rows {
			if err == nil {
				t.DepartsAt = time.UnixMicro(t.departsUs).UTC()
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

type classRow struct {
	trips.Class
	trip id.ID
}

// classRows yields the classes of each trip by their names, which is the order of their key.
func classRows(tx database.Tx) iter.Seq2[*classRow, error] {
	return query(tx, "SELECT trip_id, name, ordinal, price, stock, sold, held, lamport FROM trip_classes ORDER BY trip_id, name", func(c *classRow) []any {
		return []any{&c.trip, &c.Name, &c.Ordinal, &c.Price, &c.Stock, &c.Sold, &c.Held, &c.Lamport}
	})
}

type tripChangeRow struct {
	trip       id.ID
	stamp      lamport.Stamp
	definition string
}

// tripChanges yields what the admin made of each trip, in the order of the stamps.
func tripChanges(tx database.Tx) iter.Seq2[*tripChangeRow, error] {
	return query(tx, "SELECT trip_id, lamport, definition FROM trip_changes ORDER BY trip_id, lamport", func(c *tripChangeRow) []any {
		return []any{&c.trip, &c.stamp, &c.definition}
	})
}

type purchaseRow struct {
	trips.Purchase
	expiresUs, createdUs int64
}

// purchaseRows yields all purchases, by their ids.
func purchaseRows(tx database.Tx) iter.Seq2[*purchaseRow, error] {
	rows := query(tx, `SELECT id, user_id, account, trip_id, class, quantity, price, status, expires_at_us, created_at_us, paid_by, refunded_by, refunded, lamport
		FROM purchases ORDER BY id`, func(p *purchaseRow) []any {
		return []any{&p.ID, &p.UserID, &p.Account, &p.TripID, &p.Class, &p.Quantity, &p.Price, &p.Status, &p.expiresUs, &p.createdUs, &p.PaidBy, &p.RefundedBy, &p.Refunded, &p.Lamport}
	})
	return func(yield func(*purchaseRow, error) bool) {
		for p, err := range rows {
			if err == nil {
				p.ExpiresAt, p.CreatedAt = operation.FromMicro(p.expiresUs), operation.FromMicro(p.createdUs)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

type heldRow struct {
	purchase  id.ID
	listed    bool // in the list of what expires when; otherwise it is a purchase that is held
	expiresUs int64
}

// heldRows yields each purchase that is held, followed by its place in the list of what expires when.
func heldRows(tx database.Tx) iter.Seq2[*heldRow, error] {
	return query(tx, `SELECT id AS purchase_id, 0 AS listed, expires_at_us FROM purchases WHERE status = 'held'
		UNION ALL SELECT purchase_id, 1, expires_at_us FROM held_purchases ORDER BY purchase_id, listed`, func(h *heldRow) []any {
		return []any{&h.purchase, &h.listed, &h.expiresUs}
	})
}

// tillRow is what a purchase says that an operation has moved (not entered), or what the operation has moved on the house's account of trips.
type tillRow struct {
	operation id.ID
	entered   bool
	kind      string
	account   string // whose money it was, or is then
	quantity  int64
	price     money.Amount // for each; of an entry, what it has moved on the house's account
	purchase  id.ID        // that says so; zero for an entry
	reference sql.NullString
}

// tillRows yields, for each operation, the payments and refunds that purchases name it for, followed by its postings on the house's account.
func tillRows(tx database.Tx) iter.Seq2[*tillRow, error] {
	return query(tx, `SELECT paid_by AS operation_id, 0 AS entered, '`+trips.EntryPurchase+`' AS kind, account, quantity, price, id AS purchase, NULL AS reference FROM purchases WHERE paid_by IS NOT NULL
		UNION ALL SELECT refunded_by, 0, '`+trips.EntryRefund+`', account, -1, refunded, id, NULL FROM purchases WHERE refunded_by IS NOT NULL
		UNION ALL SELECT p.operation_id, 1, COALESCE(e.kind, ''), p.counterparty, 1, p.amount, NULL, e.reference
			FROM postings p LEFT JOIN entries e ON e.operation_id = p.operation_id AND e.part = p.part WHERE p.account = '`+trips.House+`'
		ORDER BY operation_id, entered`, func(r *tillRow) []any {
		return []any{&r.operation, &r.entered, &r.kind, &r.account, &r.quantity, &r.price, &r.purchase, &r.reference}
	})
}
