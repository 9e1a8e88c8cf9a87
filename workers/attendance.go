package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"guichet/models/beat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/operation"
)

// attendant is a counter that has something to do beside executing commands, for as long as its lane is held.
type attendant interface {
	// attend returns when ctx ends, which is before another process can have the lane in an orderly way. It is called again should the lane be held again.
	attend(ctx context.Context, a *attendance)
}

// rester is an attendant that rests while there is nothing to do, until its lane is woken; wake does not block.
type rester interface{ wake() }

// attendance is what an attendant may do to the lane that it attends.
type attendance struct {
	x      *executor
	ids    *id.Generator
	fenced func(error) // ends the process
}

// submit has the house itself submit a command: it is journaled and executed like any other, in its turn, in the name of nobody. It returns when the command
// has an outcome; after an error it may still be executed, as whatever is in the journal.
func (a *attendance) submit(ctx context.Context, kind string, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("lane %s: the payload of a %s: %w", a.x.lane, kind, err)
	}
	command := operation.Command{ID: a.ids.Next(), Lane: a.x.lane, Kind: kind, Payload: body, Lamport: a.x.clock.Tick(), SubmittedAt: time.Now().UTC().Truncate(time.Microsecond)}
	commands := []operation.Command{command}
	if err := a.x.db.Write(ctx, func(tx database.Tx) error { return operation.Append(tx, a.x.lane, commands) }); err != nil {
		return err
	}
	err = a.x.execute(ctx, &operation.Envelope{Batches: []operation.Batch{{ID: command.ID, Operations: 1}}, Commands: commands})
	a.endIfFenced(err)
	return err
}

// write runs a transaction that no command is executed beside, and that fails if another process holds the lane. It tells of the entries that store returns.
func (a *attendance) write(ctx context.Context, store func(tx database.Tx) ([]feed.Entry, error)) error {
	defer a.x.used()
	var entries []feed.Entry
	err := a.x.db.Write(ctx, func(tx database.Tx) error {
		err := a.x.checkFence(tx)
		if err == nil {
			entries, err = store(tx)
		}
		if err == nil {
			err = feed.Append(tx, entries)
		}
		return err
	})
	a.endIfFenced(err)
	if err == nil && len(entries) > 0 {
		a.x.publisher.Publish(ctx, feed.Publication{Entries: entries})
	}
	return err
}

// locked is write for who stores nothing: no command is executed beside it.
func (a *attendance) locked(ctx context.Context, do func(tx database.Tx) error) error {
	return a.write(ctx, func(tx database.Tx) ([]feed.Entry, error) { return nil, do(tx) })
}

// writeUnlessPaused is write for what the lane does not do while it is paused: then it is errPaused.
func (a *attendance) writeUnlessPaused(ctx context.Context, store func(tx database.Tx) error) error {
	defer a.x.used()
	err := a.x.db.Write(ctx, func(tx database.Tx) error {
		state, err := operation.LockLane(tx, a.x.lane)
		switch {
		case err != nil:
			return err
		case state.Fence != a.x.fence:
			return errFenced
		case state.Paused:
			return errPaused
		}
		return store(tx)
	})
	a.endIfFenced(err)
	return err
}

func (a *attendance) endIfFenced(err error) {
	if errors.Is(err, errFenced) {
		a.fenced(err)
	}
}

// every calls do at intervals until ctx ends. What fails is tried again at the next.
func (a *attendance) every(ctx context.Context, interval time.Duration, what string, do func(context.Context) error) {
	for failed := false; pause(ctx, beat.Until(interval)); {
		err := do(ctx)
		if err != nil && ctx.Err() == nil && !failed { // once: a store that is away is told of by many already
			slog.WarnContext(ctx, "what a lane does beside executing has failed; it is tried again", "lane", a.x.lane, "what", what, "error", err)
		}
		failed = err != nil
	}
}

// attend has the counter attend its lane, if it has anything to do, until the function that it returns is called.
func (h *holder) attend(ctx context.Context, x *executor) (stop func()) {
	counter, attends := h.counter.(attendant)
	if !attends {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		counter.attend(ctx, &attendance{x: x, ids: id.NewGenerator(), fenced: h.lost})
	}()
	return func() {
		cancel()
		<-done
	}
}
