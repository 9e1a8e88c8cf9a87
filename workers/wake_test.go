package workers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"guichet/models/operation"
)

const testQueue = "bank"

// TestWakerKnowsAsynqsDequeue pins asynq's dequeue: if an upgrade changes its
// keys, nothing is held any more and the idle queue is polled a thousand times a
// second.
func TestWakerKnowsAsynqsDequeue(t *testing.T) {
	t.Parallel()
	lane := startTestLane(t)

	const window, most = 500 * time.Millisecond, 20
	before := lane.sent.Load()
	soon := time.After(window)
	for idle := false; !idle; {
		select {
		case <-lane.sentOne:
			if n := lane.sent.Load() - before; n > most {
				t.Fatalf("%d commands in less than %v of idleness, want at most %d", n, window, most)
			}
		case <-soon:
			idle = true
		}
	}

	for deadline := time.Now().Add(patience); ; { // a machine that stands still meanwhile says nothing
		began := lane.awaitHeld(t)
		d := lane.serve(t, lane.waker.Poke)
		if d <= 200*time.Millisecond && time.Since(began) < wakeHold { // else it may have been the end of the hold
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a poked lane took %v to serve", d)
		}
	}
	lane.serve(t, func() {}) // without a poke it is late, and served
}

// TestWakerReleasesShutdown shows that asynq ends while its dequeue is held.
func TestWakerReleasesShutdown(t *testing.T) {
	t.Parallel()
	lane := startTestLane(t)
	lane.serve(t, lane.waker.Poke)
	lane.waker.Release()
	ended := make(chan struct{})
	go func() {
		lane.server.Shutdown()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("Shutdown still waits for the held dequeue")
	}
}

// TestWakerHolds runs on the fake clock, so the times are exact.
func TestWakerHolds(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection refused")
	tests := []struct {
		name    string
		answers []error       // what Redis says, one dequeue after the other
		after   time.Duration // when act happens; before the dequeue if zero
		act     func(*waker)
		want    error
		took    time.Duration
		asked   int
	}{
		{name: "task", answers: []error{nil}, asked: 1},
		{name: "empty", answers: []error{redis.Nil}, want: redis.Nil, took: wakeHold, asked: 1},
		{name: "poked while held", answers: []error{redis.Nil, nil}, after: 300 * time.Millisecond, act: (*waker).Poke, took: 300 * time.Millisecond, asked: 2},
		{name: "poked before", answers: []error{redis.Nil, nil}, act: (*waker).Poke, asked: 2},
		{name: "many pokes are one", answers: []error{redis.Nil, redis.Nil}, act: func(w *waker) { w.Poke(); w.Poke(); w.Poke() }, want: redis.Nil, took: wakeHold, asked: 2},
		{name: "poked for nothing", answers: []error{redis.Nil, redis.Nil}, after: 300 * time.Millisecond, act: (*waker).Poke, want: redis.Nil, took: wakeHold, asked: 2},
		{name: "released while held", answers: []error{redis.Nil}, after: 300 * time.Millisecond, act: (*waker).Release, want: redis.Nil, took: 300 * time.Millisecond, asked: 1},
		{name: "released before", answers: []error{redis.Nil}, act: (*waker).Release, want: redis.Nil, asked: 1},
		{name: "released twice", answers: []error{redis.Nil}, act: func(w *waker) { w.Release(); w.Release() }, want: redis.Nil, asked: 1},
		{name: "Redis away", answers: []error{broken}, want: broken, took: wakeBrake, asked: 1},
		{name: "Redis away, released", answers: []error{broken}, act: (*waker).Release, want: broken, asked: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, asked := newWaker(testQueue), 0
				dequeue := w.ProcessHook(func(context.Context, redis.Cmder) error {
					asked++
					return tt.answers[asked-1]
				})
				if tt.act != nil && tt.after == 0 {
					tt.act(w)
				} else if tt.act != nil {
					time.AfterFunc(tt.after, func() { tt.act(w) })
				}
				start := time.Now()
				err := dequeue(t.Context(), evalsha(w.keys[:]...))
				if took := time.Since(start); !errors.Is(err, tt.want) || took != tt.took || asked != tt.asked {
					t.Errorf("got %v after %v and %d questions, want %v after %v and %d", err, took, asked, tt.want, tt.took, tt.asked)
				}
			})
		})
	}
}

// TestWakerKeepsPokeDuringDequeue: the poke falls between Redis's empty answer
// and the hold.
func TestWakerKeepsPokeDuringDequeue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, asked := newWaker(testQueue), 0
		dequeue := w.ProcessHook(func(context.Context, redis.Cmder) error {
			if asked++; asked == 1 {
				w.Poke()
				return redis.Nil
			}
			return nil
		})
		start := time.Now()
		if err := dequeue(t.Context(), evalsha(w.keys[:]...)); err != nil || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want the task at once", err, time.Since(start))
		}
	})
}

// TestWakerTouchesOnlyItsDequeue: whatever else comes back empty is not held.
func TestWakerTouchesOnlyItsDequeue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, other := newWaker(testQueue), newWaker("trips")
	pending := w.keys[0]
	tests := map[string]redis.Cmder{
		"another queue":       evalsha(other.keys[:]...),
		"the inspector":       evalsha(pending, w.keys[2], w.keys[1], w.keys[3], "asynq:{bank}:retry"),
		"an acknowledgement":  evalsha(w.keys[2], w.keys[3], "asynq:{bank}:t:1", "asynq:{bank}:processed"),
		"fewer keys":          evalsha(pending),
		"keys as arguments":   redis.NewCmd(ctx, "evalsha", "sha", 1, pending, w.keys[1], w.keys[2], w.keys[3]),
		"the list itself":     redis.NewCmd(ctx, "lrange", pending, 0, 1),
		"a command by itself": redis.NewCmd(ctx, "ping"),
	}
	for name, cmd := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if w.isDequeue(cmd) {
				t.Errorf("%v is taken for a dequeue", cmd)
			}
		})
	}
	eval := redis.NewCmd(ctx, "eval", "script", 4, w.keys[0], w.keys[1], w.keys[2], w.keys[3], 1, "asynq:{bank}:t:")
	if !w.isDequeue(eval) || !w.isDequeue(evalsha(w.keys[:]...)) {
		t.Error("a dequeue is not recognised")
	}
}

// TestListenWake follows the channel across the death of Redis.
func TestListenWake(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	rdb := server.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan string, 100), make(chan struct{})
	go func() {
		ListenWake(ctx, rdb, operation.WakeChannel, func(lane string) { heard <- lane })
		close(ended)
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case lane := <-heard:
			if lane != want {
				t.Fatalf("poked %q, want %q", lane, want)
			}
		case <-time.After(patience):
			t.Fatalf("never poked %q", want)
		}
	}

	expect("")
	if err := operation.PublishWake(ctx, rdb, testQueue); err != nil {
		t.Fatal(err)
	}
	expect(testQueue)
	server.kill()
	server.start()
	expect("")
	cancel()
	<-ended
}

// TestListenWakeBeforeRedis: the listener may start first.
func TestListenWakeBeforeRedis(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	server.kill()
	heard := make(chan string, 100)
	go ListenWake(t.Context(), server.client(t), operation.WakeChannel, func(lane string) { heard <- lane })
	server.start()
	select {
	case <-heard:
	case <-time.After(patience):
		t.Fatal("never subscribed")
	}
}

// testLane is a real asynq server on miniredis, with a waker under it and below
// that a count of what reaches Redis.
type testLane struct {
	server  *asynq.Server
	client  *asynq.Client
	waker   *waker
	handled chan struct{}
	sent    atomic.Int64
	sentOne chan struct{}
	held    atomic.Pointer[time.Time] // when the dequeue was asked that found nothing, and is held; nil while none is
}

func startTestLane(t *testing.T) *testLane {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	lane := &testLane{waker: newWaker(testQueue), handled: make(chan struct{}), sentOne: make(chan struct{}, 1)}
	rdb.AddHook(lane.waker)
	rdb.AddHook((*countingHook)(lane))
	lane.client = asynq.NewClientFromRedisClient(rdb)
	lane.server = asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency:       1,
		Queues:            map[string]int{testQueue: 1},
		TaskCheckInterval: taskCheckInterval,
		LogLevel:          asynq.FatalLevel,
	})
	handle := func(context.Context, *asynq.Task) error {
		lane.handled <- struct{}{}
		return nil
	}
	if err := lane.server.Start(asynq.HandlerFunc(handle)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lane.waker.Release()
		lane.server.Shutdown()
		_ = rdb.Close()
	})
	lane.serve(t, lane.waker.Poke)
	return lane
}

// serve enqueues a task, calls poke and returns how long it took to be handled.
func (l *testLane) serve(t *testing.T, poke func()) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := l.client.EnqueueContext(t.Context(), asynq.NewTask("test", nil), asynq.Queue(testQueue)); err != nil {
		t.Fatal(err)
	}
	poke()
	select {
	case <-l.handled:
	case <-time.After(patience):
		t.Fatal("never handled")
	}
	return time.Since(start)
}

// awaitHeld waits until a dequeue is held and returns since when.
func (l *testLane) awaitHeld(t *testing.T) (since time.Time) {
	t.Helper()
	eventually(t, func() error {
		if held := l.held.Load(); held != nil {
			since = *held
			return nil
		}
		return errors.New("no dequeue is held")
	})
	return since
}

type countingHook testLane

func (h *countingHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *countingHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *countingHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.sent.Add(1)
		select {
		case h.sentOne <- struct{}{}:
		default:
		}
		if !h.waker.isDequeue(cmd) {
			return next(ctx, cmd)
		}
		asked := time.Now()
		h.held.Store(nil)
		err := next(ctx, cmd)
		if errors.Is(err, redis.Nil) {
			h.held.Store(&asked)
		}
		return err
	}
}

func evalsha(keys ...string) *redis.Cmd {
	args := []any{"evalsha", "sha", len(keys)}
	for _, key := range keys {
		args = append(args, key)
	}
	return redis.NewCmd(context.Background(), append(args, int64(1), "asynq:{bank}:t:")...)
}
