package workers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/testbed"
)

const testLaneName = "bank"

// patience is how long a test waits for what is to come: the machines are shared, and the race detector is slow.
const patience = 60 * time.Second

func TestLeaseNeverHasTwoHolders(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	const contenders, turns = 4, 100
	var holders, served atomic.Int64
	var wg sync.WaitGroup
	for range contenders {
		rdb := server.client(t)
		wg.Go(func() {
			for holder := newHolder(); served.Load() < turns; {
				l, err := acquire(t.Context(), rdb, testLaneName, holder)
				if errors.Is(err, errLeaseHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders at once", n)
				}
				stop := keepUntilStopped(t, l)
				pause(t.Context(), time.Millisecond)
				stop()
				served.Add(1)
				holders.Add(-1)
				if err := l.release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestLeaseTakeover(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	for deadline := time.Now().Add(patience); ; {
		took, punctual := takeOver(t, server)
		if punctual && took <= 2500*time.Millisecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("takeover took %v", took)
		}
		t.Logf("takeover took %v, the holder was punctual: %t; once more", took, punctual)
	}
}

// takeOver has a standby wait for a holder that renews its lease, and dies. The holder was not punctual if the machine kept it from renewing in time, or the standby from
// keeping what it has taken: then nothing else is said.
func takeOver(t *testing.T, server *leaseRedis) (took time.Duration, punctual bool) {
	t.Helper()
	rdb, late := server.client(t), &renewals{}
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	rdb.AddHook(late)
	l := mustAcquire(t, rdb, newHolder())
	ctx, die := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- l.keep(ctx) }()

	taken, lasts := make(chan time.Time, 1), make(chan bool, 1)
	standby, standbys := newHolder(), server.client(t)
	go func() {
		if _, err := waitFor(t.Context(), standbys, testLaneName, standby, never); err == nil {
			taken <- time.Now()
			lasts <- keepForever(t, standbys)
		}
	}()
	select { // longer than the TTL: renewal is what keeps the standby out
	case <-taken:
		if late.longest(time.Now()) < leaseTTL {
			t.Fatal("the lane was taken from a holder that renewed")
		}
		die()
		t.Logf("the holder was late: %v", <-kept)
		<-lasts
		return 0, false
	case <-time.After(leaseTTL + leaseRenewEvery):
	}

	die()
	err := <-kept
	died := time.Now()
	select {
	case at := <-taken:
		took = at.Sub(died)
	case <-time.After(patience):
		t.Fatal("the lane was never taken over")
	}
	switch {
	case late.longest(died) >= leaseTTL || !<-lasts:
		return took, false
	case err != nil:
		t.Errorf("keep: %v", err)
	}
	if err := l.keep(t.Context()); !errors.Is(err, errLeaseLost) {
		t.Errorf("the old holder's keep returned %v, want errLeaseLost", err)
	}
	if err := l.release(t.Context()); err != nil {
		t.Error(err)
	}
	expectHolder(t, rdb, standby) // the old holder's release left it alone
	return took, true
}

// keepForever has the lease that was just taken never run out, and says whether it has not done so yet.
func keepForever(t *testing.T, rdb *redis.Client) bool {
	t.Helper()
	kept, err := rdb.Persist(t.Context(), leaseKey(testLaneName)).Result()
	if err != nil {
		t.Error(err)
	}
	return kept
}

// renewals is a hook that notes how long it took at the most from when a command was sent until the next was answered. Below a lease's time, it has not run out between.
type renewals struct {
	mu   sync.Mutex
	sent time.Time
	most time.Duration
}

// longest is up to a time, at which the next may not have been sent.
func (r *renewals) longest(until time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.most, until.Sub(r.sent))
}

func (r *renewals) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *renewals) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r *renewals) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		sent := time.Now()
		err := next(ctx, cmd)
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.sent.IsZero() {
			r.most = max(r.most, time.Since(r.sent))
		}
		r.sent = sent
		return err
	}
}

func TestLeaseReleaseFreesAtOnce(t *testing.T) {
	t.Parallel()
	rdb := startLeaseRedis(t).client(t)
	l := mustAcquire(t, rdb, newHolder())
	if _, err := acquire(t.Context(), rdb, testLaneName, newHolder()); !errors.Is(err, errLeaseHeld) {
		t.Fatalf("a second contender got %v, want errLeaseHeld", err)
	}
	for range 2 { // the second time there is nothing to release
		if err := l.release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mustAcquire(t, rdb, newHolder())
}

// TestLeaseAnswerLost: the attempt succeeded and nobody heard so.
func TestLeaseAnswerLost(t *testing.T) {
	t.Parallel()
	rdb := startLeaseRedis(t).client(t)
	holder := newHolder()
	mustAcquire(t, rdb, holder)
	mustAcquire(t, rdb, holder)
	expectHolder(t, rdb, holder)
}

func TestLeaseSurvivesWipedRedis(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	rdb := server.client(t)
	holder := newHolder()
	defer keepUntilStopped(t, mustAcquire(t, rdb, holder))()
	server.kill() // and all that it had is gone
	server.start()
	expectHolder(t, rdb, holder)
}

// TestLeaseLostInOutage: the holder is cut off, somebody else takes the lane of
// the wiped Redis, the holder comes back.
func TestLeaseLostInOutage(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	cut := &cutOff{}
	rdb := server.client(t)
	rdb.AddHook(cut)
	l := mustAcquire(t, rdb, newHolder())
	kept := make(chan error, 1)
	go func() { kept <- l.keep(t.Context()) }()

	cut.off.Store(true)
	server.kill() // and all that it had is gone
	server.start()
	taker, takers := newHolder(), server.client(t)
	for taken := false; !taken; taken = keepForever(t, takers) {
		if _, err := waitFor(t.Context(), takers, testLaneName, taker, always); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-kept:
		t.Fatalf("keep gave up while Redis was away: %v", err)
	default:
	}
	cut.off.Store(false)
	select {
	case err := <-kept:
		if !errors.Is(err, errLeaseLost) {
			t.Errorf("keep returned %v, want errLeaseLost", err)
		}
	case <-time.After(patience):
		t.Fatal("keep never noticed")
	}
	expectHolder(t, server.client(t), taker)
}

func TestWaitForOutlastsRedis(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	rdb := server.client(t)
	server.kill()
	got := make(chan error, 1)
	go func() {
		_, err := waitFor(t.Context(), rdb, testLaneName, newHolder(), never)
		got <- err
	}()
	server.start()
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("never acquired")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waitFor(ctx, rdb, testLaneName, newHolder(), never); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that of the context", err)
	}
}

func mustAcquire(t *testing.T, rdb redis.Scripter, holder string) *lease {
	t.Helper()
	l, err := acquire(t.Context(), rdb, testLaneName, holder)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// keepUntilStopped runs keep, which must not fail; stop ends it without release,
// as a crash would, and returns when it has ended.
func keepUntilStopped(t *testing.T, l *lease) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := l.keep(ctx); err != nil {
			t.Errorf("keep: %v", err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func expectHolder(t *testing.T, rdb redis.Cmdable, want string) {
	t.Helper()
	eventually(t, func() error {
		got, err := rdb.Get(t.Context(), leaseKey(testLaneName)).Result()
		if err == nil && got != want {
			err = fmt.Errorf("holder is %s, want %s", got, want)
		}
		return err
	})
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return
		}
		if !pause(ctx, 10*time.Millisecond) {
			t.Fatalf("deadline passed: %v", err)
		}
	}
}

// cutOff is a hook that refuses commands while off.
type cutOff struct{ off atomic.Bool }

func (c *cutOff) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *cutOff) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *cutOff) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c.off.Load() {
			return errors.New("cut off from Redis")
		}
		return next(ctx, cmd)
	}
}

// leaseRedis is a private Redis that can be killed, wiped and started again on its port, which nobody else is given meanwhile. It does not wait for the disk: while that
// stands still, a lease runs out, as it should.
type leaseRedis struct {
	*testing.T
	*testbed.RedisServer
}

func startLeaseRedis(t *testing.T) *leaseRedis {
	t.Helper()
	return &leaseRedis{t, testbed.PrivateRedis(t, testbed.Options{Relaxed: true})}
}

func (r *leaseRedis) start() {
	r.Helper()
	if err := r.Restart(r.Context()); err != nil {
		r.Fatal(err)
	}
}

func (r *leaseRedis) kill() {
	r.Helper()
	if err := r.Kill(); err != nil {
		r.Fatal(err)
	}
}

func (r *leaseRedis) client(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.ContextTimeoutEnabled = true
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func never(context.Context) bool  { return false }
func always(context.Context) bool { return true }

// Redis loses all that it has, again and again: the holder puts its lease back, and nobody who stands by takes the lane from it. Nothing is said of a holder that the
// machine keeps from renewing for as long as a standby waits.
func TestWipedRedisMovesNoLane(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	for deadline := time.Now().Add(patience); !wipeUnderHolder(t, server); {
		if time.Now().After(deadline) {
			t.Fatal("the machine is too slow for a holder to renew its lease")
		}
	}
}

// wipeUnderHolder says whether the holder was punctual.
func wipeUnderHolder(t *testing.T, server *leaseRedis) (punctual bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rdb := server.client(t)
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	owner, owners, late := newHolder(), server.client(t), &renewals{}
	owners.AddHook(late)
	l := mustAcquire(t, owners, owner)
	kept, taken := make(chan error, 1), make(chan struct{}, 4)
	go func() { kept <- l.keep(ctx) }()
	for range 4 {
		rdb := server.client(t)
		go func() {
			if _, err := waitFor(ctx, rdb, testLaneName, newHolder(), never); err == nil {
				taken <- struct{}{}
			}
		}()
	}
	punctually := func() bool { return late.longest(time.Now()) < leaseRenewEvery+leaseCallTimeout }
	for range 4 {
		pause(ctx, leaseRenewEvery+standbyEvery) // until everybody has seen the lease
		if err := rdb.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		awaitThat(t, func() error {
			if got := rdb.Get(ctx, leaseKey(testLaneName)).Val(); got != owner && punctually() {
				return fmt.Errorf("the lease is with %q, want %q", got, owner)
			}
			return nil
		})
	}
	select {
	case <-taken:
		if punctually() {
			t.Error("the lane was taken from a holder that lives")
		}
	case err := <-kept:
		if punctually() {
			t.Errorf("the holder gave up: %v", err)
		}
	default:
	}
	return punctually()
}

// On a cluster the lease is where the lane's queue is: what asynq has of a queue is tagged with its name.
func TestLeaseIsWithItsQueue(t *testing.T) {
	t.Parallel()
	if key := leaseKey(testLaneName); !strings.Contains(key, "{"+testLaneName+"}") {
		t.Errorf("the key %q has not the tag of the queue", key)
	}
}

// A lease of which a standby knows nothing may have been lost by Redis just after its renewal: the next one, which may take its time, is waited for.
func TestUnknownLeaseIsWaitedFor(t *testing.T) {
	t.Parallel()
	rdb := startLeaseRedis(t).client(t)
	began := time.Now()
	if _, err := waitFor(t.Context(), rdb, testLaneName, newHolder(), never); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < leaseRenewEvery+leaseCallTimeout {
		t.Errorf("the lane was taken after %v, before a holder need have put its lease back", took)
	}
}
