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
	"fmt"
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
	ID          id.ID           `json:"id"`
	UserID      id.ID           `json:"user_id"`
	Lane        string          `json:"-"`
	Kind        string          `json:"kind"`
	Payload     json.RawMessage `json:"payload"`
	Lamport     lamport.Stamp   `json:"lamport"`      // of its acceptance
	SubmittedAt time.Time       `json:"submitted_at"` // to the microsecond
	Traceparent string          `json:"traceparent,omitempty"`
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
	ID         id.ID `json:"id"`
	Operations int   `json:"operations"`
}

// Envelope is one task of the queue: batches of the journal with their commands, to be executed in this order in one transaction.
type Envelope struct {
	After    id.ID     `json:"after,omitzero"` // the batch that its intake enqueued before these, which they must not overtake; zero for none
	Batches  []Batch   `json:"batches"`
	Commands []Command `json:"commands"`
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

// Encode writes the payload of the task.
func (e *Envelope) Encode() ([]byte, error) { return json.Marshal(e) }

// DecodeEnvelope reads the payload of a task of the named lane.
func DecodeEnvelope(lane string, payload []byte) (*Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("operation: decoding an envelope: %w", err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	for i := range e.Commands {
		e.Commands[i].Lane = lane
	}
	return &e, nil
}

// check: the commands are those of the batches, which are taken out of line when the commands are executed: one that is missing here would be lost.
func (e *Envelope) check() error {
	if len(e.Batches) == 0 {
		return fmt.Errorf("operation: an envelope without a batch")
	}
	n := 0
	for _, batch := range e.Batches {
		for i := range batch.Operations {
			if n == len(e.Commands) || e.Commands[n].ID != batch.ID.WithIndex(batch.ID.Index()+i) {
				return fmt.Errorf("operation: an envelope without command %d of batch %s", i, batch.ID)
			}
			n++
		}
	}
	if n < len(e.Commands) {
		return fmt.Errorf("operation: an envelope with %d commands of no batch", len(e.Commands)-n)
	}
	return nil
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
