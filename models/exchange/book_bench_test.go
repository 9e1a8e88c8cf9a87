package exchange

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/money"
)

// The mix, in per cent: 68 limit, 25 cancel, 6 market, 1 fill-or-kill, around a middle that moves over a band of prices and back. Cancelled are any of the mix's own
// orders that rest, all of them alike.
const (
	center = 1_000_000
	band   = 1000
	tape   = 1 << 17 // operations that are drawn beforehand, and then repeated
)

// tradingFloor is a book, and the operations that come to it.
type tradingFloor struct {
	book    *Book
	script  []scripted
	own     []Ref    // what rests of the mix
	place   []uint32 // in own, by Ref
	matches []Match
	n       uint64 // operations
	middle  money.Amount
	step    money.Amount

	cancelled, filled uint64
}

// scripted is an operation, drawn beforehand so that drawing is not measured.
type scripted struct {
	kind     byte // per cent
	side     Side
	offset   money.Amount // from the middle, away from the other side
	quantity int64
	which    uint32 // of what rests, to be cancelled
}

func newFloor(resting int) *tradingFloor {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	f := &tradingFloor{book: NewBook(0), script: make([]scripted, tape), middle: center, step: 1}
	for i := range f.script {
		f.script[i] = scripted{kind: byte(r.IntN(100)), side: []Side{Buy, Sell}[r.IntN(2)], offset: money.Amount(r.ExpFloat64()*20) - 1, quantity: 1 + r.Int64N(100), which: r.Uint32()}
		if f.script[i].kind >= 93 {
			f.script[i].quantity *= 4
		}
	}
	for range resting { // where the middle never goes, on 20,000 levels, in no order
		side, price := Buy, money.Amount(center-2*band-r.Int64N(10_000))
		if r.IntN(2) == 0 {
			side, price = Sell, money.Amount(center+2*band+r.Int64N(10_000))
		}
		f.n++
		f.book.Rest(Resting{ID: idOf(f.n), Owner: uint32(f.n%1000) + 1, Side: side, Price: price, Quantity: 1 + r.Int64N(100)})
	}
	f.book.index.age(f.book.nodes) // as in a market that is made anew
	f.run(32 * tape)               // to the steady state
	return f
}

// idOf is an id as they are made: batches of 16, ten a millisecond.
func idOf(n uint64) (order id.ID) {
	batch := n / 16
	binary.BigEndian.PutUint64(order[:8], (1_790_000_000_000+batch/10)<<16|7<<12|batch%10)
	binary.BigEndian.PutUint64(order[8:], 2<<62|0x1b2c3d4e5f6071<<8|n%16)
	return order
}

func (f *tradingFloor) run(operations int) {
	for range operations {
		s := &f.script[f.n%tape]
		f.n++
		if f.n%512 == 0 {
			f.move()
		}
		if s.kind < 68 || s.kind >= 93 {
			f.submit(s)
		} else if len(f.own) > 0 {
			ref := f.own[s.which%uint32(len(f.own))]
			order := f.book.Get(ref).ID // as a client knows it
			f.forget(ref)
			f.book.Remove(f.book.Find(order))
			f.cancelled++
		}
	}
}

func (f *tradingFloor) move() {
	f.middle += f.step
	if f.middle > center+band || f.middle < center-band {
		f.step = -f.step
	}
}

func (f *tradingFloor) submit(s *scripted) {
	t := Incoming{Side: s.side, Quantity: s.quantity, Owner: uint32(f.n%1000) + 1}
	if s.kind < 68 || s.kind == 99 {
		t.Price = f.middle + s.offset
		if s.side == Buy {
			t.Price = f.middle - s.offset
		}
	}
	var stop Stop
	if f.matches, stop = f.book.Matches(&t, f.matches[:0]); s.kind == 99 && stop != StopFilled {
		return
	}
	remaining := t.Quantity
	for i := range f.matches {
		m := &f.matches[i]
		if m.Left == 0 {
			f.forget(m.Maker)
		}
		remaining -= m.Quantity
		f.book.Apply(m)
	}
	f.filled += uint64(len(f.matches))
	if stop == StopNobody && s.kind < 68 {
		f.remember(f.book.Rest(Resting{ID: idOf(f.n), Owner: t.Owner, Side: t.Side, Price: t.Price, Quantity: remaining}))
	}
}

func (f *tradingFloor) remember(ref Ref) {
	for len(f.place) <= int(ref) {
		f.place = append(f.place, 0)
	}
	f.place[ref] = uint32(len(f.own))
	f.own = append(f.own, ref)
}

func (f *tradingFloor) forget(ref Ref) {
	last := f.own[len(f.own)-1]
	f.own[f.place[ref]] = last
	f.place[last] = f.place[ref]
	f.own = f.own[:len(f.own)-1]
}

func benchmarkBook(b *testing.B, resting int) {
	f := newFloor(resting)
	f.cancelled, f.filled = 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	f.run(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "operations/s")
	b.ReportMetric(float64(f.filled)/float64(b.N), "fills/op")
	b.ReportMetric(float64(f.cancelled)/float64(b.N), "cancelled/op")
	b.ReportMetric(float64(len(f.own)), "own_resting")
}

func BenchmarkBook(b *testing.B)        { benchmarkBook(b, 0) }
func BenchmarkBookMillion(b *testing.B) { benchmarkBook(b, 1_000_000) }

// BenchmarkMillionAgainstEmpty runs the mix on both books in turns, so that what else the machine does comes to both.
func BenchmarkMillionAgainstEmpty(b *testing.B) {
	floors := [2]*tradingFloor{newFloor(0), newFloor(1_000_000)}
	var took [2]time.Duration
	const turn = 200_000
	b.ResetTimer()
	for range b.N {
		for i, f := range floors {
			began := time.Now()
			f.run(turn)
			took[i] += time.Since(began)
		}
	}
	b.ReportMetric(float64(took[0])/float64(took[1]), "of_empty")
	b.ReportMetric(float64(turn*b.N)/took[0].Seconds(), "empty/s")
	b.ReportMetric(float64(turn*b.N)/took[1].Seconds(), "million/s")
}

// BenchmarkCancelAny cancels orders anywhere among a million, and places others: what no cache helps with.
func BenchmarkCancelAny(b *testing.B) {
	const million = 1_000_000
	f := newFloor(million)
	r := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // the same every time
	resting := make([]Ref, 0, million)
	for _, side := range []Side{Buy, Sell} {
		f.book.Reach(side, math.MaxInt64, 0, func(ref Ref) bool { resting = append(resting, ref); return false })
	}
	r.Shuffle(len(resting), func(i, j int) { resting[i], resting[j] = resting[j], resting[i] })
	ids := make([]id.ID, len(resting))
	for i, ref := range resting {
		ids[i] = f.book.Get(ref).ID
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		which := n % len(ids)
		o := f.book.Get(f.book.Find(ids[which]))
		f.book.Remove(f.book.Find(o.ID))
		f.n++
		o.ID = idOf(f.n)
		f.book.Rest(o)
		ids[which] = o.ID
	}
}

// BenchmarkRebuild makes the market of a million open orders anew, as after a takeover.
func BenchmarkRebuild(b *testing.B) {
	open := make([]Order, 1_000_000)
	r := rand.New(rand.NewPCG(7, 8)) //nolint:gosec // the same every time
	for i := range open {
		open[i] = Order{ID: idOf(uint64(i)), Account: traders[i%len(traders)], UserID: idOf(uint64(i % 5)), Symbol: "TCB", Side: Buy, Type: LimitOrder, TimeInForce: GoodTillCancelled,
			Quantity: 1 + r.Int64N(100), Price: money.Amount(1 + r.Int64N(100_000)), Status: Open, Priority: int64(i), SubmittedAt: noon}
		if open[i].Price > 50_000 {
			open[i].Side = Sell
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if m := NewMarket(tcb(), open); m.Len() != len(open) {
			b.Fatal(m.Len())
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/million")
}

// BenchmarkMarket is the mix with everything that the rules do: money, shares, facts and what is to be stored, in rounds of 256.
func BenchmarkMarket(b *testing.B) {
	d := newDesk(tcb(), map[string]money.Amount{"ADA": money.Max, "BOB": money.Max, "EVE": money.Max, "FULL": money.Max, "POOR": money.Max})
	for _, account := range traders {
		d.issue(account, MaxQuantity)
	}
	f := newFloor(0)
	var open []id.ID
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		s := &f.script[n%tape]
		account := traders[n%len(traders)]
		switch {
		case s.kind >= 93:
			_, _ = d.place(market(account, s.side, s.quantity))
		case s.kind >= 68 && len(open) > 0:
			order := open[0]
			open = open[1:]
			o, _ := d.Find(order)
			_, _ = d.Cancel(d.Round, d.cause(o.Account), &CancellationCommand{"TCB", order})
		default:
			price := money.Amount(1000) + s.offset
			if s.side == Buy {
				price = 1000 - s.offset
			}
			if facts, refusal := d.place(limit(account, s.side, s.quantity, max(price, 1))); refusal == nil && facts.Order.Status == Open {
				open = append(open, facts.Order.ID)
			}
		}
		if n%256 == 255 {
			_ = d.Conclude()
			d.Ledger.Forget()
			d.Holdings.Forget()
			d.History = NewHistory()
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "operations/s")
}
