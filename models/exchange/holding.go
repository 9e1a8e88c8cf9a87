package exchange

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"guichet/models/lamport"
)

// Holding is the shares of one symbol that an account has. 0 ≤ Held ≤ Quantity ≤ MaxShares.
type Holding struct {
	Account  string
	Symbol   string
	Quantity int64
	Held     int64 // offered by open sell orders
	Lamport  lamport.Stamp
}

// Available is what may be offered: the quantity without what is held.
func (h *Holding) Available() int64 { return h.Quantity - h.Held }

// HoldingKey names a holding.
type HoldingKey struct{ Account, Symbol string }

// Holdings is the holdings that a round of commands concerns, and what the round has made of them. One that is not there is empty.
type Holdings struct {
	holdings map[HoldingKey]*Holding
	touched  map[HoldingKey]*Holding
}

// NewHoldings returns the given holdings as loaded.
func NewHoldings(loaded []Holding) *Holdings {
	h := &Holdings{holdings: make(map[HoldingKey]*Holding, len(loaded)), touched: map[HoldingKey]*Holding{}}
	for i := range loaded {
		h.holdings[HoldingKey{loaded[i].Account, loaded[i].Symbol}] = &loaded[i]
	}
	return h
}

// Get returns a holding as it is now; one that does not exist is empty.
func (h *Holdings) Get(account, symbol string) Holding {
	if found := h.holdings[HoldingKey{account, symbol}]; found != nil {
		return *found
	}
	return Holding{Account: account, Symbol: symbol}
}

// LastStamp is the largest stamp of what was loaded: whatever is decided now comes after it.
func (h *Holdings) LastStamp() lamport.Stamp {
	var last lamport.Stamp
	for _, holding := range h.holdings {
		last = max(last, holding.Lamport)
	}
	return last
}

// Touched returns what is to be stored, in the order of its keys.
func (h *Holdings) Touched() []Holding {
	touched := make([]Holding, 0, len(h.touched))
	for _, holding := range h.touched {
		touched = append(touched, *holding)
	}
	slices.SortFunc(touched, func(a, b Holding) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Symbol, b.Symbol))
	})
	return touched
}

// All returns every holding there is, in no order: for who compares them with what a store has.
func (h *Holdings) All() []Holding {
	all := make([]Holding, 0, len(h.holdings))
	for holding := range maps.Values(h.holdings) {
		all = append(all, *holding)
	}
	return all
}

// Forget drops what is to be stored: for who replays a journal, and has nothing to store.
func (h *Holdings) Forget() { clear(h.touched) }

// see finds a holding and marks it as read: a refusal depends on it as much as a success does. One that does not exist has no row to mark, and is nil:
// only the lane of its symbol can make it, and that goes in the order of its stamps.
func (h *Holdings) see(account, symbol string, stamp lamport.Stamp) *Holding {
	key := HoldingKey{account, symbol}
	holding := h.holdings[key]
	if holding != nil {
		holding.Lamport = max(holding.Lamport, stamp)
		h.touched[key] = holding
	}
	return holding
}

// move changes a holding, and makes it if need be. To leave less than nothing, or more held than there is, is a bug of the caller, and panics.
func (h *Holdings) move(account, symbol string, stamp lamport.Stamp, quantity, held int64) {
	holding := h.see(account, symbol, stamp)
	if holding == nil {
		holding = &Holding{Account: account, Symbol: symbol, Lamport: stamp}
		key := HoldingKey{account, symbol}
		h.holdings[key], h.touched[key] = holding, holding
	}
	holding.Quantity += quantity
	holding.Held += held
	if holding.Held < 0 || holding.Held > holding.Quantity || holding.Quantity > MaxShares {
		panic(fmt.Sprintf("exchange: account %s is left with %d %s, %d of them held", account, holding.Quantity, symbol, holding.Held))
	}
}
