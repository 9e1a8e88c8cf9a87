package exchange

import (
	"context"
	"time"

	"guichet/models/database"
	"guichet/models/operation"
)

// Depth is the best levels of a book, as they were at one moment.
type Depth struct {
	Symbol Symbol  // whose Sequence is that of the last change that the levels have in them
	Bids   []Level // the highest price first
	Asks   []Level // the lowest price first
}

// ReadDepth reads up to depth levels of each side, or ErrUnknownSymbol.
func ReadDepth(ctx context.Context, db *database.DB, symbol string, depth int) (Depth, error) {
	var d Depth
	err := db.Snapshot(ctx, func(tx database.Tx) (err error) {
		if d.Symbol, err = GetSymbol(tx, symbol); err != nil {
			return err
		}
		if d.Bids, err = queryLevels(tx, "ORDER BY price DESC LIMIT ?", symbol, Buy, depth); err != nil {
			return err
		}
		d.Asks, err = queryLevels(tx, "ORDER BY price LIMIT ?", symbol, Sell, depth)
		return err
	})
	return d, err
}

func queryLevels(tx database.Tx, order string, args ...any) ([]Level, error) {
	var levels []Level
	err := tx.Gorm().Raw("SELECT price, quantity, orders FROM book_levels WHERE symbol = ? AND side = ? "+order, args...).Scan(&levels).Error
	return levels, err
}

// Trades reads a symbol's trades with smaller numbers than before (0: from the newest), newest first, without Lamport: the symbol's is no smaller.
func Trades(tx database.Tx, symbol string, before int64, limit int) ([]Trade, error) {
	where, args := "symbol = ?", []any{symbol}
	if before > 0 {
		where, args = where+" AND number < ?", append(args, before)
	}
	rows, err := tx.Gorm().Raw("SELECT symbol, number, price, quantity, taker_side, maker_order, taker_order, at_us FROM trades WHERE "+where+" ORDER BY number DESC LIMIT ?",
		append(args, limit)...).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var trades []Trade
	for rows.Next() {
		var t Trade
		var at int64
		if err := rows.Scan(&t.Symbol, &t.Number, &t.Price, &t.Quantity, &t.TakerSide, &t.MakerOrder, &t.TakerOrder, &at); err != nil {
			return nil, err
		}
		t.At = operation.FromMicro(at)
		trades = append(trades, t)
	}
	return trades, rows.Err()
}

// CandleFilter says which candles of a symbol are asked for. Times that are nil do not filter.
type CandleFilter struct {
	Symbol   string
	Interval Interval
	From     *time.Time // those that start then or later
	To       *time.Time // those that start earlier
	Limit    int
}

// Candles reads a symbol's candles, newest first.
func Candles(tx database.Tx, f CandleFilter) ([]Candle, error) {
	where, args := "symbol = ? AND interval_s = ?", []any{f.Symbol, int64(f.Interval)}
	if f.From != nil {
		where, args = where+" AND start_us >= ?", append(args, f.From.UnixMicro())
	}
	if f.To != nil {
		where, args = where+" AND start_us < ?", append(args, f.To.UnixMicro())
	}
	rows, err := tx.Gorm().Raw("SELECT symbol, interval_s, start_us, open, high, low, close, volume, trades FROM candles WHERE "+where+" ORDER BY start_us DESC LIMIT ?",
		append(args, f.Limit)...).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var candles []Candle
	for rows.Next() {
		var c Candle
		var start int64
		if err := rows.Scan(&c.Symbol, &c.Interval, &start, &c.Open, &c.High, &c.Low, &c.Close, &c.Volume, &c.Trades); err != nil {
			return nil, err
		}
		c.Start = time.UnixMicro(start).UTC()
		candles = append(candles, c)
	}
	return candles, rows.Err()
}
