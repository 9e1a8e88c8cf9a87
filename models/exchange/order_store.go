package exchange

import (
	"database/sql"
	"errors"
	"strings"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// ErrUnknownOrder says that the user has no such order.
var ErrUnknownOrder = errors.New("exchange: no such order")

const selectOrder = `SELECT id, user_id, account, client_order_id, symbol, side, type, time_in_force, post_only, quantity, filled, price, status, priority,
	submitted_at_us, completed_at_us, lamport FROM orders `

// OrderFilter says which orders of a user are asked for. Zero fields do not filter.
type OrderFilter struct {
	User          id.ID
	Symbol        string
	Status        Status
	ClientOrderID string
	Before        id.ID // orders that are older than this one
	Limit         int
}

// Orders reads a user's orders, newest first.
func Orders(tx database.Tx, f OrderFilter) ([]Order, error) {
	if f.ClientOrderID != "" {
		where, args := f.where("user_id = ? AND client_order_id = ?", f.User[:], f.ClientOrderID)
		if f.Status != "" {
			where, args = where+" AND status = ?", append(args, f.Status)
		}
		return queryOrders(tx, selectOrder+where, args...)
	}
	if f.Status != "" {
		query, args := f.ofStatus(f.Status)
		return queryOrders(tx, query, args...)
	}
	// A range of the index for each state: it would be read from end to end for one range of them all.
	var parts []string
	var args []any
	for _, status := range []Status{Open, Filled, Cancelled} {
		query, queryArgs := f.ofStatus(status)
		parts, args = append(parts, "SELECT * FROM ("+query+") AS "+string(status)+"_orders"), append(args, queryArgs...)
	}
	return queryOrders(tx, strings.Join(parts, " UNION ALL ")+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
}

func (f *OrderFilter) ofStatus(status Status) (query string, args []any) {
	where, args := f.where("user_id = ? AND status = ?", f.User[:], status)
	return selectOrder + where + " ORDER BY id DESC LIMIT ?", append(args, f.Limit)
}

func (f *OrderFilter) where(condition string, args ...any) (where string, all []any) {
	where = "WHERE " + condition
	if f.Symbol != "" {
		where, args = where+" AND symbol = ?", append(args, f.Symbol)
	}
	if !f.Before.IsZero() {
		where, args = where+" AND id < ?", append(args, f.Before[:])
	}
	return where, args
}

// GetOrder reads one order of a user, or ErrUnknownOrder.
func GetOrder(tx database.Tx, user, order id.ID) (Order, error) {
	orders, err := queryOrders(tx, selectOrder+"WHERE id = ? AND user_id = ?", order[:], user[:])
	if err != nil {
		return Order{}, err
	}
	if len(orders) == 0 {
		return Order{}, ErrUnknownOrder
	}
	return orders[0], nil
}

func queryOrders(tx database.Tx, query string, args ...any) ([]Order, error) {
	var orders []Order
	err := eachOrder(tx, func(o *Order) { orders = append(orders, *o) }, query, args...)
	return orders, err
}

// eachOrder visits orders one by one: a book may have a million.
func eachOrder(tx database.Tx, visit func(*Order), query string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var o Order
			var clientID sql.NullString
			var submitted, completed int64
			if err := rows.Scan(&o.ID, &o.UserID, &o.Account, &clientID, &o.Symbol, &o.Side, &o.Type, &o.TimeInForce, &o.PostOnly, &o.Quantity, &o.Filled, &o.Price,
				&o.Status, &o.Priority, &submitted, &completed, &o.Lamport); err != nil {
				return err
			}
			o.ClientOrderID, o.SubmittedAt, o.CompletedAt = clientID.String, operation.FromMicro(submitted), operation.FromMicro(completed)
			visit(&o)
		}
		return rows.Err()
	}, query, args...)
}

// FillKey is the place of a fill among those of its user.
type FillKey struct {
	AtUs   int64
	Symbol string
	Number int64
}

// FillFilter says which fills of a user are asked for. Zero fields do not filter.
type FillFilter struct {
	User   id.ID
	Order  id.ID
	Symbol string
	Before FillKey // fills that are older than this one
	Limit  int
}

// Fills reads a user's fills, newest first, without Account and OrderComplete.
func Fills(tx database.Tx, f FillFilter) ([]Fill, error) {
	where, args := "user_id = ?", []any{f.User[:]}
	if !f.Order.IsZero() {
		where, args = where+" AND order_id = ?", append(args, f.Order[:])
	}
	if f.Symbol != "" {
		where, args = where+" AND symbol = ?", append(args, f.Symbol)
	}
	if b := f.Before; b.Number > 0 {
		where += " AND (at_us, symbol, number) < (?, ?, ?) AND at_us <= ?" // the last is what MySQL uses the key for
		args = append(args, b.AtUs, b.Symbol, b.Number, b.AtUs)
	}
	rows, err := tx.Gorm().Raw("SELECT user_id, order_id, symbol, number, side, quantity, price, fee, liquidity, at_us, lamport FROM fills WHERE "+where+
		" ORDER BY at_us DESC, symbol DESC, number DESC LIMIT ?", append(args, f.Limit)...).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var fills []Fill
	for rows.Next() {
		var fill Fill
		var at int64
		if err := rows.Scan(&fill.UserID, &fill.OrderID, &fill.Symbol, &fill.Number, &fill.Side, &fill.Quantity, &fill.Price, &fill.Fee, &fill.Liquidity, &at, &fill.Lamport); err != nil {
			return nil, err
		}
		fill.At = operation.FromMicro(at)
		fills = append(fills, fill)
	}
	return fills, rows.Err()
}

// ReadHoldings reads what an account has, by the symbols that follow after.
func ReadHoldings(tx database.Tx, account, after string, limit int) ([]Holding, error) {
	var holdings []Holding
	err := tx.Gorm().Raw("SELECT account, symbol, quantity, held, lamport FROM holdings WHERE account = ? AND symbol > ? AND quantity > 0 ORDER BY symbol LIMIT ?",
		account, after, limit).Scan(&holdings).Error
	return holdings, err
}
