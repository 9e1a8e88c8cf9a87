package workers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// wakeHold is how long an empty dequeue is held when nobody pokes. It bounds
	// what a lost poke costs, and sets what an idle lane costs: one dequeue per
	// hold. It must stay far below asynq's task lease of 30 s, because a dequeue
	// repeated at the end of a hold still carries the lease time computed at its
	// start.
	wakeHold = 5 * time.Second

	// wakeBrake is the pause after a dequeue that failed. asynq tries again at
	// once after an error, so without it every lane would spin while Redis answers
	// with one (MISCONF on a full disk, OOM). Short, because it delays the first
	// task after the fault.
	wakeBrake = 50 * time.Millisecond

	// taskCheckInterval is asynq's pause after an empty answer. With a waker below
	// it, it passes once per hold, so it may be short; a poke that falls into it
	// waits at most 1.5 times as long. asynq reads zero as its default of 1 s.
	taskCheckInterval = time.Millisecond
)

// waker is a go-redis hook for the client under one lane's asynq server. asynq
// v0.26 polls an idle queue, and no interval makes that both fast and cheap; so
// the waker keeps an empty answer back until somebody pokes, then asks Redis
// again in the same call. It touches nothing but the dequeue of its own queue:
// heartbeats, lease extensions and acknowledgements pass. A held dequeue occupies
// no connection, so lanes may share one client, each adding its own waker.
//
// The queue is recognised by asynq's keys, which are not a public interface:
// TestWakerKnowsAsynqsDequeue fails when an upgrade changes them.
type waker struct {
	keys     [4]string
	poked    chan struct{}
	released chan struct{}
	release  sync.Once
}

// newWaker returns the hook for queue's dequeues. Add it to the client before
// the asynq server starts.
func newWaker(queue string) *waker {
	prefix := "asynq:{" + queue + "}:"
	return &waker{
		keys:     [4]string{prefix + "pending", prefix + "paused", prefix + "active", prefix + "lease"},
		poked:    make(chan struct{}, 1), // a poke stays here until a dequeue has looked after it
		released: make(chan struct{}),
	}
}

// Poke ends the present hold, or the next one if none is on. It never blocks;
// pokes that nobody has answered yet count as one. Poke after the enqueue has
// succeeded: the dequeue that follows a poke must be able to see the task.
func (w *waker) Poke() {
	select {
	case w.poked <- struct{}{}:
	default:
	}
}

// Release ends the present hold and all later ones. Call it before asynq's
// Shutdown, which otherwise waits for the held dequeue.
func (w *waker) Release() {
	w.release.Do(func() { close(w.released) })
}

// DialHook implements redis.Hook; connecting is not its business.
func (w *waker) DialHook(next redis.DialHook) redis.DialHook {
	return next
}

// ProcessPipelineHook implements redis.Hook. asynq does not pipeline dequeues.
func (w *waker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements redis.Hook.
func (w *waker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !w.isDequeue(cmd) {
			return next(ctx, cmd)
		}
		return w.dequeue(ctx, cmd, next)
	}
}

// isDequeue compares all four keys: the inspector's scripts also begin with the
// pending key, and they must not be held.
func (w *waker) isDequeue(cmd redis.Cmder) bool {
	name := cmd.Name()
	if name != "evalsha" && name != "eval" {
		return false
	}
	args := cmd.Args() // name, script, number of keys, keys, arguments
	if len(args) < 3+len(w.keys) {
		return false
	}
	if n, ok := args[2].(int); !ok || n != len(w.keys) {
		return false
	}
	for i, want := range w.keys {
		if key, ok := args[3+i].(string); !ok || key != want {
			return false
		}
	}
	return true
}

// dequeue asks Redis, and asks again at each poke, until there is a task or the
// hold is over.
func (w *waker) dequeue(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
	until := time.Now().Add(wakeHold)
	for {
		err := next(ctx, cmd)
		switch {
		case err == nil || redis.HasErrorPrefix(err, "NOSCRIPT"): // go-redis sends the script after a NOSCRIPT
			return err
		case !errors.Is(err, redis.Nil):
			w.wait(ctx, nil, wakeBrake)
			return err
		}
		if !w.wait(ctx, w.poked, time.Until(until)) {
			return err
		}
		if time.Now().After(until) { // the process was frozen during the hold: take no task on an old lease
			return err
		}
		cmd.SetErr(nil)
	}
}

// wait reports whether wake delivered before d had passed, ctx ended or the
// waker was released.
func (w *waker) wait(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.released:
		return false
	default:
	}
	select {
	case <-wake:
		return true
	case <-timer.C:
	case <-ctx.Done():
	case <-w.released:
	}
	return false
}

// ListenWake calls poke with the lane named by each message on channel, and with
// "", which means every lane, after each (re)subscription, because what was
// published before went unheard. It survives the loss of Redis and returns when
// ctx ends. poke must not block.
func ListenWake(ctx context.Context, rdb redis.UniversalClient, channel string, poke func(lane string)) {
	sub := rdb.Subscribe(ctx, channel)
	heard := sub.ChannelWithSubscriptions()
	defer func() { _ = sub.Close() }() // closing is how the subscription ends; nothing is left to save
	for {
		select {
		case <-ctx.Done():
			return
		case msg, open := <-heard:
			if !open {
				return
			}
			switch msg := msg.(type) {
			case *redis.Subscription:
				poke("")
			case *redis.Message:
				poke(msg.Payload)
			}
		}
	}
}

// paused says whether asynq takes the queue to be paused.
func (w *waker) paused(ctx context.Context, rdb redis.Cmdable) (bool, error) {
	n, err := rdb.Exists(ctx, w.keys[1]).Result()
	return n > 0, err
}
