package exchange

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hall is a floor with its store, and beside it a desk for each symbol that has everything in memory, always: what the floor loads must be enough to decide alike.
type hall struct {
	*testing.T
	db     *database.DB
	floor  *Floor
	random *rand.Rand
	desks  map[string]*desk
	users  map[string]id.ID
	stamp  lamport.Stamp
	placed []Order
}

// crowd is who trades: so many that most are in no round, and among them some with a balance at its limit, whose sell orders are passed over.
var crowd = func() map[string]money.Amount {
	crowd := map[string]money.Amount{}
	for n := range 30 {
		crowd[fmt.Sprint("U", n)] = money.Amount(10_000 * (1 + n%7))
		if n%2 == 0 {
			crowd[fmt.Sprint("U", n)] = money.MaxBalance - money.Amount(100*n)
		}
	}
	return crowd
}()

func newHall(t *testing.T, db *database.DB) *hall {
	h := &hall{T: t, db: db, floor: NewFloor(LaneName(0)), random: rand.New(rand.NewPCG(7, 11)), desks: map[string]*desk{}, users: map[string]id.ID{}, stamp: 10} //nolint:gosec // a test that can be repeated
	accounts := []bank.Account{{Number: bank.Cash}}
	for _, number := range slices.Sorted(maps.Keys(crowd)) {
		h.users[number] = ids.Next()
		accounts = append(accounts, bank.Account{Number: number, UserID: h.users[number], Balance: crowd[number], Opened: 1, Lamport: 1, OpenedAt: noon})
	}
	for _, symbol := range []string{"TCB", "XYZ"} {
		accounts = append(accounts, bank.Account{Number: FeesAccount(symbol)})
	}
	ledger := bank.NewLedger(slices.Clone(accounts), nil)
	shared := &Round{Ledger: ledger, Holdings: NewHoldings(nil), History: NewHistory()}
	ok(t, db.Write(t.Context(), func(tx database.Tx) error { return h.open(tx, accounts[1:]) }))
	for _, name := range []string{"TCB", "XYZ"} {
		symbol := tcb()
		symbol.Symbol = name
		h.desks[name] = &desk{Market: NewMarket(symbol, nil), Round: shared, users: h.users}
		ok(t, db.Write(t.Context(), func(tx database.Tx) error {
			rows := database.Rows{Table: "symbols", Columns: []string{"symbol", "name", "tick", "lot", "fee_bps", "lane", "lamport", "listed_lamport", "listed_at_us"}}
			rows.Add(name, symbol.Name, int64(symbol.Tick), symbol.Lot, symbol.FeeBps, symbol.Lane, int64(symbol.Lamport), int64(symbol.Listed), noon.UnixMicro())
			return rows.Insert(tx)
		}))
	}
	return h
}

func (h *hall) open(tx database.Tx, accounts []bank.Account) error {
	rows := database.Rows{Table: "accounts", Columns: []string{"number", "user_id", "balance", "lamport", "opened_lamport", "opened_at_us"}}
	for _, a := range accounts {
		var user any
		if !a.House() {
			user = a.UserID[:]
		}
		rows.Add(a.Number, user, int64(a.Balance), int64(a.Lamport), int64(a.Opened), noon.UnixMicro())
	}
	return rows.Insert(tx)
}

// told is what became of a command.
func told(facts *Facts, refusal *problem.Problem) string {
	if refusal != nil {
		return string(refusal.Code)
	}
	return fmt.Sprintf("%+v", *facts)
}

func (h *hall) apply(m *Market, r *Round, cause Cause, c *Command) (string, *Facts) {
	var facts *Facts
	var refusal *problem.Problem
	switch c.Kind {
	case KindOrder:
		facts, refusal = m.Place(r, cause, &c.Order)
	case KindCancellation:
		facts, refusal = m.Cancel(r, cause, &c.Cancellation)
	case KindMassCancellation:
		facts, refusal = m.CancelAll(r, cause, &c.MassCancellation)
	default:
		holding, refusal := m.Issue(r, cause, &c.Issue)
		if refusal != nil {
			return string(refusal.Code), nil
		}
		return fmt.Sprintf("%+v", *holding), nil
	}
	return told(facts, refusal), facts
}

func (h *hall) someone() string {
	return slices.Sorted(maps.Keys(crowd))[h.random.IntN(len(crowd))]
}

func (h *hall) command() Submitted {
	account := h.someone()
	symbol := []string{"TCB", "TCB", "XYZ"}[h.random.IntN(3)]
	c := &Command{Kind: KindOrder}
	switch n := h.random.IntN(20); {
	case n < 2:
		c.Kind, c.MassCancellation = KindMassCancellation, MassCancellationCommand{account, symbol}
	case n == 2:
		c.Kind, c.Issue = KindIssue, IssueCommand{account, symbol, 1 + h.random.Int64N(50)}
	case n < 7 && len(h.placed) > 0:
		o := h.placed[max(0, len(h.placed)-1-h.random.IntN(40))]
		c.Kind, c.Cancellation = KindCancellation, CancellationCommand{o.Symbol, o.ID}
		if h.random.IntN(8) > 0 {
			account = o.Account
		}
	default:
		c.Order = h.order(account, symbol)
	}
	return Submitted{Command: c, User: h.users[account]}
}

func (h *hall) order(account, symbol string) OrderCommand {
	o := OrderCommand{Account: account, Symbol: symbol, Side: []Side{Buy, Sell}[h.random.IntN(2)], Type: LimitOrder, TimeInForce: GoodTillCancelled,
		Quantity: 1 + h.random.Int64N(12), Price: money.Amount(40 + h.random.Int64N(20))}
	switch h.random.IntN(10) {
	case 0:
		o.Type, o.TimeInForce, o.Price, o.Quantity = MarketOrder, ImmediateOrCancel, 0, 1+h.random.Int64N(60)
	case 1:
		o.TimeInForce = []TimeInForce{ImmediateOrCancel, FillOrKill}[h.random.IntN(2)]
	case 2:
		o.PostOnly = true
	case 3:
		o.ClientOrderID = fmt.Sprint("mine-", h.random.IntN(30))
	case 4:
		o.Quantity = 200 // through several levels
	}
	return o
}

var errFault = errors.New("a fault")

// round executes commands in one transaction, and once more if that was not stored; it compares what became of each with what the desks say.
func (h *hall) round(commands []Submitted, fault bool) {
	h.Helper()
	causes := make([]Cause, len(commands))
	for i := range commands {
		h.stamp++
		at := noon.Add(time.Duration(h.stamp)*700*time.Millisecond - time.Duration(h.random.IntN(3))*time.Minute) // as clocks on the wall may have it
		causes[i] = Cause{Cause: bank.Cause{OperationID: ids.Next(), Stamp: h.stamp, At: at}, UserID: commands[i].User, SubmittedAt: at}
	}
	var outcomes []string
	attempt := func(tx database.Tx) error {
		r, err := h.floor.Load(tx, commands)
		if err != nil {
			return err
		}
		outcomes = outcomes[:0]
		placed := map[id.ID]bool{}
		for i, c := range commands {
			outcome, _ := h.apply(h.floor.Market(c.Symbol()), r, causes[i], c.Command)
			outcomes = append(outcomes, outcome)
			placed[causes[i].OperationID] = true
		}
		if err := h.floor.Prepare(tx); err != nil {
			return err
		}
		if err := tx.Deferred(func(tx database.Tx) error {
			_, err := h.floor.Save(tx, r, func(order id.ID) bool { return placed[order] })
			return err
		}); err != nil {
			return err
		}
		if fault {
			return errFault
		}
		return nil
	}
	if err := h.db.Write(h.Context(), attempt); fault && errors.Is(err, errFault) {
		h.floor.Forget()
		fault = false
		ok(h, h.db.Write(h.Context(), attempt))
	} else {
		ok(h, err)
	}
	for i, c := range commands {
		d := h.desks[c.Symbol()]
		want, facts := h.apply(d.Market, d.Round, causes[i], c.Command)
		if outcomes[i] != want {
			h.Fatalf("%+v of %s:\n%s\nand with everything in memory\n%s", c.Command, c.User, outcomes[i], want)
		}
		if facts != nil && c.Kind == KindOrder {
			h.placed = append(h.placed, facts.Order)
		}
	}
	for _, c := range commands { // as often as the floor does
		if d := h.desks[c.Symbol()]; len(d.changes.Orders)+len(d.levels) > 0 {
			d.Conclude()
		}
	}
}

// compare compares what is stored with the desks.
func (h *hall) compare() {
	h.Helper()
	fresh := NewFloor(LaneName(0))
	tx := h.db.Read(h.Context())
	for name, d := range h.desks {
		_, err := fresh.Load(tx, []Submitted{{Command: &Command{Kind: KindMassCancellation, MassCancellation: MassCancellationCommand{"U1", name}}}})
		ok(h, err)
		for what, m := range map[string]*Market{"in memory": h.floor.markets[name], "read anew": fresh.Market(name)} {
			if m == nil {
				continue
			}
			if got, want := fmt.Sprintf("%+v", m.Open()), fmt.Sprintf("%+v", d.Open()); got != want {
				h.Fatalf("the orders of %s, %s:\n%s\nwant\n%s", name, what, got, want)
			}
		}
		depth, err := ReadDepth(h.Context(), h.db, name, 1000)
		ok(h, err)
		if fmt.Sprint(depth.Bids, depth.Asks) != fmt.Sprint(d.Levels(Buy, 1000), d.Levels(Sell, 1000)) || depth.Symbol.Trades != d.symbol.Trades || depth.Symbol.Issued != d.symbol.Issued {
			h.Fatalf("the book of %s: %+v", name, depth)
		}
	}
	h.compareAccounts(tx)
}

func (h *hall) compareAccounts(tx database.Tx) {
	h.Helper()
	numbers := append(slices.Collect(maps.Keys(crowd)), FeesAccount("TCB"), FeesAccount("XYZ"))
	ledger, err := bank.Load(tx, numbers, nil)
	ok(h, err)
	for _, number := range numbers {
		got, want := ledger.Account(number), h.desks["TCB"].Ledger.Account(number)
		if got.Balance != want.Balance || got.Held != want.Held || got.Postings != want.Postings || got.Lamport != want.Lamport {
			h.Fatalf("account %s: %+v, want %+v", number, got, want)
		}
		held, err := ReadHoldings(tx, number, "", 100)
		ok(h, err)
		for _, holding := range held {
			if want := h.desks["TCB"].Holdings.Get(number, holding.Symbol); holding != want {
				h.Fatalf("%+v, want %+v", holding, want)
			}
		}
	}
}

// A random flow in rounds of all sizes, through faults and takeovers, is decided and stored as one with everything in memory would be.
func TestFloor(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHall(t, db)
		for _, account := range slices.Sorted(maps.Keys(crowd)) {
			h.round([]Submitted{
				{Command: &Command{Kind: KindIssue, Issue: IssueCommand{account, "TCB", 300}}},
				{Command: &Command{Kind: KindIssue, Issue: IssueCommand{account, "XYZ", 300}}},
			}, false)
		}
		for n := range 400 {
			commands := make([]Submitted, 1+h.random.IntN([]int{2, 4, 25}[n%3]))
			for i := range commands {
				commands[i] = h.command()
			}
			h.round(commands, h.random.IntN(10) == 0)
			if h.random.IntN(12) == 0 {
				h.floor.Forget() // as when another process takes the lane over
			}
			if n%20 == 19 {
				h.compare()
			}
		}
		trades, err := Trades(db.Read(t.Context()), "TCB", 0, 10_000)
		ok(t, err)
		if len(trades) < 100 {
			t.Errorf("only %d trades: the flow tests little", len(trades))
		}
		candles, err := Candles(db.Read(t.Context()), CandleFilter{Symbol: "TCB", Interval: 60, Limit: 1000})
		ok(t, err)
		slices.Reverse(trades)
		var want []Candle
		for _, c := range AddTrades(nil, trades) {
			if c.Interval == 60 {
				want = append(want, c)
			}
		}
		slices.Reverse(want)
		if fmt.Sprint(candles) != fmt.Sprint(want) {
			t.Errorf("the candles are\n%v\nwant\n%v", candles, want)
		}
	})
}

// An order whose owner cannot take the proceeds is passed over: the one behind it is within reach, though the quantity alone would not reach it.
func TestFloorReachesBehindFullAccounts(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHall(t, db)
		of := func(account string, c Command) []Submitted {
			return []Submitted{{Command: &c, User: h.users[account]}}
		}
		order := func(account string, side Side, price money.Amount) {
			o := OrderCommand{Account: account, Symbol: "TCB", Side: side, Type: LimitOrder, TimeInForce: GoodTillCancelled, Quantity: 10, Price: price}
			h.round(of(account, Command{Kind: KindOrder, Order: o}), false)
		}
		for _, account := range []string{"U10", "U1"} {
			h.round(of(account, Command{Kind: KindIssue, Issue: IssueCommand{account, "TCB", 20}}), false)
		}
		order("U10", Sell, 60) // it can take 1000 more, and this brings 540
		order("U10", Sell, 60)
		order("U1", Sell, 61)
		order("U3", Buy, 60)
		order("U3", Buy, 61)
		h.compare()
		if last := h.placed[len(h.placed)-1]; last.Filled != 10 {
			t.Errorf("%+v", last)
		}
	})
}
