package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// mirror is a book that is kept up to date from the feed.
type mirror struct {
	testing.TB
	sequence   int64
	bids, asks map[int64]level
}

func (t *mirror) start(b book) {
	t.sequence, t.bids, t.asks = b.Sequence, map[int64]level{}, map[int64]level{}
	t.put(b)
}

func (t *mirror) put(change book) {
	for _, l := range change.Bids {
		t.bids[l.Price] = l
	}
	for _, l := range change.Asks {
		t.asks[l.Price] = l
	}
	for _, side := range []map[int64]level{t.bids, t.asks} {
		for price, l := range side {
			if l.Quantity == 0 {
				delete(side, price)
			}
		}
	}
}

// apply takes a change over. Those that are in the book already are passed over.
func (t *mirror) apply(change book) {
	t.Helper()
	switch {
	case change.Sequence <= t.sequence:
	case change.Sequence > t.sequence+1:
		t.Errorf("a gap: change %d after %d", change.Sequence, t.sequence)
	default:
		t.sequence = change.Sequence
		t.put(change)
	}
}

// book is what the mirror shows.
func (t *mirror) book(symbol string) book {
	b := book{Symbol: symbol, Sequence: t.sequence, Bids: []level{}, Asks: []level{}}
	for _, l := range t.bids {
		b.Bids = append(b.Bids, l)
	}
	for _, l := range t.asks {
		b.Asks = append(b.Asks, l)
	}
	slices.SortFunc(b.Bids, func(x, y level) int { return cmp.Compare(y.Price, x.Price) })
	slices.SortFunc(b.Asks, func(x, y level) int { return cmp.Compare(x.Price, y.Price) })
	return b
}

// flow has people trade until it is told to stop. It returns what stops it.
func (h *house) flow(people []*client, symbols ...string) (stop func()) {
	var done atomic.Bool
	var all sync.WaitGroup
	for i, c := range people {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7)) //nolint:gosec // a seed
			var own []string
			for !done.Load() && !h.Failed() {
				c.act(random, symbols[random.IntN(len(symbols))], &own)
			}
		})
	}
	return func() {
		done.Store(true)
		all.Wait()
	}
}

// A snapshot of the book and the entries of the feed are joined without a gap, while orders flow, from whatever moment.
func TestExchangeBookFromFeed(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("FLW")
		crowd := f.traders(6, 100_000, 1000, "FLW")
		watcher := f.user(t)
		stop := h.flow(crowd, "FLW")
		var mirrors []*mirror
		var feeds []*feedReader
		for n := range 4 {
			feed := watcher.follow("?topics=book:FLW,trades:FLW,candles:FLW").ready()
			m := &mirror{TB: t}
			m.start(watcher.book("FLW"))
			mirrors, feeds = append(mirrors, m), append(feeds, feed)
			feed.await("entries", func() bool { return len(feed.entries) >= 15*(n+1) })
		}
		stop()
		last := watcher.book("FLW")
		for i, feed := range feeds {
			m := mirrors[i]
			told := feed.until(func(e feedEntry) bool {
				return e.Event == "book.changed" && decode[book](t, e).Sequence >= last.Sequence
			})
			for _, change := range ofEvent[book](t, told, "book.changed") {
				m.apply(change)
			}
			if got := m.book("FLW"); !reflect.DeepEqual(got, last) {
				t.Errorf("mirror %d shows %+v\nthe book is %+v", i, got, last)
			}
		}
		checkTopics(t, watcher, feeds[0])
		h.audit()
	})
}

// checkTopics compares what a feed from the beginning told with the tape and with the candles.
func checkTopics(t *testing.T, watcher *client, from *feedReader) {
	t.Helper()
	tape := allOf[trade](watcher, "/v1/symbols/FLW/trades?limit=200")
	from.close()
	feed := watcher.follow("?topics=trades:FLW,candles:FLW&last_event_id=0")
	slices.Reverse(tape)
	if len(tape) == 0 {
		t.Fatal("nothing was traded")
	}
	told := feed.until(func(e feedEntry) bool { return e.Event == "trade" && decode[trade](t, e).ID == tape[len(tape)-1].ID })
	if trades := ofEvent[trade](t, told, "trade"); !reflect.DeepEqual(trades, tape) {
		t.Errorf("told of %d trades, and the tape has %d\n%+v\n%+v", len(trades), len(tape), trades, tape)
	}
	type changed struct {
		Symbol  string
		Candles []candle
	}
	latest := map[string]candle{}
	want := map[string]candle{}
	for _, interval := range []string{"1m", "5m", "1h", "1d"} {
		for _, c := range allOf[candle](watcher, "/v1/symbols/FLW/candles?limit=200&interval="+interval) {
			want[fmt.Sprint(interval, c.Start)] = c
		}
	}
	read := 0
	eventually(t, "the last candles", func() error {
		feed.mu.Lock()
		entries := slices.Clone(feed.entries[read:])
		read = len(feed.entries)
		feed.mu.Unlock()
		for _, one := range ofEvent[changed](t, entries, "candles.changed") {
			for _, c := range one.Candles {
				latest[fmt.Sprint(c.Interval, c.Start)] = c
			}
		}
		if !reflect.DeepEqual(latest, want) {
			return fmt.Errorf("told of %v\nwant %v", latest, want)
		}
		return nil
	})
}

// Trading is halted and resumed while orders flow: what is decided while it is halted is refused, cancellations are not, and nothing is lost.
func TestExchangeHalt(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("HLT")
		ada, crowd := f.trader(1000, 0), f.traders(6, 1_000_000, 10_000, "HLT")
		resting := ada.place(limit("HLT", "buy", 1, 1))
		var done atomic.Bool
		var halted, accepted atomic.Int64
		var all sync.WaitGroup
		for i, c := range crowd {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 9)) //nolint:gosec // a seed
				for !done.Load() && !t.Failed() {
					order := anyOrder(random, "HLT")
					if order["type"] != nil { // a market order would reach those that are to rest
						continue
					}
					switch o := c.submit(order); {
					case o.Status == "succeeded":
						accepted.Add(1)
					case o.Problem != nil && o.Problem.Code == "symbol_halted":
						halted.Add(1)
					case o.Problem == nil || !slices.Contains(refusals, o.Problem.Code):
						t.Errorf("%+v %+v", o, o.Problem)
					}
				}
			})
		}
		more := func(what string, count *atomic.Int64) {
			t.Helper()
			from := count.Load()
			eventually(t, what, func() error {
				if n := count.Load(); n < from+20 {
					return fmt.Errorf("%d", n-from)
				}
				return nil
			})
		}
		for range 4 {
			more("orders that are accepted", &accepted)
			f.admin.halt("HLT", true)
			ada.rejected(limit("HLT", "buy", 1, 1), "symbol_halted") // from the answer on
			before := ada.book("HLT")
			more("orders that are refused", &halted)
			if after := ada.book("HLT"); !reflect.DeepEqual(after, before) {
				t.Errorf("the book of a halted symbol went from %+v to %+v", before, after)
			}
			f.admin.halt("HLT", false)
			f.admin.halt("HLT", false) // as it is already
			ada.place(limit("HLT", "buy", 1, 1))
		}
		f.admin.halt("HLT", true)
		ada.cancel(resting.ID).Result.is(t, "cancelled", 0, 0, 1)
		if n := ada.cancelAll("HLT"); n < 4 {
			t.Errorf("%d orders cancelled", n)
		}
		done.Store(true)
		all.Wait()
		h.conserved(append(crowd, ada), 6*1_000_000+1000, 6*10_000, "HLT")
		h.audit()
	})
}
