package bank

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
)

var (
	ids  = id.NewGenerator()
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// The stamp of the operations in these tests; accounts are opened at stamp 1.
const now lamport.Stamp = 100

func cause() Cause { return Cause{OperationID: ids.Next(), Stamp: now, At: noon} }

func user(number string, balance, held money.Amount) Account {
	return Account{Number: number, UserID: ids.Next(), Balance: balance, Held: held, Opened: 1, Lamport: 1}
}

func house(number string, balance money.Amount) Account {
	return Account{Number: number, Balance: balance}
}

// picture is a ledger at one moment, without the stamps, which refusals move too.
type picture struct {
	accounts map[string]Account
	holds    map[id.ID]Hold
	entries  int
	parts    map[id.ID]int
}

func (l *Ledger) picture() picture {
	p := picture{accounts: map[string]Account{}, holds: map[id.ID]Hold{}, entries: len(l.Entries), parts: maps.Clone(l.parts)}
	for number, a := range l.accounts {
		plain := *a
		plain.Lamport = 0
		p.accounts[number] = plain
	}
	for hold, h := range l.holds {
		p.holds[hold] = *h
	}
	return p
}

func (p picture) equal(q picture) bool {
	return maps.Equal(p.accounts, q.accounts) && maps.Equal(p.holds, q.holds) && p.entries == q.entries && maps.Equal(p.parts, q.parts)
}

func expectRefusal(t *testing.T, got *problem.Problem, want problem.Code) {
	t.Helper()
	switch {
	case got == nil && want != "":
		t.Errorf("not refused; want %s", want)
	case got != nil && got.Code != want:
		t.Errorf("refused: %v; want %q", got, want)
	}
}

func expectPanic(t *testing.T, name string, call func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", name)
		}
	}()
	call()
}

// TestPostRefuses goes through the refusals in the order in which they are tried: each case would also meet the refusals that stand below it.
func TestPostRefuses(t *testing.T) {
	t.Parallel()
	const much, highest, lowest = money.MaxBalance, money.Amount(math.MaxInt64), money.Amount(math.MinInt64)
	for _, tt := range []struct {
		name string
		legs []Leg
		want problem.Code
	}{
		{"the payer is unknown, and the receiver full", []Leg{{"NOBODY", -5}, {"FULL", 5}}, problem.UnknownAccount},
		{"the receiver is unknown, and the payer poor", []Leg{{"POOR", -5}, {"NOBODY", 5}}, problem.UnknownAccount},
		{"a third is unknown", []Leg{{"POOR", -5}, {"FULL", 4}, {"NOBODY", 1}}, problem.UnknownAccount},
		{"the receiver is opened later", []Leg{{"POOR", -5}, {"LATER", 5}}, problem.UnknownAccount},
		{"the receiver is opened at the same stamp", []Leg{{"POOR", -5}, {"NOW", 5}}, problem.UnknownAccount},
		{"the payer is poor, and the receiver full", []Leg{{"POOR", -5}, {"FULL", 5}}, problem.InsufficientFunds},
		{"all but one is held", []Leg{{"HELD", -2}, {"RICH", 2}}, problem.InsufficientFunds},
		{"the second payer is poor", []Leg{{"RICH", -1}, {"POOR", -5}, {"FULL", 6}}, problem.InsufficientFunds},
		{"the whole of 64 bits is asked for", []Leg{{"RICH", lowest}, {"cash", highest}, {"POOR", 1}}, problem.InsufficientFunds},
		{"the receiver is full", []Leg{{"RICH", -1}, {"FULL", 1}}, problem.BalanceLimit},
		{"the receiver lacks one, and gets two", []Leg{{"cash", -2}, {"ALMOST", 2}}, problem.BalanceLimit},
		{"what is held counts", []Leg{{"cash", -2}, {"FULLHELD", 2}}, problem.BalanceLimit},
		{"the house is full", []Leg{{"RICH", -1}, {"vault", 1}}, problem.BalanceLimit},
		{"the house owes all it can", []Leg{{"debts", -1}, {"POOR", 1}}, problem.BalanceLimit},
		{"the last leg is too much", []Leg{{"RICH", -3}, {"POOR", 2}, {"FULL", 1}}, problem.BalanceLimit},

		{"nothing against it", []Leg{{"RICH", -1}, {"POOR", 1}}, ""},
		{"down to nothing", []Leg{{"HELD", -1}, {"POOR", 1}}, ""},
		{"all there is", []Leg{{"RICH", -1000}, {"POOR", 1000}}, ""},
		{"up to the limit", []Leg{{"cash", -1}, {"ALMOST", 1}}, ""},
		{"from nothing to the limit", []Leg{{"cash", -much}, {"NEW", much}}, ""},
		{"the house may owe", []Leg{{"cash", -1}, {"POOR", 1}}, ""},
		{"the house may have more than a user may", []Leg{{"cash", -much - 1}, {"fees", much + 1}}, ""},
		{"the most that one request may move", []Leg{{"cash", -money.Max}, {"NEW", money.Max}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			later, same := user("LATER", 0, 0), user("NOW", 0, 0)
			later.Opened, same.Opened = now+1, now
			l := NewLedger([]Account{
				user("POOR", 4, 0), user("RICH", 1000, 0), user("HELD", 10, 9), user("FULL", much, 0), user("ALMOST", much-1, 0), user("FULLHELD", much-1, 5), user("NEW", 0, 0),
				later, same, house(Cash, 0), house("vault", highest), house("debts", lowest), house("fees", 0),
			}, nil)
			before := l.picture()
			entry, refusal := l.Post(cause(), KindTransfer, "", tt.legs)
			expectRefusal(t, refusal, tt.want)
			if (entry == nil) != (tt.want != "") {
				t.Errorf("the entry is %v", entry)
			}
			if changed := !l.picture().equal(before); changed != (tt.want == "") {
				t.Errorf("refused: %q; changed: %t", tt.want, changed)
			}
		})
	}
}

func TestPostPanicsOnBugs(t *testing.T) {
	t.Parallel()
	const highest, lowest = money.Amount(math.MaxInt64), money.Amount(math.MinInt64)
	for name, legs := range map[string][]Leg{
		"no legs":                      nil,
		"one leg":                      {{"A", 5}},
		"one leg of nothing":           {{"A", 0}},
		"a leg that moves nothing":     {{"A", -5}, {"B", 5}, {"C", 0}},
		"two legs of nothing":          {{"A", 0}, {"B", 0}},
		"money from nowhere":           {{"A", -5}, {"B", 6}},
		"money that vanishes":          {{"A", -5}, {"B", 4}},
		"one account twice":            {{"A", -5}, {"A", 5}},
		"one account twice among more": {{"A", -5}, {"B", 2}, {"A", 3}},
		"a sum that wraps around to 0": {{"A", highest}, {"B", highest}, {"C", 2}},
		"one that wraps the other way": {{"A", lowest}, {"B", lowest}},
	} {
		l := NewLedger([]Account{house("A", 0), house("B", 0), house("C", 0)}, nil)
		expectPanic(t, name, func() { _, _ = l.Post(cause(), KindTransfer, "", legs) })
		if len(l.Entries) != 0 {
			t.Errorf("%s made an entry", name)
		}
	}
}

func TestEntry(t *testing.T) {
	t.Parallel()
	a, b := user("A", 50, 0), user("B", 7, 0)
	a.Postings, a.LastPosting = 3, noon.Add(time.Hour)
	l := NewLedger([]Account{a, b, house("fees", 0)}, nil)
	c := cause()
	entry, refusal := l.Post(c, "purchase", "two seats", []Leg{{"A", -20}, {"B", 18}, {"fees", 2}})
	expectRefusal(t, refusal, "")
	if entry.OperationID != c.OperationID || entry.Part != 0 || entry.Kind != "purchase" || entry.Reference != "two seats" || entry.Lamport != now {
		t.Errorf("the entry is %+v", entry)
	}
	if !entry.At.Equal(noon.Add(time.Hour)) {
		t.Errorf("the entry is of %s, and the account's last posting is later", entry.At)
	}
	want := []Posting{{"A", 4, -20, 30, "B"}, {"B", 1, 18, 25, "A"}, {"fees", 1, 2, 2, "A"}}
	if !slices.Equal(entry.Postings, want) {
		t.Errorf("the postings are %+v", entry.Postings)
	}
	if entry.Posting("B").Amount != 18 || entry.Posting("cash") != nil {
		t.Error("Posting finds the wrong line")
	}
	first := entry.ID()
	entry, refusal = l.Post(c, "fee", "", []Leg{{"B", -1}, {"fees", 1}})
	expectRefusal(t, refusal, "")
	if entry.Part != 1 || first != c.OperationID.String()+".0" || entry.ID() != c.OperationID.String()+".1" {
		t.Errorf("the operation's entries are %s and %s", first, entry.ID())
	}
	if !entry.At.Equal(noon.Add(time.Hour)) {
		t.Errorf("time went back to %s on an account", entry.At)
	}
	for _, number := range []string{"A", "B", "fees"} {
		if l.Account(number).Lamport != now {
			t.Errorf("account %s is stamped %d", number, l.Account(number).Lamport)
		}
	}
}

// TestRefusalsAreStamped: what a refusal depended on is not changed, but bears its stamp, so that later changes come after it.
func TestRefusalsAreStamped(t *testing.T) {
	t.Parallel()
	l := NewLedger([]Account{user("A", 1, 0), user("B", 0, 0), user("C", 0, 0)}, nil)
	_, refusal := l.Post(cause(), KindTransfer, "", []Leg{{"A", -2}, {"B", 2}})
	expectRefusal(t, refusal, problem.InsufficientFunds)
	if a, b, c := l.Account("A"), l.Account("B"), l.Account("C"); a.Lamport != now || b.Lamport != now || c.Lamport != 1 || l.LastStamp() != now {
		t.Errorf("A is stamped %d, B %d, C %d, the ledger %d", a.Lamport, b.Lamport, c.Lamport, l.LastStamp())
	}
	if len(l.touched) != 2 {
		t.Errorf("%d accounts are to be stored", len(l.touched))
	}
}
