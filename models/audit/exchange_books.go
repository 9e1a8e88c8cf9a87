package audit

import (
	"cmp"
	"maps"
	"slices"

	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/money"
)

// checkExchange checks that the tables of the exchange agree with each other and with the ledger, by themselves: nothing here knows the rules of matching.
func checkExchange(tx database.Tx) ([]*Check, error) {
	var checks []*Check
	for _, check := range []func(database.Tx) ([]*Check, error){checkBooks, checkTrades} {
		found, err := check(tx)
		if err != nil {
			return nil, err
		}
		checks = append(checks, found...)
	}
	return checks, nil
}

// bookAudit is the checks of what the open orders require, which one reading of the orders serves.
type bookAudit struct {
	crossed, levels, shares, offered, cash *Check

	books map[string]*best
	depth map[levelKey]exchange.Level
	held  map[exchange.HoldingKey]int64 // shares that open orders offer
}

// levelKey names a level of a book.
type levelKey struct {
	symbol string
	side   exchange.Side
	price  money.Amount
}

// best is the best prices of a book, 0 for none.
type best struct{ bid, ask money.Amount }

func checkBooks(tx database.Tx) ([]*Check, error) {
	b := &bookAudit{
		crossed: &Check{Name: "book_not_crossed"}, levels: &Check{Name: "levels_equal_orders"}, shares: &Check{Name: "holdings_equal_issues"},
		offered: &Check{Name: "held_shares_equal_orders"}, cash: &Check{Name: "held_cash_equals_orders"},
		books: map[string]*best{}, depth: map[levelKey]exchange.Level{}, held: map[exchange.HoldingKey]int64{},
	}
	for _, check := range []func(database.Tx) error{b.readOrders, b.checkLevels, b.checkHoldings} {
		if err := check(tx); err != nil {
			return nil, err
		}
	}
	b.checkCrossed()
	return []*Check{b.crossed, b.levels, b.shares, b.offered, b.cash}, nil
}

func (b *bookAudit) readOrders(tx database.Tx) error {
	for o, err := range orders(tx) {
		if err != nil {
			return err
		}
		b.checkCash(o)
		if o.Status == exchange.Open {
			b.add(o)
		}
	}
	return nil
}

// add puts an open order into its book.
func (b *bookAudit) add(o *orderRow) {
	key := levelKey{o.Symbol, o.Side, o.Price}
	b.depth[key] = exchange.Level{Price: o.Price, Quantity: b.depth[key].Quantity + o.Remaining(), Orders: b.depth[key].Orders + 1}
	book := b.books[o.Symbol]
	if book == nil {
		book = &best{}
		b.books[o.Symbol] = book
	}
	if o.Side == exchange.Buy {
		book.bid = max(book.bid, o.Price)
		return
	}
	if book.ask == 0 || o.Price < book.ask {
		book.ask = o.Price
	}
	b.held[exchange.HoldingKey{Account: o.Account, Symbol: o.Symbol}] += o.Remaining()
}

// checkCash: the bank holds for an order what it may still have to pay: the rest of an open buy at its limit, and for others nothing.
func (b *bookAudit) checkCash(o *orderRow) {
	b.cash.Checked++
	required := money.Amount(0)
	if o.Status == exchange.Open && o.Side == exchange.Buy {
		var fits bool
		if required, fits = exchange.Notional(o.Price, o.Remaining()); !fits {
			b.cash.find("order %s is to buy %d at %d, which is more than an account may have", o.ID, o.Remaining(), o.Price)
			return
		}
	}
	switch held := money.Amount(o.held.Int64); {
	case held != required:
		b.cash.find("order %s requires that %d are held for it, and %d are", o.ID, required, held)
	case required > 0 && o.holder.String != o.Account:
		b.cash.find("order %s is of account %s, and held for it is money of account %s", o.ID, o.Account, o.holder.String)
	}
}

// checkCrossed: in no book would the best buy and the best sell trade with each other.
func (b *bookAudit) checkCrossed() {
	for _, name := range slices.Sorted(maps.Keys(b.books)) {
		b.crossed.Checked++
		if book := b.books[name]; book.ask > 0 && book.bid >= book.ask {
			b.crossed.find("the book of %s has a buy at %d and a sell at %d", name, book.bid, book.ask)
		}
	}
}

// checkLevels: the levels of a book are the sums of its open orders.
func (b *bookAudit) checkLevels(tx database.Tx) error {
	b.levels.Checked = int64(len(b.depth))
	return compareLevels(tx, b.levels, b.depth, "by its orders")
}

// compareLevels compares the recorded levels with others, which are called as said.
func compareLevels(tx database.Tx, c *Check, others map[levelKey]exchange.Level, called string) error {
	for l, err := range bookLevels(tx) {
		if err != nil {
			return err
		}
		key := levelKey{l.symbol, l.side, l.Price}
		if other := others[key]; l.Level != other {
			c.find("%s: the %s level at %d has %d in %d orders; %s, %d in %d", l.symbol, l.side, l.Price, l.Quantity, l.Orders, called, other.Quantity, other.Orders)
		}
		delete(others, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(others), func(a, b levelKey) int {
		return cmp.Or(cmp.Compare(a.symbol, b.symbol), cmp.Compare(a.side, b.side), cmp.Compare(a.price, b.price))
	}) {
		c.find("%s: the %s level at %d is not recorded; %s, it has %d in %d orders", key.symbol, key.side, key.price, called, others[key].Quantity, others[key].Orders)
	}
	return nil
}

// checkHoldings: the holdings of a symbol sum to what was issued, and of each as much is held as its account's open orders offer.
func (b *bookAudit) checkHoldings(tx database.Tx) error {
	sums := map[string]int64{}
	for h, err := range holdings(tx) {
		if err != nil {
			return err
		}
		b.offered.Checked++
		sums[h.Symbol] += h.Quantity
		key := exchange.HoldingKey{Account: h.Account, Symbol: h.Symbol}
		switch {
		case h.Held != b.held[key]:
			b.offered.find("account %s has %d %s held, and its open orders offer %d", h.Account, h.Held, h.Symbol, b.held[key])
		case h.Held < 0 || h.Held > h.Quantity:
			b.offered.find("account %s has %d of %d %s held", h.Account, h.Held, h.Quantity, h.Symbol)
		}
		delete(b.held, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(b.held), byAccount) {
		b.offered.find("account %s offers %d %s, and has none", key.Account, b.held[key], key.Symbol)
	}
	return b.checkIssued(tx, sums)
}

func byAccount(a, b exchange.HoldingKey) int {
	return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Symbol, b.Symbol))
}

func (b *bookAudit) checkIssued(tx database.Tx, sums map[string]int64) error {
	symbols, err := readSymbols(tx)
	if err != nil {
		return err
	}
	for _, s := range symbols {
		b.shares.Checked++
		if sums[s.Symbol] != s.Issued {
			b.shares.find("%d shares of %s were issued, and the holdings sum to %d", s.Issued, s.Symbol, sums[s.Symbol])
		}
		delete(sums, s.Symbol)
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		b.shares.find("there are %d shares of %s, which is not listed", sums[name], name)
	}
	return nil
}
