package workers

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/operation"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

// counterHall is a rig with a queue.
type counterHall struct {
	*rig
	address string
	client  *asynq.Client
}

// onBothPairs runs a test on SQLite with miniredis, and on MariaDB with Redis.
func onBothPairs(t *testing.T, test func(t *testing.T, h *counterHall)) {
	onBothStores(t, func(t *testing.T, r *rig) {
		if r.db.Embedded() {
			test(t, r.withQueue(miniredis.RunT(t).Addr()))
			return
		}
		test(t, r.withRedis())
	})
}

// withRedis is withQueue on the Redis of the tests.
func (r *rig) withRedis() *counterHall {
	r.Helper()
	options, err := redis.ParseURL(testbed.Redis(r))
	if err != nil {
		r.Fatal(err)
	}
	return r.withQueue(options.Addr)
}

func (r *rig) withQueue(address string) *counterHall {
	h := &counterHall{rig: r, address: address}
	h.client = asynq.NewClientFromRedisClient(h.redis())
	return h
}

func (h *counterHall) redis() redis.UniversalClient {
	client := h.openRedis()
	h.Cleanup(func() { _ = client.Close() })
	return client
}

// openRedis is for holders, which stay behind when they lose their lane: the end of the process would end them, and asynq panics if it outlives its client.
func (h *counterHall) openRedis() redis.UniversalClient {
	return redis.NewClient(&redis.Options{Addr: h.address, ContextTimeoutEnabled: true})
}

// enqueue puts an envelope on the queue, as an intake does.
func (h *counterHall) enqueue(e *operation.Envelope) {
	h.Helper()
	if _, err := h.client.Enqueue(asynq.NewTask(operation.TaskKind, e.Encode()), asynq.Queue(fakeLane), asynq.TaskID(e.ID().String())); err != nil {
		h.Fatal(err)
	}
}

// worker is a process's share in the lane.
type worker struct {
	*counterHall
	*holder
	stop    context.CancelFunc
	stopped chan struct{}
	lostErr chan error
}

// work starts one.
func (h *counterHall) work(shutdown time.Duration) *worker {
	ctx, stop := context.WithCancel(context.Background())
	w := &worker{counterHall: h, stop: stop, stopped: make(chan struct{}), lostErr: make(chan error, 10)}
	w.holder = &holder{lane: fakeLane, counter: h.counter, name: newHolder(), Workers: &Workers{
		DB: h.db, Redis: h.openRedis(), NewRedis: h.openRedis, Clock: &h.clock, Publisher: h.feed, ShutdownTimeout: shutdown,
		metrics: h.metrics,
		OnLost: func(err error) {
			w.lostErr <- err
			runtime.Goexit() // the nearest to the end of the process
		},
	}}
	w.prepare()
	go func() {
		defer close(w.stopped)
		w.holder.run(ctx)
	}()
	h.Cleanup(func() {
		stop()
		select {
		case <-w.stopped:
		case err := <-w.lostErr:
			h.Logf("a holder lost its lane: %v", err)
		case <-time.After(patience):
			h.Error("a holder does not stop")
		}
	})
	return w
}

func (w *worker) awaitStopped(within time.Duration) {
	w.Helper()
	select {
	case <-w.stopped:
	case <-time.After(within):
		w.Fatalf("the holder has not stopped within %v", within)
	}
}

// awaitOutcomes waits until n operations have ended.
func (r *rig) awaitOutcomes(n int) {
	r.Helper()
	awaitThat(r, func() error {
		var got int
		err := r.db.Read(r.Context()).Gorm().Raw("SELECT COUNT(*) FROM outcomes").Row().Scan(&got)
		if err == nil && got < n {
			err = fmt.Errorf("%d of %d have ended", got, n)
		}
		return err
	})
}

func awaitThat(t testing.TB, try func() error) {
	t.Helper()
	for until := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
		pause(t.Context(), 5*time.Millisecond)
	}
}

// A holder first executes what the journal has, then what the queue brings, and leaves the lane free.
func TestHolder(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *counterHall) {
		lost := h.journal(order{Text: "a"}, order{Text: "b"})
		w := h.work(time.Minute)
		h.awaitOutcomes(2)
		parts := []*operation.Envelope{lost}
		for i := range 50 {
			e := h.journal(order{Text: "c"}, order{Bug: "refuse"})
			parts = append(parts, e)
			if i%10 != 7 { // the task is lost
				h.enqueue(e)
			}
		}
		h.awaitOutcomes(102)
		w.stop()
		w.awaitStopped(10 * time.Second)
		if err := h.check(h.outcomes()); err != nil {
			t.Error(err)
		}
		var seen int
		for _, e := range parts { // within a batch; between batches order is the intake's to ask for (Envelope.After)
			seen += len(e.Commands)
		}
		if seen != len(h.outcomes()) {
			t.Errorf("%d outcomes of %d", len(h.outcomes()), seen)
		}
		if n := h.query("SELECT COUNT(*) FROM lanes WHERE name = ? AND holder = ''", fakeLane); n != 1 {
			t.Error("the lane's row still names a holder")
		}
		if n, err := h.redis().Exists(t.Context(), leaseKey(fakeLane)).Result(); n != 0 || err != nil {
			t.Errorf("the lease is still there (%v)", err)
		}
	})
}

// An orderly stop finishes the envelope in hand, begins no other, and the next holder goes on.
func TestHolderStops(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *counterHall) {
		inHand, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		h.counter.onStore = func(database.Tx) {
			once.Do(func() {
				close(inHand)
				<-release
			})
		}
		w := h.work(time.Minute)
		first := h.journal(order{Text: "a"})
		h.enqueue(first)
		<-inHand
		var second *operation.Envelope
		accepted := make(chan struct{})
		go func() { // SQLite has one writer, which is the lane now
			defer close(accepted)
			second = h.journal(order{Text: "b"})
			h.enqueue(second)
		}()
		w.stop()
		select {
		case <-w.stopped:
			t.Error("it has not waited for what was in hand")
		case <-time.After(100 * time.Millisecond):
		}
		close(release)
		w.awaitStopped(10 * time.Second)
		h.inOrder(first)
		<-accepted
		h.work(time.Minute)
		h.awaitOutcomes(2)
		h.expectStatuses("succeeded", "succeeded")
		h.inOrder(first, second)
	})
}

// A paused lane executes nothing, not even when a new holder comes, which can be stopped at once; resumed, it goes on in order.
func TestHolderOfPausedLane(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *counterHall) {
		h.pause(true)
		parts := []*operation.Envelope{h.journal(order{Text: "a"})}
		h.enqueue(parts[0])
		w := h.work(time.Minute)
		awaitThat(t, func() error { return h.held() })
		parts = append(parts, h.journal(order{Text: "b"}))
		h.enqueue(parts[1])
		pause(t.Context(), 3*tendEvery)
		w.stop()
		w.awaitStopped(10 * time.Second)
		h.work(time.Minute)
		awaitThat(t, func() error { return h.held() })
		parts = append(parts, h.journal(order{Text: "c"}))
		pause(t.Context(), 3*tendEvery)
		if n := len(h.counter.loaded()) + len(h.outcomes()); n != 0 {
			t.Errorf("%d loaded or executed while the lane was paused", n)
		}
		h.pause(false)
		h.awaitOutcomes(3)
		h.expectStatuses("succeeded", "succeeded", "succeeded")
		h.inOrder(parts...)
		h.pause(true) // and with an envelope from the queue in hand
		late := h.journal(order{Text: "d"})
		h.enqueue(late)
		pause(t.Context(), 3*tendEvery)
		h.pause(false)
		h.awaitOutcomes(4)
		h.inOrder(append(parts, late)...)
	})
}

// held returns nil if somebody holds the lane.
func (r *rig) held() error {
	if r.query("SELECT COUNT(*) FROM lanes WHERE name = ? AND holder <> ''", fakeLane) == 0 {
		return errors.New("nobody holds the lane")
	}
	return nil
}

// Whoever finds the lane fenced off, or its lease with somebody else, ends its process and writes nothing.
func TestHolderLosesLane(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *counterHall) {
		old := h.work(time.Minute)
		awaitThat(t, func() error { return h.held() })
		first := h.journal(order{Text: "a"})
		h.enqueue(first)
		h.awaitOutcomes(1)
		x := h.executor() // seizes the lane
		second := h.journal(order{Text: "b"})
		h.enqueue(second)
		old.expectLost(errFenced)
		h.inOrder(first)
		h.mustExecute(x, second)
		h.expectStatuses("succeeded", "succeeded")
	})
}

func TestHolderLosesLease(t *testing.T) { // of which the embedded pair has none
	t.Parallel()
	h := newRig(t, stores.MySQL(t, testbed.MySQL(t))).withRedis()
	old := h.work(time.Minute)
	awaitThat(t, func() error { return h.held() })
	if err := h.redis().Set(t.Context(), leaseKey(fakeLane), "somebody else", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	old.expectLost(errLeaseLost)
}

func (w *worker) expectLost(want error) {
	w.Helper()
	select {
	case err := <-w.lostErr:
		if !errors.Is(err, want) {
			w.Errorf("%v, want %v", err, want)
		}
		w.lostErr <- err // for the clean-up
	case <-time.After(patience):
		w.Fatal("it has not noticed")
	}
}

// Nothing that a worker starts outlives it.
func TestRunLeavesNothingBehind(t *testing.T) { //nolint:paralleltest // it counts goroutines
	before := goleak.IgnoreCurrent()
	func() {
		db, err := database.OpenSQLite(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // a test's
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		queue, err := miniredis.Run()
		if err != nil {
			t.Fatal(err)
		}
		defer queue.Close()
		newRedis := func() redis.UniversalClient { return redis.NewClient(&redis.Options{Addr: queue.Addr()}) }
		rdb := newRedis()
		defer rdb.Close() //nolint:errcheck // a test's
		r := &rig{TB: t, db: db}
		w := &Workers{DB: db, Redis: rdb, NewRedis: newRedis, Clock: &r.clock, Publisher: feed.NewPublisher(nil, rdb), Lanes: Lanes(1), ShutdownTimeout: time.Minute, OnLost: func(err error) { t.Error(err) }}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- w.Run(ctx) }()
		awaitThat(t, func() error {
			if r.query("SELECT COUNT(*) FROM lanes WHERE name = ? AND holder <> ''", bank.Lane) == 0 {
				return errors.New("nobody holds the lane")
			}
			return nil
		})
		w.Wake("")
		stop()
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
	}()
	// Holders that other tests left behind, when tests are repeated, still look for their Redis.
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).queuedNewConn.func2"))
}
