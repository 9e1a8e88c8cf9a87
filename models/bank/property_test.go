package bank

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
)

// plain is the rules once more, told as simply as can be, on integers without a limit. It shares nothing with Ledger.
type plain struct {
	balance map[string]*big.Int
	held    map[string]*big.Int
	opened  map[string]lamport.Stamp
	user    map[string]bool
	holds   map[id.ID]*plainHold
}

type plainHold struct {
	account   string
	remaining int64
}

func (p *plain) knows(account string, stamp lamport.Stamp) bool {
	opened, known := p.opened[account]
	return known && opened < stamp
}

func (p *plain) available(account string) *big.Int {
	return new(big.Int).Sub(p.balance[account], p.held[account])
}

func (p *plain) post(stamp lamport.Stamp, legs []Leg) problem.Code {
	for _, leg := range legs {
		if !p.knows(leg.Account, stamp) {
			return problem.UnknownAccount
		}
	}
	after := func(of *big.Int, leg Leg) *big.Int { return new(big.Int).Add(of, big.NewInt(int64(leg.Amount))) }
	for _, leg := range legs {
		if p.user[leg.Account] && leg.Amount < 0 && after(p.available(leg.Account), leg).Sign() < 0 {
			return problem.InsufficientFunds
		}
	}
	for _, leg := range legs {
		balance := after(p.balance[leg.Account], leg)
		if !balance.IsInt64() || p.user[leg.Account] && balance.Cmp(big.NewInt(1<<53-1)) > 0 {
			return problem.BalanceLimit
		}
	}
	for _, leg := range legs {
		p.balance[leg.Account] = after(p.balance[leg.Account], leg)
	}
	return ""
}

func (p *plain) hold(account string, amount int64) {
	p.held[account] = new(big.Int).Add(p.held[account], big.NewInt(amount))
}

// world is a ledger and the plain model of it.
type world struct {
	*rapid.T
	ledger *Ledger
	plain  plain
	start  map[string]money.Amount
	stamp  lamport.Stamp
	posted map[string][]Posting
	lastAt map[string]time.Time
}

var everybody = []string{"ADA", "BOB", "EVE", "FULL", "LATE", Cash, "vault", "debts", "NOBODY"}

func newWorld(t *rapid.T) *world {
	w := &world{T: t, start: map[string]money.Amount{}, posted: map[string][]Posting{}, lastAt: map[string]time.Time{},
		plain: plain{map[string]*big.Int{}, map[string]*big.Int{}, map[string]lamport.Stamp{}, map[string]bool{}, map[id.ID]*plainHold{}}}
	late := user("LATE", 10, 0)
	late.Opened = 15
	accounts := []Account{user("ADA", 1000, 0), user("BOB", 0, 0), user("EVE", money.Max, 0), user("FULL", money.MaxBalance-3, 0), late,
		house(Cash, 0), house("vault", math.MaxInt64-5), house("debts", math.MinInt64+5)}
	for _, a := range accounts {
		w.start[a.Number] = a.Balance
		w.plain.balance[a.Number], w.plain.held[a.Number] = big.NewInt(int64(a.Balance)), new(big.Int)
		w.plain.opened[a.Number], w.plain.user[a.Number] = a.Opened, !a.House()
	}
	w.ledger = NewLedger(accounts, nil)
	return w
}

func (w *world) amount() money.Amount {
	return money.Amount(rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, int64(money.Max)),
		rapid.SampledFrom([]int64{1, 2, 3, 4, 5, 6, 1000, int64(money.Max), int64(money.MaxBalance), int64(money.MaxBalance) + 1, math.MaxInt64 / 3})).Draw(w.T, "amount"))
}

// receivers splits an amount among some accounts.
func (w *world) receivers(amount money.Amount, others []string) []Leg {
	others = rapid.Permutation(others).Draw(w.T, "receivers")
	more := rapid.IntRange(0, 2).Draw(w.T, "more receivers")
	var legs []Leg
	for ; more > 0 && amount > 1; more-- {
		part := money.Amount(rapid.Int64Range(1, int64(amount)-1).Draw(w.T, "part"))
		legs, amount = append(legs, Leg{others[more], part}), amount-part
	}
	return append(legs, Leg{others[0], amount})
}

func (w *world) cause() Cause {
	w.stamp += lamport.Stamp(rapid.IntRange(1, 3).Draw(w.T, "stamp"))
	return Cause{ids.Next(), w.stamp, noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(w.T, "clock")) * time.Second)}
}

func without(accounts []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(accounts), func(a string) bool { return a == one })
}

func (w *world) post() {
	from, amount := rapid.SampledFrom(everybody).Draw(w.T, "from"), w.amount()
	legs := append([]Leg{{from, -amount}}, w.receivers(amount, without(everybody, from))...)
	c := w.cause()
	w.expect(fmt.Sprintf("posting %v", legs), w.plain.post(c.Stamp, legs), func() (*Entry, *problem.Problem) { return w.ledger.Post(c, KindTransfer, "", legs) })
}

func (w *world) authorise() {
	account, amount, c := rapid.SampledFrom(everybody[:5]).Draw(w.T, "account"), w.amount(), w.cause()
	hold, want := ids.Next(), problem.Code("")
	switch {
	case !w.plain.knows(account, c.Stamp):
		want = problem.UnknownAccount
	case w.plain.available(account).Cmp(big.NewInt(int64(amount))) < 0:
		want = problem.InsufficientFunds
	default:
		w.plain.hold(account, int64(amount))
		w.plain.holds[hold] = &plainHold{account, int64(amount)}
	}
	w.expect(fmt.Sprintf("holding %d of %s", amount, account), want, func() (*Entry, *problem.Problem) {
		_, refusal := w.ledger.Authorise(c, hold, account, amount)
		return nil, refusal
	})
}

// part picks a hold and some of what remains of it; the id is zero if there is none.
func (w *world) part() (id.ID, *plainHold, int64) {
	open := []id.ID{}
	for hold, h := range w.plain.holds {
		if h.remaining > 0 {
			open = append(open, hold)
		}
	}
	if len(open) == 0 {
		return id.ID{}, nil, 0
	}
	slices.SortFunc(open, id.Compare)
	hold := rapid.SampledFrom(open).Draw(w.T, "hold")
	h := w.plain.holds[hold]
	return hold, h, rapid.OneOf(rapid.Just(h.remaining), rapid.Int64Range(1, h.remaining)).Draw(w.T, "part of the hold")
}

func (w *world) capture() {
	hold, h, amount := w.part()
	if h == nil {
		return
	}
	to, c := w.receivers(money.Amount(amount), without(everybody, h.account)), w.cause()
	w.plain.hold(h.account, -amount)
	want := w.plain.post(c.Stamp, append([]Leg{{h.account, money.Amount(-amount)}}, to...))
	if want == "" {
		h.remaining -= amount
	} else {
		w.plain.hold(h.account, amount)
	}
	w.expect(fmt.Sprintf("capturing %d of %s for %v", amount, h.account, to), want,
		func() (*Entry, *problem.Problem) {
			return w.ledger.Capture(c, hold, "purchase", "", money.Amount(amount), to)
		})
}

func (w *world) release() {
	hold, h, amount := w.part()
	if h == nil {
		return
	}
	c := w.cause()
	w.plain.hold(h.account, -amount)
	h.remaining -= amount
	w.expect("releasing", "", func() (*Entry, *problem.Problem) {
		w.ledger.Release(c, hold, money.Amount(amount))
		return nil, nil
	})
}

// expect has the ledger do what the plain model has done, and compares.
func (w *world) expect(what string, want problem.Code, do func() (*Entry, *problem.Problem)) {
	before := w.ledger.picture()
	entry, refusal := do()
	var got problem.Code
	if refusal != nil {
		got = refusal.Code
	}
	if got != want {
		w.Fatalf("%s: refused as %q, want %q", what, got, want)
	}
	if want != "" && (entry != nil || !w.ledger.picture().equal(before)) {
		w.Fatalf("%s: refused as %s, and changed something", what, want)
	}
	if entry != nil {
		w.note(entry)
	}
	w.compare(what)
}

// note checks an entry, and adds its postings to the accounts' statements.
func (w *world) note(entry *Entry) {
	sum := new(big.Int)
	for _, p := range entry.Postings {
		sum.Add(sum, big.NewInt(int64(p.Amount)))
		if p.Amount == 0 || p.Counterparty == p.Account || entry.Posting(p.Counterparty) == nil {
			w.Fatalf("posting %+v", p)
		}
		if entry.At.Before(w.lastAt[p.Account]) {
			w.Fatalf("time goes back on %s", p.Account)
		}
		w.lastAt[p.Account] = entry.At
		w.posted[p.Account] = append(w.posted[p.Account], p)
	}
	if sum.Sign() != 0 || len(entry.Postings) < 2 {
		w.Fatalf("the postings of %+v sum to %s", entry, sum)
	}
}

func (w *world) compare(what string) {
	held := map[string]money.Amount{}
	for hold, h := range w.plain.holds {
		if got := w.ledger.Hold(hold); got == nil || int64(got.Remaining) != h.remaining || got.Account != h.account {
			w.Fatalf("%s: hold %s is %+v, and should have %d left", what, hold, got, h.remaining)
		}
		held[h.account] += money.Amount(h.remaining)
	}
	for number, balance := range w.plain.balance {
		a := w.ledger.Account(number)
		if int64(a.Balance) != balance.Int64() || a.Held != held[number] {
			w.Fatalf("%s: account %s has %d with %d held, and should have %s with %d", what, number, a.Balance, a.Held, balance, held[number])
		}
		if w.plain.user[number] && (a.Available() < 0 || a.Held < 0 || a.Balance > money.MaxBalance) {
			w.Fatalf("%s: account %s has %d with %d held", what, number, a.Balance, a.Held)
		}
		if a.Lamport > w.stamp && a.Lamport != a.Opened {
			w.Fatalf("%s: account %s is stamped %d at %d", what, number, a.Lamport, w.stamp)
		}
		sum := w.start[number]
		for i, p := range w.posted[number] {
			sum += p.Amount
			if p.Sequence != int64(i)+1 || p.BalanceAfter != sum {
				w.Fatalf("%s: account %s: posting %d is %+v, and the balance %d", what, number, i+1, p, sum)
			}
		}
		if sum != a.Balance || a.Postings != int64(len(w.posted[number])) {
			w.Fatalf("%s: account %s has %d; its %d postings sum to %d", what, number, a.Balance, a.Postings, sum)
		}
	}
}

func againstThePlainModel(t *rapid.T) {
	w := newWorld(t)
	total := new(big.Int)
	for _, balance := range w.start {
		total.Add(total, big.NewInt(int64(balance)))
	}
	t.Repeat(map[string]func(*rapid.T){
		"post":      func(*rapid.T) { w.post() },
		"authorise": func(*rapid.T) { w.authorise() },
		"capture":   func(*rapid.T) { w.capture() },
		"release":   func(*rapid.T) { w.release() },
	})
	for number := range maps.Keys(w.start) {
		total.Sub(total, big.NewInt(int64(w.ledger.Account(number).Balance)))
	}
	if total.Sign() != 0 {
		t.Fatalf("%s was made or lost", total)
	}
}

func TestAgainstThePlainModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, againstThePlainModel)
}

func FuzzAgainstThePlainModel(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(againstThePlainModel))
}
