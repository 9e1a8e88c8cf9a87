package exchange

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

// tradingDay is a market under a random flow of several users, with a second opinion on every order: the checks on integers without a limit, and the plain book.
type tradingDay struct {
	*rapid.T
	*desk
	start  map[string]money.Amount
	script []func(*desk) // all that was done, to be replayed
	orders map[id.ID]Order
	named  map[string]bool    // the clients' own ids, with the account
	depth  map[levelKey]Level // as a client knows it, who follows the changes
	seen   int64              // the sequence of the last one
}

var traders = []string{"ADA", "BOB", "EVE", "FULL", "POOR"}

func newTradingDay(t *rapid.T) *tradingDay {
	symbol := tcb()
	symbol.Tick = money.Amount(rapid.SampledFrom([]int64{1, 1, 5}).Draw(t, "tick"))
	symbol.Lot = rapid.SampledFrom([]int64{1, 1, 10}).Draw(t, "lot")
	symbol.FeeBps = rapid.SampledFrom([]int{0, 1, 1000, 1000, 3333, 10_000}).Draw(t, "fee")
	w := &tradingDay{T: t, orders: map[id.ID]Order{}, named: map[string]bool{}, depth: map[levelKey]Level{},
		start: map[string]money.Amount{"ADA": 100_000, "BOB": money.Max, "EVE": 20_000, "FULL": money.MaxBalance - 3000, "POOR": 99}}
	w.desk = newDesk(symbol, w.start)
	return w
}

func (w *tradingDay) place() {
	command := OrderCommand{
		Account: rapid.SampledFrom(traders).Draw(w.T, "account"), Side: sides.Draw(w.T, "side"), Type: rapid.SampledFrom([]Type{LimitOrder, LimitOrder, LimitOrder, MarketOrder}).Draw(w.T, "type"),
		TimeInForce: rapid.SampledFrom([]TimeInForce{ImmediateOrCancel, FillOrKill}).Draw(w.T, "force"),
		Quantity:    rapid.OneOf(rapid.Map(rapid.Int64Range(1, 6), func(n int64) int64 { return 10 * n }), rapid.Int64Range(1, 30), rapid.Int64Range(1, MaxQuantity)).Draw(w.T, "quantity"),
	}
	if command.Type == LimitOrder {
		command.Price = money.Amount(rapid.OneOf(rapid.Map(rapid.Int64Range(16, 24), func(n int64) int64 { return 5 * n }), rapid.Int64Range(90, 110), rapid.Int64Range(1, int64(MaxPrice))).Draw(w.T, "price"))
		if rapid.IntRange(0, 4).Draw(w.T, "rests") > 0 {
			command.TimeInForce = GoodTillCancelled
			command.PostOnly = rapid.IntRange(0, 5).Draw(w.T, "post-only") == 0
		}
	}
	if rapid.IntRange(0, 9).Draw(w.T, "named") == 0 {
		command.ClientOrderID = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(w.T, "client order id")
	}
	want, matches := w.opinion(&command)
	before, facts, refusal := w.picture(), (*Facts)(nil), (*problem.Problem)(nil)
	command.Symbol = w.symbol.Symbol
	c := w.cause(command.Account)
	w.do(func(d *desk) { facts, refusal = d.Place(d.Round, c, &command) })
	if codeOf(refusal) != want {
		w.Fatalf("%+v: %v, want %q", command, refusal, want)
	}
	if want != "" {
		w.expectUnchanged(before)
		return
	}
	w.compareMatches(&command, facts, matches)
	w.orders[facts.Order.ID] = facts.Order
	w.named[command.Account+command.ClientOrderID] = command.ClientOrderID != ""
	w.noteFacts(facts)
}

// opinion says what is to become of an order: why it is refused, or whom it meets.
func (w *tradingDay) opinion(command *OrderCommand) (problem.Code, []made) {
	a, h := w.Ledger.Account(command.Account), w.Holdings.Get(command.Account, w.symbol.Symbol)
	notional := new(big.Int).Mul(big.NewInt(int64(command.Price)), big.NewInt(command.Quantity))
	most := big.NewInt(1<<53 - 1)
	switch {
	case w.symbol.Halted:
		return problem.SymbolHalted, nil
	case w.named[command.Account+command.ClientOrderID]:
		return problem.DuplicateClientOrderID, nil
	case command.Quantity%w.symbol.Lot != 0:
		return problem.InvalidLot, nil
	case command.Price%w.symbol.Tick != 0:
		return problem.InvalidTick, nil
	case command.Side == Sell && h.Quantity-h.Held < command.Quantity:
		return problem.InsufficientShares, nil
	case notional.Cmp(most) > 0:
		return problem.NotionalOverflow, nil
	case command.Side == Buy && command.Type == LimitOrder && notional.Cmp(big.NewInt(int64(a.Balance-a.Held))) > 0:
		return problem.InsufficientFunds, nil
	case command.Side == Sell && w.after(a.Balance, 0, notional).Cmp(most) > 0:
		return problem.BalanceLimit, nil
	}
	book, owners := newPlain(), map[string]uint32{}
	for _, o := range w.Open() {
		if owners[o.Account] == 0 {
			owners[o.Account] = uint32(len(owners)) + 1
		}
		book.rest(Resting{ID: o.ID, Owner: owners[o.Account], Side: o.Side, Price: o.Price, Quantity: o.Remaining()})
	}
	if command.PostOnly && book.crosses(command.Side, command.Price) {
		return problem.PostOnlyWouldCross, nil
	}
	received := map[string]money.Amount{}
	taker := Incoming{Side: command.Side, Price: command.Price, Quantity: command.Quantity, Owner: owners[command.Account], Lot: w.symbol.Lot}
	if command.Side == Buy && command.Type == MarketOrder {
		taker.Capped, taker.Budget = true, a.Balance-a.Held
	}
	taker.Judge = func(m Match) Verdict {
		seller, verdict := command.Account, StopTaker
		if command.Side == Buy {
			o, _ := w.Find(m.ID)
			seller, verdict = o.Account, DropMaker
		}
		after := w.after(w.Ledger.Account(seller).Balance, received[seller], new(big.Int).Mul(big.NewInt(int64(m.Price)), big.NewInt(m.Quantity)))
		if after.Cmp(most) > 0 {
			return verdict
		}
		received[seller] = money.Amount(after.Int64()) - w.Ledger.Account(seller).Balance
		return Agreed
	}
	matches, remaining, _ := book.take(taker)
	if command.TimeInForce == FillOrKill && remaining > 0 {
		return problem.FOKNotFillable, nil
	}
	return "", matches
}

// after is a balance after some proceeds of which the fee has been taken.
func (w *tradingDay) after(balance, received money.Amount, notional *big.Int) *big.Int {
	after := new(big.Int).Add(big.NewInt(int64(balance+received)), notional)
	return after.Sub(after, plainFee(notional, w.symbol.FeeBps))
}

func (w *tradingDay) compareMatches(command *OrderCommand, facts *Facts, matches []made) {
	var trades, dropped []string
	var filled int64
	for _, m := range matches {
		if m.Quantity == 0 {
			dropped = append(dropped, m.ID.String())
			continue
		}
		trades = append(trades, fmt.Sprint(m.ID, m.Price, m.Quantity))
		filled += m.Quantity
	}
	var traded, cancelled []string
	for _, trade := range facts.Trades {
		traded = append(traded, fmt.Sprint(trade.MakerOrder, trade.Price, trade.Quantity))
	}
	for _, o := range facts.Cancelled {
		if o.ID != facts.Order.ID {
			cancelled = append(cancelled, o.ID.String())
		}
	}
	if !slices.Equal(traded, trades) || !slices.Equal(cancelled, dropped) || facts.Order.Filled != filled {
		w.Fatalf("%+v: traded %v, cancelled %v; want %v, %v", command, traded, cancelled, trades, dropped)
	}
	if rests := facts.Order.Status == Open; rests && command.TimeInForce != GoodTillCancelled || facts.Order.Status == Filled != (filled == command.Quantity) {
		w.Fatalf("%+v: %+v", command, facts.Order)
	}
}

// noteFacts checks the fills, and keeps what they say of the orders.
func (w *tradingDay) noteFacts(facts *Facts) {
	for i, trade := range facts.Trades {
		taker, maker := facts.Fills[2*i], facts.Fills[2*i+1]
		o := w.orders[maker.OrderID]
		o.Filled += trade.Quantity
		if maker.OrderComplete {
			o.Status = Filled
		}
		w.orders[o.ID] = o
		fee := money.Amount(plainFee(big.NewInt(int64(trade.Price)*trade.Quantity), w.symbol.FeeBps).Int64())
		for _, f := range []Fill{taker, maker} {
			if f.Quantity != trade.Quantity || f.Price != trade.Price || f.Number != trade.Number || f.Side == Sell && f.Fee != fee || f.Side == Buy && f.Fee != 0 {
				w.Fatalf("%+v of %+v", f, trade)
			}
		}
		if taker.Side != trade.TakerSide || maker.Side == taker.Side || taker.UserID == maker.UserID || maker.OrderID != trade.MakerOrder || taker.Liquidity != Taker ||
			maker.OrderComplete != (o.Filled == o.Quantity) || o.Side == Buy && trade.Price != o.Price || taker.OrderID != facts.Order.ID {
			w.Fatalf("%+v, %+v of %+v", taker, maker, trade)
		}
	}
	for _, o := range facts.Cancelled {
		w.orders[o.ID] = o
	}
}

func (w *tradingDay) someOrder() id.ID {
	if len(w.orders) == 0 {
		return ids.Next()
	}
	known := id.Keys(w.orders)
	return rapid.SampledFrom(known).Draw(w.T, "order")
}

func (w *tradingDay) cancel() {
	account, o := rapid.SampledFrom(traders).Draw(w.T, "account"), w.orders[w.someOrder()]
	if rapid.IntRange(0, 3).Draw(w.T, "foreign") > 0 && o.Account != "" {
		account = o.Account
	}
	want := problem.Code("")
	switch {
	case o.Account != account:
		want = problem.UnknownOrder
	case o.Status != Open:
		want = problem.OrderNotOpen
	}
	before, facts, refusal := w.picture(), (*Facts)(nil), (*problem.Problem)(nil)
	c := w.cause(account)
	w.do(func(d *desk) { facts, refusal = d.Cancel(d.Round, c, &CancellationCommand{w.symbol.Symbol, o.ID}) })
	switch {
	case codeOf(refusal) != want:
		w.Fatalf("%s cancels %+v: %v, want %q", account, o, refusal, want)
	case want != "":
		w.expectUnchanged(before)
	default:
		w.noteFacts(facts)
	}
}

func (w *tradingDay) cancelAll() {
	account := rapid.SampledFrom(traders).Draw(w.T, "account")
	var facts *Facts
	c := w.cause(account)
	w.do(func(d *desk) {
		facts, _ = d.CancelAll(d.Round, c, &MassCancellationCommand{account, w.symbol.Symbol})
	})
	w.noteFacts(facts)
	for _, o := range w.orders {
		if o.Account == account && o.Status == Open {
			w.Fatalf("all of %s were cancelled, but not %+v", account, o)
		}
	}
}

func (w *tradingDay) grant() {
	account, c := rapid.SampledFrom(traders).Draw(w.T, "account"), w.cause("")
	quantity := rapid.OneOf(rapid.Int64Range(1, 100), rapid.Int64Range(1, MaxQuantity)).Draw(w.T, "shares")
	w.do(func(d *desk) { _, _ = d.Issue(d.Round, c, &IssueCommand{account, w.symbol.Symbol, quantity}) })
}

func (w *tradingDay) halt() {
	w.stamp++
	stamp, halted := w.stamp, rapid.IntRange(0, 3).Draw(w.T, "halted") == 0
	w.do(func(d *desk) { d.Halt(stamp, halted) })
}

func (w *tradingDay) do(step func(*desk)) {
	w.script = append(w.script, step)
	step(w.desk)
}

func (w *tradingDay) expectUnchanged(before string) {
	if after := w.picture(); after != before {
		w.Fatalf("a refusal changed something:\n%s\nwas\n%s", after, before)
	}
}

// conclude ends a round. Whoever has followed the changes has the book; and the market is made anew from the orders, as after a takeover.
func (w *tradingDay) conclude() {
	changes := w.Conclude()
	for _, o := range changes.Orders {
		if known := w.orders[o.ID]; o.Filled != known.Filled || o.Status != known.Status || o.CompletedAt.IsZero() != (o.Status == Open) {
			w.Fatalf("the order is %+v, and the facts say %+v", o, known)
		}
	}
	if changes.Book.Changed() {
		w.seen++
	}
	if changes.Book.Sequence != w.seen {
		w.Fatalf("change %d follows %d", changes.Book.Sequence, w.seen)
	}
	for side, levels := range map[Side][]Level{Buy: changes.Book.Bids, Sell: changes.Book.Asks} {
		for _, l := range levels {
			if w.depth[levelKey{side, l.Price}] == l {
				w.Fatalf("%s level %+v did not change", side, l)
			}
			w.depth[levelKey{side, l.Price}] = l
			if l.Quantity == 0 {
				delete(w.depth, levelKey{side, l.Price})
			}
		}
	}
	depth := map[levelKey]Level{}
	for _, side := range []Side{Buy, Sell} {
		for _, l := range w.Levels(side, 1<<30) {
			depth[levelKey{side, l.Price}] = l
		}
	}
	if !maps.Equal(depth, w.depth) {
		w.Fatalf("the book is %v, and who follows it has %v", depth, w.depth)
	}
	if rapid.Bool().Draw(w.T, "takeover") {
		before := w.picture()
		w.Market = NewMarket(w.symbol, w.Open())
		w.expectUnchanged(before)
	}
}

// replay does everything again, each command a round of its own, and compares what comes of it.
func (w *tradingDay) replay() {
	symbol := w.symbol
	symbol.Halted, symbol.Sequence, symbol.Trades, symbol.Issued = false, 0, 0, 0
	again := newDesk(symbol, w.start)
	again.users = w.users
	var accounts []bank.Account
	for number := range w.start {
		a := *again.Ledger.Account(number)
		a.UserID = w.users[number]
		accounts = append(accounts, a)
	}
	accounts = append(accounts, *again.Ledger.Account(bank.Cash), *again.Ledger.Account(FeesAccount(symbol.Symbol)))
	again.Ledger = bank.NewLedger(accounts, nil)
	for _, step := range w.script {
		step(again)
		again.Forget()
		again.Ledger.Forget()
		again.Holdings.Forget()
	}
	again.symbol.Sequence = w.symbol.Sequence // of rounds
	again.Ledger.Entries = w.Ledger.Entries
	w.Market.Forget()
	if got, want := again.picture(), w.picture(); got != want {
		w.Fatalf("replayed, there is\n%s\nwant\n%s", got, want)
	}
}

func aTradingDay(t *rapid.T) {
	w := newTradingDay(t)
	for _, account := range traders {
		c := w.cause("")
		w.do(func(d *desk) { _, _ = d.Issue(d.Round, c, &IssueCommand{account, w.symbol.Symbol, 100}) })
	}
	place := func(*rapid.T) { w.place() }
	t.Repeat(map[string]func(*rapid.T){
		"place": place, "place one more": place, "place another": place, "place yet another": place,
		"cancel": func(*rapid.T) { w.cancel() }, "cancel all": func(*rapid.T) { w.cancelAll() }, "issue": func(*rapid.T) { w.grant() },
		"halt": func(*rapid.T) { w.halt() }, "end the round": func(*rapid.T) { w.conclude() },
		"": func(t *rapid.T) {
			if err := w.check(); err != nil {
				t.Fatal(err)
			}
		},
	})
	w.replay()
}

func TestTradingDays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, aTradingDay)
}

func FuzzTradingDay(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(aTradingDay))
}
