package exchange

import (
	"fmt"
	"math"

	"guichet/models/id"
	"guichet/models/money"
)

// Ref is a resting order, for as long as it rests; 0 is none. The refs of orders that are gone are used again.
type Ref uint32

// Resting is an order in the book.
type Resting struct {
	ID       id.ID
	Owner    uint32 // whoever has the same owner does not trade with it; 0 for nobody
	Side     Side
	Price    money.Amount // 1 or more
	Quantity int64        // what remains of it, 1 or more
}

// Incoming is an order that comes to the book: the taker.
type Incoming struct {
	Side     Side
	Price    money.Amount // its limit; 0 for none
	Quantity int64        // 1 or more
	Owner    uint32       // 0 for nobody

	// A capped taker spends at most Budget, in whole lots.
	Capped bool
	Budget money.Amount
	Lot    int64

	// Judge, if there is one, has a say in every match before it counts.
	Judge func(Match) Verdict
}

// Verdict is what a judge says of a match.
type Verdict uint8

// The verdicts.
const (
	Agreed    Verdict = iota
	DropMaker         // the maker cannot trade: it is to leave the book, and matching goes on
	StopTaker         // the taker cannot trade: matching ends before this
)

// Stop is why matching ended.
type Stop uint8

// The reasons, of which the first that applies is given.
const (
	StopFilled  Stop = iota // the taker is filled
	StopNobody              // nobody else trades at its price
	StopOwn                 // the next order is its owner's
	StopBudget              // the budget has not enough left
	StopVerdict             // the judge said so
)

// Match is a resting order that a taker meets, at the price of the resting order.
type Match struct {
	Maker    Ref
	Owner    uint32
	ID       id.ID // of the maker
	Price    money.Amount
	Quantity int64 // 0 if the maker is dropped
	Left     int64 // what remains of the maker after it; 0 takes it out of the book
}

// Book is the resting orders of one symbol, in price-time priority. To add, to take from the best price and to cancel take the same time whatever rests,
// except for a price that had no order: finding its place takes as many steps as its distance from its neighbours has digits (see ladder).
type Book struct {
	bids, asks ladder
	nodes      []node // 0 is unused
	free       Ref
	index      index
}

// node is a resting order, in the list of its level. It has no pointers, so a million of them are nothing to the garbage collector.
type node struct {
	id         id.ID
	quantity   int64
	level      uint32
	owner      uint32
	prev, next Ref // in a free node, next is the next free one
	sell       bool
	old        bool // it is in the index's large table
}

// NewBook returns an empty book with room for as many orders as are expected, and more.
func NewBook(expected int) *Book {
	return &Book{bids: newLadder(Buy), asks: newLadder(Sell), nodes: make([]node, 1, 1+expected), index: newIndex()}
}

func (b *Book) ladder(side Side) *ladder {
	if side == Sell {
		return &b.asks
	}
	return &b.bids
}

func (b *Book) ladderOf(n *node) *ladder {
	if n.sell {
		return &b.asks
	}
	return &b.bids
}

// Len is how many orders rest.
func (b *Book) Len() int { return b.index.count() }

// Rest puts an order at the end of the line of its price. It does not match it: an order that crosses, or whose id rests already, is a bug of the caller that
// is not looked for. One without price or quantity panics.
func (b *Book) Rest(o Resting) Ref {
	if o.Price < 1 || o.Quantity < 1 {
		panic(fmt.Sprintf("exchange: order %s of %d at %d cannot rest", o.ID, o.Quantity, o.Price))
	}
	l := b.ladder(o.Side)
	at := l.find(o.Price)
	if at == 0 {
		at = l.add(o.Price)
	}
	ref := b.newNode()
	v := &l.levels[at]
	b.nodes[ref] = node{id: o.ID, quantity: o.Quantity, level: at, owner: o.Owner, prev: v.tail, sell: o.Side == Sell}
	if v.tail != 0 {
		b.nodes[v.tail].next = ref
	} else {
		v.head = ref
	}
	v.tail = ref
	v.quantity += o.Quantity
	v.orders++
	b.index.add(&o.ID, ref, b.nodes)
	return ref
}

func (b *Book) newNode() Ref {
	ref := b.free
	if ref == 0 {
		b.nodes = append(b.nodes, node{})
		return Ref(len(b.nodes) - 1)
	}
	b.free = b.nodes[ref].next
	return ref
}

// Find returns the order with the id, or 0.
func (b *Book) Find(order id.ID) Ref { return b.index.find(&order, b.nodes) }

// Get returns a resting order.
func (b *Book) Get(ref Ref) Resting {
	n := &b.nodes[ref]
	o := Resting{ID: n.id, Owner: n.owner, Side: Buy, Quantity: n.quantity}
	if n.sell {
		o.Side = Sell
	}
	l := b.ladderOf(n)
	o.Price = l.price(&l.levels[n.level])
	return o
}

// Remove takes a resting order out.
func (b *Book) Remove(ref Ref) {
	n := &b.nodes[ref]
	l := b.ladderOf(n)
	v := &l.levels[n.level]
	if n.prev != 0 {
		b.nodes[n.prev].next = n.next
	} else {
		v.head = n.next
	}
	if n.next != 0 {
		b.nodes[n.next].prev = n.prev
	} else {
		v.tail = n.prev
	}
	v.quantity -= n.quantity
	if v.orders--; v.orders == 0 {
		l.remove(n.level)
	}
	b.index.remove(n, ref)
	*n = node{next: b.free}
	b.free = ref
}

// Matches appends the matches that a taker would make now, best price first, then first come, first served, and says why they end. It changes nothing.
func (b *Book) Matches(t *Incoming, matches []Match) ([]Match, Stop) {
	l := b.ladder(t.Side.Opposite())
	limit := l.key(t.Price)
	if t.Price == 0 {
		limit = math.MaxUint64
	}
	left, budget := t.Quantity, t.Budget
	for at := l.best; at != 0 && l.levels[at].key <= limit; at = l.levels[at].next {
		price := l.price(&l.levels[at])
		for ref := l.levels[at].head; ref != 0; ref = b.nodes[ref].next {
			n := &b.nodes[ref]
			if n.owner == t.Owner && t.Owner != 0 {
				return matches, StopOwn
			}
			wanted := min(left, n.quantity)
			m := Match{Maker: ref, Owner: n.owner, ID: n.id, Price: price, Quantity: wanted}
			if t.Capped {
				m.Quantity = affordable(wanted, price, budget, t.Lot)
			}
			m.Left = n.quantity - m.Quantity
			if m.Quantity == 0 {
				return matches, StopBudget
			}
			capped := m.Quantity < wanted
			if t.Judge != nil {
				switch t.Judge(m) {
				case Agreed:
				case DropMaker:
					m.Quantity, m.Left, capped = 0, 0, false
				case StopTaker:
					return matches, StopVerdict
				}
			}
			matches = append(matches, m)
			budget -= price * money.Amount(m.Quantity)
			if left -= m.Quantity; left == 0 {
				return matches, StopFilled
			}
			if capped {
				return matches, StopBudget
			}
		}
	}
	return matches, StopNobody
}

// affordable is as much of a quantity, in whole lots unless it is all, as a budget pays for.
func affordable(quantity int64, price, budget money.Amount, lot int64) int64 {
	if most := int64(budget / price); most < quantity {
		return most - most%lot
	}
	return quantity
}

// Apply makes a match that Matches has found. Those before it have been made, and nothing else has changed since.
func (b *Book) Apply(m *Match) {
	if m.Left == 0 {
		b.Remove(m.Maker)
		return
	}
	n := &b.nodes[m.Maker]
	n.quantity -= m.Quantity
	b.ladderOf(n).levels[n.level].quantity -= m.Quantity
}

// Take makes the matches of a taker, appends them to matches, and returns what remains of the taker, and why matching ended.
func (b *Book) Take(t *Incoming, matches []Match) (all []Match, remaining int64, stop Stop) {
	before := len(matches)
	all, stop = b.Matches(t, matches)
	remaining = t.Quantity
	for i := before; i < len(all); i++ {
		remaining -= all[i].Quantity
		b.Apply(&all[i])
	}
	return all, remaining, stop
}

// Best is the best price of a side with its orders, and false if the side is empty.
func (b *Book) Best(side Side) (Level, bool) {
	l := b.ladder(side)
	return l.shown(l.best), l.best != 0
}

// Crosses says whether an order at a price, 0 for any, would find somebody to trade with.
func (b *Book) Crosses(side Side, price money.Amount) bool {
	l := b.ladder(side.Opposite())
	return l.best != 0 && (price == 0 || l.levels[l.best].key <= l.key(price))
}

// Level is the orders of a side at a price, which may be none.
func (b *Book) Level(side Side, price money.Amount) Level {
	l := b.ladder(side)
	if at := l.find(price); at != 0 {
		return l.shown(at)
	}
	return Level{Price: price}
}

// Levels visits up to depth levels of a side, best first.
func (b *Book) Levels(side Side, depth int, visit func(Level)) {
	l := b.ladder(side)
	for at := l.best; at != 0 && depth > 0; at = l.levels[at].next {
		visit(l.shown(at))
		depth--
	}
}

func (l *ladder) shown(at uint32) Level {
	if at == 0 {
		return Level{}
	}
	v := &l.levels[at]
	return Level{Price: l.price(v), Quantity: v.quantity, Orders: int64(v.orders)}
}

// Reach visits the orders of a side in the order in which they would be taken at the limit or better (0: at any price), until those that visit says count add up
// to the quantity.
func (b *Book) Reach(side Side, quantity int64, limit money.Amount, visit func(Ref) (counts bool)) {
	l := b.ladder(side)
	for at := l.best; at != 0 && quantity > 0; at = l.levels[at].next {
		if price := l.price(&l.levels[at]); limit > 0 && (side == Buy && price < limit || side == Sell && price > limit) {
			return
		}
		for ref := l.levels[at].head; ref != 0 && quantity > 0; ref = b.nodes[ref].next {
			if visit(ref) {
				quantity -= b.nodes[ref].quantity
			}
		}
	}
}
