package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// counter is what a lane executes: the commands of one of the counters.
type counter interface {
	// load reads and locks, in key order, the rows that the commands touch.
	load(tx database.Tx, commands []operation.Command) (round, error)
	// forget drops what is kept in memory from one round to the next: the last one was not stored, or somebody else has held the lane.
	forget()
}

// round is one envelope's worth of work on what was loaded. It is thrown away if anything fails, and the envelope is loaded anew.
type round interface {
	// lastStamp is the largest stamp of the rows that were loaded.
	lastStamp() lamport.Stamp
	// decide applies one command by pure rules, in memory. A rule's "no" is a decision; a panic is a bug in the command's path.
	decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision
	// prepare asks the store what storing has to know of what was decided.
	prepare(tx database.Tx) error
	// store writes what was decided, and returns what is told of the round as a whole.
	store(tx database.Tx) ([]feed.Entry, error)
}

// settler is a round that has something to do outside of the store when it has been committed. Should the process die before that, or settling fail, the counter
// must find out by itself.
type settler interface {
	settle(ctx context.Context)
}

// decision is what became of one command.
type decision struct {
	result  []byte           // the resource as JSON, or
	refusal *problem.Problem // why not
	entries []feed.Entry     // for the feed, besides that of the operation itself
}

var (
	errFenced = errors.New("lane: another process holds it now")
	// errPaused keeps an envelope in hand until the lane is resumed.
	errPaused = errors.New("lane: paused")
	// errPartly says that some batches of the envelope were executed already, as after a redelivery.
	errPartly = errors.New("lane: partly executed")
)

// awayError is an error of a store other than the database, which is to be tried again until it does not come any more.
type awayError struct{ error }

func (e *awayError) Unwrap() error { return e.error }

// commandError is a bug that one command ran into.
type commandError struct {
	operation id.ID
	cause     string
}

func (e *commandError) Error() string { return e.cause }

const (
	// Pauses between attempts while a store is away: short at first, as failovers are; the longest is what a recovery may go unnoticed for.
	retryFirst = 5 * time.Millisecond
	retryMost  = 500 * time.Millisecond
)

// executor executes envelopes of one lane, one at a time, as the holder with the fence number fence. Every envelope is one transaction:
//
//	fence check ▸ take the batches ▸ load ▸ decide each ▸ store ▸ outcomes ▸ feed entries ▸ commit ▸ tell
type executor struct {
	lane      string
	fence     int64
	db        *database.DB
	counter   counter
	clock     *lamport.Clock
	publisher *feed.Publisher
	metrics   *laneMetrics
	tracer    trace.Tracer    // nil for none
	stopping  <-chan struct{} // closed when the process is to stop: then a paused lane is not waited for

	arrivals arrivals

	mu       sync.Mutex       // one envelope at a time, whether from the queue or from the journal
	last     map[uint64]id.ID // the newest batch executed of each intake, by the node of its ids; it grows by one when an API process starts
	tell     []func()         // what is to be told of what was committed
	attempts atomic.Int64     // to execute, begun or ended: where there were none, the lane has changed nothing
	usedAt   atomic.Int64     // when the lane was last used, also by who attends it, in nanoseconds since 1970

	// flowing says that the last envelope was executed: then the next is loaded in the same breath as its claim, and for nothing should the lane be paused since.
	flowing bool
}

// execute executes an envelope, after what it must not overtake, and returns nil when each of its operations has an outcome. It goes on trying through
// faults of the stores, so that order holds, and returns only errFenced, errPaused when the process is to stop, or, when it ends, ctx's error: then the
// envelope is still in the journal.
func (x *executor) execute(ctx context.Context, e *operation.Envelope) error {
	a := x.arrivals.arrive()
	a.is(e)
	return x.finish(ctx, a)
}

// tellAll tells of what was committed; it is called with mu held.
func (x *executor) tellAll() {
	for _, t := range x.tell {
		t()
	}
	x.tell = nil
}

func (x *executor) executeLocked(ctx context.Context, e *operation.Envelope) error {
	batches := e.Batches // the news may be told when the caller has the envelope again
	running := news{tell: func(running bool) {
		told := feed.Publication{Lane: x.lane}
		if running {
			told.Running = batchIDs(batches)
		}
		x.publisher.Publish(ctx, told)
	}}
	defer running.end()
	failed := map[id.ID]string{}
	rest := e
	for attempt, wait := 1, retryFirst; rest != nil; attempt++ {
		err := x.attempt(ctx, rest, failed, &running)
		if err == nil {
			return nil
		}
		if rest, err = x.resolve(ctx, rest, failed, &running, err); err == nil {
			continue
		}
		switch {
		case errors.Is(err, errFenced), errors.Is(err, errPaused) && x.isStopping():
			return err
		case !errors.Is(err, errPaused) && ctx.Err() == nil:
			x.metrics.retries.Inc()
			slog.WarnContext(ctx, "an envelope is tried again", "lane", x.lane, "envelope", e.ID(), "attempt", attempt, "error", err)
		}
		if errors.Is(err, errPaused) {
			running.withdraw()
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		wait = min(2*wait, retryMost)
	}
	return nil
}

func (x *executor) isStopping() bool {
	select {
	case <-x.stopping:
		return true
	default:
		return false
	}
}

// used notes that the lane was used now.
func (x *executor) used() { x.usedAt.Store(time.Now().UnixNano()) }

// resolve does what the error of an attempt calls for. It returns what remains to be executed, nil for nothing, and an error if that has to wait.
func (x *executor) resolve(ctx context.Context, e *operation.Envelope, failed map[id.ID]string, running *news, err error) (*operation.Envelope, error) {
	var bug *commandError
	var away *awayError
	switch {
	case errors.Is(err, errPartly):
		return x.remaining(ctx, e)
	case errors.As(err, &bug):
		slog.ErrorContext(traceOf(ctx, e, bug.operation), "a command failed; it is parked", "lane", x.lane, "operation_id", bug.operation, "error", bug.cause)
		failed[bug.operation] = bug.cause
		return e, nil
	case errors.Is(err, errFenced), errors.Is(err, errPaused), errors.As(err, &away), database.IsTransient(err):
		return e, err
	case len(e.Commands) > 1:
		slog.ErrorContext(ctx, "an envelope cannot be stored; its commands are executed one by one", "lane", x.lane, "envelope", e.ID(), "error", err)
		running.end() // each of them tells for itself
		if err := x.isolate(ctx, e); err != nil {
			return e, err
		}
		return nil, nil
	}
	return x.resolveOne(ctx, e, failed, err)
}

// resolveOne parks the one command of an envelope, unless it has an outcome.
func (x *executor) resolveOne(ctx context.Context, e *operation.Envelope, failed map[id.ID]string, err error) (*operation.Envelope, error) {
	only := e.Commands[0].ID
	if database.IsDuplicate(err) {
		switch ended, discardErr := x.discardEnded(ctx, e); {
		case discardErr != nil:
			return e, discardErr
		case ended:
			return nil, nil
		}
	}
	if failed[only] != "" { // parking it does not work either
		return e, err
	}
	slog.ErrorContext(traceOf(ctx, e, only), "a command cannot be stored; it is parked", "lane", x.lane, "operation_id", only, "error", err)
	failed[only] = err.Error()
	return e, nil
}

// discardEnded takes a batch of one operation out of line if that has an outcome, and says whether it had. No way is known to get there; but what has been
// executed must neither be executed again nor hold up what comes after it.
func (x *executor) discardEnded(ctx context.Context, e *operation.Envelope) (ended bool, err error) {
	err = x.db.Write(ctx, func(tx database.Tx) error {
		err := x.checkFence(tx)
		if err == nil {
			ended, err = operation.HasEnded(tx, e.Commands[0].ID)
		}
		if err == nil && ended {
			_, err = operation.Take(tx, x.lane, e.Batches)
		}
		return err
	})
	if err == nil && ended {
		slog.ErrorContext(traceOf(ctx, e, e.Commands[0].ID), "an operation that had been executed was in line again; it was taken out", "lane", x.lane, "operation_id", e.Commands[0].ID)
	}
	return ended, err
}

// attempt executes the envelope in one transaction. Operations in failed get the outcome failed without being tried.
func (x *executor) attempt(ctx context.Context, e *operation.Envelope, failed map[id.ID]string, running *news) (err error) {
	x.attempts.Add(1)
	defer func() {
		x.attempts.Add(1)
		x.used()
	}()
	defer func() {
		if cause := recover(); cause != nil { // outside any one command: loading or storing
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			x.counter.forget()
		}
	}()
	began := time.Now()
	work := work{executor: x, envelope: e, failed: failed, running: running, startedAt: began.UTC().Truncate(time.Microsecond)}
	err = x.db.Write(ctx, work.run)
	if x.flowing = err == nil; err != nil {
		if work.deciding {
			x.counter.forget()
		}
		x.traceUndone(ctx, e, began, err)
		return err
	}
	took := time.Since(began)
	x.noteLast(e)
	x.metrics.observe(len(work.outcomes), took)
	x.tell = append(x.tell, func() {
		if round, settles := work.round.(settler); settles {
			round.settle(ctx)
		}
		x.publisher.Publish(ctx, feed.Publication{Entries: work.entries, Lane: x.lane, Batches: batchIDs(e.Batches), Ended: len(work.outcomes)})
		x.traceExecuted(ctx, &work, began, took)
		work.logEnded(ctx, slog.Default(), took)
	})
	return nil
}

// remaining is the envelope without what was executed already, or nil if nothing remains.
func (x *executor) remaining(ctx context.Context, e *operation.Envelope) (*operation.Envelope, error) {
	var rest operation.Envelope
	tx := x.db.Writer(ctx)
	for _, batch := range e.Batches {
		waiting, err := operation.IsWaiting(tx, x.lane, batch)
		if err != nil {
			return e, err
		}
		if waiting {
			rest.Add(batch, commandsOf(e, batch))
		}
	}
	if len(rest.Batches) == 0 {
		return nil, nil
	}
	return &rest, nil
}

// isolate executes the envelope's commands one by one, each a batch of its own from now on, so that the one that cannot be stored harms no other.
func (x *executor) isolate(ctx context.Context, e *operation.Envelope) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := x.split(ctx, e)
		if err == nil {
			break
		}
		if !database.IsTransient(err) || !pause(ctx, wait) {
			return err
		}
	}
	for i := range e.Commands {
		single := operation.Envelope{Batches: []operation.Batch{{ID: e.Commands[i].ID, Operations: 1}}, Commands: e.Commands[i : i+1]}
		err := x.executeLocked(ctx, &single)
		x.tellAll()
		if err != nil {
			return err
		}
	}
	return nil
}

// split makes each command of the envelope a batch of its own. If none of the envelope's batches waits, that was done before, in a commit whose answer was lost.
func (x *executor) split(ctx context.Context, e *operation.Envelope) error {
	return x.db.Write(ctx, func(tx database.Tx) error {
		if err := x.checkFence(tx); err != nil {
			return err
		}
		switch n, err := operation.Take(tx, x.lane, e.Batches); {
		case err != nil:
			return err
		case n == 0:
			return nil
		case n < len(e.Batches):
			return errPartly
		}
		for i := range e.Commands {
			if err := operation.AppendBatch(tx, x.lane, operation.Batch{ID: e.Commands[i].ID, Operations: 1}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (x *executor) checkFence(tx database.Tx) error {
	state, err := operation.LockLane(tx, x.lane)
	if err == nil && state.Fence != x.fence {
		err = errFenced
	}
	return err
}

func batchIDs(batches []operation.Batch) []id.ID {
	ids := make([]id.ID, len(batches))
	for i := range batches {
		ids[i] = batches[i].ID
	}
	return ids
}

func commandsOf(e *operation.Envelope, batch operation.Batch) []operation.Command {
	from := 0
	for _, b := range e.Batches {
		if b.ID == batch.ID {
			break
		}
		from += b.Operations
	}
	return e.Commands[from : from+batch.Operations]
}
