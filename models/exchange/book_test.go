package exchange

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"guichet/models/id"
	"guichet/models/money"
)

// onBothBooks runs a test against the Book and against the plain one.
func onBothBooks(t *testing.T, test func(t *testing.T, b matcher)) {
	t.Helper()
	t.Parallel()
	for name, newBook := range map[string]func() matcher{"fast": newFast, "plain": newPlain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newBook())
		})
	}
}

// nth is an id that is told from others by a number.
func nth(n int) (i id.ID) {
	binary.BigEndian.PutUint64(i[:8], uint64(n)>>8<<16|0x7000)
	i[15] = byte(n)
	return i
}

func rests(n int, side Side, price money.Amount, quantity int64, owner uint32) Resting {
	return Resting{ID: nth(n), Owner: owner, Side: side, Price: price, Quantity: quantity}
}

// fill is a match in short.
type fill struct {
	order    int
	price    money.Amount
	quantity int64
}

func fills(all []made) []fill {
	var short []fill
	for _, m := range all {
		short = append(short, fill{int(binary.BigEndian.Uint64(m.ID[:8])>>16<<8) | int(m.ID[15]), m.Price, m.Quantity})
	}
	return short
}

// TestTake has the same book for each taker: bids 30 (#1: 5, #2: 7), 29 (#3: 100); asks 32 (#4: 10, #5: 20), 33 (#6: 5, of owner 9), 40 (#7: 50).
func TestTake(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		taker     Incoming
		want      []fill
		remaining int64
		stop      Stop
	}{
		{"at the best price", Incoming{Side: Buy, Price: 32, Quantity: 3}, []fill{{4, 32, 3}}, 0, StopFilled},
		{"first come, first served", Incoming{Side: Buy, Price: 32, Quantity: 15}, []fill{{4, 32, 10}, {5, 32, 5}}, 0, StopFilled},
		{"the whole level and no more", Incoming{Side: Buy, Price: 32, Quantity: 31}, []fill{{4, 32, 10}, {5, 32, 20}}, 1, StopNobody},
		{"exactly the level", Incoming{Side: Buy, Price: 32, Quantity: 30}, []fill{{4, 32, 10}, {5, 32, 20}}, 0, StopFilled},
		{"at the resting price", Incoming{Side: Buy, Price: 39, Quantity: 33}, []fill{{4, 32, 10}, {5, 32, 20}, {6, 33, 3}}, 0, StopFilled},
		{"below the best price", Incoming{Side: Buy, Price: 31, Quantity: 1}, nil, 1, StopNobody},
		{"without a limit", Incoming{Side: Buy, Quantity: 100}, []fill{{4, 32, 10}, {5, 32, 20}, {6, 33, 5}, {7, 40, 50}}, 15, StopNobody},
		{"selling", Incoming{Side: Sell, Price: 29, Quantity: 13}, []fill{{1, 30, 5}, {2, 30, 7}, {3, 29, 1}}, 0, StopFilled},
		{"selling above the best price", Incoming{Side: Sell, Price: 31, Quantity: 1}, nil, 1, StopNobody},
		{"selling at the best price", Incoming{Side: Sell, Price: 30, Quantity: 20}, []fill{{1, 30, 5}, {2, 30, 7}}, 8, StopNobody},
		{"up to its own order", Incoming{Side: Buy, Quantity: 100, Owner: 9}, []fill{{4, 32, 10}, {5, 32, 20}}, 70, StopOwn},
		{"filled before its own order", Incoming{Side: Buy, Quantity: 30, Owner: 9}, []fill{{4, 32, 10}, {5, 32, 20}}, 0, StopFilled},
		{"its own order is beyond its limit", Incoming{Side: Buy, Price: 32, Quantity: 31, Owner: 9}, []fill{{4, 32, 10}, {5, 32, 20}}, 1, StopNobody},
		{"cash for all", Incoming{Side: Buy, Quantity: 31, Capped: true, Budget: 993, Lot: 1}, []fill{{4, 32, 10}, {5, 32, 20}, {6, 33, 1}}, 0, StopFilled},
		{"cash for all but one", Incoming{Side: Buy, Quantity: 31, Capped: true, Budget: 992, Lot: 1}, []fill{{4, 32, 10}, {5, 32, 20}}, 1, StopBudget},
		{"cash for part of an order", Incoming{Side: Buy, Quantity: 31, Capped: true, Budget: 400, Lot: 1}, []fill{{4, 32, 10}, {5, 32, 2}}, 19, StopBudget},
		{"cash for whole lots", Incoming{Side: Buy, Quantity: 30, Capped: true, Budget: 32*19 + 31, Lot: 5}, []fill{{4, 32, 10}, {5, 32, 5}}, 15, StopBudget},
		{"cash for less than a lot", Incoming{Side: Buy, Quantity: 30, Capped: true, Budget: 32*5 - 1, Lot: 5}, nil, 30, StopBudget},
		{"no cash", Incoming{Side: Buy, Quantity: 1, Capped: true, Lot: 1}, nil, 1, StopBudget},
		{"as much cash as can be", Incoming{Side: Buy, Quantity: 100, Capped: true, Budget: math.MaxInt64, Lot: 1}, []fill{{4, 32, 10}, {5, 32, 20}, {6, 33, 5}, {7, 40, 50}}, 15, StopNobody},
		{"a maker that cannot trade", Incoming{Side: Buy, Price: 33, Quantity: 32, Judge: verdictOn(5, DropMaker)}, []fill{{4, 32, 10}, {5, 32, 0}, {6, 33, 5}}, 17, StopNobody},
		{"a taker that cannot trade on", Incoming{Side: Buy, Price: 33, Quantity: 32, Judge: verdictOn(5, StopTaker)}, []fill{{4, 32, 10}}, 22, StopVerdict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onBothBooks(t, func(t *testing.T, b matcher) {
				for _, o := range []Resting{rests(7, Sell, 40, 50, 0), rests(3, Buy, 29, 100, 0), rests(1, Buy, 30, 5, 0), rests(4, Sell, 32, 10, 0),
					rests(6, Sell, 33, 5, 9), rests(2, Buy, 30, 7, 0), rests(5, Sell, 32, 20, 0)} {
					b.rest(o)
				}
				before := picture(b)
				found, stop := b.matches(tt.taker)
				if !slices.Equal(fills(found), tt.want) || stop != tt.stop || picture(b) != before {
					t.Errorf("looking on: %v, %d, and the book is %s", fills(found), stop, picture(b))
				}
				all, remaining, stop := b.take(tt.taker)
				if !slices.Equal(fills(all), tt.want) || remaining != tt.remaining || stop != tt.stop {
					t.Errorf("took %v, %d remain, stop %d; want %v, %d, %d", fills(all), remaining, stop, tt.want, tt.remaining, tt.stop)
				}
				for _, m := range all { // what was taken whole is gone, the rest keeps its place
					left := b.reach(tt.taker.Side.Opposite(), math.MaxInt64, func(order id.ID) bool { return order == m.ID })
					at := slices.IndexFunc(left, func(o Resting) bool { return o.ID == m.ID })
					if (at < 0) != (m.Left == 0) || at >= 0 && (left[at].Quantity != m.Left || at != 0) {
						t.Errorf("%v of order %v: it rests as %v", m.Quantity, m.ID, left)
					}
				}
			})
		})
	}
}

func verdictOn(order int, verdict Verdict) func(Match) Verdict {
	return func(m Match) Verdict {
		if m.ID == nth(order) {
			return verdict
		}
		return Agreed
	}
}

// picture is all that rests, in the order in which it would be taken.
func picture(b matcher) string {
	everything := func(id.ID) bool { return false }
	return fmt.Sprint(b.reach(Buy, 1, everything), b.reach(Sell, 1, everything))
}

func TestDepth(t *testing.T) {
	onBothBooks(t, func(t *testing.T, b matcher) {
		for _, side := range []Side{Buy, Sell} {
			if best, found := b.best(side); found || best != (Level{}) || len(b.levels(side, 5)) != 0 || b.crosses(side, 0) || b.level(side, 3) != (Level{Price: 3}) {
				t.Errorf("an empty book has a %s at %+v", side, best)
			}
		}
		const dearest = money.Amount(math.MaxInt64)
		for n, price := range []money.Amount{64, 1, 63, 4096, 65, 64, dearest - 1, dearest, 1 << 36, 64} {
			b.rest(rests(n, Sell, price, int64(n)+1, 0))
		}
		want := []Level{{1, 2, 1}, {63, 3, 1}, {64, 1 + 6 + 10, 3}, {65, 5, 1}, {4096, 4, 1}, {1 << 36, 9, 1}, {dearest - 1, 7, 1}, {dearest, 8, 1}}
		for depth := range len(want) + 2 {
			if got := b.levels(Sell, depth); !slices.Equal(got, want[:min(depth, len(want))]) {
				t.Errorf("depth %d: %v", depth, got)
			}
		}
		if best, _ := b.best(Sell); best != want[0] || b.level(Sell, 64) != want[2] || b.level(Sell, 66) != (Level{Price: 66}) || b.len() != 10 {
			t.Errorf("%d orders, the best at %v, at 64 %v", b.len(), best, b.level(Sell, 64))
		}
		if !b.crosses(Buy, 1) || !b.crosses(Buy, 0) || b.crosses(Sell, 1) {
			t.Error("a buy at 1 does not cross a sell at 1, or a sell does")
		}
		for n := range 10 { // the order in which they came
			if !b.cancel(nth(n)) || b.cancel(nth(n)) {
				t.Errorf("order %d", n)
			}
		}
		if b.len() != 0 || b.crosses(Buy, dearest) {
			t.Errorf("%d are left", b.len())
		}
	})
}

func TestReach(t *testing.T) {
	onBothBooks(t, func(t *testing.T, b matcher) {
		for n, price := range []money.Amount{10, 12, 11, 12} {
			b.rest(rests(n, Buy, price, 5, 0))
		}
		for _, tt := range []struct {
			quantity int64
			want     []int
		}{{0, nil}, {1, []int{1}}, {5, []int{1}}, {6, []int{1, 2}}, {11, []int{1, 2, 0}}, {99, []int{1, 2, 0}}} {
			var got []int
			for _, o := range b.reach(Buy, tt.quantity, func(order id.ID) bool { return order != nth(3) }) {
				if n := fills([]made{{ID: o.ID}})[0].order; n != 3 {
					got = append(got, n)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%d shares reach %v, want %v", tt.quantity, got, tt.want)
			}
		}
	})
}

func TestRestPanicsOnBugs(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Resting{
		"no price": rests(2, Buy, 0, 1, 0), "a negative price": rests(2, Buy, -1, 1, 0), "no quantity": rests(2, Buy, 1, 0, 0),
		"less than none": rests(2, Sell, 1, -5, 0),
	} {
		b := NewBook(0)
		b.Rest(rests(1, Buy, 1, 1, 0))
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: it rests", name)
				}
			}()
			b.Rest(o)
		}()
	}
}
