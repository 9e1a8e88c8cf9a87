package exchange

import (
	"strconv"
	"time"
)

// The forms of the contract are written by hand, because they are written for every operation, by the worker, and passed on as they are. Nothing in them
// needs escaping: symbols, client order ids and account numbers are letters, digits and marks that JSON takes as they are.

// AppendJSON appends the order as the contract shows it.
func (o *Order) AppendJSON(b []byte) []byte {
	b = o.ID.AppendJSON(append(b, `{"id":`...))
	b = append(b, `,"client_order_id":`...)
	if o.ClientOrderID != "" {
		b = appendWord(b, o.ClientOrderID)
	} else {
		b = append(b, "null"...)
	}
	b = appendWord(append(b, `,"symbol":`...), o.Symbol)
	b = appendWord(append(b, `,"side":`...), string(o.Side))
	b = appendWord(append(b, `,"type":`...), string(o.Type))
	b = appendWord(append(b, `,"time_in_force":`...), string(o.TimeInForce))
	b = strconv.AppendBool(append(b, `,"post_only":`...), o.PostOnly)
	b = appendInt(append(b, `,"quantity":`...), o.Quantity)
	b = appendInt(append(b, `,"filled_quantity":`...), o.Filled)
	b = appendInt(append(b, `,"remaining_quantity":`...), o.Remaining())
	b = appendInt(append(b, `,"cancelled_quantity":`...), o.CancelledQuantity())
	b = append(b, `,"price":`...)
	if o.Type == MarketOrder {
		b = append(b, "null"...)
	} else {
		b = appendInt(b, o.Price)
	}
	b = appendWord(append(b, `,"status":`...), string(o.Status))
	b = appendTime(append(b, `,"submitted_at":`...), o.SubmittedAt)
	b = appendTime(append(b, `,"completed_at":`...), o.CompletedAt)
	return append(b, '}')
}

// AppendJSON appends the fill as the contract shows it.
func (f *Fill) AppendJSON(b []byte) []byte {
	b = f.appendOpen(b)
	b = appendTime(append(b, `,"at":`...), f.At)
	return append(b, '}')
}

// AppendEntry appends the fill as the feed tells it: with whether the order is complete, and without the time, which the entry itself has.
func (f *Fill) AppendEntry(b []byte) []byte {
	b = strconv.AppendBool(append(f.appendOpen(b), `,"order_complete":`...), f.OrderComplete)
	return append(b, '}')
}

// AppendNotice appends the fill as the data of a notice: all of it, with whether the order is complete.
func (f *Fill) AppendNotice(b []byte) []byte {
	b = strconv.AppendBool(append(f.appendOpen(b), `,"order_complete":`...), f.OrderComplete)
	b = appendTime(append(b, `,"at":`...), f.At)
	return append(b, '}')
}

func (f *Fill) appendOpen(b []byte) []byte {
	b = appendTradeID(append(b, `{"id":"`...), f.Symbol, f.Number)
	b = append(append(append(b, '-'), f.Side...), '"')
	b = f.OrderID.AppendJSON(append(b, `,"order_id":`...))
	b = appendWord(append(b, `,"symbol":`...), f.Symbol)
	b = appendWord(append(b, `,"side":`...), string(f.Side))
	b = appendInt(append(b, `,"quantity":`...), f.Quantity)
	b = appendInt(append(b, `,"price":`...), f.Price)
	b = appendInt(append(b, `,"fee":`...), f.Fee)
	return appendWord(append(b, `,"liquidity":`...), string(f.Liquidity))
}

// AppendJSON appends the trade as the contract shows it.
func (t *Trade) AppendJSON(b []byte) []byte {
	b = appendTime(append(t.appendOpen(b), `,"at":`...), t.At)
	return append(b, '}')
}

// AppendEntry appends the trade as the feed tells it: without the time, which the entry itself has.
func (t *Trade) AppendEntry(b []byte) []byte { return append(t.appendOpen(b), '}') }

func (t *Trade) appendOpen(b []byte) []byte {
	b = appendTradeID(append(b, `{"id":"`...), t.Symbol, t.Number)
	b = appendWord(append(b, `","symbol":`...), t.Symbol)
	b = appendInt(append(b, `,"price":`...), t.Price)
	b = appendInt(append(b, `,"quantity":`...), t.Quantity)
	return appendWord(append(b, `,"taker_side":`...), string(t.TakerSide))
}

// AppendJSON appends the change as the feed tells it.
func (c *BookChange) AppendJSON(b []byte) []byte {
	b = appendWord(append(b, `{"symbol":`...), c.Symbol)
	b = appendInt(append(b, `,"sequence":`...), c.Sequence)
	b = appendLevels(append(b, `,"bids":`...), c.Bids)
	b = appendLevels(append(b, `,"asks":`...), c.Asks)
	return append(b, '}')
}

func appendLevels(b []byte, levels []Level) []byte {
	return appendArray(b, levels, (*Level).AppendJSON)
}

// AppendJSON appends the level as the contract shows it.
func (l *Level) AppendJSON(b []byte) []byte {
	b = appendInt(append(b, `{"price":`...), l.Price)
	b = appendInt(append(b, `,"quantity":`...), l.Quantity)
	b = appendInt(append(b, `,"orders":`...), l.Orders)
	return append(b, '}')
}

// AppendJSON appends the candle as the contract shows it.
func (c *Candle) AppendJSON(b []byte) []byte {
	b = appendWord(append(b, `{"symbol":`...), c.Symbol)
	b = appendWord(append(b, `,"interval":`...), c.Interval.String())
	b = appendTime(append(b, `,"start":`...), c.Start)
	b = appendInt(append(b, `,"open":`...), c.Open)
	b = appendInt(append(b, `,"high":`...), c.High)
	b = appendInt(append(b, `,"low":`...), c.Low)
	b = appendInt(append(b, `,"close":`...), c.Close)
	b = appendInt(append(b, `,"volume":`...), c.Volume)
	b = appendInt(append(b, `,"trades":`...), c.Trades)
	return append(b, '}')
}

// AppendCandlesChanged appends the candles of a symbol that changed, as the feed tells them.
func AppendCandlesChanged(b []byte, symbol string, candles []Candle) []byte {
	b = appendWord(append(b, `{"symbol":`...), symbol)
	b = appendArray(append(b, `,"candles":`...), candles, (*Candle).AppendJSON)
	return append(b, '}')
}

// AppendJSON appends the holding as the contract shows it.
func (h *Holding) AppendJSON(b []byte) []byte {
	b = appendWord(append(b, `{"symbol":`...), h.Symbol)
	b = appendInt(append(b, `,"quantity":`...), h.Quantity)
	b = appendInt(append(b, `,"held":`...), h.Held)
	b = appendInt(append(b, `,"available":`...), h.Available())
	return append(b, '}')
}

// AppendIssued appends the result of an issue: the account and what it has of the symbol after it.
func AppendIssued(b []byte, h *Holding) []byte {
	b = appendWord(append(b, `{"account":`...), h.Account)
	b = h.AppendJSON(append(b, `,"holding":`...))
	return append(b, '}')
}

// AppendMassCancelled appends the result of a mass cancellation: how many orders it cancelled.
func AppendMassCancelled(b []byte, symbol string, orders int) []byte {
	b = appendWord(append(b, `{"symbol":`...), symbol)
	b = appendInt(append(b, `,"cancelled_orders":`...), orders)
	return append(b, '}')
}

func appendArray[T any](b []byte, items []T, appendItem func(*T, []byte) []byte) []byte {
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendItem(&items[i], b)
	}
	return append(b, ']')
}

func appendInt[T ~int64 | ~int](b []byte, n T) []byte { return strconv.AppendInt(b, int64(n), 10) }

func appendWord(b []byte, word string) []byte {
	b = append(b, '"')
	b = append(b, word...)
	return append(b, '"')
}

func appendTradeID(b []byte, symbol string, number int64) []byte {
	return strconv.AppendInt(append(append(b, symbol...), '-'), number, 10)
}

// appendTime writes a time to the microsecond, which is what is stored; the zero time is null.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00")
	return append(b, '"')
}
