package exchange

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"guichet/models/bank"
	"guichet/models/money"
	"guichet/models/problem"
)

// Who loads a round finds everybody whose money or shares takers may move.
func TestMarketReach(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	d.mustPlace(t, limit("RICH", Sell, 5, 33))
	for _, tt := range []struct {
		quantity int64
		want     string
	}{{0, ""}, {10, "ASKS"}, {11, "ASKS RICH ASKS"}, {15, "ASKS RICH ASKS"}, {100, "ASKS RICH ASKS"}} {
		var reached []string
		d.Reach(Sell, tt.quantity, 0, func(o Order) bool {
			reached = append(reached, o.Account)
			return o.Account != "RICH" // say, it is to be cancelled before
		})
		if got := strings.Join(reached, " "); got != tt.want {
			t.Errorf("%d shares reach %q, want %q", tt.quantity, got, tt.want)
		}
	}
	m := NewMarket(d.Symbol(), d.Open())
	command, c := limit("RICH", Buy, 1, 40), d.cause("RICH")
	command.Symbol = "TCB"
	rich := *d.Ledger.Account("RICH")
	defer func() {
		if recover() == nil {
			t.Error("a trade with an account that was not loaded")
		}
	}()
	_, _ = m.Place(&Round{Ledger: bank.NewLedger([]bank.Account{rich}, nil), Holdings: NewHoldings(nil), History: NewHistory()}, c, &command)
}

// Whatever is decided bears a stamp that is greater than those of all that was read; what was read bears it afterwards, and is stored.
func TestStamps(t *testing.T) {
	t.Parallel()
	d := newDesk(tcb(), map[string]money.Amount{"A": 100, "B": 0})
	loaded := []Holding{{"B", "TCB", 5, 0, 8}, {"A", "TCB", 5, 0, 7}, {"A", "XYZ", 5, 0, 9}}
	d.Holdings = NewHoldings(loaded)
	d.symbol.Issued = 10
	if d.Round.LastStamp() != 9 || d.Market.LastStamp() != 2 || NewHoldings(nil).LastStamp() != 0 || len(d.Holdings.Touched()) != 0 {
		t.Errorf("%d, %d", d.Round.LastStamp(), d.Market.LastStamp())
	}
	if _, refusal := d.place(limit("B", Sell, 6, 1)); codeOf(refusal) != problem.InsufficientShares {
		t.Error(refusal)
	}
	refused := d.stamp
	if touched := d.Holdings.Touched(); !slices.Equal(touched, []Holding{{"B", "TCB", 5, 0, refused}}) {
		t.Errorf("%+v", touched)
	}
	sell := d.mustPlace(t, limit("B", Sell, 5, 1)).Order
	d.mustPlace(t, limit("A", Buy, 2, 1))
	want := []Holding{{"A", "TCB", 7, 0, d.stamp}, {"B", "TCB", 3, 3, d.stamp}}
	if touched := d.Holdings.Touched(); !slices.Equal(touched, want) {
		t.Errorf("%+v", touched)
	}
	if o, _ := d.Find(sell.ID); o.Lamport != d.stamp || o.Priority != sell.Priority || sell.Priority != int64(refused)+1 || d.Round.LastStamp() != d.stamp || d.Market.LastStamp() != d.stamp {
		t.Errorf("%+v", o)
	}
	d.Holdings.Forget()
	if len(d.Holdings.Touched()) != 0 || len(d.Holdings.All()) != 3 {
		t.Errorf("%+v", d.Holdings.Touched())
	}
	d.stamp += 100 // a round later, a market buy that buys nothing has read the account
	d.mustPlace(t, market("B", Buy, 1))
	if d.Ledger.Account("B").Lamport != d.stamp {
		t.Errorf("the account bears %d at %d", d.Ledger.Account("B").Lamport, d.stamp)
	}
}

// Within a round, and between rounds: what was beside the lane is taken over, and a market that is not as it was stored is found out.
func TestRounds(t *testing.T) {
	t.Parallel()
	d := restingDesk(t, tcb())
	first := d.Conclude()
	want := BookChange{Symbol: "TCB", Sequence: 1, Bids: []Level{{30, 10, 1}, {25, 20, 1}}, Asks: []Level{{32, 10, 1}, {35, 20, 1}}}
	if fmt.Sprint(first.Book) != fmt.Sprint(want) || first.Symbol.Sequence != 1 || len(first.Orders) != 4 {
		t.Errorf("%+v", first)
	}
	row := first.Symbol
	row.Halted, row.Lamport = true, row.Lamport+5
	if !d.Refresh(row) || !d.symbol.Halted || d.Market.LastStamp() != row.Lamport {
		t.Errorf("%+v", d.symbol)
	}
	d.stamp = row.Lamport
	d.Halt(d.stamp, false)
	d.mustPlace(t, market("RICH", Buy, 12))
	second := d.Conclude()
	want = BookChange{Symbol: "TCB", Sequence: 2, Asks: []Level{{32, 0, 0}, {35, 18, 1}}}
	if fmt.Sprint(second.Book) != fmt.Sprint(want) || len(second.Trades) != 2 || len(second.Fills) != 4 || len(second.Orders) != 3 {
		t.Errorf("%+v", second)
	}
	if d.Refresh(row) {
		t.Error("a row from before the round is taken for one from after it")
	}
	if third := d.Conclude(); third.Book.Changed() || third.Book.Sequence != 2 || len(third.Orders) != 0 {
		t.Errorf("%+v", third)
	}
	again := NewMarket(d.symbol, d.Open())
	if changes := again.Conclude(); fmt.Sprint(again.Open()) != fmt.Sprint(d.Open()) || changes.Book.Changed() {
		t.Errorf("%v, was %v", again.Open(), d.Open())
	}
	if o, open := again.Find(d.Open()[0].ID); !open || o != d.Open()[0] {
		t.Errorf("%+v", o)
	}
	if _, open := again.Find(ids.Next()); open {
		t.Error("an order that nobody placed is open")
	}
}
