package exchange

import (
	"math"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
)

// Floor is the markets of a lane, which stay in memory from one round to the next. They are what the store has: whoever fails to store what a round has made of
// them must Forget them, and they are read anew.
type Floor struct {
	lane    string
	markets map[string]*Market
	candles map[string][]Candle // of each symbol, the last of each interval
	present []string            // the symbols of the present round, in order
}

// NewFloor returns the floor of a lane, with nothing read yet.
func NewFloor(lane string) *Floor {
	f := &Floor{lane: lane}
	f.Forget()
	return f
}

// Forget drops all markets.
func (f *Floor) Forget() {
	f.markets, f.candles, f.present = map[string]*Market{}, map[string][]Candle{}, nil
}

// Market is the market of a symbol of the present round; nil if the lane has none of that name.
func (f *Floor) Market(symbol string) *Market { return f.markets[symbol] }

// LastStamp is the largest stamp of the present round's markets.
func (f *Floor) LastStamp() lamport.Stamp {
	var last lamport.Stamp
	for _, symbol := range f.present {
		last = max(last, f.markets[symbol].LastStamp())
	}
	return last
}

// Submitted is a command and whose it is.
type Submitted struct {
	*Command
	User id.ID
}

// Changed is what a round has done to a market, with the candles that it changed.
type Changed struct {
	Changes
	Candles []Candle
}

// latest is the last candle of each interval.
func latest(known, changed []Candle) []Candle {
	last := map[Interval]Candle{}
	for _, candles := range [...][]Candle{known, changed} {
		for _, c := range candles {
			if l, found := last[c.Interval]; !found || !c.Start.Before(l.Start) {
				last[c.Interval] = c
			}
		}
	}
	all := make([]Candle, 0, len(last))
	for _, interval := range Intervals {
		if c, found := last[interval]; found {
			all = append(all, c)
		}
	}
	return all
}

// needs is what a round has to have read before it can decide its commands.
type needs struct {
	accounts  map[string]bool
	holds     map[id.ID]bool
	holdings  map[string]map[string]bool // accounts by symbol
	clientIDs map[clientID]bool
	orders    map[id.ID]bool          // that are in no book
	worth     map[string]money.Amount // what an account's sell orders in reach are worth, at most money.MaxBalance
	overfull  map[string]bool         // accounts that may not be able to take that
	round     *Round                  // what was read
}

func newNeeds() *needs {
	return &needs{accounts: map[string]bool{}, holds: map[id.ID]bool{}, holdings: map[string]map[string]bool{}, clientIDs: map[clientID]bool{}, orders: map[id.ID]bool{},
		worth: map[string]money.Amount{}, overfull: map[string]bool{}}
}

// gather adds up what the commands need.
func (n *needs) gather(f *Floor, commands []Submitted) {
	clear(n.worth)
	bySymbol := map[string][]Submitted{}
	for _, c := range commands {
		bySymbol[c.Symbol()] = append(bySymbol[c.Symbol()], c)
	}
	for symbol, commands := range bySymbol {
		n.ofSymbol(f.markets[symbol], symbol, commands)
	}
}

// incomplete says whether orders in reach may be passed over because their owners' balances are at their limit: then those behind them are in reach too.
func (n *needs) incomplete() bool {
	known := len(n.overfull)
	for number, worth := range n.worth {
		if a := n.round.Ledger.Account(number); a != nil && a.Balance > money.MaxBalance-worth {
			n.overfull[number] = true
		}
	}
	return len(n.overfull) > known
}

func (n *needs) ofSymbol(m *Market, symbol string, commands []Submitted) {
	leaving := leavers{orders: map[id.ID]bool{}, accounts: map[string]bool{}}
	for _, c := range commands {
		n.ofCommand(m, symbol, c, &leaving)
	}
	if m == nil {
		return
	}
	for _, side := range [...]Side{Buy, Sell} {
		n.ofMakers(m, side, commands, &leaving)
	}
}

// leavers are resting orders that may be cancelled in the round.
type leavers struct {
	orders   map[id.ID]bool
	accounts map[string]bool
}

func (n *needs) ofCommand(m *Market, symbol string, c Submitted, leaving *leavers) {
	switch c.Kind {
	case KindCancellation:
		o, open := Order{}, false
		if m != nil {
			o, open = m.Find(c.Cancellation.Order)
		}
		if !open {
			n.orders[c.Cancellation.Order] = true
			return
		}
		leaving.orders[o.ID] = true
		n.ofOrder(&o)
		return
	case KindMassCancellation:
		leaving.accounts[c.Account()] = true
		if m != nil {
			for _, o := range m.OpenOf(c.Account()) {
				n.ofOrder(&o)
			}
		}
	case KindOrder:
		n.accounts[FeesAccount(symbol)] = true
		if c.Order.ClientOrderID != "" {
			n.clientIDs[clientID{c.User, c.Order.ClientOrderID}] = true
		}
	}
	n.accounts[c.Account()] = true
	n.holding(c.Account(), symbol)
}

func (n *needs) ofOrder(o *Order) {
	n.accounts[o.Account] = true
	n.holding(o.Account, o.Symbol)
	if o.Side == Buy {
		n.holds[o.ID] = true
	}
}

func (n *needs) holding(account, symbol string) {
	if n.holdings[symbol] == nil {
		n.holdings[symbol] = map[string]bool{}
	}
	n.holdings[symbol][account] = true
}

// ofMakers adds the resting orders of a side that the round's takers may meet.
func (n *needs) ofMakers(m *Market, side Side, commands []Submitted, leaving *leavers) {
	quantity, limit := demand(m, side, commands)
	m.Reach(side, quantity, limit, func(o Order) bool {
		n.ofOrder(&o)
		if side == Sell {
			n.worth[o.Account] = min(n.worth[o.Account]+o.Price*money.Amount(o.Remaining()), money.MaxBalance)
		}
		return !leaving.orders[o.ID] && !leaving.accounts[o.Account] && (side == Buy || !n.overfull[o.Account])
	})
}

// demand is how much the round's takers may take of a side, and at what limit (0: none). An order whose limit is not as good as the best price of now meets only
// orders of this very round.
func demand(m *Market, side Side, commands []Submitted) (quantity int64, limit money.Amount) {
	best := m.Levels(side, 1)
	if len(best) == 0 {
		return 0, 0
	}
	unlimited := false
	for _, c := range commands {
		o := &c.Order
		if c.Kind != KindOrder || o.Side == side || o.PostOnly {
			continue
		}
		switch {
		case o.Type == MarketOrder:
			unlimited = true
		case side == Sell && o.Price < best[0].Price, side == Buy && o.Price > best[0].Price:
			continue
		case limit == 0 || side == Sell && o.Price > limit || side == Buy && o.Price < limit:
			limit = o.Price
		}
		quantity = add(quantity, o.Quantity)
	}
	if unlimited {
		limit = 0
	}
	return quantity, limit
}

func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
