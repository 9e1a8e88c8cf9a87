package bank

import (
	"testing"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

func TestAuthoriseRefuses(t *testing.T) {
	t.Parallel()
	later := user("LATER", 50, 0)
	later.Opened = now
	for _, tt := range []struct {
		account string
		amount  money.Amount
		want    problem.Code
	}{
		{"NOBODY", 1, problem.UnknownAccount},
		{"LATER", 1, problem.UnknownAccount},
		{"A", 11, problem.InsufficientFunds},
		{"A", money.MaxBalance, problem.InsufficientFunds},
		{"EMPTY", 1, problem.InsufficientFunds},
		{"A", 10, ""},
		{"A", 1, ""},
		{"FULL", money.MaxBalance, ""},
	} {
		l := NewLedger([]Account{user("A", 30, 20), user("EMPTY", 0, 0), user("FULL", money.MaxBalance, 0), later}, nil)
		before := l.picture()
		c := cause()
		hold, refusal := l.Authorise(c, ids.Next(), tt.account, tt.amount)
		expectRefusal(t, refusal, tt.want)
		if tt.want != "" {
			if hold != nil || !l.picture().equal(before) {
				t.Errorf("a hold of %d on %s was refused, and made %v", tt.amount, tt.account, hold)
			}
			continue
		}
		if *hold != (Hold{ID: hold.ID, Account: tt.account, Amount: tt.amount, Remaining: tt.amount, OperationID: c.OperationID, Lamport: now}) || l.Hold(hold.ID) != hold {
			t.Errorf("the hold is %+v", hold)
		}
		if a := l.Account(tt.account); a.Held != before.accounts[tt.account].Held+tt.amount || a.Balance != before.accounts[tt.account].Balance {
			t.Errorf("after a hold of %d the account is %+v", tt.amount, a)
		}
	}
}

// withHold is a ledger with a hold of 40 on A, which has 100.
func withHold() (*Ledger, id.ID) {
	hold := Hold{ID: ids.Next(), Account: "A", Amount: 40, Remaining: 40, Lamport: 1}
	return NewLedger([]Account{user("A", 100, 40), user("B", 0, 0), user("FULL", money.MaxBalance, 0), house("fees", 0)}, []Hold{hold}), hold.ID
}

func TestCapture(t *testing.T) {
	t.Parallel()
	l, hold := withHold()
	entry, refusal := l.Capture(cause(), hold, "purchase", "", 25, []Leg{{"B", 20}, {"fees", 5}})
	expectRefusal(t, refusal, "")
	if len(entry.Postings) != 3 || entry.Posting("A").Amount != -25 {
		t.Errorf("the entry is %+v", entry)
	}
	if a := l.Account("A"); a.Balance != 75 || a.Held != 15 || a.Available() != 60 {
		t.Errorf("after capturing 25 of 40 the account is %+v", a)
	}
	_, refusal = l.Capture(cause(), hold, "purchase", "", 15, []Leg{{"B", 15}})
	expectRefusal(t, refusal, "")
	if h, a := l.Hold(hold), l.Account("A"); h.Remaining != 0 || h.Amount != 40 || h.Lamport != now || a.Balance != 60 || a.Held != 0 {
		t.Errorf("after capturing all the hold is %+v, the account %+v", h, a)
	}
	expectPanic(t, "capturing from an ended hold", func() { _, _ = l.Capture(cause(), hold, "purchase", "", 1, []Leg{{"B", 1}}) })
}

func TestCaptureRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		to   []Leg
		want problem.Code
	}{
		"the receiver is unknown": {[]Leg{{"NOBODY", 10}}, problem.UnknownAccount},
		"the receiver is full":    {[]Leg{{"FULL", 10}}, problem.BalanceLimit},
		"one of two is full":      {[]Leg{{"B", 9}, {"FULL", 1}}, problem.BalanceLimit},
	} {
		l, hold := withHold()
		before := l.picture()
		entry, refusal := l.Capture(cause(), hold, "purchase", "", 10, tt.to)
		expectRefusal(t, refusal, tt.want)
		if entry != nil || !l.picture().equal(before) {
			t.Errorf("%s: refused, and changed something", name)
		}
	}
}

// TestHeldMoneyIsNotSpent: what is held is there for its capture, however little else is.
func TestHeldMoneyIsNotSpent(t *testing.T) {
	t.Parallel()
	l, hold := withHold()
	_, refusal := l.Post(cause(), KindTransfer, "", []Leg{{"A", -61}, {"B", 61}})
	expectRefusal(t, refusal, problem.InsufficientFunds)
	_, refusal = l.Post(cause(), KindTransfer, "", []Leg{{"A", -60}, {"B", 60}})
	expectRefusal(t, refusal, "")
	_, refusal = l.Authorise(cause(), ids.Next(), "A", 1)
	expectRefusal(t, refusal, problem.InsufficientFunds)
	_, refusal = l.Capture(cause(), hold, "purchase", "", 40, []Leg{{"B", 40}})
	expectRefusal(t, refusal, "")
	if a := l.Account("A"); a.Balance != 0 || a.Held != 0 {
		t.Errorf("the account is %+v", a)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	l, hold := withHold()
	l.Release(cause(), hold, 1)
	if h, a := l.Hold(hold), l.Account("A"); h.Remaining != 39 || a.Held != 39 || a.Balance != 100 || h.Lamport != now || a.Lamport != now {
		t.Errorf("after releasing 1 of 40 the hold is %+v, the account %+v", h, a)
	}
	l.Release(cause(), hold, 39)
	if h, a := l.Hold(hold), l.Account("A"); h.Remaining != 0 || a.Held != 0 || a.Available() != 100 || len(l.Entries) != 0 {
		t.Errorf("after releasing all the hold is %+v, the account %+v", h, a)
	}
}

func TestHoldPanicsOnBugs(t *testing.T) {
	t.Parallel()
	to := []Leg{{"B", 1}}
	for name, call := range map[string]func(l *Ledger, hold id.ID){
		"a hold of nothing":             func(l *Ledger, _ id.ID) { _, _ = l.Authorise(cause(), ids.Next(), "A", 0) },
		"a negative hold":               func(l *Ledger, _ id.ID) { _, _ = l.Authorise(cause(), ids.Next(), "A", -1) },
		"a hold made twice":             func(l *Ledger, hold id.ID) { _, _ = l.Authorise(cause(), hold, "A", 1) },
		"a capture without a hold":      func(l *Ledger, _ id.ID) { _, _ = l.Capture(cause(), ids.Next(), "", "", 1, to) },
		"a capture of nothing":          func(l *Ledger, hold id.ID) { _, _ = l.Capture(cause(), hold, "", "", 0, to) },
		"a negative capture":            func(l *Ledger, hold id.ID) { _, _ = l.Capture(cause(), hold, "", "", -1, to) },
		"a capture of more than is set": func(l *Ledger, hold id.ID) { _, _ = l.Capture(cause(), hold, "", "", 41, []Leg{{"B", 41}}) },
		"a capture that does not add up": func(l *Ledger, hold id.ID) {
			_, _ = l.Capture(cause(), hold, "", "", 10, []Leg{{"B", 9}})
		},
		"a capture for its own account":     func(l *Ledger, hold id.ID) { _, _ = l.Capture(cause(), hold, "", "", 1, []Leg{{"A", 1}}) },
		"a release without a hold":          func(l *Ledger, _ id.ID) { l.Release(cause(), ids.Next(), 1) },
		"a release of nothing":              func(l *Ledger, hold id.ID) { l.Release(cause(), hold, 0) },
		"a release of more than is set":     func(l *Ledger, hold id.ID) { l.Release(cause(), hold, 41) },
		"a release before the account is":   func(l *Ledger, hold id.ID) { l.Release(Cause{OperationID: ids.Next(), Stamp: 1}, hold, 1) },
		"a release with a negative surplus": func(l *Ledger, hold id.ID) { l.Release(cause(), hold, -1) },
	} {
		l, hold := withHold()
		expectPanic(t, name, func() { call(l, hold) })
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	l, hold := withHold()
	c := cause()
	_, refusal := l.Capture(c, hold, "purchase", "", 40, []Leg{{"B", 40}})
	expectRefusal(t, refusal, "")
	open, refusal := l.Authorise(c, ids.Next(), "A", 5)
	expectRefusal(t, refusal, "")
	l.Forget()
	if len(l.Entries)+len(l.touched)+len(l.touchedHolds)+len(l.parts) != 0 || l.Hold(hold) != nil || l.Hold(open.ID) != open || l.Account("A").Balance != 60 {
		t.Errorf("what is left is %+v", l.picture())
	}
}
