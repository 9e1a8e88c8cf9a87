// Package operation is the journal: what clients submitted, in which order, and what became of it. It knows nothing of what operations do.
//
// States of an operation:
//
//	queued ──▶ running ──▶ succeeded | rejected
//	   ▲          └──────▶ failed ─┐
//	   └────────── replay ─────────┘
//
// Only the outcome is stored. Queued and running are the absence of one: the journal is written once and never updated.
package operation

import (
	"encoding/json"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// Status is the state of an operation.
type Status string

// The states. Rejected: a rule said no. Failed: a fault, which an operator can replay.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Rejected  Status = "rejected"
	Failed    Status = "failed"
)

// Ended says whether an operation in this state has an outcome.
func (s Status) Ended() bool { return s == Succeeded || s == Rejected || s == Failed }

// Command is what was accepted: a row of the journal, and what travels in an envelope.
type Command struct {
	ID          id.ID
	UserID      id.ID
	Lane        string
	Kind        string
	Payload     json.RawMessage
	Lamport     lamport.Stamp // of its acceptance
	SubmittedAt time.Time     // to the microsecond
	Traceparent string
}

// Outcome is what became of a command.
type Outcome struct {
	OperationID id.ID
	Sequence    int64 // its place in the lane's execution order, from 1, without holes
	Status      Status
	Lamport     lamport.Stamp
	StartedAt   time.Time
	FinishedAt  time.Time
	Result      json.RawMessage  // the resource, if it succeeded
	Problem     *problem.Problem // why not, otherwise
}

// Operation is a command with its outcome, if it has one.
type Operation struct {
	Command
	Outcome  *Outcome
	Position int64     // how many are ahead in the lane, while there is no outcome
	Started  time.Time // while there is no outcome: since when it is being executed; known only where that news arrived
}

// Status is the state that the operation is in.
func (o *Operation) Status() Status {
	switch {
	case o.Outcome != nil:
		return o.Outcome.Status
	case !o.Started.IsZero():
		return Running
	default:
		return Queued
	}
}

// Batch names the operations ID+0 … ID+Operations−1, which one intake wrote in one insert.
type Batch struct {
	ID         id.ID
	Operations int
}

// Envelope is one task of the queue: batches of the journal with their commands, to be executed in this order in one transaction.
type Envelope struct {
	After    id.ID // the batch that its intake enqueued before these, which they must not overtake; zero for none
	Batches  []Batch
	Commands []Command
}

// TaskKind is the type name of the tasks that carry envelopes.
const TaskKind = "envelope"

// ID names the envelope: the id of its first batch.
func (e *Envelope) ID() id.ID { return e.Batches[0].ID }

// Add appends a batch and its commands.
func (e *Envelope) Add(batch Batch, commands []Command) {
	e.Batches = append(e.Batches, batch)
	e.Commands = append(e.Commands, commands...)
}

// Micro is t as it is stored: microseconds since 1970; the zero time is 0.
func Micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicro reads a stored time; 0 is the zero time.
func FromMicro(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
