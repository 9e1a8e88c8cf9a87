package exchange

import (
	"slices"

	"guichet/models/id"
	"guichet/models/money"
)

// matcher is what both books do, in values that can be compared. Every test of a book runs against each (see onBothBooks).
type matcher interface {
	rest(Resting)
	cancel(order id.ID) bool // false if it does not rest
	matches(Incoming) ([]made, Stop)
	take(Incoming) (all []made, remaining int64, stop Stop)
	crosses(Side, money.Amount) bool
	best(Side) (Level, bool)
	level(Side, money.Amount) Level
	levels(side Side, depth int) []Level
	reach(side Side, quantity int64, counts func(id.ID) bool) []Resting
	len() int
}

// made is a match without its ref.
type made struct {
	ID             id.ID
	Owner          uint32
	Price          money.Amount
	Quantity, Left int64
}

// fast is the Book.
type fast struct {
	*Book
	found []Match
}

func newFast() matcher { return &fast{Book: NewBook(0)} }

func (f *fast) rest(o Resting) { f.Rest(o) }

func (f *fast) cancel(order id.ID) bool {
	ref := f.Find(order)
	if ref != 0 {
		f.Remove(ref)
	}
	return ref != 0
}

func (f *fast) matches(t Incoming) ([]made, Stop) {
	var stop Stop
	f.found, stop = f.Matches(&t, f.found[:0])
	return f.made(), stop
}

func (f *fast) take(t Incoming) (all []made, remaining int64, stop Stop) {
	f.found, remaining, stop = f.Take(&t, f.found[:0])
	return f.made(), remaining, stop
}

func (f *fast) made() []made {
	var all []made
	for _, m := range f.found {
		all = append(all, made{m.ID, m.Owner, m.Price, m.Quantity, m.Left})
	}
	return all
}

func (f *fast) crosses(side Side, price money.Amount) bool { return f.Crosses(side, price) }

func (f *fast) best(side Side) (Level, bool) { return f.Best(side) }

func (f *fast) level(side Side, price money.Amount) Level { return f.Level(side, price) }

func (f *fast) levels(side Side, depth int) []Level {
	var levels []Level
	f.Levels(side, depth, func(l Level) { levels = append(levels, l) })
	return levels
}

func (f *fast) reach(side Side, quantity int64, counts func(id.ID) bool) []Resting {
	var reached []Resting
	f.Reach(side, quantity, 0, func(ref Ref) bool {
		o := f.Get(ref)
		reached = append(reached, o)
		return counts(o.ID)
	})
	return reached
}

func (f *fast) len() int { return f.Len() }

// plain is the rules of matching told as simply as can be: the orders of each side in a slice, the first to be taken first. It shares nothing with Book.
type plain struct{ sides map[Side][]Resting }

func newPlain() matcher { return &plain{map[Side][]Resting{}} }

// within says whether a taker of a side with a limit, 0 for none, trades at a price.
func within(side Side, limit, price money.Amount) bool {
	return limit == 0 || side == Buy && price <= limit || side == Sell && price >= limit
}

func (p *plain) rest(o Resting) {
	line, at := p.sides[o.Side], 0
	for at < len(line) && (line[at].Price == o.Price || o.Side == Buy && line[at].Price > o.Price || o.Side == Sell && line[at].Price < o.Price) {
		at++
	}
	p.sides[o.Side] = slices.Insert(line, at, o)
}

func (p *plain) cancel(order id.ID) bool {
	for side, line := range p.sides {
		if at := slices.IndexFunc(line, func(o Resting) bool { return o.ID == order }); at >= 0 {
			p.sides[side] = slices.Delete(line, at, at+1)
			return true
		}
	}
	return false
}

func (p *plain) matches(t Incoming) ([]made, Stop) {
	all, _, stop := (&plain{map[Side][]Resting{Buy: slices.Clone(p.sides[Buy]), Sell: slices.Clone(p.sides[Sell])}}).take(t)
	return all, stop
}

func (p *plain) take(t Incoming) (all []made, remaining int64, stop Stop) {
	other := t.Side.Opposite()
	for t.Quantity > 0 {
		line := p.sides[other]
		if len(line) == 0 || !within(t.Side, t.Price, line[0].Price) {
			return all, t.Quantity, StopNobody
		}
		maker := line[0]
		if t.Owner != 0 && maker.Owner == t.Owner {
			return all, t.Quantity, StopOwn
		}
		quantity := min(t.Quantity, maker.Quantity)
		for t.Capped && quantity > 0 && int64(t.Budget/maker.Price) < quantity {
			quantity = int64(t.Budget/maker.Price) / t.Lot * t.Lot
		}
		if quantity == 0 {
			return all, t.Quantity, StopBudget
		}
		verdict := Agreed
		if t.Judge != nil {
			verdict = t.Judge(Match{ID: maker.ID, Owner: maker.Owner, Price: maker.Price, Quantity: quantity, Left: maker.Quantity - quantity})
		}
		switch verdict {
		case StopTaker:
			return all, t.Quantity, StopVerdict
		case DropMaker:
			all = append(all, made{ID: maker.ID, Owner: maker.Owner, Price: maker.Price})
			p.sides[other] = line[1:]
			continue
		case Agreed:
		}
		all = append(all, made{maker.ID, maker.Owner, maker.Price, quantity, maker.Quantity - quantity})
		t.Quantity -= quantity
		t.Budget -= maker.Price * money.Amount(quantity)
		if line[0].Quantity -= quantity; line[0].Quantity == 0 {
			p.sides[other] = line[1:]
		}
	}
	return all, 0, StopFilled
}

func (p *plain) crosses(side Side, price money.Amount) bool {
	line := p.sides[side.Opposite()]
	return len(line) > 0 && within(side, price, line[0].Price)
}

func (p *plain) best(side Side) (Level, bool) {
	if len(p.sides[side]) == 0 {
		return Level{}, false
	}
	return p.level(side, p.sides[side][0].Price), true
}

func (p *plain) level(side Side, price money.Amount) Level {
	l := Level{Price: price}
	for _, o := range p.sides[side] {
		if o.Price == price {
			l.Quantity += o.Quantity
			l.Orders++
		}
	}
	return l
}

func (p *plain) levels(side Side, depth int) []Level {
	var levels []Level
	for _, o := range p.sides[side] {
		if n := len(levels); n > 0 && levels[n-1].Price == o.Price {
			levels[n-1].Quantity += o.Quantity
			levels[n-1].Orders++
		} else {
			levels = append(levels, Level{o.Price, o.Quantity, 1})
		}
	}
	return levels[:min(depth, len(levels))]
}

func (p *plain) reach(side Side, quantity int64, counts func(id.ID) bool) []Resting {
	var reached []Resting
	for _, o := range p.sides[side] {
		if quantity <= 0 {
			break
		}
		reached = append(reached, o)
		if counts(o.ID) {
			quantity -= o.Quantity
		}
	}
	return reached
}

func (p *plain) len() int { return len(p.sides[Buy]) + len(p.sides[Sell]) }
