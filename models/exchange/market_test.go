package exchange

import (
	"fmt"
	"slices"
	"testing"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

// The mission's worked example.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	d := newDesk(tcb(), map[string]money.Amount{"1": 2000, "2": 0})
	d.issue("2", 80)
	bought := d.mustPlace(t, limit("1", Buy, 50, 32))
	d.expectAccount(t, "1", 2000, 1600, 0, 0)
	if len(bought.Fills) != 0 || bought.Order.Status != Open {
		t.Errorf("the buy: %+v", bought)
	}
	sold := d.mustPlace(t, limit("2", Sell, 50, 32))
	d.expectAccount(t, "1", 400, 0, 50, 0)
	d.expectAccount(t, "2", 1440, 0, 30, 0)
	d.expectAccount(t, FeesAccount("TCB"), 160, 0, 0, 0)
	trade := Trade{Symbol: "TCB", Number: 1, Price: 32, Quantity: 50, TakerSide: Sell, MakerOrder: bought.Order.ID, TakerOrder: sold.Order.ID, At: sold.Order.CompletedAt, Lamport: d.stamp}
	want := []Fill{
		{UserID: d.users["2"], Account: "2", OrderID: sold.Order.ID, Symbol: "TCB", Number: 1, Side: Sell, Quantity: 50, Price: 32, Fee: 160, Liquidity: Taker, OrderComplete: true, At: trade.At, Lamport: d.stamp},
		{UserID: d.users["1"], Account: "1", OrderID: bought.Order.ID, Symbol: "TCB", Number: 1, Side: Buy, Quantity: 50, Price: 32, Liquidity: Maker, OrderComplete: true, At: trade.At, Lamport: d.stamp},
	}
	if !slices.Equal(sold.Fills, want) || !slices.Equal(sold.Trades, []Trade{trade}) || len(sold.Cancelled) != 0 || sold.Order.Status != Filled {
		t.Errorf("the sell: %+v", sold)
	}
	changes := d.Conclude()
	if len(changes.Orders) != 2 || changes.Orders[0].Status != Filled || changes.Orders[0].Filled != 50 || changes.Orders[0].CompletedAt != trade.At || changes.Orders[0].Lamport != d.stamp {
		t.Errorf("the orders are %+v", changes.Orders)
	}
	if changes.Book.Changed() || changes.Symbol.Sequence != 0 || changes.Symbol.Trades != 1 || changes.Symbol.Lamport != d.stamp {
		t.Errorf("the level came and went in one round: %+v, %+v", changes.Book, changes.Symbol)
	}
	if entry := d.Ledger.Entries[0]; entry.Kind != KindTrade || entry.Reference != "TCB-1" || len(entry.Postings) != 3 || entry.OperationID != sold.Order.ID {
		t.Errorf("the entry is %+v", entry)
	}
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

// restingDesk: ASKS offers 10 at 32 and 20 at 35, BIDS bids for 10 at 30 and 20 at 25. RICH and POOR have 100,000 and 95 of cash, and 100 and 3 shares.
func restingDesk(t *testing.T, symbol Symbol) *desk {
	t.Helper()
	d := newDesk(symbol, map[string]money.Amount{"ASKS": 0, "BIDS": 1000, "RICH": 100_000, "POOR": 95, "FULL": money.MaxBalance - 100})
	for account, shares := range map[string]int64{"ASKS": 30, "RICH": 100, "POOR": 3, "FULL": 50} {
		d.issue(account, shares)
	}
	for _, command := range []OrderCommand{limit("ASKS", Sell, 10, 32), limit("ASKS", Sell, 20, 35), limit("BIDS", Buy, 10, 30), limit("BIDS", Buy, 20, 25)} {
		d.mustPlace(t, command)
	}
	return d
}

func TestPlace(t *testing.T) {
	t.Parallel()
	type has struct {
		balance, held      money.Amount
		shares, heldShares int64
	}
	for _, tt := range []struct {
		name    string
		command OrderCommand
		status  Status
		filled  int64
		trades  string // price×quantity
		after   has
	}{
		{"rests", limit("RICH", Buy, 5, 31), Open, 0, "", has{100_000, 155, 100, 0}},
		{"rests to be sold", limit("RICH", Sell, 5, 31), Open, 0, "", has{100_000, 0, 100, 5}},
		{"is filled at the resting price, and holds nothing", limit("RICH", Buy, 5, 40), Filled, 5, "32×5", has{100_000 - 160, 0, 105, 0}},
		{"is filled in part, and holds the rest at its limit", limit("RICH", Buy, 15, 34), Open, 10, "32×10", has{100_000 - 320, 5 * 34, 110, 0}},
		{"is filled at two prices", limit("RICH", Buy, 15, 35), Filled, 15, "32×10 35×5", has{100_000 - 320 - 175, 0, 115, 0}},
		{"sells at the resting price", limit("RICH", Sell, 12, 20), Filled, 12, "30×10 25×2", has{100_000 + 270 + 45, 0, 88, 0}},
		{"sells in part, and offers the rest", limit("RICH", Sell, 12, 30), Open, 10, "30×10", has{100_000 + 270, 0, 90, 2}},
		{"immediate or cancel, filled", limit("RICH", Buy, 10, 32).in(ImmediateOrCancel), Filled, 10, "32×10", has{100_000 - 320, 0, 110, 0}},
		{"immediate or cancel, in part", limit("RICH", Buy, 11, 32).in(ImmediateOrCancel), Cancelled, 10, "32×10", has{100_000 - 320, 0, 110, 0}},
		{"immediate or cancel, nothing", limit("RICH", Buy, 11, 31).in(ImmediateOrCancel), Cancelled, 0, "", has{100_000, 0, 100, 0}},
		{"fill or kill, filled", limit("RICH", Buy, 30, 35).in(FillOrKill), Filled, 30, "32×10 35×20", has{100_000 - 320 - 700, 0, 130, 0}},
		{"fill or kill, sold", limit("RICH", Sell, 30, 25).in(FillOrKill), Filled, 30, "30×10 25×20", has{100_000 + 270 + 450, 0, 70, 0}},
		{"fill or kill at any price", market("RICH", Buy, 30).in(FillOrKill), Filled, 30, "32×10 35×20", has{100_000 - 320 - 700, 0, 130, 0}},
		{"post-only", limit("RICH", Buy, 5, 31).postOnly(), Open, 0, "", has{100_000, 155, 100, 0}},
		{"market", market("RICH", Buy, 12), Filled, 12, "32×10 35×2", has{100_000 - 320 - 70, 0, 112, 0}},
		{"market, more than there is", market("RICH", Buy, 31), Cancelled, 30, "32×10 35×20", has{100_000 - 320 - 700, 0, 130, 0}},
		{"market, cash for a part", market("POOR", Buy, 5), Cancelled, 2, "32×2", has{31, 0, 5, 0}},
		{"market, to be sold", market("RICH", Sell, 12), Filled, 12, "30×10 25×2", has{100_000 + 270 + 45, 0, 88, 0}},
		{"market, to be sold, more than is wanted", market("RICH", Sell, 40), Cancelled, 30, "30×10 25×20", has{100_000 + 270 + 450, 0, 70, 0}},
		{"stops at its owner's order", limit("ASKS", Buy, 1, 40).in(ImmediateOrCancel), Cancelled, 0, "", has{}},
		{"all of the cash", limit("POOR", Buy, 5, 19), Open, 0, "", has{95, 95, 3, 0}},
		{"all of the shares", limit("POOR", Sell, 3, 31), Open, 0, "", has{95, 0, 3, 3}},
		{"the most that the account can take", limit("FULL", Sell, 1, 111), Open, 0, "", has{money.MaxBalance - 100, 0, 50, 1}},
		{"up to what the account can take", market("FULL", Sell, 20), Cancelled, 0, "", has{money.MaxBalance - 100, 0, 50, 0}},
		{"a part that the account can take", market("FULL", Sell, 3), Filled, 3, "30×3", has{money.MaxBalance - 19, 0, 47, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := restingDesk(t, tcb())
			if tt.command.Account == "ASKS" { // cash to buy its own shares with
				d.Ledger.Account("ASKS").Balance, d.Ledger.Account("RICH").Balance = 40, 100_000-40
				tt.after = has{40, 0, 30, 30}
			}
			facts := d.mustPlace(t, tt.command)
			o := facts.Order
			if o.Status != tt.status || o.Filled != tt.filled || o.CompletedAt.IsZero() != (tt.status == Open) || o.Filled+o.Remaining()+o.CancelledQuantity() != o.Quantity {
				t.Errorf("the order is %+v", o)
			}
			if trades := tradesOf(facts); trades != tt.trades || len(facts.Fills) != 2*len(facts.Trades) {
				t.Errorf("trades %s, want %s", trades, tt.trades)
			}
			if cancelled := len(facts.Cancelled) > 0; cancelled != (tt.status == Cancelled) || cancelled && facts.Cancelled[0] != o {
				t.Errorf("cancelled: %+v", facts.Cancelled)
			}
			d.expectAccount(t, tt.command.Account, tt.after.balance, tt.after.held, tt.after.shares, tt.after.heldShares)
			if err := d.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func tradesOf(facts *Facts) (all string) {
	for i, trade := range facts.Trades {
		if i > 0 {
			all += " "
		}
		all += fmt.Sprintf("%d×%d", trade.Price, trade.Quantity)
	}
	return all
}

// Each refusal, and the one before it in the order of the checks where both apply.
func TestPlaceRefuses(t *testing.T) {
	t.Parallel()
	odd := tcb()
	odd.Tick, odd.Lot = 5, 10
	halted := odd
	halted.Halted = true
	for _, tt := range []struct {
		name    string
		symbol  Symbol
		command OrderCommand
		want    problem.Code
	}{
		{"halted, and no such account", halted, limit("NOBODY", Buy, 1, 1), problem.SymbolHalted},
		{"no such account, and a bad lot", odd, limit("NOBODY", Buy, 1, 1), problem.UnknownAccount},
		{"an account of the house", odd, limit(FeesAccount("TCB"), Buy, 10, 5), problem.UnknownAccount},
		{"an id used before, and a bad lot", odd, limit("RICH", Buy, 1, 1).called("mine"), problem.DuplicateClientOrderID},
		{"a bad lot and a bad tick", odd, limit("RICH", Buy, 11, 1), problem.InvalidLot},
		{"a bad tick, and too few shares", odd, limit("RICH", Sell, 110, 1), problem.InvalidTick},
		{"a bad lot of a market order", odd, market("RICH", Buy, 11), problem.InvalidLot},
		{"too few shares, and too much", odd, limit("RICH", Sell, 110, MaxPrice), problem.InsufficientShares},
		{"no shares at all", odd, market("BIDS", Sell, 10), problem.InsufficientShares},
		{"too much, and too little cash", odd, limit("RICH", Buy, MaxQuantity, MaxPrice), problem.NotionalOverflow},
		{"too little cash, and it would cross", tcb(), limit("POOR", Buy, 3, 32).postOnly(), problem.InsufficientFunds},
		{"too little cash by one", tcb(), limit("POOR", Buy, 4, 24), problem.InsufficientFunds},
		{"more than the account can take, and it would cross", tcb(), limit("FULL", Sell, 50, 30).postOnly(), problem.BalanceLimit},
		{"more than the account can take, by one", tcb(), limit("FULL", Sell, 1, 112), problem.BalanceLimit},
		{"would cross", tcb(), limit("RICH", Buy, 3, 32).postOnly(), problem.PostOnlyWouldCross},
		{"would cross, selling", tcb(), limit("RICH", Sell, 3, 30).postOnly(), problem.PostOnlyWouldCross},
		{"cannot be filled at its limit", tcb(), limit("RICH", Buy, 11, 34).in(FillOrKill), problem.FOKNotFillable},
		{"cannot be filled at all", tcb(), market("RICH", Buy, 31).in(FillOrKill), problem.FOKNotFillable},
		{"cannot be paid for", tcb(), market("POOR", Buy, 3).in(FillOrKill), problem.FOKNotFillable},
		{"its owner is in the way", tcb(), market("BIDS", Sell, 5).in(FillOrKill), problem.FOKNotFillable},
		{"the proceeds are too much", tcb(), market("FULL", Sell, 4).in(FillOrKill), problem.FOKNotFillable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := restingDesk(t, tcb())
			if tt.command.Account == "BIDS" && tt.want == problem.FOKNotFillable {
				d.issue("BIDS", 5)
			}
			d.History.AddClientOrderID(d.users["RICH"], "mine")
			d.symbol.Tick, d.symbol.Lot, d.symbol.Halted = tt.symbol.Tick, tt.symbol.Lot, tt.symbol.Halted
			before := d.picture()
			facts, refusal := d.place(tt.command)
			if refusal == nil || refusal.Code != tt.want || facts != nil {
				t.Errorf("refused as %v, want %s", refusal, tt.want)
			}
			if after := d.picture(); after != before {
				t.Errorf("something changed:\n%s\nwas\n%s", after, before)
			}
			if d.symbol.Lamport != d.stamp {
				t.Errorf("the symbol does not show that it was read: %d at %d", d.symbol.Lamport, d.stamp)
			}
			if a := d.Ledger.Account(tt.command.Account); tt.want != problem.SymbolHalted && tt.want != problem.UnknownAccount && a.Lamport != d.stamp {
				t.Errorf("the account does not show that it was read: %d at %d", a.Lamport, d.stamp)
			}
		})
	}
}

func TestUnknownSymbol(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	d.Market = NewMarket(tcb(), nil)
	d.symbol.Listed = d.stamp + 4 // not before the operations below
	for name, m := range map[string]*Market{"not listed": nil, "listed later": d.Market} {
		d.stamp = 50
		command := limit("RICH", Buy, 1, 1)
		command.Symbol = "TCB"
		if m != nil {
			m.symbol.Listed = d.stamp + 4
		}
		_, order := m.Place(d.Round, d.cause("RICH"), &command)
		_, issue := m.Issue(d.Round, d.cause("RICH"), &IssueCommand{"RICH", "TCB", 1})
		_, cancellation := m.Cancel(d.Round, d.cause("RICH"), &CancellationCommand{"TCB", ids.Next()})
		_, mass := m.CancelAll(d.Round, d.cause("RICH"), &MassCancellationCommand{"RICH", "TCB"})
		if order.Code != problem.UnknownSymbol || issue.Code != problem.UnknownSymbol || cancellation.Code != problem.UnknownOrder || mass.Code != problem.UnknownSymbol {
			t.Errorf("%s: %v, %v, %v, %v", name, order, issue, cancellation, mass)
		}
	}
}

// The newer order is cancelled; what it traded before stands.
func TestSelfTrade(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	d.mustPlace(t, limit("RICH", Sell, 5, 33))
	facts := d.mustPlace(t, limit("RICH", Buy, 20, 35))
	if tradesOf(facts) != "32×10" || facts.Order.Status != Cancelled || facts.Order.CancelledQuantity() != 10 || len(facts.Cancelled) != 1 {
		t.Errorf("%+v", facts)
	}
	d.expectAccount(t, "RICH", 100_000-320, 0, 110, 5)
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

// A maker whose account cannot take the proceeds is cancelled, and matching goes on.
func TestMakerAtItsLimit(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	full := d.mustPlace(t, limit("FULL", Sell, 3, 31)) // takes 84 of the 100
	d.Ledger.Account("FULL").Balance += 50
	d.Ledger.Account("RICH").Balance -= 50
	before := d.picture()
	if _, refusal := d.place(market("RICH", Buy, 31).in(FillOrKill)); refusal.Code != problem.FOKNotFillable || d.picture() != before {
		t.Errorf("%v", refusal)
	}
	facts := d.mustPlace(t, limit("RICH", Buy, 12, 40).in(FillOrKill))
	if tradesOf(facts) != "32×10 35×2" || len(facts.Cancelled) != 1 || facts.Cancelled[0].ID != full.Order.ID || facts.Cancelled[0].Status != Cancelled || facts.Order.Status != Filled {
		t.Errorf("%+v", facts)
	}
	d.expectAccount(t, "FULL", money.MaxBalance-50, 0, 50, 0)
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

// What an account has received from one match counts in the next: of two that it could take alone, it takes one.
func TestLimitOverTwoMatches(t *testing.T) {
	t.Parallel()
	for _, taker := range []Side{Buy, Sell} {
		d := newDesk(tcb(), map[string]money.Amount{"RICH": 1000, "MORE": 1000, "FULL": money.MaxBalance - 60})
		d.issue("FULL", 3)
		orders := []OrderCommand{limit("FULL", Sell, 1, 40), limit("FULL", Sell, 2, 30)} // 54 and 36
		last := limit("RICH", Buy, 3, 40)
		if taker == Sell {
			orders, last = []OrderCommand{limit("RICH", Buy, 2, 30), limit("MORE", Buy, 1, 29)}, limit("FULL", Sell, 3, 20)
		}
		for _, command := range orders {
			d.mustPlace(t, command)
		}
		facts := d.mustPlace(t, last)
		if tradesOf(facts) != "30×2" || len(facts.Cancelled) != 1 || facts.Cancelled[0].Account != "FULL" {
			t.Errorf("taken by the %s: %+v", taker, facts)
		}
		if err := d.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	buy, sell := d.mustPlace(t, limit("RICH", Buy, 10, 31)).Order, d.mustPlace(t, limit("RICH", Sell, 15, 40)).Order
	filled := d.mustPlace(t, market("RICH", Buy, 1)).Order
	d.mustPlace(t, limit("POOR", Sell, 3, 31)) // to the buy
	cancel := func(account string, order id.ID) (*Facts, *problem.Problem) {
		return d.Cancel(d.Round, d.cause(account), &CancellationCommand{"TCB", order})
	}
	d.expectAccount(t, "RICH", 100_000-32-93, 7*31, 104, 15)
	d.Halt(d.stamp, true) // cancelling goes on
	for _, tt := range []struct {
		account string
		order   id.ID
		want    problem.Code
	}{
		{"POOR", buy.ID, problem.UnknownOrder},
		{"POOR", filled.ID, problem.UnknownOrder},
		{"RICH", ids.Next(), problem.UnknownOrder},
		{"RICH", filled.ID, problem.OrderNotOpen},
		{"RICH", buy.ID, ""},
		{"RICH", buy.ID, problem.OrderNotOpen},
		{"RICH", sell.ID, ""},
		{"POOR", sell.ID, problem.UnknownOrder},
	} {
		before := d.picture()
		facts, refusal := cancel(tt.account, tt.order)
		switch {
		case tt.want == "":
			if refusal != nil || facts.Order.Status != Cancelled || facts.Order.ID != tt.order || !slices.Equal(facts.Cancelled, []Order{facts.Order}) {
				t.Errorf("%+v, %v", facts, refusal)
			}
		case refusal == nil || refusal.Code != tt.want || d.picture() != before:
			t.Errorf("%s cancels: %v, want %s", tt.account, refusal, tt.want)
		}
		if err := d.check(); err != nil {
			t.Error(err)
		}
	}
	d.expectAccount(t, "RICH", 100_000-32-93, 0, 104, 0)
}

func TestCancelAll(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	var placed []id.ID
	for _, command := range []OrderCommand{limit("RICH", Buy, 10, 31), limit("RICH", Sell, 5, 32), limit("RICH", Buy, 1, 1)} {
		placed = append(placed, d.mustPlace(t, command).Order.ID)
	}
	for n, want := range [][]id.ID{placed, nil} {
		if open := d.OpenOf("RICH"); len(open) != len(want) {
			t.Errorf("open: %+v", open)
		}
		facts, refusal := d.CancelAll(d.Round, d.cause("RICH"), &MassCancellationCommand{"RICH", "TCB"})
		var cancelled []id.ID
		for _, o := range facts.Cancelled {
			cancelled = append(cancelled, o.ID)
		}
		if refusal != nil || !slices.Equal(cancelled, want) {
			t.Errorf("%d: %v, %v", n, cancelled, refusal)
		}
	}
	d.expectAccount(t, "RICH", 100_000, 0, 100, 0)
	if err := d.check(); err != nil || d.Len() != 4 {
		t.Errorf("%d are left: %v", d.Len(), err)
	}
}

func TestIssue(t *testing.T) {
	t.Parallel()
	d := newDesk(tcb(), map[string]money.Amount{"A": 0, "B": 0})
	d.symbol.Issued = MaxShares - 10
	d.Holdings = NewHoldings([]Holding{{Account: "A", Symbol: "TCB", Quantity: MaxShares - 10}})
	for _, tt := range []struct {
		account  string
		quantity int64
		want     problem.Code
	}{{"B", 11, problem.BalanceLimit}, {"NOBODY", 11, problem.UnknownAccount}, {"cash", 1, problem.UnknownAccount}, {"B", 10, ""}, {"A", 1, problem.BalanceLimit}} {
		before := d.picture()
		after, refusal := d.Issue(d.Round, d.cause("A"), &IssueCommand{tt.account, "TCB", tt.quantity})
		switch {
		case tt.want == "":
			if refusal != nil || after.Quantity != 10 || after.Account != "B" || after.Lamport != d.stamp {
				t.Errorf("%+v, %v", after, refusal)
			}
		case refusal == nil || refusal.Code != tt.want || d.picture() != before:
			t.Errorf("%d for %s: %v, want %s", tt.quantity, tt.account, refusal, tt.want)
		}
		if err := d.check(); err != nil {
			t.Error(err)
		}
	}
}

// The fee of 10 % of 1 is rounded to 0, of 5 to 1; of all, nothing is left for the seller.
func TestFeesAtTheEdge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		bps      int
		price    money.Amount
		proceeds money.Amount
	}{{1000, 1, 1}, {1000, 4, 4}, {1000, 5, 4}, {1000, 14, 13}, {1000, 15, 13}, {5000, 1, 0}, {10_000, 7, 0}, {0, 7, 7}, {1, MaxPrice, MaxPrice - 100_000_000_000}} {
		symbol := tcb()
		symbol.FeeBps = tt.bps
		for _, taker := range []Side{Buy, Sell} {
			d := newDesk(symbol, map[string]money.Amount{"B": money.MaxBalance, "S": 0})
			d.issue("S", 1)
			orders := []OrderCommand{limit("B", Buy, 1, tt.price), limit("S", Sell, 1, tt.price)}
			if taker == Buy {
				slices.Reverse(orders)
			}
			for _, command := range orders {
				d.mustPlace(t, command)
			}
			d.expectAccount(t, "S", tt.proceeds, 0, 0, 0)
			d.expectAccount(t, FeesAccount("TCB"), tt.price-tt.proceeds, 0, 0, 0)
			if err := d.check(); err != nil {
				t.Errorf("%d bps of %d, taken by the %s: %v", tt.bps, tt.price, taker, err)
			}
		}
	}
}

// Price × quantity at the edge of what an account may hold, and of 64 bits.
func TestNotionalAtTheEdge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		price    money.Amount
		quantity int64
		want     problem.Code
	}{
		{MaxPrice, 9, ""}, {MaxPrice, 10, problem.NotionalOverflow}, {MaxPrice, MaxQuantity, problem.NotionalOverflow},
		{9_007_199_254, 1_000_000, ""}, {9_007_199_255, 1_000_000, problem.NotionalOverflow},
		{1 << 43, 1 << 21, problem.NotionalOverflow}, {1 << 40, 1 << 24, problem.NotionalOverflow}, {1 << 45, 1 << 19, problem.NotionalOverflow}, // 2^64
		{1 << 32, 1<<31 + 1, problem.NotionalOverflow}, {1 << 26, 1<<27 - 1, ""}, {1 << 26, 1 << 27, problem.NotionalOverflow},
	} {
		d := newDesk(tcb(), map[string]money.Amount{"B": money.MaxBalance})
		_, refusal := d.place(limit("B", Buy, tt.quantity, tt.price))
		if got := codeOf(refusal); got != tt.want {
			t.Errorf("%d × %d: %q, want %q", tt.price, tt.quantity, got, tt.want)
		}
		if refusal == nil {
			d.expectAccount(t, "B", money.MaxBalance, tt.price*money.Amount(tt.quantity), 0, 0)
		}
	}
}

func codeOf(refusal *problem.Problem) problem.Code {
	if refusal == nil {
		return ""
	}
	return refusal.Code
}

// A client's own id is used up by an order that was accepted, whatever became of it, and by no other; other users may have the same.
func TestClientOrderID(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	for _, tt := range []struct {
		command OrderCommand
		want    problem.Code
	}{
		{limit("RICH", Buy, 11, 32).in(FillOrKill).called("a"), problem.FOKNotFillable},
		{limit("RICH", Buy, 1, 1).in(ImmediateOrCancel).called("a"), ""},
		{limit("RICH", Buy, 1, 1).called("a"), problem.DuplicateClientOrderID},
		{limit("POOR", Buy, 1, 1).called("a"), ""},
		{limit("RICH", Buy, 1, 1).called("A"), ""},
		{limit("RICH", Buy, 1, 1), ""},
		{limit("RICH", Buy, 1, 1), ""},
	} {
		if facts, refusal := d.place(tt.command); codeOf(refusal) != tt.want || refusal == nil && facts.Order.ClientOrderID != tt.command.ClientOrderID {
			t.Errorf("%+v: %v, want %q", tt.command, refusal, tt.want)
		}
	}
	if open := d.OpenOf("POOR"); open[0].ClientOrderID != "a" {
		t.Errorf("%+v", open)
	}
}

func TestPlacePanicsOnBugs(t *testing.T) {
	t.Parallel()
	for name, command := range badOrders() {
		d := restingDesk(t, tcb())
		before := d.picture()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: it was placed", name)
				}
			}()
			_, _ = d.place(command)
		}()
		if d.picture() != before {
			t.Errorf("%s: something changed", name)
		}
	}
}
