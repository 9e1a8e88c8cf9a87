// Package bank is the ledger that every counter pays through: accounts, journal entries whose postings sum to zero, and holds.
//
// Ledger is the rules, on plain values: no clock, no database. The stores of other counters load it, apply its verbs, and save it.
package bank

import (
	"fmt"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
)

// Cash is the house's account that money enters and leaves through. Its balance is minus what the house has been given.
const Cash = "cash"

// Account is an account as loaded. The zero UserID is the house.
type Account struct {
	Number      string
	UserID      id.ID
	Balance     money.Amount
	Held        money.Amount
	Postings    int64     // how many it has had
	LastPosting time.Time // the time of the newest: later ones are never earlier
	Lamport     lamport.Stamp
	Opened      lamport.Stamp
	OpenedAt    time.Time
}

// Available is what may be spent: the balance without what is held.
func (a *Account) Available() money.Amount { return a.Balance - a.Held }

// House says whether the account is the house's own, which may be overdrawn.
func (a *Account) House() bool { return a.UserID.IsZero() }

// Posting is one line of a journal entry.
type Posting struct {
	Account      string
	Sequence     int64 // in the account, from 1, without holes
	Amount       money.Amount
	BalanceAfter money.Amount
	Counterparty string
}

// Entry is a journal entry: its postings sum to zero.
type Entry struct {
	OperationID id.ID
	Part        int // among the entries of the operation, from 0
	Kind        string
	Reference   string // empty for none
	Lamport     lamport.Stamp
	At          time.Time
	Postings    []Posting
}

// ID is how clients know the entry.
func (e *Entry) ID() string { return fmt.Sprintf("%s.%d", e.OperationID, e.Part) }

// Posting returns the entry's line on an account's statement, or nil.
func (e *Entry) Posting(account string) *Posting {
	for i := range e.Postings {
		if e.Postings[i].Account == account {
			return &e.Postings[i]
		}
	}
	return nil
}

// Hold is money of an account that is set aside.
type Hold struct {
	ID          id.ID
	Account     string
	Amount      money.Amount // as authorised
	Remaining   money.Amount // neither captured nor released; 0 ends the hold
	OperationID id.ID
	Lamport     lamport.Stamp
}

// Cause is the operation on whose behalf the ledger is changed.
type Cause struct {
	OperationID id.ID
	Stamp       lamport.Stamp
	At          time.Time
}

// Leg is what an entry does to one account: receive (positive) or pay (negative).
type Leg struct {
	Account string
	Amount  money.Amount
}

// Ledger is the accounts and holds that a round of commands concerns, and what the round has made of them. Its verbs change all or nothing.
type Ledger struct {
	accounts map[string]*Account
	holds    map[id.ID]*Hold
	parts    map[id.ID]int

	// What is to be stored.
	Entries      []Entry
	touched      map[string]*Account
	touchedHolds map[id.ID]*Hold
}

// NewLedger returns a ledger of the given accounts and holds.
func NewLedger(accounts []Account, holds []Hold) *Ledger {
	l := &Ledger{
		accounts: make(map[string]*Account, len(accounts)), holds: make(map[id.ID]*Hold, len(holds)), parts: map[id.ID]int{},
		touched: make(map[string]*Account, len(accounts)), touchedHolds: map[id.ID]*Hold{},
	}
	for i := range accounts {
		l.accounts[accounts[i].Number] = &accounts[i]
	}
	for i := range holds {
		l.holds[holds[i].ID] = &holds[i]
	}
	return l
}

// Account returns an account that was loaded, or nil.
func (l *Ledger) Account(number string) *Account { return l.accounts[number] }

// Hold returns a hold that was loaded or authorised, or nil.
func (l *Ledger) Hold(hold id.ID) *Hold { return l.holds[hold] }

// Forget drops what is to be stored, and the holds that have ended: for who replays a journal, and has nothing to store.
func (l *Ledger) Forget() {
	for hold, h := range l.touchedHolds {
		if h.Remaining == 0 {
			delete(l.holds, hold)
		}
	}
	l.Entries = l.Entries[:0]
	l.parts, l.touched, l.touchedHolds = map[id.ID]int{}, map[string]*Account{}, map[id.ID]*Hold{}
}

// LastStamp is the largest stamp of what was loaded: whatever is decided now comes after it.
func (l *Ledger) LastStamp() lamport.Stamp {
	var last lamport.Stamp
	for _, a := range l.accounts {
		last = max(last, a.Lamport)
	}
	for _, h := range l.holds {
		last = max(last, h.Lamport)
	}
	return last
}

// Post makes a journal entry. It refuses, in this order, and then changes nothing: unknown_account (also one that was opened after the cause),
// insufficient_funds (a user's account would pay more than is available), balance_limit (an account would exceed money.MaxBalance, or the house's 64 bits).
// Legs that do not sum to zero, that name an account twice or that move nothing are a bug of the caller, and panic.
func (l *Ledger) Post(c Cause, kind, reference string, legs []Leg) (*Entry, *problem.Problem) {
	checkLegs(legs)
	accounts := make([]*Account, len(legs))
	at := c.At
	for i, leg := range legs {
		account, refusal := l.known(c, leg.Account)
		if refusal != nil {
			return nil, refusal
		}
		accounts[i] = account
		if account.LastPosting.After(at) {
			at = account.LastPosting
		}
	}
	for i, leg := range legs {
		if a := accounts[i]; leg.Amount < 0 && !a.House() && a.Available()+leg.Amount < 0 {
			return nil, problem.Newf(problem.InsufficientFunds, "account %s has %d available", a.Number, a.Available())
		}
	}
	for i, leg := range legs {
		if refusal := checkLimit(accounts[i], leg.Amount); refusal != nil {
			return nil, refusal
		}
	}
	entry := Entry{OperationID: c.OperationID, Part: l.parts[c.OperationID], Kind: kind, Reference: reference, Lamport: c.Stamp, At: at, Postings: make([]Posting, len(legs))}
	l.parts[c.OperationID]++
	for i, leg := range legs {
		entry.Postings[i] = accounts[i].post(leg.Amount, at, counterparty(legs, i))
	}
	l.Entries = append(l.Entries, entry)
	return &l.Entries[len(l.Entries)-1], nil
}

func checkLegs(legs []Leg) {
	var sum money.Amount
	for i, leg := range legs {
		var err error
		if sum, err = sum.Add(leg.Amount); err != nil {
			panic(fmt.Sprintf("bank: the legs of an entry: %v", err))
		}
		for _, other := range legs[:i] {
			if other.Account == leg.Account {
				panic(fmt.Sprintf("bank: an entry names account %s twice", leg.Account))
			}
		}
		if leg.Amount == 0 {
			panic(fmt.Sprintf("bank: an entry moves nothing on account %s", leg.Account))
		}
	}
	if sum != 0 || len(legs) < 2 {
		panic(fmt.Sprintf("bank: the legs of an entry sum to %d", sum))
	}
}

// See finds an account for who decides by what is on it, and marks it as seen by the cause: so the decision is repeated alike when the journal is replayed.
// It refuses unknown_account.
func (l *Ledger) See(c Cause, number string) (*Account, *problem.Problem) { return l.known(c, number) }

// known finds an account and marks it as seen by the cause: the refusal of a command depends on it as much as its success does.
func (l *Ledger) known(c Cause, number string) (*Account, *problem.Problem) {
	account := l.accounts[number]
	if account == nil || account.Opened >= c.Stamp {
		return nil, problem.Newf(problem.UnknownAccount, "there is no account %s", number)
	}
	account.Lamport = max(account.Lamport, c.Stamp)
	l.touched[number] = account
	return account, nil
}

func checkLimit(a *Account, amount money.Amount) *problem.Problem {
	balance, err := a.Balance.Add(amount)
	if err != nil || (!a.House() && balance > money.MaxBalance) {
		return problem.Newf(problem.BalanceLimit, "the balance of account %s would exceed what an account may hold", a.Number)
	}
	return nil
}

func (a *Account) post(amount money.Amount, at time.Time, counterparty string) Posting {
	a.Balance += amount
	a.Postings++
	a.LastPosting = at
	return Posting{Account: a.Number, Sequence: a.Postings, Amount: amount, BalanceAfter: a.Balance, Counterparty: counterparty}
}

// counterparty names the other side of a leg: the first leg of the opposite sign.
func counterparty(legs []Leg, i int) string {
	for _, other := range legs {
		if (other.Amount < 0) != (legs[i].Amount < 0) {
			return other.Account
		}
	}
	return ""
}
