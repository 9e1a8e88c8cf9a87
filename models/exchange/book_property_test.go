package exchange

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"guichet/models/id"
	"guichet/models/money"
)

// flow sends the same orders to both books, and compares all that they answer.
type flow struct {
	fast  *fast
	plain matcher
	n     int
	sum   [3]int64 // of all quantities that came, that were filled (by makers and takers), and that were cancelled
	fail  func(format string, args ...any)
}

func newFlow(fail func(string, ...any)) *flow {
	return &flow{fast: newFast().(*fast), plain: newPlain(), fail: fail}
}

// submit takes what can be taken; the rest of the order rests, if it is to.
func (f *flow) submit(t Incoming, rests bool) {
	before, stopBefore := f.fast.matches(t)
	found, stopFound := f.plain.matches(t)
	all, remaining, stop := f.fast.take(t)
	want, wantRemaining, wantStop := f.plain.take(t)
	if !slices.Equal(all, want) || remaining != wantRemaining || stop != wantStop {
		f.fail("%+v: took %v, left %d, stop %d; want %v, %d, %d", t, all, remaining, stop, want, wantRemaining, wantStop)
	}
	if !slices.Equal(before, all) || !slices.Equal(found, all) || stopBefore != stop || stopFound != stop {
		f.fail("%+v: before, it would have taken %v, stop %d; it took %v, stop %d", t, before, stopBefore, all, stop)
	}
	f.sum[0] += t.Quantity
	f.sum[1] += 2 * (t.Quantity - remaining)
	if rests = rests && stop == StopNobody && t.Price > 0; !rests {
		f.sum[2] += remaining
		return
	}
	f.n++
	o := Resting{ID: nth(f.n), Owner: t.Owner, Side: t.Side, Price: t.Price, Quantity: remaining}
	f.fast.rest(o)
	f.plain.rest(o)
}

func (f *flow) cancel(n int) {
	if ref := f.fast.Find(nth(n)); ref != 0 {
		f.sum[2] += f.fast.Get(ref).Quantity
	}
	if got, want := f.fast.cancel(nth(n)), f.plain.cancel(nth(n)); got != want {
		f.fail("order %d: cancelled: %t, want %t", n, got, want)
	}
}

// compare compares the whole books: what rests, and that it adds up.
func (f *flow) compare() {
	if got, want := picture(f.fast), picture(f.plain); got != want {
		f.fail("the book is\n%s, want\n%s", got, want)
	}
	for _, side := range []Side{Buy, Sell} {
		got, want := f.fast.levels(side, math.MaxInt), f.plain.levels(side, math.MaxInt)
		if !slices.Equal(got, want) {
			f.fail("%s levels %v, want %v", side, got, want)
		}
		best, _ := f.fast.best(side)
		if len(want) > 0 && best != want[0] {
			f.fail("the best %s is at %v, want %v", side, best, want[0])
		}
		for _, l := range want {
			if at := f.fast.level(side, l.Price); at != l {
				f.fail("%s at %d: %v, want %v", side, l.Price, at, l)
			}
		}
	}
	if err := f.fast.check(); err != nil {
		f.fail("%v", err)
	}
	var rest int64
	for _, side := range []Side{Buy, Sell} {
		for _, l := range f.fast.levels(side, math.MaxInt) {
			rest += l.Quantity
		}
	}
	// Each share of a trade is filled on both sides, and the maker's had come before.
	if f.sum[0] != f.sum[1]+f.sum[2]+rest {
		f.fail("%d came; %d were filled, %d cancelled, and %d rest", f.sum[0], f.sum[1], f.sum[2], rest)
	}
}

// check says what is wrong inside a book.
func (b *Book) check() error {
	bid, bids := b.Best(Buy)
	ask, asks := b.Best(Sell)
	if bids && asks && bid.Price >= ask.Price {
		return fmt.Errorf("the book is crossed: %v, %v", bid, ask)
	}
	var orders int64
	for _, side := range []Side{Buy, Sell} {
		l := b.ladder(side)
		n, err := l.check()
		if err != nil {
			return err
		}
		if n != l.count {
			return fmt.Errorf("%d levels in the tree, and %d in all", n, l.count)
		}
		n, better := 0, uint32(0)
		for at := l.best; at != 0; better, at = at, l.levels[at].next {
			v := &l.levels[at]
			if v.better != better || better != 0 && l.levels[better].key >= v.key || v.orders == 0 {
				return fmt.Errorf("level %+v follows %+v", v, l.levels[better])
			}
			n++
			orders += int64(v.orders)
		}
		if n != l.count {
			return fmt.Errorf("%d levels in the list, and %d in all", n, l.count)
		}
	}
	if orders != int64(b.Len()) {
		return fmt.Errorf("%d orders on the levels, and %d in all", orders, b.Len())
	}
	return b.index.check(b.nodes)
}

// check counts the levels in the tree, each of which find has to find.
func (l *ladder) check() (levels int, err error) {
	var forks int
	var visit func(at uint32)
	visit = func(at uint32) {
		if at&isFork == 0 {
			levels++
			if v := &l.levels[at]; l.find(l.price(v)) != at {
				err = fmt.Errorf("level %d is not where price %d is looked for", at, l.price(v))
			}
			return
		}
		forks++
		f := &l.forks[at&^isFork]
		if bits.OnesCount64(f.used) < 2 {
			err = fmt.Errorf("a fork with %d entries", bits.OnesCount64(f.used))
		}
		for d, entry := range f.entries {
			if f.used>>d&1 == 0 {
				continue
			}
			if key := l.levels[l.first(entry)].key; f.digit(key) != uint64(d) || key>>f.shift>>digit != f.prefix {
				err = fmt.Errorf("key %x is under digit %d of %x << %d", key, d, f.prefix, f.shift)
			}
			visit(entry)
		}
	}
	if l.root != 0 {
		visit(l.root)
	}
	if levels > 0 && forks >= levels {
		err = fmt.Errorf("%d forks for %d levels", forks, levels)
	}
	return levels, err
}

func (x *index) check(nodes []node) error {
	for _, t := range []*table{&x.young, &x.old} {
		found := 0
		for _, s := range t.slots {
			if s.ref == 0 {
				continue
			}
			found++
			if n := &nodes[s.ref]; x.find(&n.id, nodes) != s.ref || n.old != (t == &x.old) {
				return fmt.Errorf("order %s is not found", n.id)
			}
		}
		if found != t.count || found*4 > len(t.slots)*3 {
			return fmt.Errorf("%d orders in a table of %d, which counts %d", found, len(t.slots), t.count)
		}
	}
	return nil
}

func sameFlow(t *rapid.T) {
	f := newFlow(t.Fatalf)
	// Near each other, so that they meet; at the ends of digits; anywhere.
	price := rapid.OneOf(rapid.Int64Range(95, 105), rapid.SampledFrom([]int64{1, 63, 64, 65, 4095, 4096, 1 << 36, int64(MaxPrice), math.MaxInt64}), rapid.Int64Range(1, math.MaxInt64))
	quantity := rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, MaxQuantity))
	t.Repeat(map[string]func(*rapid.T){
		"limit": func(t *rapid.T) {
			f.submit(Incoming{Side: sides.Draw(t, "side"), Price: money.Amount(price.Draw(t, "price")), Quantity: quantity.Draw(t, "quantity"), Owner: rapid.Uint32Range(0, 3).Draw(t, "owner")},
				rapid.IntRange(0, 9).Draw(t, "rests") > 0)
		},
		"market": func(t *rapid.T) {
			f.submit(Incoming{Side: sides.Draw(t, "side"), Quantity: quantity.Draw(t, "quantity"), Owner: rapid.Uint32Range(0, 3).Draw(t, "owner")}, false)
		},
		"capped": func(t *rapid.T) {
			f.submit(Incoming{Side: Buy, Quantity: quantity.Draw(t, "quantity"), Capped: true, Lot: rapid.Int64Range(1, 5).Draw(t, "lot"),
				Budget: money.Amount(rapid.OneOf(rapid.Int64Range(0, 5000), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "budget"))}, false)
		},
		"judged": func(t *rapid.T) {
			stops := rapid.IntRange(2, 9).Draw(t, "stops")
			f.submitJudged(Incoming{Side: sides.Draw(t, "side"), Quantity: quantity.Draw(t, "quantity")}, stops)
		},
		"cancel": func(t *rapid.T) { f.cancel(rapid.IntRange(1, f.n+1).Draw(t, "order")) },
		"":       func(*rapid.T) { f.compare() },
	})
}

var sides = rapid.SampledFrom([]Side{Buy, Sell})

// submitJudged drops every second maker, and stops at an order's number.
func (f *flow) submitJudged(t Incoming, stops int) {
	t.Judge = func(m Match) Verdict {
		switch n := int(binary.BigEndian.Uint64(m.ID[:8])>>16<<8) | int(m.ID[15]); {
		case n%stops == 0:
			return StopTaker
		case n%2 == 0:
			return DropMaker
		}
		return Agreed
	}
	found, _ := f.plain.matches(t)
	for _, m := range found {
		if m.Quantity == 0 {
			f.sum[2] += f.fast.Get(f.fast.Find(m.ID)).Quantity
		}
	}
	f.submit(t, false)
}

func TestBothBooksAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, sameFlow)
}

func FuzzBook(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(sameFlow))
}

// TestBothBooksAgreeAtLength: what takes many orders to go wrong: the index grows, and what is free is used again.
func TestBothBooksAgreeAtLength(t *testing.T) {
	t.Parallel()
	for _, spread := range []int64{8, 500, 1 << 40} {
		t.Run(fmt.Sprint(spread), func(t *testing.T) {
			t.Parallel()
			f, r := newFlow(t.Fatalf), rand.New(rand.NewPCG(1, uint64(spread))) //nolint:gosec // a test that can be repeated
			for n := range 20_000 {
				side := []Side{Buy, Sell}[r.IntN(2)]
				offset := r.Int64N(spread)
				if side == Buy {
					offset = -offset
				}
				middle := int64(1<<41) + int64(n)*spread/1000
				switch {
				case n > 12_000 && n < 17_000 || r.IntN(4) == 0:
					f.cancel(1 + r.IntN(f.n+1))
				default:
					f.submit(Incoming{Side: side, Price: money.Amount(middle + offset + r.Int64N(3) - 1), Quantity: 1 + r.Int64N(30), Owner: r.Uint32N(5)}, true)
				}
				if n%500 == 0 {
					f.compare()
				}
			}
			for n := range f.n {
				f.cancel(n + 1)
			}
			f.compare()
			if f.fast.Len() != 0 || f.fast.bids.root != 0 || f.fast.asks.best != 0 {
				t.Errorf("%d orders are left", f.fast.Len())
			}
		})
	}
}

// Orders that probing has to walk around the table's end for, and that have to be shifted back over it.
func TestTableAtItsEnd(t *testing.T) {
	t.Parallel()
	x, nodes := newTable(10), []node{{}}
	var last []id.ID // all at home in the last three slots
	for n := 0; len(last) < 200; n++ {
		if order := nth(n); tagOf(&order)>>x.shift >= uint32(len(x.slots)-3) {
			last = append(last, order)
		}
	}
	for _, order := range last {
		nodes = append(nodes, node{id: order})
		x.add(slot{tagOf(&order), Ref(len(nodes) - 1)})
	}
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test that can be repeated
	left := make([]bool, len(last))
	for n := range left {
		left[n] = true
	}
	for _, n := range r.Perm(len(last)) {
		x.remove(slot{tagOf(&last[n]), Ref(n + 1)})
		left[n] = false
		for other, rests := range left {
			if got := x.find(tagOf(&last[other]), &last[other], nodes); (got == Ref(other+1)) != rests || got != 0 && !rests {
				t.Fatalf("order %d rests: %t; found %d", other, rests, got)
			}
		}
	}
}

// Orders that grow old are found, filled and cancelled as before.
func TestOldOrders(t *testing.T) {
	t.Parallel()
	const orders = 3*youngest + 100
	b := NewBook(0)
	for n := range orders {
		b.Rest(rests(n, Sell, money.Amount(1+n%50), 2, 0))
	}
	if b.Len() != orders || b.index.old.count != 3*youngest {
		t.Fatalf("%d orders, %d of them old", b.Len(), b.index.old.count)
	}
	if err := b.check(); err != nil {
		t.Fatal(err)
	}
	for n := range orders {
		if n%3 == 0 {
			b.Remove(b.Find(nth(n)))
		}
	}
	var gone int
	for _, m := range must(b.Take(&Incoming{Side: Buy, Quantity: orders}, nil)) {
		if m.Left == 0 {
			gone++
		}
	}
	if err := b.check(); err != nil || b.Len() != orders-(orders+2)/3-gone || gone != orders/2 {
		t.Errorf("%d are left after %d were filled: %v", b.Len(), gone, err)
	}
}

func must(all []Match, _ int64, _ Stop) []Match { return all }
