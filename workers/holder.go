package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"guichet/models/beat"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

const (
	// tendEvery is how often a holder looks after its lane: compares its fence, follows the pause flag, looks for what was left in the journal.
	// It is below the 2 s that the database grants the lane's idle connection, which it mostly keeps alive; one that the server has dropped all the same is replaced.
	tendEvery = time.Second
	// showEvery is how often the pause that the queue shows is compared with the lane's, beside each time that this changes: Redis may have been wiped.
	showEvery = 5 * time.Second
	// warmFor is how long a lane that executes nothing keeps its connection to the database, which costs a question each second: after that it takes a new one.
	warmFor = time.Minute
	// left is how long a batch waits before it is taken to have no task: Redis was wiped, or its intake died before it could enqueue.
	left = 2 * time.Second
)

// holder keeps one lane for this process: it waits for the lease, and while it has it, executes what the journal has left and then what the queue brings.
type holder struct {
	*Workers
	lane    string
	counter counter
	name    string
	seen    id.ID // the newest batch that waited at seenAt; zero if none did
	seenAt  time.Time
}

// run holds the lane whenever it can get it, until ctx ends.
func (h *holder) run(ctx context.Context) {
	for ctx.Err() == nil {
		var held *lease
		if !h.DB.Embedded() {
			var err error
			if held, err = waitFor(ctx, h.leases, h.lane, h.name, h.isVacant); err != nil {
				return
			}
		}
		h.hold(ctx, held)
	}
}

// isVacant says whether nobody has the lane: its last holder has left it in order, or there was none.
func (h *holder) isVacant(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, leaseCallTimeout)
	defer cancel()
	state, err := operation.ReadLane(h.DB.Read(ctx), h.lane)
	return err == nil && state.Holder == ""
}

// hold serves the lane until ctx ends. Should the lane be taken from us before that, the process must end: what it has in hand is not its own any more.
func (h *holder) hold(ctx context.Context, lease *lease) {
	// What is in hand at an orderly stop is finished, so neither the lease nor the work may end with ctx.
	// But not for ever, should a store be away.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(h.ShutdownTimeout, cancel) })()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := lease.keep(working); err != nil {
			h.lost(err)
		}
	}()
	h.serve(ctx, working, lease)
	cancel()
	<-kept
	// An orderly stop has the lane free for the next one at once.
	release, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if err := lease.release(release); err != nil {
		slog.WarnContext(ctx, "a lease was not given back; it runs out", "lane", h.lane, "error", err)
	}
}

// lost ends the process.
func (h *holder) lost(err error) {
	h.OnLost(fmt.Errorf("lane %s: %w", h.lane, err))
	select {} // whatever came next would be done in the new holder's name
}

func (h *holder) serve(ctx, working context.Context, lease *lease) {
	db, state, err := h.seize(ctx)
	if err != nil {
		return
	}
	defer func() { _ = h.DB.CloseLane(db) }()
	slog.InfoContext(ctx, "lane taken", "lane", h.lane, "holder", h.name, "fence", state.Fence)
	x := &executor{lane: h.lane, fence: state.Fence, db: db, counter: h.counter, clock: h.Clock, publisher: h.Publisher, metrics: h.metrics.lane(h.lane), tracer: h.Tracer, stopping: ctx.Done()}
	h.untilDone(ctx, "draining", func() error { return x.drainAll(working) })
	queue := h.openQueue(working, x)
	h.untilDone(ctx, "starting the queue", queue.start)
	leave := h.attend(working, x)
	for pause(ctx, beat.Until(tendEvery)) {
		if err := h.tend(working, x, queue, lease.isAway()); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "a lane is not tended", "lane", h.lane, "error", err)
		}
	}
	leave()
	queue.stop()
	if err := operation.VacateLane(working, db, h.lane, x.fence); err != nil {
		slog.WarnContext(ctx, "a lane's row still names its holder", "lane", h.lane, "error", err)
	}
}

// untilDone tries until try succeeds or ctx ends. Losing the lane ends the process.
func (h *holder) untilDone(ctx context.Context, what string, try func() error) {
	for wait := retryFirst; ctx.Err() == nil; wait = min(2*wait, retryMost) {
		err := try()
		switch {
		case err == nil:
			return
		case errors.Is(err, errFenced):
			h.lost(err)
		}
		slog.WarnContext(ctx, "a lane cannot be served yet", "lane", h.lane, "at", what, "error", err)
		pause(ctx, wait)
	}
}

// seize fences every earlier holder off, however long that takes.
func (h *holder) seize(ctx context.Context) (*database.DB, operation.LaneState, error) {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		db, err := h.DB.Lane()
		if err == nil {
			var state operation.LaneState
			if state, err = operation.SeizeLane(ctx, db, h.lane, h.name); err == nil {
				return db, state, nil
			}
			err = errors.Join(err, h.DB.CloseLane(db))
		}
		slog.WarnContext(ctx, "a lane cannot be taken yet", "lane", h.lane, "error", err)
		if !pause(ctx, wait) {
			return nil, operation.LaneState{}, ctx.Err()
		}
	}
}

// drainLeft executes what has waited for long, or, while nothing can come through the queue, all that waits; newest is the newest that does. Its age is measured from when it was first seen to wait, by this process's clock alone: the clocks that the
// ids were made by may be ahead.
func (h *holder) drainLeft(ctx context.Context, x *executor, newest id.ID, queueAway bool) error {
	switch {
	case queueAway:
		return x.drainAll(ctx)
	case h.seen.IsZero():
		h.seen, h.seenAt = newest, time.Now()
		return nil
	case time.Since(h.seenAt) < left:
		return nil
	}
	until := h.seen
	h.seen = id.ID{}
	return x.drain(ctx, func(batch id.ID) bool { return !until.Less(batch) })
}

// tend does what a holder does beside executing.
func (h *holder) tend(ctx context.Context, x *executor, queue *queue, queueAway bool) error {
	looks, err := h.looks.of(ctx, h.lane)
	if err != nil {
		return err
	}
	look, err := looks.Of(h.lane)
	if err != nil {
		return err
	}
	if look.Fence != x.fence {
		h.lost(errFenced)
	}
	if !look.Paused { // before Redis is asked anything: it may be what is away
		if err = h.drainLeft(ctx, x, look.Newest, queueAway); errors.Is(err, errFenced) {
			h.lost(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, tendEvery)
	defer cancel()
	if time.Since(time.Unix(0, x.usedAt.Load())) < warmFor {
		err = errors.Join(err, x.db.KeepAlive(ctx))
	} else {
		x.db.Rest()
	}
	return errors.Join(err, queue.show(ctx, look.Paused))
}

// queue is the lane's asynq queue as its holder consumes it.
type queue struct {
	lane      string
	client    redis.UniversalClient
	server    *asynq.Server
	inspector *asynq.Inspector
	handler   asynq.Handler
	wake      *waker
	started   bool
	paused    bool      // as it was last shown
	shownAt   time.Time // when that was; zero for never
}

// handlers is how many envelopes a lane has in hand: one is executed, and meanwhile the next are dequeued and read, and the one before is acknowledged. The executor
// takes them in the order in which they came.
const handlers = 4

// openQueue prepares an asynq server of its own for the lane: several queues in one server would not keep order.
func (h *holder) openQueue(ctx context.Context, x *executor) *queue {
	q := &queue{lane: h.lane, client: h.NewRedis(), wake: newWaker(h.lane)}
	q.client.AddHook(q.wake)
	h.setWaker(h.lane, func() {
		q.wake.Poke()
		if rester, rests := h.counter.(rester); rests {
			rester.wake()
		}
	})
	q.inspector = asynq.NewInspectorFromRedisClient(q.client)
	q.server = asynq.NewServerFromRedisClient(q.client, asynq.Config{
		Concurrency:              handlers,
		Queues:                   map[string]int{h.lane: 1},
		TaskCheckInterval:        taskCheckInterval,
		DelayedTaskCheckInterval: time.Minute, // nothing is scheduled, and nothing is retried through the queue
		JanitorInterval:          time.Hour,   // nothing that is done is kept there
		ShutdownTimeout:          h.ShutdownTimeout,
		LogLevel:                 asynq.ErrorLevel,
		Logger:                   asynqLog{h.lane},
	})
	q.handler = asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		place := x.arrivals.arrive()
		envelope, err := operation.DecodeEnvelope(h.lane, task.Payload())
		place.is(envelope)
		if err != nil {
			return fmt.Errorf("%w: %w", err, asynq.SkipRetry) // its commands are in the journal, and will be found there
		}
		switch err := x.finish(ctx, place); {
		case errors.Is(err, errFenced):
			h.lost(err)
		case err != nil:
			slog.InfoContext(ctx, "an envelope stays in the journal for the next holder", "lane", h.lane, "envelope", envelope.ID(), "reason", err)
		}
		return nil
	})
	return q
}

func (q *queue) start() error {
	err := q.server.Start(q.handler)
	q.started = err == nil
	return err
}

// stop finishes the envelope in hand.
func (q *queue) stop() {
	q.wake.Release()
	if q.started {
		q.server.Shutdown()
	}
	_ = q.client.Close()
}

// show is showPaused when it is time for that.
func (q *queue) show(ctx context.Context, paused bool) error {
	if paused == q.paused && time.Since(q.shownAt) < showEvery {
		return nil
	}
	err := q.showPaused(ctx, paused)
	if err == nil {
		q.paused, q.shownAt = paused, time.Now()
	}
	return err
}

// showPaused makes the queue look, in asynqmon too, as the lane's row says. The row is what counts: Redis may have been wiped.
func (q *queue) showPaused(ctx context.Context, paused bool) error {
	shown, err := q.wake.paused(ctx, q.client)
	switch {
	case err != nil || shown == paused:
		return err
	case paused:
		return q.inspector.PauseQueue(q.lane)
	default:
		defer q.wake.Poke()
		return q.inspector.UnpauseQueue(q.lane)
	}
}

// asynqLog passes on what asynq says.
type asynqLog struct{ lane string }

func (l asynqLog) say(level slog.Level, args []any) {
	slog.Log(context.Background(), level, "asynq says", "lane", l.lane, "message", fmt.Sprint(args...))
}

func (l asynqLog) Debug(args ...any) { l.say(slog.LevelDebug, args) }
func (l asynqLog) Info(args ...any)  { l.say(slog.LevelInfo, args) }
func (l asynqLog) Warn(args ...any)  { l.say(slog.LevelWarn, args) }
func (l asynqLog) Error(args ...any) { l.say(slog.LevelError, args) }
func (l asynqLog) Fatal(args ...any) { l.say(slog.LevelError, args) }
