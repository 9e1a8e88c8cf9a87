package workers

import (
	"fmt"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// bankCounter executes deposits, withdrawals and transfers.
type bankCounter struct{}

type bankRound struct {
	*bank.Ledger
	movements map[id.ID]movement
}

type movement struct {
	bank.Movement
	err error // why the payload cannot be read
}

func (bankCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &bankRound{movements: make(map[id.ID]movement, len(commands))}
	numbers := make([]string, 0, 2*len(commands))
	for i := range commands {
		m, err := bank.DecodeMovement(commands[i].Kind, commands[i].Payload)
		r.movements[commands[i].ID] = movement{m, err}
		numbers = append(numbers, m.From, m.To)
	}
	var err error
	r.Ledger, err = bank.Load(tx, numbers, nil)
	return r, err
}

func (r *bankRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *bankRound) decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision {
	m := r.movements[c.ID]
	if m.err != nil {
		panic(fmt.Errorf("a payload that did not come through the contract: %w", m.err))
	}
	entry, refusal := r.Move(bank.Cause{OperationID: c.ID, Stamp: stamp, At: at}, m.Movement)
	if refusal != nil {
		return decision{refusal: refusal}
	}
	return decision{result: bank.AppendResult(make([]byte, 0, 384), r.Account(m.Own), entry)}
}

func (bankCounter) forget() {} // it keeps nothing

func (r *bankRound) prepare(database.Tx) error { return nil }

func (r *bankRound) store(tx database.Tx) ([]feed.Entry, error) { return nil, r.Save(tx) }
