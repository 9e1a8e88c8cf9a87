package workers

import (
	"context"
	"errors"
	"log/slog"

	"guichet/models/id"
	"guichet/models/operation"
)

const (
	// drainPage is how many batches a drain reads at once.
	drainPage = 64
	// drainPack is how many commands a drain puts into one envelope, as many as an intake does at the most.
	drainPack = id.MaxBatch
)

// drainAll drains all that waits now. What is "now" is asked of the journal: the clocks that the ids were made by may be ahead of ours.
func (x *executor) drainAll(ctx context.Context) error {
	looks, err := operation.LookAtLanes(x.db.Writer(ctx))
	if err != nil {
		return err
	}
	look, err := looks.Of(x.lane)
	if err != nil || look.Newest.IsZero() {
		return err
	}
	return x.drain(ctx, func(batch id.ID) bool { return !look.Newest.Less(batch) })
}

// drain executes, in order, what waits in the journal, up to the first batch that is not included, straight from the journal. The tasks that may still
// come for it find nothing waiting. So a holder needs to know nothing of what its predecessor had in hand, nor what became of Redis.
func (x *executor) drain(ctx context.Context, included func(batch id.ID) bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.tellAll()
	return x.drainLocked(ctx, included)
}

func (x *executor) drainLocked(ctx context.Context, included func(batch id.ID) bool) error {
	var envelope operation.Envelope
	var last id.ID
	for more := true; more; {
		batches, err := operation.Waiting(x.db.Writer(ctx), x.lane, last, drainPage)
		if err != nil {
			return err
		}
		more = len(batches) == drainPage
		for _, batch := range batches {
			if !included(batch.ID) {
				more = false
				break
			}
			if len(envelope.Commands)+batch.Operations > drainPack {
				err := x.executeLocked(ctx, &envelope)
				x.tellAll()
				if err != nil {
					return err
				}
				envelope = operation.Envelope{}
			}
			commands, err := operation.Commands(x.db.Writer(ctx), batch)
			if err != nil {
				return err
			}
			envelope.Add(batch, commands)
			last = batch.ID
		}
	}
	if len(envelope.Commands) == 0 {
		return nil
	}
	slog.InfoContext(ctx, "operations found in the journal without a task", "lane", x.lane, "until", last)
	return x.executeLocked(ctx, &envelope)
}

// catchUp executes what an envelope must not overtake: the batches that its intake enqueued before it, should their tasks have been lost with Redis, or
// come in another order. In the normal run of things the envelope's predecessor was the last one executed, and nothing is asked.
func (x *executor) catchUp(ctx context.Context, e *operation.Envelope) error {
	if x.hasExecuted(e.After) {
		return nil
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		lost, err := operation.IsAnyWaiting(x.db.Writer(ctx), x.lane, e.After.Base(), e.After.WithIndex(id.MaxBatch-1))
		if err == nil && lost {
			slog.WarnContext(ctx, "an envelope came before its predecessor, which is executed first", "lane", x.lane, "envelope", e.ID(), "predecessor", e.After)
			err = x.drainLocked(ctx, func(batch id.ID) bool { return !e.After.Less(batch.Base()) })
		}
		if err == nil || errors.Is(err, errFenced) || errors.Is(err, errPaused) {
			return err
		}
		slog.WarnContext(ctx, "the journal cannot be read; an envelope waits", "lane", x.lane, "envelope", e.ID(), "error", err)
		if !pause(ctx, wait) {
			return ctx.Err()
		}
	}
}

// hasExecuted says whether the batch that an envelope comes after is known to have been executed.
func (x *executor) hasExecuted(after id.ID) bool {
	return after.IsZero() || !x.last[after.Node()].Less(after)
}

// noteLast remembers, for catchUp, what was executed.
func (x *executor) noteLast(e *operation.Envelope) {
	if x.last == nil {
		x.last = map[uint64]id.ID{}
	}
	for _, batch := range e.Batches {
		if node := batch.ID.Node(); x.last[node].Less(batch.ID) {
			x.last[node] = batch.ID
		}
	}
}
