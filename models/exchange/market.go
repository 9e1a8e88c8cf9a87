package exchange

import (
	"time"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
)

// Cause is the operation on whose behalf a market is changed.
type Cause struct {
	bank.Cause
	UserID      id.ID // whose operation it is
	SubmittedAt time.Time
}

// Round is what the markets of a lane share while they decide commands: all that the commands touch has been loaded into it.
type Round struct {
	Ledger   *bank.Ledger
	Holdings *Holdings
	History  *History
}

// LastStamp is the largest stamp of what was loaded: whatever is decided now comes after it.
func (r *Round) LastStamp() lamport.Stamp {
	return max(r.Ledger.LastStamp(), r.Holdings.LastStamp())
}

// Facts is what an operation has done.
type Facts struct {
	Order     Order   // the one that was placed or cancelled, after it
	Trades    []Trade // in the order of their numbers
	Fills     []Fill  // two for each trade: the taker's, then the maker's
	Cancelled []Order // every order that was cancelled, for whatever reason; the placed one comes last
}

// Changes is what a round has done to a market: what is to be stored.
type Changes struct {
	Symbol Symbol
	Orders []Order // as they are now, in the order of their first change
	Trades []Trade
	Fills  []Fill
	Book   BookChange // without levels, if none changed
}

// Market is the rules of one symbol, and its book. It holds the open orders from one round to the next; what else it needs comes with each round. A nil Market is
// that of a symbol that is not listed.
//
// Whatever a decision depends on bears the stamp of the last operation that read it: the symbol, the taker's account, the holdings; the books and the orders need
// none, because only the symbol's lane changes them, in the order of its stamps.
type Market struct {
	symbol  Symbol
	book    *Book
	resting []resting // by Ref
	owners  map[string]uint32
	owned   []owner // by the number that owners gives; 0 is unused
	matches []Match

	// What the round has changed.
	changes Changes
	changed map[id.ID]int // in changes.Orders
	levels  map[levelKey]Level
}

// resting is what the market knows of an order in the book beside what the book does: all that rest are good-till-cancelled limit orders.
type resting struct {
	user          id.ID
	clientOrderID string
	quantity      int64 // as placed
	priority      int64
	submittedUs   int64
	stamp         lamport.Stamp
	prev, next    Ref // in the line of its owner's orders
	postOnly      bool
}

// owner is an account that has, or had, orders in the book.
type owner struct {
	account    string
	head, tail Ref // its orders, the oldest first
}

// levelKey names a level of the book.
type levelKey struct {
	side  Side
	price money.Amount
}

// NewMarket returns the market of a symbol with its open orders, in the order of their priorities.
func NewMarket(symbol Symbol, open []Order) *Market {
	m := &Market{symbol: symbol, book: NewBook(len(open)), resting: make([]resting, 1, len(open)+1), owners: map[string]uint32{}, owned: make([]owner, 1)}
	m.Forget()
	for i := range open {
		m.rest(&open[i])
	}
	m.book.index.age(m.book.nodes) // the young ones are still to come
	return m
}

// Symbol is the symbol as it is now.
func (m *Market) Symbol() Symbol { return m.symbol }

// LastStamp is the largest stamp of what the market has: whatever is decided now comes after it.
func (m *Market) LastStamp() lamport.Stamp { return m.symbol.Lamport }

// Refresh takes over what may have been changed beside the lane, from the symbol as it was read for a round. It returns false, and then the market has to be made
// anew, if the symbol is not as this market's last round left it.
func (m *Market) Refresh(read Symbol) bool {
	if read.Sequence != m.symbol.Sequence || read.Trades != m.symbol.Trades || read.Issued != m.symbol.Issued {
		return false
	}
	m.symbol.Halted, m.symbol.Lamport = read.Halted, max(m.symbol.Lamport, read.Lamport)
	return true
}

// Halt stops or resumes trading: what is done beside the lane, for who replays it.
func (m *Market) Halt(stamp lamport.Stamp, halted bool) {
	m.symbol.Halted, m.symbol.Lamport = halted, max(m.symbol.Lamport, stamp)
}

// known marks the symbol as read by the cause. It refuses unknown_symbol, also if the symbol was listed after the cause.
func (m *Market) known(c *Cause, symbol string) *problem.Problem {
	if m == nil || m.symbol.Listed >= c.Stamp {
		return problem.Newf(problem.UnknownSymbol, "there is no symbol %s", symbol)
	}
	m.symbol.Lamport = max(m.symbol.Lamport, c.Stamp)
	return nil
}

// see finds a user's account and marks it as read by the cause. It refuses unknown_account, of the house's accounts too.
func see(r *Round, c *Cause, number string) (*bank.Account, *problem.Problem) {
	account, refusal := r.Ledger.See(c.Cause, number)
	if refusal == nil && account.House() {
		refusal = problem.Newf(problem.UnknownAccount, "there is no account %s", number)
	}
	if refusal != nil {
		return nil, refusal
	}
	return account, nil
}

// Issue grants new shares to an account, and returns what it has after it. It refuses, in this order, and then changes nothing: unknown_symbol, unknown_account,
// balance_limit (the symbol would have more than MaxShares).
func (m *Market) Issue(r *Round, c Cause, command *IssueCommand) (*Holding, *problem.Problem) {
	if refusal := m.known(&c, command.Symbol); refusal != nil {
		return nil, refusal
	}
	if _, refusal := see(r, &c, command.Account); refusal != nil {
		return nil, refusal
	}
	if command.Quantity > MaxShares-m.symbol.Issued {
		return nil, problem.Newf(problem.BalanceLimit, "there are %d shares of %s, and there may be %d", m.symbol.Issued, command.Symbol, MaxShares)
	}
	m.symbol.Issued += command.Quantity
	r.Holdings.move(command.Account, command.Symbol, c.Stamp, command.Quantity, 0)
	after := r.Holdings.Get(command.Account, command.Symbol)
	return &after, nil
}

// Cancel takes an open order of the caller out of the book. It refuses, and then changes nothing: unknown_order (there is none, or it is not the caller's),
// order_not_open.
func (m *Market) Cancel(r *Round, c Cause, command *CancellationCommand) (*Facts, *problem.Problem) {
	if m.known(&c, command.Symbol) != nil {
		return nil, unknownOrder(command.Order)
	}
	ref := m.book.Find(command.Order)
	switch {
	case ref != 0 && m.resting[ref].user == c.UserID:
	case ref == 0 && r.History.ended(command.Order, c.UserID):
		return nil, problem.Newf(problem.OrderNotOpen, "order %s is filled or cancelled", command.Order)
	default:
		return nil, unknownOrder(command.Order)
	}
	var facts Facts
	facts.Order = m.cancel(r, &c, ref, &facts)
	return &facts, nil
}

func unknownOrder(order id.ID) *problem.Problem {
	return problem.Newf(problem.UnknownOrder, "there is no order %s, or it is not yours", order)
}

// CancelAll takes all open orders of an account out of the book, the oldest first. It refuses unknown_symbol.
func (m *Market) CancelAll(r *Round, c Cause, command *MassCancellationCommand) (*Facts, *problem.Problem) {
	if refusal := m.known(&c, command.Symbol); refusal != nil {
		return nil, refusal
	}
	var facts Facts
	if number := m.owners[command.Account]; number != 0 {
		for m.owned[number].head != 0 {
			m.cancel(r, &c, m.owned[number].head, &facts)
		}
	}
	return &facts, nil
}

// cancel ends a resting order, and gives back what is held for what remains of it.
func (m *Market) cancel(r *Round, c *Cause, ref Ref, facts *Facts) Order {
	o := m.order(ref)
	m.touch(o.Side, o.Price)
	m.drop(ref)
	m.book.Remove(ref)
	if o.Side == Buy {
		r.Ledger.Release(c.Cause, o.ID, o.Price*money.Amount(o.Remaining()))
	} else {
		r.Holdings.move(o.Account, o.Symbol, c.Stamp, 0, -o.Remaining())
	}
	m.end(r, c, &o, Cancelled)
	facts.Cancelled = append(facts.Cancelled, o)
	return o
}

// end completes an order that does not rest, or no longer.
func (m *Market) end(r *Round, c *Cause, o *Order, status Status) {
	o.Status, o.CompletedAt, o.Lamport = status, c.At, c.Stamp
	r.History.AddEnded(o.ID, o.UserID)
	m.note(o)
}
