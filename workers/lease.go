package workers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"

	"guichet/models/beat"
)

const (
	// leaseTTL is how long a dead holder's lane stands still. Shorter, and a
	// garbage collection or a busy disk under Redis would cost a healthy holder
	// its lane.
	leaseTTL = 2500 * time.Millisecond

	// leaseRenewEvery is the pace of renewals that succeed: a process may be held
	// up for as long as is left then, and keeps its lanes.
	leaseRenewEvery = time.Second

	// leaseRetryEvery is the pace while Redis does not answer: faster than a
	// standby's, so that after an outage the present holder mostly keeps its lane.
	leaseRetryEvery = 100 * time.Millisecond

	// leaseCallTimeout abandons a renewal while there is still time for another.
	// go-redis applies it to the socket only with Options.ContextTimeoutEnabled.
	leaseCallTimeout = leaseTTL / 3

	// standbyEvery is a standby's pace, ± standbyJitter so that standbys spread
	// out. A takeover takes at most leaseTTL plus the sum of both.
	standbyEvery  = 250 * time.Millisecond
	standbyJitter = 50 * time.Millisecond
)

var (
	// errLeaseHeld: somebody else has the lane.
	errLeaseHeld = errors.New("lane is held by another worker")
	// errLeaseLost: somebody else has taken the lane that was ours.
	errLeaseLost = errors.New("lane was taken over by another worker")
)

// lease is the exclusive right to execute a lane, kept in the Redis key
// guichet:lease:{lane}, whose value is the holder. The braces are in the key, so
// that a cluster has it where the lane's queue is: one that answers about the
// lease has the queue, too. It keeps two healthy workers
// apart, no more: Redis may be wiped, a process may sleep past its TTL. What
// protects the database is the fence number, which whoever acquires a lease
// increments there before executing anything.
//
// It stands on redislock, whose Obtain also succeeds if the key already holds
// our token: an attempt whose answer was lost is simply repeated. The nil lease
// is that of the embedded store, which no other process can reach: there is
// nobody to be kept apart from.
type lease struct {
	lane   string
	holder string
	locks  *redislock.Client
	lock   *redislock.Lock
	away   atomic.Bool // Redis did not answer when it was last asked
}

func leaseKey(lane string) string { return "guichet:lease:{" + lane + "}" }

// newHolder names one contender: host:pid:random. Two contenders must never
// share a name, not even within a process, since a name may acquire again what
// it holds.
func newHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // the random part is what makes the name unique
	}
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text())
}

// acquire makes one attempt to take lane. The error is errLeaseHeld, or Redis's
// own. Start keep at once: the TTL is already running.
func acquire(ctx context.Context, rdb redis.Scripter, lane, holder string) (*lease, error) {
	l := &lease{lane: lane, holder: holder, locks: redislock.New(rdb)}
	if err := l.obtain(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// waitFor stands by until lane is free and then holds it. Redis being away counts
// as not yet; the only error is that of ctx.
//
// A lease is free when it has run out, or when vacant says that nobody has the
// lane. One that is gone before its time was lost by Redis, and its holder, which
// lives, puts it back at its next renewal: with several lanes and workers, each
// would otherwise take the other's, and all of them end.
func waitFor(ctx context.Context, rdb redis.UniversalClient, lane, holder string, vacant func(context.Context) bool) (*lease, error) {
	var seen standbyLog
	var until time.Time // when the lease runs out that was seen last
	for {
		left, err := rdb.PTTL(ctx, leaseKey(lane)).Result()
		switch now := time.Now(); {
		case err != nil:
		case left >= 0:
			until, err = now.Add(left), errLeaseHeld
		case until.IsZero(): // nothing is known of the last one: its holder, if there is one, renews it by then
			until = now.Add(leaseRenewEvery + leaseCallTimeout)
		}
		if err == nil {
			err = errLeaseHeld
			if !time.Now().Before(until) || vacant(ctx) {
				var l *lease
				if l, err = acquire(ctx, rdb, lane, holder); err == nil {
					return l, nil
				}
			}
		}
		seen.note(ctx, lane, err)
		jitter := randv2.N(2*standbyJitter) - standbyJitter
		if !pause(ctx, standbyEvery+jitter) {
			return nil, ctx.Err()
		}
	}
}

// standbyLog tells an operator once why a standby waits, not four times a second.
type standbyLog struct{ unreachable bool }

func (s *standbyLog) note(ctx context.Context, lane string, err error) {
	unreachable := !errors.Is(err, errLeaseHeld)
	if unreachable && !s.unreachable && ctx.Err() == nil {
		slog.WarnContext(ctx, "standing by, Redis does not answer", "lane", lane, "error", err)
	}
	s.unreachable = unreachable
}

// keep renews the lease until ctx ends (nil) or somebody else has it
// (errLeaseLost). It never gives up because Redis is away: meanwhile the fence
// keeps writes safe. If the key is gone when Redis is back, it takes it again
// unless somebody was faster.
func (l *lease) keep(ctx context.Context) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	for {
		err := l.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // whatever ended the renewal: we were to stop
		case errors.Is(err, errLeaseLost):
			return err
		case err != nil && !l.away.Load():
			slog.WarnContext(ctx, "lease not renewed, Redis does not answer", "lane", l.lane, "error", err)
		case err == nil && l.away.Load():
			slog.InfoContext(ctx, "lease renewed, Redis answers again", "lane", l.lane)
		}
		l.away.Store(err != nil)
		every := leaseRenewEvery
		if err != nil {
			every = leaseRetryEvery
		}
		if !pause(ctx, beat.Until(every)) {
			return nil
		}
	}
}

// isAway says whether Redis did not answer when it was last asked. The embedded one always does.
func (l *lease) isAway() bool { return l != nil && l.away.Load() }

func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseCallTimeout)
	defer cancel()
	err := l.lock.Refresh(ctx, leaseTTL, nil)
	if !errors.Is(err, redislock.ErrNotObtained) {
		return err
	}
	err = l.obtain(ctx)
	if errors.Is(err, errLeaseHeld) {
		return errLeaseLost
	}
	return err
}

func (l *lease) obtain(ctx context.Context) error {
	lock, err := l.locks.Obtain(ctx, leaseKey(l.lane), leaseTTL, &redislock.Options{Token: l.holder})
	if errors.Is(err, redislock.ErrNotObtained) {
		return errLeaseHeld
	}
	if err != nil {
		return fmt.Errorf("acquiring lane %s: %w", l.lane, err)
	}
	l.lock = lock
	return nil
}

// release frees the lane at once, so that a standby need not wait out the TTL. It
// deletes our own key only; that there is none is no error. End keep first, which
// would take the lane again, and pass a context that is still alive.
func (l *lease) release(ctx context.Context) error {
	if l == nil {
		return nil
	}
	err := l.lock.Release(ctx)
	if err != nil && !errors.Is(err, redislock.ErrLockNotHeld) {
		return fmt.Errorf("releasing lane %s: %w", l.lane, err)
	}
	return nil
}

// pause waits for d and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
