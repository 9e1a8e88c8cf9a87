package bank

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"guichet/models/money"
	"guichet/models/problem"
)

// Lane is the name of the lane that executes the bank's commands.
const Lane = "bank"

// Kinds of the bank's commands, and of the journal entries that they make.
const (
	KindDeposit    = "deposit"
	KindWithdrawal = "withdrawal"
	KindTransfer   = "transfer"
)

// Kinds of the journal entries of whatever is sold by ticket, and paid back.
const (
	KindPurchase = "purchase"
	KindRefund   = "refund"
)

// CashCommand is the payload of a deposit or a withdrawal.
type CashCommand struct {
	Account string       `json:"account"`
	Amount  money.Amount `json:"amount"`
}

// TransferCommand is the payload of a transfer.
type TransferCommand struct {
	From      string       `json:"from"`
	To        string       `json:"to"`
	Amount    money.Amount `json:"amount"`
	Reference string       `json:"reference,omitempty"`
}

// Movement is what each of the bank's commands asks for: money goes from one account to another.
type Movement struct {
	TransferCommand
	Kind string
	Own  string // the caller's account, which the result shows
}

// DecodeMovement reads the payload of a command.
func DecodeMovement(kind string, payload []byte) (Movement, error) {
	m := Movement{Kind: kind}
	if kind == KindTransfer {
		err := json.Unmarshal(payload, &m.TransferCommand)
		m.Own = m.From
		return m, err
	}
	var cash CashCommand
	err := json.Unmarshal(payload, &cash)
	m.Own, m.Amount = cash.Account, cash.Amount
	switch kind {
	case KindDeposit:
		m.From, m.To = Cash, cash.Account
	case KindWithdrawal:
		m.From, m.To = cash.Account, Cash
	default:
		return m, fmt.Errorf("bank: no command is called %q", kind)
	}
	return m, err
}

// Move carries a movement out. It refuses what Post refuses. An amount that no request may move did not come through the contract, and panics:
// a negative one would take the receiver's money.
func (l *Ledger) Move(c Cause, m Movement) (*Entry, *problem.Problem) {
	if !m.Amount.Valid() {
		panic(fmt.Sprintf("bank: a %s of %d", m.Kind, m.Amount))
	}
	return l.Post(c, m.Kind, m.Reference, []Leg{{m.From, -m.Amount}, {m.To, m.Amount}})
}

// AppendResult appends the result of a bank operation as the contract shows it: the account after it, and the entry on the account's statement.
func AppendResult(b []byte, a *Account, e *Entry) []byte {
	p := e.Posting(a.Number)
	b = append(b, `{"account":{"number":"`...)
	b = append(b, a.Number...)
	b = append(b, `","balance":`...)
	b = strconv.AppendInt(b, int64(a.Balance), 10)
	b = append(b, `,"held":`...)
	b = strconv.AppendInt(b, int64(a.Held), 10)
	b = append(b, `,"available":`...)
	b = strconv.AppendInt(b, int64(a.Available()), 10)
	b = append(b, `},"entry":{"id":"`...)
	b = append(b, e.ID()...)
	b = append(b, `","operation_id":"`...)
	b = append(b, e.OperationID.String()...)
	b = append(b, `","amount":`...)
	b = strconv.AppendInt(b, int64(p.Amount), 10)
	b = append(b, `,"balance_after":`...)
	b = strconv.AppendInt(b, int64(p.BalanceAfter), 10)
	b = append(b, `,"kind":"`...)
	b = append(b, e.Kind...)
	b = append(b, `","counterparty":"`...)
	b = append(b, p.Counterparty...)
	b = append(b, `","reference":`...)
	b = appendReference(b, e.Reference)
	b = append(b, `,"at":"`...)
	b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","lamport":`...)
	b = strconv.AppendInt(b, int64(e.Lamport), 10)
	return append(b, `}}`...)
}

func appendReference(b []byte, reference string) []byte {
	if reference == "" {
		return append(b, "null"...)
	}
	text, err := json.Marshal(reference)
	if err != nil { // strings always marshal
		panic(err)
	}
	return append(b, text...)
}
