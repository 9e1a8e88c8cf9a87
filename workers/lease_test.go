package workers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const testLaneName = "bank"

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
	rdb := server.client(t)
	l := mustAcquire(t, rdb, newHolder())
	stop := keepUntilStopped(t, l)

	taken := make(chan time.Time, 1)
	standby := newHolder()
	go func() {
		if _, err := waitFor(t.Context(), server.client(t), testLaneName, standby, never); err == nil {
			taken <- time.Now()
		}
	}()
	select { // longer than the TTL: renewal is what keeps the standby out
	case <-taken:
		t.Fatal("the lane was taken from a holder that renewed")
	case <-time.After(leaseTTL + leaseRenewEvery):
	}

	stop()
	died := time.Now()
	select {
	case at := <-taken:
		if d := at.Sub(died); d > 2500*time.Millisecond {
			t.Errorf("takeover took %v", d)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the lane was never taken over")
	}
	if err := l.keep(t.Context()); !errors.Is(err, errLeaseLost) {
		t.Errorf("the old holder's keep returned %v, want errLeaseLost", err)
	}
	if err := l.release(t.Context()); err != nil {
		t.Error(err)
	}
	expectHolder(t, rdb, standby) // the old holder's release left it alone
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
	server.kill()
	server.wipe()
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
	server.kill()
	server.wipe()
	server.start()
	taker := newHolder()
	if _, err := waitFor(t.Context(), server.client(t), testLaneName, taker, always); err != nil {
		t.Fatal(err)
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
	case <-time.After(20 * time.Second):
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
	case <-time.After(20 * time.Second):
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
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
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

// leaseRedis is a private redis-server that can be killed, wiped and started
// again on its port.
type leaseRedis struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
}

func startLeaseRedis(t *testing.T) *leaseRedis {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &leaseRedis{t: t, dir: t.TempDir(), addr: free.Addr().String()}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	r.start()
	return r
}

func (r *leaseRedis) start() {
	r.t.Helper()
	_, port, _ := strings.Cut(r.addr, ":")
	r.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	rdb := r.client(r.t)
	eventually(r.t, func() error { return rdb.Ping(r.t.Context()).Err() })
}

func (r *leaseRedis) kill() {
	if r.cmd != nil && r.cmd.Process != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

func (r *leaseRedis) wipe() {
	r.t.Helper()
	entries, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(entry); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *leaseRedis) client(t *testing.T) *redis.Client {
	rdb := redis.NewClient(&redis.Options{Addr: r.addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func never(context.Context) bool  { return false }
func always(context.Context) bool { return true }

// Redis loses all that it has, again and again: the holder puts its lease back, and nobody who stands by takes the lane from it.
func TestWipedRedisMovesNoLane(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	owner := newHolder()
	l, err := acquire(t.Context(), server.client(t), testLaneName, owner)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
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
	rdb := server.client(t)
	for range 4 {
		pause(ctx, leaseRenewEvery+standbyEvery) // until everybody has seen the lease
		if err := rdb.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		awaitThat(t, func() error {
			if got := rdb.Get(ctx, leaseKey(testLaneName)).Val(); got != owner {
				return fmt.Errorf("the lease is with %q, want %q", got, owner)
			}
			return nil
		})
	}
	select {
	case <-taken:
		t.Error("the lane was taken from a holder that lives")
	case err := <-kept:
		t.Errorf("the holder gave up: %v", err)
	default:
	}
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
