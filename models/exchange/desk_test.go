package exchange

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
)

var (
	ids  = id.NewGenerator()
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// desk is a market with its ledger, and the users who trade there. Accounts are opened at stamp 1, the symbol is listed at 2.
type desk struct {
	*Market
	*Round
	users map[string]id.ID // by account
	stamp lamport.Stamp
}

func tcb() Symbol {
	return Symbol{Symbol: "TCB", Name: "Turing Computing Bureau", Tick: 1, Lot: 1, FeeBps: DefaultFeeBps, Lane: LaneName(0), Lamport: 2, Listed: 2, ListedAt: noon}
}

// newDesk opens accounts with cash. The cash account owes it.
func newDesk(symbol Symbol, cash map[string]money.Amount) *desk {
	d := &desk{Market: NewMarket(symbol, nil), users: map[string]id.ID{}, stamp: 10}
	accounts := []bank.Account{{Number: bank.Cash}, {Number: FeesAccount(symbol.Symbol)}}
	for _, account := range slices.Sorted(maps.Keys(cash)) {
		d.users[account] = ids.Next()
		accounts = append(accounts, bank.Account{Number: account, UserID: d.users[account], Balance: cash[account], Opened: 1, Lamport: 1})
		accounts[0].Balance -= cash[account]
	}
	d.Round = &Round{Ledger: bank.NewLedger(accounts, nil), Holdings: NewHoldings(nil), History: NewHistory()}
	return d
}

func (d *desk) cause(account string) Cause {
	d.stamp++
	at := noon.Add(time.Duration(d.stamp) * time.Millisecond)
	return Cause{Cause: bank.Cause{OperationID: ids.Next(), Stamp: d.stamp, At: at}, UserID: d.users[account], SubmittedAt: at.Add(-time.Millisecond)}
}

func (d *desk) issue(account string, quantity int64) {
	if _, refusal := d.Issue(d.Round, d.cause(account), &IssueCommand{account, d.symbol.Symbol, quantity}); refusal != nil {
		panic(refusal)
	}
}

func (d *desk) place(command OrderCommand) (*Facts, *problem.Problem) {
	command.Symbol = d.symbol.Symbol
	return d.Place(d.Round, d.cause(command.Account), &command)
}

// limit is a good-till-cancelled order.
func limit(account string, side Side, quantity int64, price money.Amount) OrderCommand {
	return OrderCommand{Account: account, Side: side, Type: LimitOrder, TimeInForce: GoodTillCancelled, Quantity: quantity, Price: price}
}

func market(account string, side Side, quantity int64) OrderCommand {
	return OrderCommand{Account: account, Side: side, Type: MarketOrder, TimeInForce: ImmediateOrCancel, Quantity: quantity}
}

func (c OrderCommand) in(force TimeInForce) OrderCommand {
	c.TimeInForce = force
	return c
}

func (c OrderCommand) postOnly() OrderCommand {
	c.PostOnly = true
	return c
}

func (c OrderCommand) called(clientOrderID string) OrderCommand {
	c.ClientOrderID = clientOrderID
	return c
}

func (d *desk) mustPlace(t *testing.T, command OrderCommand) *Facts {
	t.Helper()
	facts, refusal := d.place(command)
	if refusal != nil {
		t.Fatalf("%+v: %v", command, refusal)
	}
	return facts
}

// expectAccount compares what an account has: cash, held cash, shares, held shares.
func (d *desk) expectAccount(t *testing.T, account string, balance, held money.Amount, shares, heldShares int64) {
	t.Helper()
	a, h := d.Ledger.Account(account), d.Holdings.Get(account, d.symbol.Symbol)
	if a.Balance != balance || a.Held != held || h.Quantity != shares || h.Held != heldShares {
		t.Errorf("account %s has %d with %d held, and %d shares with %d held; want %d, %d, %d, %d",
			account, a.Balance, a.Held, h.Quantity, h.Held, balance, held, shares, heldShares)
	}
}

// picture is all that a command may change, without the stamps, which refusals move too.
func (d *desk) picture() string {
	var b []byte
	for _, account := range append(slices.Sorted(maps.Keys(d.users)), bank.Cash, FeesAccount(d.symbol.Symbol)) {
		a, h := d.Ledger.Account(account), d.Holdings.Get(account, d.symbol.Symbol)
		b = fmt.Appendf(b, "%s: %d (%d) %d postings, %d (%d) shares\n", account, a.Balance, a.Held, a.Postings, h.Quantity, h.Held)
	}
	for _, o := range d.Open() {
		b = fmt.Appendf(b, "%+v hold %+v\n", o, d.Ledger.Hold(o.ID))
	}
	s := d.symbol
	s.Lamport = 0
	return string(fmt.Appendf(b, "%+v %d entries, history %d %d, changes %+v", s, len(d.Ledger.Entries), len(d.History.users), len(d.History.clientIDs),
		[]int{len(d.changes.Orders), len(d.changes.Trades), len(d.changes.Fills)}))
}

// check says what does not add up.
func (d *desk) check() error {
	if err := d.book.check(); err != nil {
		return err
	}
	cash, shares := money.Amount(0), map[string]int64{}
	held, heldShares := map[string]money.Amount{}, map[string]int64{}
	for _, o := range d.Open() {
		hold := d.Ledger.Hold(o.ID)
		switch {
		case o.Filled+o.Remaining()+o.CancelledQuantity() != o.Quantity || o.Remaining() < 1:
			return fmt.Errorf("open order %+v", o)
		case o.Side == Sell && hold == nil:
			heldShares[o.Account] += o.Remaining()
		case o.Side == Buy && hold != nil && hold.Account == o.Account && hold.Remaining == o.Price*money.Amount(o.Remaining()):
			held[o.Account] += hold.Remaining
		default:
			return fmt.Errorf("open order %+v has the hold %+v", o, hold)
		}
	}
	for _, h := range d.Holdings.All() {
		shares[h.Account] = h.Quantity
		if h.Held != heldShares[h.Account] || h.Available() < 0 || h.Held < 0 {
			return fmt.Errorf("%+v, and the open orders hold %d", h, heldShares[h.Account])
		}
	}
	var sum int64
	for _, quantity := range shares {
		sum += quantity
	}
	if sum != d.symbol.Issued {
		return fmt.Errorf("%d shares, and %d were issued", sum, d.symbol.Issued)
	}
	for account := range d.users {
		a := d.Ledger.Account(account)
		cash += a.Balance
		if a.Held != held[account] || a.Available() < 0 || a.Balance > money.MaxBalance {
			return fmt.Errorf("account %s has %d with %d held, and the open orders hold %d", account, a.Balance, a.Held, held[account])
		}
	}
	if cash += d.Ledger.Account(bank.Cash).Balance + d.Ledger.Account(FeesAccount(d.symbol.Symbol)).Balance; cash != 0 {
		return fmt.Errorf("%d of cash was made or lost", cash)
	}
	return nil
}
