package exchange

import (
	"cmp"
	"math"
	"slices"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/operation"
)

// rest puts an open order into the book.
func (m *Market) rest(o *Order) {
	number := m.ownerOf(o.Account)
	ref := m.book.Rest(Resting{ID: o.ID, Owner: number, Side: o.Side, Price: o.Price, Quantity: o.Remaining()})
	if int(ref) == len(m.resting) {
		m.resting = append(m.resting, resting{})
	}
	line := &m.owned[number]
	m.resting[ref] = resting{user: o.UserID, clientOrderID: o.ClientOrderID, quantity: o.Quantity, priority: o.Priority,
		submittedUs: operation.Micro(o.SubmittedAt), stamp: o.Lamport, prev: line.tail, postOnly: o.PostOnly}
	if line.tail != 0 {
		m.resting[line.tail].next = ref
	} else {
		line.head = ref
	}
	line.tail = ref
}

func (m *Market) ownerOf(account string) uint32 {
	number := m.owners[account]
	if number == 0 {
		number = uint32(len(m.owned))
		m.owned = append(m.owned, owner{account: account})
		m.owners[account] = number
	}
	return number
}

// drop forgets an order that is about to leave the book.
func (m *Market) drop(ref Ref) {
	d := &m.resting[ref]
	line := &m.owned[m.book.Get(ref).Owner]
	if d.prev != 0 {
		m.resting[d.prev].next = d.next
	} else {
		line.head = d.next
	}
	if d.next != 0 {
		m.resting[d.next].prev = d.prev
	} else {
		line.tail = d.prev
	}
	*d = resting{}
}

// order is a resting order as the contract knows it.
func (m *Market) order(ref Ref) Order {
	o, d := m.book.Get(ref), &m.resting[ref]
	return Order{
		ID: o.ID, Account: m.owned[o.Owner].account, UserID: d.user, ClientOrderID: d.clientOrderID, Symbol: m.symbol.Symbol, Side: o.Side, Type: LimitOrder,
		TimeInForce: GoodTillCancelled, PostOnly: d.postOnly, Quantity: d.quantity, Filled: d.quantity - o.Quantity, Price: o.Price, Status: Open,
		Priority: d.priority, SubmittedAt: operation.FromMicro(d.submittedUs), Lamport: d.stamp,
	}
}

// Find returns an open order, and whether there is one with the id.
func (m *Market) Find(order id.ID) (Order, bool) {
	ref := m.book.Find(order)
	if ref == 0 {
		return Order{}, false
	}
	return m.order(ref), true
}

// OpenOf returns the open orders of an account, the oldest first: those that a mass cancellation would cancel.
func (m *Market) OpenOf(account string) []Order {
	var open []Order
	for ref := m.owned[m.owners[account]].head; ref != 0; ref = m.resting[ref].next {
		open = append(open, m.order(ref))
	}
	return open
}

// Open returns all open orders by priority: what a market is made of again.
func (m *Market) Open() []Order {
	open := make([]Order, 0, m.book.Len())
	for _, side := range []Side{Buy, Sell} {
		m.book.Reach(side, math.MaxInt64, 0, func(ref Ref) bool {
			open = append(open, m.order(ref))
			return false
		})
	}
	slices.SortFunc(open, func(a, b Order) int { return cmp.Compare(a.Priority, b.Priority) })
	return open
}

// Reach visits the orders of a side in the order in which they would be taken at the limit or better (0: at any price), until those that visit says count add
// up to the quantity: whose money and shares takers of that quantity may move. Orders that will have left the book by then do not count, and nor do those that may be dropped because of the limit of
// their account's balance: those of accounts whose balance and the worth of all that is reached exceed money.MaxBalance together.
func (m *Market) Reach(side Side, quantity int64, limit money.Amount, visit func(Order) (counts bool)) {
	m.book.Reach(side, quantity, limit, func(ref Ref) bool { return visit(m.order(ref)) })
}

// Levels returns up to depth levels of a side, best first.
func (m *Market) Levels(side Side, depth int) []Level {
	var levels []Level
	m.book.Levels(side, depth, func(l Level) { levels = append(levels, l) })
	return levels
}

// Len is how many orders are open.
func (m *Market) Len() int { return m.book.Len() }

// note keeps an order as it is now for the store.
func (m *Market) note(o *Order) {
	if at, known := m.changed[o.ID]; known {
		m.changes.Orders[at] = *o
		return
	}
	m.changed[o.ID] = len(m.changes.Orders)
	m.changes.Orders = append(m.changes.Orders, *o)
}

// touch keeps a level as it was before the round first changed it.
func (m *Market) touch(side Side, price money.Amount) {
	key := levelKey{side, price}
	if _, known := m.levels[key]; !known {
		m.levels[key] = m.book.Level(side, price)
	}
}

// Conclude ends a round: it returns what is to be stored, and forgets it. If levels of the book changed, that is one more in the sequence.
func (m *Market) Conclude() Changes {
	changes := m.changes
	changes.Book = BookChange{Symbol: m.symbol.Symbol}
	for key, before := range m.levels {
		now := m.book.Level(key.side, key.price)
		switch {
		case now == before:
		case key.side == Buy:
			changes.Book.Bids = append(changes.Book.Bids, now)
		default:
			changes.Book.Asks = append(changes.Book.Asks, now)
		}
	}
	slices.SortFunc(changes.Book.Bids, func(a, b Level) int { return cmp.Compare(b.Price, a.Price) })
	slices.SortFunc(changes.Book.Asks, func(a, b Level) int { return cmp.Compare(a.Price, b.Price) })
	if changes.Book.Changed() {
		m.symbol.Sequence++
	}
	changes.Book.Sequence = m.symbol.Sequence
	changes.Symbol = m.symbol
	m.Forget()
	return changes
}

// Changed says whether there is anything to tell.
func (c *BookChange) Changed() bool { return len(c.Bids)+len(c.Asks) > 0 }

// Forget drops what is to be stored: for who replays a journal, and has nothing to store.
func (m *Market) Forget() {
	m.changes, m.changed, m.levels = Changes{}, map[id.ID]int{}, map[levelKey]Level{}
}
