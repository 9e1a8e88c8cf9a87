package exchange

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// Load reads and locks what the commands touch: the accounts, holds and holdings of who submitted them and of everybody whom they may trade with, and what is known
// of the orders and clients' ids that they name. Books are read once, and kept.
func (f *Floor) Load(tx database.Tx, commands []Submitted) (*Round, error) {
	if err := f.open(tx, commands); err != nil {
		return nil, err
	}
	n := newNeeds()
	for more := true; more; more = n.incomplete() {
		n.gather(f, commands)
		if err := n.load(tx); err != nil {
			return nil, err
		}
	}
	return n.round, nil
}

// open refreshes the markets of the commands' symbols, and makes those anew that are not known, or not as they were left.
func (f *Floor) open(tx database.Tx, commands []Submitted) error {
	names := map[string]bool{}
	for i := range commands {
		names[commands[i].Symbol()] = true
	}
	f.present = nil
	if len(names) == 0 {
		return nil
	}
	args := make([]any, 0, len(names)+1)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		args = append(args, name)
	}
	// The lane's row, which is locked, is what halts wait for.
	symbols, err := querySymbols(tx, "WHERE symbol IN "+database.Placeholders(len(names))+" AND lane = ? ORDER BY symbol", append(args, f.lane)...)
	if err != nil {
		return err
	}
	for _, symbol := range symbols {
		f.present = append(f.present, symbol.Symbol)
		if m := f.markets[symbol.Symbol]; m != nil && m.Refresh(symbol) {
			continue
		}
		if err := f.rebuild(tx, symbol); err != nil {
			return err
		}
	}
	return nil
}

func (f *Floor) rebuild(tx database.Tx, symbol Symbol) error {
	market := NewMarket(symbol, nil)
	if err := eachOrder(tx, market.rest, selectOrder+"WHERE symbol = ? AND status = ? ORDER BY priority", symbol.Symbol, Open); err != nil {
		return err
	}
	candles := make([]Candle, 0, len(Intervals))
	for _, interval := range Intervals {
		last, err := Candles(tx, CandleFilter{Symbol: symbol.Symbol, Interval: interval, Limit: 1})
		if err != nil {
			return err
		}
		candles = append(candles, last...)
	}
	f.markets[symbol.Symbol], f.candles[symbol.Symbol] = market, candles
	return nil
}

// load reads what is needed, all in one breath.
func (n *needs) load(tx database.Tx) error {
	var holdings []Holding
	history := NewHistory()
	ledger, err := bank.Load(tx, slices.Collect(maps.Keys(n.accounts)), slices.Collect(maps.Keys(n.holds)),
		// After the accounts: who waited for another lane to accept an order of the same client sees its id.
		func(tx database.Tx) error { return n.loadHoldings(tx, &holdings) },
		func(tx database.Tx) error { return n.loadClientIDs(tx, history) },
		func(tx database.Tx) error { return n.loadEnded(tx, history) })
	if err != nil {
		return err
	}
	n.round = &Round{Ledger: ledger, Holdings: NewHoldings(holdings), History: history}
	return nil
}

func (n *needs) loadHoldings(tx database.Tx, into *[]Holding) error {
	for symbol, accounts := range n.holdings {
		args := make([]any, 0, len(accounts)+1)
		args = append(args, symbol)
		for account := range accounts {
			args = append(args, account)
		}
		if err := tx.Query(func(rows *sql.Rows) error {
			for rows.Next() {
				var h Holding
				if err := rows.Scan(&h.Account, &h.Symbol, &h.Quantity, &h.Held, &h.Lamport); err != nil {
					return err
				}
				*into = append(*into, h)
			}
			return rows.Err()
		}, "SELECT account, symbol, quantity, held, lamport FROM holdings WHERE symbol = ? AND account IN "+database.Placeholders(len(accounts)), args...); err != nil {
			return err
		}
	}
	return nil
}

func (n *needs) loadClientIDs(tx database.Tx, into *History) error {
	if len(n.clientIDs) == 0 {
		return nil
	}
	args := make([]any, 0, 2*len(n.clientIDs))
	for key := range n.clientIDs {
		args = append(args, key.user[:], key.text)
	}
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var user id.ID
			var text string
			if err := rows.Scan(&user, &text); err != nil {
				return err
			}
			into.AddClientOrderID(user, text)
		}
		return rows.Err()
	}, "SELECT user_id, client_order_id FROM orders WHERE user_id = ? AND client_order_id = ?"+strings.Repeat(" OR user_id = ? AND client_order_id = ?", len(n.clientIDs)-1), args...)
}

func (n *needs) loadEnded(tx database.Tx, into *History) error {
	if len(n.orders) == 0 {
		return nil
	}
	args := make([]any, 0, len(n.orders)+1)
	for order := range n.orders {
		args = append(args, order[:])
	}
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var order, user id.ID
			if err := rows.Scan(&order, &user); err != nil {
				return err
			}
			into.AddEnded(order, user)
		}
		return rows.Err()
	}, "SELECT id, user_id FROM orders WHERE id IN "+database.Placeholders(len(n.orders))+" AND status <> ?", append(args, string(Open))...)
}

// Prepare reads what has to be known before what was decided can be stored: candles before the last ones, should clocks on the wall have gone back. Call it before
// Save, where statements are not held back yet.
func (f *Floor) Prepare(tx database.Tx) error {
	for _, name := range f.present {
		asked := map[CandleKey]bool{}
		for _, t := range f.markets[name].changes.Trades {
			for _, key := range CandleKeys(t.At) {
				if asked[key] || !isBefore(f.candles[name], key) {
					continue
				}
				asked[key] = true
				start := time.Unix(key.Start, 0)
				end := start.Add(time.Second)
				older, err := Candles(tx, CandleFilter{Symbol: name, Interval: key.Interval, From: &start, To: &end, Limit: 1})
				if err != nil {
					return err
				}
				f.candles[name] = append(f.candles[name], older...)
			}
		}
	}
	return nil
}

// isBefore says whether a candle comes before the last known one of its interval.
func isBefore(known []Candle, key CandleKey) bool {
	for i := range known {
		if known[i].Interval == key.Interval && known[i].Start.Unix() > key.Start {
			return true
		}
	}
	return false
}

// Save stores what a round has made of the markets, and returns their changes. placed says which orders are new.
func (f *Floor) Save(tx database.Tx, r *Round, placed func(order id.ID) bool) ([]Changed, error) {
	all := make([]Changed, 0, len(f.present))
	var orders []Order
	var trades []Trade
	var fills []Fill
	var candles []Candle
	for _, name := range f.present {
		changed := Changed{Changes: f.markets[name].Conclude()}
		if len(changed.Trades) > 0 {
			changed.Candles = AddTrades(f.candles[name], changed.Trades)
			f.candles[name] = latest(f.candles[name], changed.Candles)
		}
		orders, trades, fills, candles = append(orders, changed.Orders...), append(trades, changed.Trades...), append(fills, changed.Fills...), append(candles, changed.Candles...)
		all = append(all, changed)
	}
	for _, write := range []func(database.Tx) error{
		func(tx database.Tx) error { return saveSymbols(tx, all) },
		func(tx database.Tx) error { return saveOrders(tx, orders, placed) },
		func(tx database.Tx) error { return insertTrades(tx, trades) },
		func(tx database.Tx) error { return insertFills(tx, fills) },
		func(tx database.Tx) error { return saveLevels(tx, all) },
		func(tx database.Tx) error { return saveCandles(tx, candles) },
		func(tx database.Tx) error { return saveHoldings(tx, r.Holdings.Touched()) },
		r.Ledger.Save,
	} {
		if err := write(tx); err != nil {
			return nil, fmt.Errorf("exchange: storing what changed: %w", err)
		}
	}
	return all, nil
}

func saveSymbols(tx database.Tx, changed []Changed) error {
	for i := range changed {
		s := &changed[i].Symbol
		if _, err := tx.Exec("UPDATE symbols SET sequence = ?, trades = ?, issued = ?, lamport = ? WHERE symbol = ?", s.Sequence, s.Trades, s.Issued, int64(s.Lamport), s.Symbol); err != nil {
			return err
		}
	}
	return nil
}

// saveOrders inserts the new orders: an upsert of one whose client's id is taken would change the order that has it.
func saveOrders(tx database.Tx, orders []Order, placed func(id.ID) bool) error {
	columns := []string{"id", "user_id", "account", "client_order_id", "symbol", "side", "type", "time_in_force", "post_only", "quantity", "filled", "price", "status",
		"priority", "submitted_at_us", "completed_at_us", "lamport"}
	inserted, changed := database.Rows{Table: "orders", Columns: columns}, database.Rows{Table: "orders", Columns: columns}
	for i := range orders {
		o := &orders[i]
		rows := &changed
		if placed(o.ID) {
			rows = &inserted
		}
		var clientID any
		if o.ClientOrderID != "" {
			clientID = o.ClientOrderID
		}
		rows.Add(o.ID[:], o.UserID[:], o.Account, clientID, o.Symbol, string(o.Side), string(o.Type), string(o.TimeInForce), o.PostOnly, o.Quantity, o.Filled, int64(o.Price),
			string(o.Status), o.Priority, operation.Micro(o.SubmittedAt), operation.Micro(o.CompletedAt), int64(o.Lamport))
	}
	if err := inserted.Insert(tx); err != nil {
		return err
	}
	return changed.Upsert(tx, []string{"id"}, []string{"filled", "status", "completed_at_us", "lamport"})
}

func insertTrades(tx database.Tx, trades []Trade) error {
	rows := database.Rows{Table: "trades", Columns: []string{"symbol", "number", "price", "quantity", "taker_side", "maker_order", "taker_order", "at_us"}}
	for i := range trades {
		t := &trades[i]
		rows.Add(t.Symbol, t.Number, int64(t.Price), t.Quantity, string(t.TakerSide), t.MakerOrder[:], t.TakerOrder[:], operation.Micro(t.At))
	}
	return rows.Insert(tx)
}

func insertFills(tx database.Tx, fills []Fill) error {
	rows := database.Rows{Table: "fills", Columns: []string{"user_id", "at_us", "symbol", "number", "order_id", "side", "quantity", "price", "fee", "liquidity", "lamport"}}
	for i := range fills {
		f := &fills[i]
		rows.Add(f.UserID[:], operation.Micro(f.At), f.Symbol, f.Number, f.OrderID[:], string(f.Side), f.Quantity, int64(f.Price), int64(f.Fee), string(f.Liquidity), int64(f.Lamport))
	}
	return rows.Insert(tx)
}

func saveHoldings(tx database.Tx, holdings []Holding) error {
	rows := database.Rows{Table: "holdings", Columns: []string{"account", "symbol", "quantity", "held", "lamport"}}
	for i := range holdings {
		h := &holdings[i]
		rows.Add(h.Account, h.Symbol, h.Quantity, h.Held, int64(h.Lamport))
	}
	return rows.Upsert(tx, []string{"account", "symbol"}, []string{"quantity", "held", "lamport"})
}

// saveLevels stores the levels that changed; one that is gone has no row.
func saveLevels(tx database.Tx, changed []Changed) error {
	rows := database.Rows{Table: "book_levels", Columns: []string{"symbol", "side", "price", "quantity", "orders"}}
	for i := range changed {
		book := &changed[i].Book
		for side, levels := range map[Side][]Level{Buy: book.Bids, Sell: book.Asks} {
			gone := []any{book.Symbol, string(side)}
			for _, l := range levels {
				if l.Orders > 0 {
					rows.Add(book.Symbol, string(side), int64(l.Price), l.Quantity, l.Orders)
				} else {
					gone = append(gone, int64(l.Price))
				}
			}
			if n := len(gone) - 2; n > 0 {
				if _, err := tx.Exec("DELETE FROM book_levels WHERE symbol = ? AND side = ? AND price IN "+database.Placeholders(n), gone...); err != nil {
					return err
				}
			}
		}
	}
	return rows.Upsert(tx, []string{"symbol", "side", "price"}, []string{"quantity", "orders"})
}

func saveCandles(tx database.Tx, candles []Candle) error {
	rows := database.Rows{Table: "candles", Columns: []string{"symbol", "interval_s", "start_us", "open", "high", "low", "close", "volume", "trades"}}
	for i := range candles {
		c := &candles[i]
		rows.Add(c.Symbol, int64(c.Interval), operation.Micro(c.Start), int64(c.Open), int64(c.High), int64(c.Low), int64(c.Close), c.Volume, c.Trades)
	}
	return rows.Upsert(tx, []string{"symbol", "interval_s", "start_us"}, []string{"high", "low", "close", "volume", "trades"})
}
