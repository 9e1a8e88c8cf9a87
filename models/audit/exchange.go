package audit

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// exchangeReplayer replays orders, cancellations and issues, all lanes of them on the same floor, and answers for the tables of the exchange.
//
// What has become of an order that has ended, of a trade and of a fill is kept as a digest. Of the order its owner and the client's id are kept too: to cancel it
// again, or to use the id again, is refused for ever.
type exchangeReplayer struct {
	round  exchange.Round
	tapes  map[string]*tape // by symbol
	orders map[id.ID]uint64 // those that have ended
	open   map[id.ID]uint64 // at the end, those that have not
}

// tape is what the replay makes of a symbol.
type tape struct {
	*exchange.Market
	lane    string
	halts   []haltRow // that are still to come
	trades  []uint64  // by number; 0 was found in the table
	fills   []uint64  // two for each trade: the taker's, then the maker's
	candles map[exchange.CandleKey]exchange.Candle
}

// newExchangeReplayer lists every symbol as it was listed: without orders and shares, and not halted.
func newExchangeReplayer(tx database.Tx, ledger *bank.Ledger) (replayer, error) {
	x := &exchangeReplayer{
		round: exchange.Round{Ledger: ledger, Holdings: exchange.NewHoldings(nil), History: exchange.NewHistory()},
		tapes: map[string]*tape{}, orders: map[id.ID]uint64{}, open: map[id.ID]uint64{},
	}
	symbols, err := readSymbols(tx)
	if err != nil {
		return nil, err
	}
	for _, s := range symbols {
		s.Halted, s.Sequence, s.Trades, s.Issued, s.Lamport = false, 0, 0, 0, s.Listed
		x.tapes[s.Symbol] = &tape{Market: exchange.NewMarket(s, nil), lane: s.Lane, candles: map[exchange.CandleKey]exchange.Candle{}}
	}
	for h, err := range halts(tx) {
		if err != nil {
			return nil, err
		}
		if t := x.tapes[h.symbol]; t != nil {
			t.halts = append(t.halts, *h)
		}
	}
	return x, nil
}

func (x *exchangeReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	c, err := exchange.DecodeCommand(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	defer x.round.Holdings.Forget()
	t := x.tapes[c.Symbol()]
	if t == nil || t.lane != command.Lane { // a lane knows its own symbols only
		return x.decide(nil, command, cause, c)
	}
	t.haltBefore(cause.Stamp)
	refusal := x.decide(t.Market, command, cause, c)
	x.note(t, t.Conclude())
	return refusal
}

func (x *exchangeReplayer) decide(m *exchange.Market, command *operation.Command, cause bank.Cause, c *exchange.Command) (refusal *problem.Problem) {
	by := exchange.Cause{Cause: cause, UserID: command.UserID, SubmittedAt: command.SubmittedAt}
	switch c.Kind {
	case exchange.KindOrder:
		_, refusal = m.Place(&x.round, by, &c.Order)
	case exchange.KindCancellation:
		_, refusal = m.Cancel(&x.round, by, &c.Cancellation)
	case exchange.KindMassCancellation:
		_, refusal = m.CancelAll(&x.round, by, &c.MassCancellation)
	case exchange.KindIssue:
		_, refusal = m.Issue(&x.round, by, &c.Issue)
	}
	return refusal
}

// haltBefore halts and resumes trading as was done before a stamp. Who did it had the lane's row locked, so no operation bears the same stamp.
func (t *tape) haltBefore(stamp lamport.Stamp) {
	for len(t.halts) > 0 && t.halts[0].stamp < stamp {
		t.Halt(t.halts[0].stamp, t.halts[0].halted)
		t.halts = t.halts[1:]
	}
}

// note keeps what an operation has done.
func (x *exchangeReplayer) note(t *tape, changes exchange.Changes) {
	for i := range changes.Orders {
		if o := &changes.Orders[i]; o.Status != exchange.Open {
			x.orders[o.ID] = digestOrder(o)
		}
	}
	for i := range changes.Trades {
		t.trades = append(t.trades, digestTrade(&changes.Trades[i]))
	}
	for i := range changes.Fills {
		t.fills = append(t.fills, digestFill(&changes.Fills[i]))
	}
	if len(changes.Trades) > 0 {
		t.noteCandles(changes.Trades)
	}
}

func (t *tape) noteCandles(trades []exchange.Trade) {
	known := make([]exchange.Candle, 0, len(exchange.Intervals))
	for _, key := range exchange.CandleKeys(trades[0].At) { // the trades of one operation are of one time
		if c, found := t.candles[key]; found {
			known = append(known, c)
		}
	}
	for _, c := range exchange.AddTrades(known, trades) {
		t.candles[c.Key()] = c
	}
}

// A digest is never 0, which stands for what was found.

func digestOrder(o *exchange.Order) uint64 {
	flags := int64(0)
	if o.PostOnly {
		flags = 1
	}
	return digestOf([]int64{flags, o.Quantity, o.Filled, int64(o.Price), o.Priority, operation.Micro(o.SubmittedAt), operation.Micro(o.CompletedAt), int64(o.Lamport)},
		o.ID[:], o.UserID[:], []byte(o.Account), []byte(o.ClientOrderID), []byte(o.Symbol), []byte(o.Side), []byte(o.Type), []byte(o.TimeInForce), []byte(o.Status))
}

func digestTrade(t *exchange.Trade) uint64 {
	return digestOf([]int64{t.Number, int64(t.Price), t.Quantity, operation.Micro(t.At)}, t.MakerOrder[:], t.TakerOrder[:], []byte(t.TakerSide))
}

func digestFill(f *exchange.Fill) uint64 {
	return digestOf([]int64{f.Number, f.Quantity, int64(f.Price), int64(f.Fee), operation.Micro(f.At), int64(f.Lamport)},
		f.UserID[:], f.OrderID[:], []byte(f.Side), []byte(f.Liquidity))
}

func digestOf(numbers []int64, texts ...[]byte) uint64 {
	b := make([]byte, 0, 320)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, text := range texts {
		b = append(append(b, byte(len(text))), text...)
	}
	return max(maphash.Bytes(seed, b), 1)
}

// compare reports where the tables of the exchange are not as the replay has left things. The sequence of a book is that of the rounds, which the journal does
// not know.
func (x *exchangeReplayer) compare(tx database.Tx, c *Check) error {
	for _, t := range x.tapes {
		t.haltBefore(math.MaxInt64)
		for _, o := range t.Open() {
			x.open[o.ID] = digestOrder(&o)
		}
	}
	for _, compare := range []func(database.Tx, *Check) error{x.compareSymbols, x.compareOrders, x.compareHoldings, x.compareTrades, x.compareFills, x.compareLevels, x.compareCandles} {
		if err := compare(tx, c); err != nil {
			return err
		}
	}
	return nil
}

func (x *exchangeReplayer) names() []string { return slices.Sorted(maps.Keys(x.tapes)) }

func (x *exchangeReplayer) compareSymbols(tx database.Tx, c *Check) error {
	symbols, err := readSymbols(tx)
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if again := x.tapes[s.Symbol].Symbol(); describe(&s) != describe(&again) {
			c.find("symbol %s: there are %s; replayed, %s", s.Symbol, describe(&s), describe(&again))
		}
	}
	return nil
}

func describe(s *exchange.Symbol) string {
	return fmt.Sprintf("%d trades of %d shares, halted: %t, at stamp %d", s.Trades, s.Issued, s.Halted, s.Lamport)
}

func (x *exchangeReplayer) compareOrders(tx database.Tx, c *Check) error {
	for o, err := range orders(tx) {
		if err != nil {
			return err
		}
		replayed := x.orders
		if _, open := x.open[o.ID]; open {
			replayed = x.open
		}
		again, found := replayed[o.ID]
		switch {
		case !found:
			c.find("order %s is recorded, and not replayed", o.ID)
		case again != digestOrder(&o.Order):
			c.find("order %s is not recorded as it was replayed: it is %s, %d of %d at %d filled, at stamp %d", o.ID, o.Status, o.Filled, o.Quantity, o.Price, o.Lamport)
		}
		delete(replayed, o.ID)
	}
	for _, missing := range []map[id.ID]uint64{x.orders, x.open} {
		for _, order := range id.Keys(missing) {
			c.find("order %s was replayed, and is not recorded", order)
		}
	}
	return nil
}

func (x *exchangeReplayer) compareHoldings(tx database.Tx, c *Check) error {
	again := map[exchange.HoldingKey]exchange.Holding{}
	for _, h := range x.round.Holdings.All() {
		again[exchange.HoldingKey{Account: h.Account, Symbol: h.Symbol}] = h
	}
	for h, err := range holdings(tx) {
		if err != nil {
			return err
		}
		key := exchange.HoldingKey{Account: h.Account, Symbol: h.Symbol}
		if replayed := again[key]; *h != replayed {
			c.find("account %s: there are %d %s with %d held, at stamp %d; replayed, %d with %d held, at stamp %d",
				h.Account, h.Quantity, h.Symbol, h.Held, h.Lamport, replayed.Quantity, replayed.Held, replayed.Lamport)
		}
		delete(again, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(again), byAccount) {
		c.find("account %s: replayed, there are %d %s with %d held, and none are recorded", key.Account, again[key].Quantity, key.Symbol, again[key].Held)
	}
	return nil
}
