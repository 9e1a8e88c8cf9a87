package audit

import (
	"fmt"
	"maps"
	"slices"

	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/id"
	"guichet/models/money"
)

// tradeAudit is the checks of what was traded, which one reading of the trades with their fills serves.
type tradeAudit struct {
	dense, fills, fees *Check

	symbols map[string]*exchange.Symbol
	last    map[string]int64 // the last trade of each symbol
	earned  map[string]money.Amount
}

func checkTrades(tx database.Tx) ([]*Check, error) {
	t := &tradeAudit{
		dense: &Check{Name: "trades_dense"}, fills: &Check{Name: "two_fills_each"}, fees: &Check{Name: "fees_equal_fills"},
		symbols: map[string]*exchange.Symbol{}, last: map[string]int64{}, earned: map[string]money.Amount{},
	}
	symbols, err := readSymbols(tx)
	if err != nil {
		return nil, err
	}
	for i := range symbols {
		t.symbols[symbols[i].Symbol] = &symbols[i]
	}
	for _, check := range []func(database.Tx) error{t.readTapes, t.checkFees} {
		if err := check(tx); err != nil {
			return nil, err
		}
	}
	t.checkLast()
	filled, err := checkFilled(tx)
	if err != nil {
		return nil, err
	}
	settled, err := checkSettled(tx)
	return []*Check{t.dense, t.fills, filled, t.fees, settled}, err
}

// trading is a trade with its fills.
type trading struct {
	symbol  string
	number  int64
	trade   *tapeRow // nil: only fills name it
	sides   []tapeRow
	storage tapeRow
}

func (t *tradeAudit) readTapes(tx database.Tx) error {
	var now trading
	for row, err := range tapes(tx) {
		if err != nil {
			return err
		}
		if row.symbol != now.symbol || row.number != now.number {
			t.check(&now)
			now.symbol, now.number, now.trade, now.sides = row.symbol, row.number, nil, now.sides[:0]
		}
		if row.filled {
			now.sides = append(now.sides, *row)
			t.earned[row.symbol] += row.fee
		} else {
			now.storage = *row
			now.trade = &now.storage
		}
	}
	t.check(&now)
	return nil
}

// check: the trades of a symbol are numbered from 1, without holes, and each is one fill of its maker and one of its taker.
func (t *tradeAudit) check(now *trading) {
	if now.symbol == "" { // before the first one
		return
	}
	trade, name := now.trade, fmt.Sprintf("%s-%d", now.symbol, now.number)
	if trade == nil {
		t.fills.find("trade %s has %d fills, and is itself missing", name, len(now.sides))
		return
	}
	t.dense.Checked++
	if trade.number != t.last[trade.symbol]+1 {
		t.dense.find("trade %s follows trade %d", name, t.last[trade.symbol])
	}
	t.last[trade.symbol] = trade.number
	t.fills.Checked++
	if len(now.sides) != 2 {
		t.fills.find("trade %s has %d fills", name, len(now.sides))
		return
	}
	maker, taker := t.sidesOf(trade)
	for i, want := range [...]tapeRow{maker, taker} { // in the order of their names
		if got := now.sides[i]; got != want {
			t.fills.find("trade %s: a fill is %s, and by the trade it is %s", name, &got, &want)
		}
	}
}

// sidesOf is the fills that a trade has.
func (t *tradeAudit) sidesOf(trade *tapeRow) (maker, taker tapeRow) {
	fee := money.Amount(0)
	if s := t.symbols[trade.symbol]; s != nil {
		notional, _ := exchange.Notional(trade.price, trade.quantity)
		fee = exchange.Fee(notional, s.FeeBps)
	}
	side := func(order id.ID, side exchange.Side, liquidity exchange.Liquidity) tapeRow {
		f := *trade
		f.filled, f.order, f.maker, f.side, f.liquidity = true, order, order, side, liquidity
		if side == exchange.Sell {
			f.fee = fee
		}
		return f
	}
	return side(trade.maker, trade.side.Opposite(), exchange.Maker), side(trade.order, trade.side, exchange.Taker)
}

func (r *tapeRow) String() string {
	return fmt.Sprintf("{%s: %s %d at %d by order %s, fee %d, at %d µs}", r.liquidity, r.side, r.quantity, r.price, r.order, r.fee, r.atUs)
}

// checkLast: a symbol counts its trades.
func (t *tradeAudit) checkLast() {
	for _, name := range slices.Sorted(maps.Keys(t.symbols)) {
		if s := t.symbols[name]; s.Trades != t.last[name] {
			t.dense.find("symbol %s counts %d trades, and the last one is %d", name, s.Trades, t.last[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.last)) {
		if t.symbols[name] == nil {
			t.dense.find("there are %d trades of %s, which is not listed", t.last[name], name)
		}
	}
}

// checkFees: the fees of a symbol's fills are on the account for them.
func (t *tradeAudit) checkFees(tx database.Tx) error {
	accounts, err := readAccounts(tx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.symbols)) {
		t.fees.Checked++
		switch a := accounts[exchange.FeesAccount(name)]; {
		case a == nil || !a.house():
			t.fees.find("the house has no account for the fees of %s", name)
		case a.balance != t.earned[name]:
			t.fees.find("account %s: the balance is %d, and the fees of the fills sum to %d", a.number, a.balance, t.earned[name])
		}
	}
	return nil
}

// checkFilled: what is filled of an order is the sum of its fills, and its state is as that and its end say.
func checkFilled(tx database.Tx) (*Check, error) {
	c := &Check{Name: "filled_equals_fills"}
	var now orderSum
	for row, err := range shares(tx) {
		if err != nil {
			return nil, err
		}
		if row.order != now.id || c.Checked == 0 {
			now.end(c)
			now = orderSum{id: row.order}
			c.Checked++
		}
		now.add(c, row)
	}
	now.end(c)
	return c, nil
}

// orderSum adds up the fills of one order.
type orderSum struct {
	id     id.ID
	order  shareRow
	placed bool
	fills  int
	sum    int64
}

func (s *orderSum) add(c *Check, row *shareRow) {
	if !row.filled {
		s.order, s.placed = *row, true
		return
	}
	s.fills++
	s.sum += row.quantity
	if s.placed && (row.user != s.order.user || row.symbol != s.order.symbol || row.side != s.order.side) {
		c.find("order %s: a fill of it is somebody else's, of another symbol or side: %s of %s by %s", s.id, row.side, row.symbol, row.user)
	}
}

func (s *orderSum) end(c *Check) {
	o := &s.order
	switch full := o.quantity == o.wanted; {
	case !s.placed && s.fills == 0: // before the first one
	case !s.placed:
		c.find("order %s has %d fills, and is itself missing", s.id, s.fills)
	case o.quantity != s.sum:
		c.find("order %s: %d are filled, and its fills sum to %d", s.id, o.quantity, s.sum)
	case o.quantity < 0 || o.quantity > o.wanted:
		c.find("order %s: %d of %d are filled", s.id, o.quantity, o.wanted)
	case full != (o.status == exchange.Filled), !full && o.status != exchange.Open && o.status != exchange.Cancelled:
		c.find("order %s: %d of %d are filled, and it is %q", s.id, o.quantity, o.wanted, o.status)
	case (o.completedUs == 0) != (o.status == exchange.Open):
		c.find("order %s is %q, and ended at %d µs", s.id, o.status, o.completedUs)
	}
}

// checkSettled: every trade is an entry of the ledger, made by the operation that placed the taker's order, and no other entry says it is of a trade.
func checkSettled(tx database.Tx) (*Check, error) {
	c := &Check{Name: "trades_equal_entries"}
	var operation id.ID
	unsettled := map[string]bool{}
	end := func() {
		for _, trade := range slices.Sorted(maps.Keys(unsettled)) {
			c.find("trade %s was made by operation %s, which made no entry of it", trade, operation)
		}
		clear(unsettled)
	}
	for row, err := range settlements(tx) {
		if err != nil {
			return nil, err
		}
		if row.operation != operation {
			end()
			operation = row.operation
		}
		switch {
		case !row.entered:
			c.Checked++
			unsettled[(&exchange.Trade{Symbol: row.reference, Number: row.number}).ID()] = true
		case !unsettled[row.reference]:
			c.find("entry %s.%d is of trade %q, which that operation did not make, or has an entry of already", row.operation, row.number, row.reference)
		default:
			delete(unsettled, row.reference)
		}
	}
	end()
	return c, nil
}
