package audit

import (
	"database/sql"
	"iter"
	"math"

	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
)

// readSymbols reads all symbols into memory: there are few.
func readSymbols(tx database.Tx) ([]exchange.Symbol, error) {
	return exchange.Symbols(tx, "", math.MaxInt32)
}

type haltRow struct {
	symbol string
	stamp  lamport.Stamp
	halted bool
}

// halts yields when trading was halted and resumed, in the order of the stamps.
func halts(tx database.Tx) iter.Seq2[*haltRow, error] {
	return query(tx, "SELECT symbol, lamport, halted FROM symbol_halts ORDER BY symbol, lamport", func(h *haltRow) []any {
		return []any{&h.symbol, &h.stamp, &h.halted}
	})
}

// orderRow is an order with what the bank holds for it.
type orderRow struct {
	exchange.Order
	clientOrderID            sql.NullString
	submittedUs, completedUs int64
	holder                   sql.NullString // the account of the hold; null for no hold
	held                     sql.NullInt64  // what remains of the hold
}

// orders yields all orders, in no order.
func orders(tx database.Tx) iter.Seq2[*orderRow, error] {
	rows := query(tx, `SELECT o.id, o.user_id, o.account, o.client_order_id, o.symbol, o.side, o.type, o.time_in_force, o.post_only, o.quantity, o.filled, o.price, o.status,
		o.priority, o.submitted_at_us, o.completed_at_us, o.lamport, h.account, h.remaining FROM orders o LEFT JOIN holds h ON h.id = o.id`, func(o *orderRow) []any {
		return []any{&o.ID, &o.UserID, &o.Account, &o.clientOrderID, &o.Symbol, &o.Side, &o.Type, &o.TimeInForce, &o.PostOnly, &o.Quantity, &o.Filled, &o.Price, &o.Status,
			&o.Priority, &o.submittedUs, &o.completedUs, &o.Lamport, &o.holder, &o.held}
	})
	return func(yield func(*orderRow, error) bool) {
		for o, err := range rows {
			if err == nil {
				o.ClientOrderID, o.SubmittedAt, o.CompletedAt = o.clientOrderID.String, operation.FromMicro(o.submittedUs), operation.FromMicro(o.completedUs)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// holdings yields them, in no order.
func holdings(tx database.Tx) iter.Seq2[*exchange.Holding, error] {
	return query(tx, "SELECT account, symbol, quantity, held, lamport FROM holdings", func(h *exchange.Holding) []any {
		return []any{&h.Account, &h.Symbol, &h.Quantity, &h.Held, &h.Lamport}
	})
}

type levelRow struct {
	symbol string
	side   exchange.Side
	exchange.Level
}

func bookLevels(tx database.Tx) iter.Seq2[*levelRow, error] {
	return query(tx, "SELECT symbol, side, price, quantity, orders FROM book_levels ORDER BY symbol, side, price", func(l *levelRow) []any {
		return []any{&l.symbol, &l.side, &l.Price, &l.Quantity, &l.Orders}
	})
}

type tradeRow struct {
	exchange.Trade
	atUs int64
}

// trades yields the tape of each symbol, which is the order of their key.
func trades(tx database.Tx) iter.Seq2[*tradeRow, error] {
	return query(tx, "SELECT symbol, number, price, quantity, taker_side, maker_order, taker_order, at_us FROM trades ORDER BY symbol, number", func(t *tradeRow) []any {
		return []any{&t.Symbol, &t.Number, &t.Price, &t.Quantity, &t.TakerSide, &t.MakerOrder, &t.TakerOrder, &t.atUs}
	})
}

type fillRow struct {
	exchange.Fill
	atUs int64
}

// fills yields them, in no order.
func fills(tx database.Tx) iter.Seq2[*fillRow, error] {
	return query(tx, "SELECT user_id, at_us, symbol, number, order_id, side, quantity, price, fee, liquidity, lamport FROM fills", func(f *fillRow) []any {
		return []any{&f.UserID, &f.atUs, &f.Symbol, &f.Number, &f.OrderID, &f.Side, &f.Quantity, &f.Price, &f.Fee, &f.Liquidity, &f.Lamport}
	})
}

type candleRow struct {
	exchange.Candle
	startUs int64
}

func candles(tx database.Tx) iter.Seq2[*candleRow, error] {
	return query(tx, "SELECT symbol, interval_s, start_us, open, high, low, close, volume, trades FROM candles ORDER BY symbol, interval_s, start_us", func(c *candleRow) []any {
		return []any{&c.Symbol, &c.Interval, &c.startUs, &c.Open, &c.High, &c.Low, &c.Close, &c.Volume, &c.Trades}
	})
}

// tapeRow is a trade (not filled), or one of the fills of a trade.
type tapeRow struct {
	symbol    string
	number    int64
	filled    bool
	order     id.ID // of the trade's taker
	maker     id.ID // of the trade
	side      exchange.Side
	quantity  int64
	price     money.Amount
	fee       money.Amount
	liquidity exchange.Liquidity
	atUs      int64
}

// tapes yields each trade, followed by its fills.
func tapes(tx database.Tx) iter.Seq2[*tapeRow, error] {
	return query(tx, `SELECT symbol, number, 0 AS filled, taker_order AS order_id, maker_order AS maker, taker_side AS side, quantity, price, 0 AS fee, '' AS liquidity, at_us FROM trades
		UNION ALL SELECT symbol, number, 1, order_id, order_id, side, quantity, price, fee, liquidity, at_us FROM fills ORDER BY symbol, number, filled, liquidity`, func(r *tapeRow) []any {
		return []any{&r.symbol, &r.number, &r.filled, &r.order, &r.maker, &r.side, &r.quantity, &r.price, &r.fee, &r.liquidity, &r.atUs}
	})
}

// shareRow is an order (not filled), or one of its fills.
type shareRow struct {
	order       id.ID
	filled      bool
	user        id.ID
	symbol      string
	side        exchange.Side
	quantity    int64 // of the fill
	wanted      int64 // quantity of the order
	status      exchange.Status
	completedUs int64
}

// shares yields each order, followed by its fills. The quantity of an order is what it says is filled.
func shares(tx database.Tx) iter.Seq2[*shareRow, error] {
	return query(tx, `SELECT id AS order_id, 0 AS fill, user_id, symbol, side, filled, quantity, status, completed_at_us FROM orders
		UNION ALL SELECT order_id, 1, user_id, symbol, side, quantity, 0, '', 0 FROM fills ORDER BY order_id, fill`, func(r *shareRow) []any {
		return []any{&r.order, &r.filled, &r.user, &r.symbol, &r.side, &r.quantity, &r.wanted, &r.status, &r.completedUs}
	})
}

// settledRow is a trade (not entered), or an entry of the ledger that says it is of a trade.
type settledRow struct {
	operation id.ID
	entered   bool
	number    int64  // of the trade; of an entry it is the part
	reference string // the symbol of a trade; of an entry it is the trade's id
}

// settlements yields the trades that each operation made, and then the entries.
func settlements(tx database.Tx) iter.Seq2[*settledRow, error] {
	return query(tx, `SELECT taker_order AS operation_id, 0 AS entered, number, symbol AS reference FROM trades
		UNION ALL SELECT operation_id, 1, part, COALESCE(reference, '') FROM entries WHERE kind = '`+exchange.KindTrade+`' ORDER BY operation_id, entered, number`, func(r *settledRow) []any {
		return []any{&r.operation, &r.entered, &r.number, &r.reference}
	})
}
