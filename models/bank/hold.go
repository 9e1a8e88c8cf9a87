package bank

import (
	"fmt"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

// Authorise sets money of a user's account aside; amount is positive. It refuses, and then changes nothing: unknown_account, insufficient_funds.
func (l *Ledger) Authorise(c Cause, hold id.ID, account string, amount money.Amount) (*Hold, *problem.Problem) {
	if amount <= 0 || l.holds[hold] != nil {
		panic(fmt.Sprintf("bank: hold %s of %d", hold, amount))
	}
	a, refusal := l.known(c, account)
	if refusal != nil {
		return nil, refusal
	}
	if a.Available() < amount {
		return nil, problem.Newf(problem.InsufficientFunds, "account %s has %d available", a.Number, a.Available())
	}
	a.Held += amount
	h := &Hold{ID: hold, Account: account, Amount: amount, Remaining: amount, OperationID: c.OperationID, Lamport: c.Stamp}
	l.holds[hold], l.touchedHolds[hold] = h, h
	return h, nil
}

// Capture spends part of a hold, or all of it: the entry pays amount from the hold's account to the other legs, which sum to it.
// It refuses balance_limit if a receiver's balance would be too large, and then changes nothing. To capture more than remains is a bug of the caller, and panics.
func (l *Ledger) Capture(c Cause, hold id.ID, kind, reference string, amount money.Amount, to []Leg) (*Entry, *problem.Problem) {
	h, a := l.held(c, hold, amount)
	a.Held -= amount
	entry, refusal := l.Post(c, kind, reference, append([]Leg{{h.Account, -amount}}, to...))
	if refusal != nil {
		a.Held += amount
		return nil, refusal
	}
	l.reduce(c, h, amount)
	return entry, nil
}

// Release gives part of a hold back, or all of it. To release more than remains is a bug of the caller, and panics.
func (l *Ledger) Release(c Cause, hold id.ID, amount money.Amount) {
	h, a := l.held(c, hold, amount)
	a.Held -= amount
	l.reduce(c, h, amount)
}

func (l *Ledger) held(c Cause, hold id.ID, amount money.Amount) (*Hold, *Account) {
	h := l.holds[hold]
	if h == nil || amount <= 0 || amount > h.Remaining {
		panic(fmt.Sprintf("bank: %d of hold %s", amount, hold))
	}
	a, refusal := l.known(c, h.Account)
	if refusal != nil {
		panic(fmt.Sprintf("bank: hold %s: %v", hold, refusal))
	}
	return h, a
}

func (l *Ledger) reduce(c Cause, h *Hold, amount money.Amount) {
	h.Remaining -= amount
	h.Lamport = max(h.Lamport, c.Stamp)
	l.touchedHolds[h.ID] = h
}
