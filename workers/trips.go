package workers

import (
	"context"
	"fmt"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/trips"
)

// tripsCounter sells the tickets of trips.
type tripsCounter struct {
	tickets trips.Signer
}

type tripsRound struct {
	*tripsCounter
	*trips.Office
	commands map[id.ID]tripsCommand
}

// tripsCommand is a command as it was read.
type tripsCommand struct {
	*trips.Command
	err error // why it cannot be read
}

func (t *tripsCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &tripsRound{tripsCounter: t, commands: make(map[id.ID]tripsCommand, len(commands))}
	readable := make([]*trips.Command, 0, len(commands))
	for i := range commands {
		read, err := trips.DecodeCommand(commands[i].Kind, commands[i].Payload)
		r.commands[commands[i].ID] = tripsCommand{read, err}
		if err == nil {
			readable = append(readable, read)
		}
	}
	var err error
	r.Office, err = trips.Load(tx, readable)
	return r, err
}

func (*tripsCounter) forget() {} // it keeps nothing

func (r *tripsRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *tripsRound) decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision {
	read := r.commands[c.ID]
	if read.err != nil {
		panic(fmt.Errorf("a payload that did not come through the contract: %w", read.err))
	}
	cause := trips.Cause{Cause: bank.Cause{OperationID: c.ID, Stamp: stamp, At: at}, UserID: c.UserID}
	if read.Kind == trips.KindExpiry {
		expired := r.Expire(cause, &read.Expiry)
		return decision{result: trips.AppendExpired(nil, expired), entries: r.expiredEntries(cause, expired)}
	}
	purchase, refusal := r.apply(cause, read.Command)
	if refusal != nil {
		return decision{refusal: refusal}
	}
	return decision{result: purchase.AppendJSON(make([]byte, 0, 512), r.tickets)}
}

func (r *tripsRound) apply(cause trips.Cause, c *trips.Command) (*trips.Purchase, *problem.Problem) {
	switch c.Kind {
	case trips.KindPurchase:
		return r.Purchase(cause, &c.Purchase)
	case trips.KindConfirmation:
		return r.Confirm(cause, &c.Change)
	default:
		return r.Cancel(cause, &c.Change)
	}
}

// expiredEntries tells the owners.
func (r *tripsRound) expiredEntries(cause trips.Cause, expired []*trips.Purchase) []feed.Entry {
	entries := make([]feed.Entry, 0, len(expired))
	for _, p := range expired {
		entries = append(entries, feed.Entry{Topic: feed.UserTopic(p.UserID), Event: feed.PurchaseExpired, At: cause.At, Lamport: cause.Stamp, OperationID: cause.OperationID,
			Data: p.AppendJSON(nil, r.tickets)})
	}
	return entries
}

func (r *tripsRound) prepare(database.Tx) error { return nil }

func (r *tripsRound) store(tx database.Tx) ([]feed.Entry, error) { return nil, r.Save(tx) }

// attend has what is held for too long given back.
func (t *tripsCounter) attend(ctx context.Context, a *attendance) {
	held := ender{kind: trips.KindExpiry, find: heldTooLong, any: trips.AnyHeld}
	a.every(ctx, endEvery, "expiring purchases", func(ctx context.Context) error { return held.end(ctx, a) })
}

func heldTooLong(tx database.Tx) (first id.ID, payload any, err error) {
	due, err := trips.Due(tx, time.Now(), trips.MaxExpiries)
	if len(due) > 0 {
		first = due[0].Purchase
	}
	return first, trips.ExpiryCommand{Purchases: due}, err
}
