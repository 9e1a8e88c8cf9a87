package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// naiveFeeBps is guichet's default fee, in hundredths of a per cent of the proceeds.
const naiveFeeBps = 1000

// makersPage is how many of the best orders are read at once; few orders meet more.
const makersPage = 16

// A naiveMatch is one order that is executed in one transaction, in the steps that naiveMarket.place lists.
type naiveMatch struct {
	tx     *gorm.DB
	taker  *naiveOrder
	fees   int64 // account
	makers []naiveOrder
	own    bool // the next maker is the taker's own order

	accounts map[int64]*naiveTrader
	holdings map[int64]*naiveHolding // of the symbol, by account
	trades   []naiveTrade
	fills    []naiveFill
	postings []naivePosting // entry: the index of the trade, until it has its id
}

func (m *naiveMatch) lockSymbol() error {
	var symbol naiveSymbol
	err := m.tx.Clauses(forUpdate).Where("symbol = ?", m.taker.Symbol).Take(&symbol).Error
	m.fees = symbol.ID
	return err
}

// placeOf is where a price stands on a side: the best has the smallest.
func placeOf(side string, price int64) int64 {
	if side == "buy" {
		return -price
	}
	return price
}

// findMakers locks the best opposite orders, as many as the taker may meet.
func (m *naiveMatch) findMakers() error {
	side, limit := "sell", int64(math.MaxInt64)
	if m.taker.Side == "sell" {
		side = "buy"
	}
	if m.taker.Type == "limit" {
		limit = placeOf(side, m.taker.Price)
	}
	for wanted, offset := m.taker.Quantity, 0; wanted > 0 && !m.own; offset += makersPage {
		var page []naiveOrder
		err := m.tx.Clauses(forUpdate).Where("symbol = ? AND side = ? AND status = 'open' AND place <= ?", m.taker.Symbol, side, limit).
			Order("place, id").Offset(offset).Limit(makersPage).Find(&page).Error
		if err != nil {
			return err
		}
		for i := range page {
			if wanted <= 0 {
				break
			}
			if m.own = page[i].AccountID == m.taker.AccountID; m.own {
				break
			}
			m.makers = append(m.makers, page[i])
			wanted -= page[i].Quantity - page[i].Filled
		}
		if len(page) < makersPage {
			break
		}
	}
	return nil
}

// lockOwners locks the accounts, then the holdings, of all who may trade, each in the order of their keys.
func (m *naiveMatch) lockOwners() error {
	ids := []int64{m.taker.AccountID}
	for i := range m.makers {
		ids = append(ids, m.makers[i].AccountID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	owners := ids
	if len(m.makers) > 0 {
		owners = append([]int64{m.fees}, ids...)
	}
	var accounts []naiveTrader
	if err := m.tx.Clauses(forUpdate).Where("id IN ?", owners).Order("id").Find(&accounts).Error; err != nil {
		return err
	}
	m.accounts = make(map[int64]*naiveTrader, len(accounts))
	for i := range accounts {
		m.accounts[accounts[i].ID] = &accounts[i]
	}
	m.holdings = map[int64]*naiveHolding{}
	if len(m.makers) == 0 && m.taker.Side == "buy" {
		return nil
	}
	var holdings []naiveHolding
	if err := m.tx.Clauses(forUpdate).Where("account_id IN ? AND symbol = ?", ids, m.taker.Symbol).Order("account_id").Find(&holdings).Error; err != nil {
		return err
	}
	for i := range holdings {
		m.holdings[holdings[i].AccountID] = &holdings[i]
	}
	return nil
}

// admit checks what the taker has.
func (m *naiveMatch) admit() error {
	account := m.accounts[m.taker.AccountID]
	switch {
	case account == nil:
		return naiveRefusalError("unknown_account")
	case m.taker.Side == "sell":
		if h := m.holdings[m.taker.AccountID]; h == nil || h.Quantity-h.Held < m.taker.Quantity {
			return naiveRefusalError("insufficient_shares")
		}
	case m.taker.Type == "limit" && (m.taker.Quantity > math.MaxInt64/m.taker.Price || account.Balance-account.Held < m.taker.Quantity*m.taker.Price):
		return naiveRefusalError("insufficient_funds")
	}
	return nil
}

// trade meets the makers one by one, and decides what becomes of the rest.
func (m *naiveMatch) trade() error {
	now := time.Now().UTC()
	for i := range m.makers {
		maker := &m.makers[i]
		quantity := min(m.taker.Quantity-m.taker.Filled, maker.Quantity-maker.Filled)
		if buyer := m.accounts[m.taker.AccountID]; m.taker.Side == "buy" && m.taker.Type == "market" {
			quantity = min(quantity, (buyer.Balance-buyer.Held)/maker.Price)
		}
		if quantity <= 0 {
			m.makers = m.makers[:i]
			break
		}
		m.settle(maker, quantity, now)
	}
	rest := m.taker.Quantity - m.taker.Filled
	m.taker.Status, m.taker.CompletedAt, m.taker.Place = "filled", &now, placeOf(m.taker.Side, m.taker.Price)
	switch {
	case rest == 0:
	case m.taker.TimeInForce == "fok":
		return naiveRefusalError("fok_not_fillable")
	case m.taker.TimeInForce == "ioc" || m.own:
		m.taker.Status = "cancelled"
	default:
		m.taker.Status, m.taker.CompletedAt = "open", nil
		if m.taker.Side == "buy" {
			m.accounts[m.taker.AccountID].Held += rest * m.taker.Price
		} else {
			m.holdings[m.taker.AccountID].Held += rest
		}
	}
	return nil
}

// settle moves cash and shares of one trade. What the maker sells or pays was held.
func (m *naiveMatch) settle(maker *naiveOrder, quantity int64, now time.Time) {
	m.taker.Filled += quantity
	if maker.Filled += quantity; maker.Filled == maker.Quantity {
		maker.Status, maker.CompletedAt = "filled", &now
	}
	buyer, seller := m.taker, maker
	if m.taker.Side == "sell" {
		buyer, seller = maker, m.taker
		m.accounts[maker.AccountID].Held -= quantity * maker.Price
	} else {
		m.holdings[maker.AccountID].Held -= quantity
	}
	notional := quantity * maker.Price
	fee := (notional*naiveFeeBps + 5000) / 10_000
	m.holding(buyer.AccountID).Quantity += quantity
	m.holding(seller.AccountID).Quantity -= quantity
	m.post(buyer.AccountID, -notional)
	m.post(seller.AccountID, notional-fee)
	m.post(m.fees, fee)
	m.trades = append(m.trades, naiveTrade{Symbol: m.taker.Symbol, Price: maker.Price, Quantity: quantity, TakerSide: m.taker.Side, MakerOrder: maker.ID, At: now})
	for _, o := range []*naiveOrder{m.taker, maker} {
		f := naiveFill{Side: o.Side, OrderID: o.ID, AccountID: o.AccountID, Quantity: quantity, Price: maker.Price, Liquidity: "taker"}
		if o == maker {
			f.Liquidity = "maker"
		}
		if o == seller {
			f.Fee = fee
		}
		m.fills = append(m.fills, f)
	}
}

func (m *naiveMatch) holding(account int64) *naiveHolding {
	if m.holdings[account] == nil {
		m.holdings[account] = &naiveHolding{AccountID: account, Symbol: m.taker.Symbol}
	}
	return m.holdings[account]
}

// post moves an account in the entry of the next trade.
func (m *naiveMatch) post(account, amount int64) {
	a := m.accounts[account]
	a.Balance += amount
	m.postings = append(m.postings, naivePosting{EntryID: int64(len(m.trades)), AccountID: account, Amount: amount, BalanceAfter: a.Balance})
}

// store writes everything, one statement a table.
func (m *naiveMatch) store() error {
	if err := m.tx.Create(m.taker).Error; err != nil {
		return err
	}
	if len(m.trades) == 0 {
		return m.storeHold()
	}
	for i := range m.trades {
		m.trades[i].TakerOrder = m.taker.ID
	}
	if err := m.tx.Create(&m.trades).Error; err != nil {
		return err
	}
	entries := make([]naiveEntry, len(m.trades))
	for i := range m.trades {
		entries[i] = naiveEntry{ID: m.trades[i].ID, At: m.trades[i].At}
	}
	for i := range m.fills { // two for each trade, the taker's first
		if m.fills[i].TradeID = m.trades[i/2].ID; i%2 == 0 {
			m.fills[i].OrderID = m.taker.ID
		}
	}
	for i := range m.postings {
		m.postings[i].EntryID = m.trades[m.postings[i].EntryID].ID
	}
	accounts, holdings := values(m.accounts, func(a *naiveTrader) int64 { return a.ID }), values(m.holdings, func(h *naiveHolding) int64 { return h.AccountID })
	for _, write := range []func() error{
		func() error { return m.tx.Create(&entries).Error },
		func() error { return m.tx.Create(&m.fills).Error },
		func() error { return m.tx.Create(&m.postings).Error },
		func() error { return m.upsert(&m.makers, "filled", "status", "completed_at") },
		func() error { return m.upsert(&accounts, "balance", "held") },
		func() error { return m.upsert(&holdings, "quantity", "held") },
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// storeHold writes what is held for an order that only rests.
func (m *naiveMatch) storeHold() error {
	switch {
	case m.taker.Status != "open":
		return nil
	case m.taker.Side == "buy":
		a := m.accounts[m.taker.AccountID]
		return m.tx.Model(a).Update("held", a.Held).Error
	default:
		h := m.holdings[m.taker.AccountID]
		return m.tx.Model(h).Update("held", h.Held).Error
	}
}

// upsert writes some columns of many rows that exist.
func (m *naiveMatch) upsert(rows any, columns ...string) error {
	return m.tx.Clauses(clause.OnConflict{DoUpdates: clause.AssignmentColumns(columns)}).Create(rows).Error
}

// values are those of a map, in the order of their keys.
func values[T any](all map[int64]*T, key func(*T) int64) []*T {
	return slices.SortedFunc(maps.Values(all), func(a, b *T) int { return cmp.Compare(key(a), key(b)) })
}
