package workers

import (
	"fmt"
	"runtime/debug"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// work is one attempt at an envelope: what happens inside its transaction.
type work struct {
	*executor
	envelope  *operation.Envelope
	failed    map[id.ID]string
	running   *news
	startedAt time.Time

	commands []operation.Command
	outcomes []operation.Outcome
	entries  []feed.Entry
	round    round
	deciding bool // what the counter has in memory is not what the store has any more
}

func (w *work) run(tx database.Tx) error {
	claimed, err := operation.Claim(tx, w.lane, w.envelope.Batches)
	if err != nil {
		return err
	}
	if !w.flowing { // the lane may be paused: then nothing is loaded
		if err := tx.Flush(); err != nil {
			return err
		}
		if claimed.Paused {
			return errPaused
		}
	}
	w.running.begin()
	w.commands = w.envelope.Commands
	w.round, err = w.counter.load(tx, w.healthy())
	if err == nil {
		err = tx.Flush() // there may have been nothing to load
	}
	if err != nil {
		return err
	}
	switch { // what was loaded for nothing is forgotten
	case claimed.Fence != w.fence:
		return errFenced
	case claimed.Paused:
		return errPaused
	case claimed.Taken == 0:
		return nil // executed before: this is a redelivery
	case claimed.Taken < len(w.envelope.Batches):
		return errPartly
	}
	w.deciding = true
	if err := w.decideAll(claimed.LaneState); err != nil {
		return err
	}
	if err := w.round.prepare(tx); err != nil {
		return err
	}
	return tx.Deferred(func(tx database.Tx) error {
		if err := w.storeAll(tx); err != nil {
			return err
		}
		return feed.Append(tx, w.entries)
	})
}

func (w *work) storeAll(tx database.Tx) error {
	entries, err := w.round.store(tx)
	if err != nil {
		return err
	}
	w.entries = append(w.entries, entries...)
	if err := operation.Conclude(tx, w.lane, w.outcomes); err != nil {
		return err
	}
	if err := w.park(tx); err != nil {
		return err
	}
	last := w.outcomes[len(w.outcomes)-1]
	return operation.AdvanceLane(tx, w.lane, last.Sequence, last.Lamport)
}

// healthy is the commands without those known to fail.
func (w *work) healthy() []operation.Command {
	if len(w.failed) == 0 {
		return w.commands
	}
	var healthy []operation.Command
	for i := range w.commands {
		if w.failed[w.commands[i].ID] == "" {
			healthy = append(healthy, w.commands[i])
		}
	}
	return healthy
}

func (w *work) decideAll(state operation.LaneState) error {
	known := max(state.Lamport, w.round.lastStamp())
	for i := range w.commands {
		known = max(known, w.commands[i].Lamport)
	}
	w.clock.Receive(known)
	w.outcomes = make([]operation.Outcome, 0, len(w.commands))
	w.entries = make([]feed.Entry, 0, len(w.commands))
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range w.commands {
		c := &w.commands[i]
		outcome := operation.Outcome{OperationID: c.ID, Sequence: state.Sequence + int64(i) + 1, Lamport: w.clock.Tick(), StartedAt: w.startedAt, FinishedAt: now}
		decided, err := w.decideOne(c, outcome.Lamport, now)
		if err != nil {
			return err
		}
		switch {
		case w.failed[c.ID] != "":
			outcome.Status, outcome.Problem = operation.Failed, decided.refusal
		case decided.refusal != nil:
			outcome.Status, outcome.Problem = operation.Rejected, decided.refusal
		default:
			outcome.Status, outcome.Result = operation.Succeeded, decided.result
		}
		w.outcomes = append(w.outcomes, outcome)
		w.tell(c, &w.outcomes[i], decided.entries)
	}
	return nil
}

func (w *work) decideOne(c *operation.Command, stamp lamport.Stamp, at time.Time) (d decision, err error) {
	if w.failed[c.ID] != "" {
		return decision{refusal: problem.New(problem.OperationFailed, "A fault kept the operation from being executed. Nothing was changed; an operator can replay it.")}, nil
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = &commandError{c.ID, fmt.Sprintf("panic: %v\n%s", cause, debug.Stack())}
		}
	}()
	return w.round.decide(c, stamp, at), nil
}

func (w *work) tell(c *operation.Command, outcome *operation.Outcome, others []feed.Entry) {
	w.entries = append(w.entries, others...)
	ended := operation.Operation{Command: *c, Outcome: outcome}
	w.entries = append(w.entries, feed.Entry{
		Topic: feed.UserTopic(c.UserID), Event: feed.OperationFinished, At: outcome.FinishedAt, Lamport: outcome.Lamport,
		OperationID: c.ID, Data: ended.AppendJSON(make([]byte, 0, 640)),
	})
}

func (w *work) park(tx database.Tx) error {
	for operationID, cause := range w.failed {
		if err := operation.Park(tx, operationID, cause, w.startedAt); err != nil {
			return err
		}
	}
	return nil
}
