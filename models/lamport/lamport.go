// Package lamport is the logical clock of Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System" (1978):
// if A happened before B, the stamp of A is less than the stamp of B.
package lamport

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"
)

// Stamp is a Lamport time, 0 to MaxStamp.
type Stamp int64

// MaxStamp is the largest stamp that is accepted from outside: 2^53−1, which JSON readers keep exact.
const MaxStamp Stamp = 1<<53 - 1

// ErrMalformed is returned by Parse.
var ErrMalformed = errors.New("lamport: not a decimal between 0 and 2^53-1")

// Parse reads the value of a Lamport-Time header.
func Parse(s string) (Stamp, error) {
	if s == "" || len(s) > 16 {
		return 0, ErrMalformed
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || Stamp(n) > MaxStamp {
		return 0, ErrMalformed
	}
	return Stamp(n), nil
}

func (s Stamp) String() string { return strconv.FormatInt(int64(s), 10) }

// Clock is the clock of one process. The zero Clock reads 0. It is safe for concurrent use.
type Clock struct {
	now    atomic.Int64
	strode atomic.Int64 // when a claim last made a stride above the horizon, in ns since 1970
}

// Now reads the clock without an event.
func (c *Clock) Now() Stamp { return Stamp(c.now.Load()) }

// Tick counts an event of this process, such as a send, and returns its stamp.
func (c *Clock) Tick() Stamp { return Stamp(c.now.Add(1)) }

// Receive counts the receipt of a message or the reading of a row stamped s: the clock becomes max(own, s) + 1.
func (c *Clock) Receive(s Stamp) Stamp {
	for {
		own := c.now.Load()
		next := max(own, int64(s)) + 1
		if c.now.CompareAndSwap(own, next) {
			return Stamp(next)
		}
	}
}

// The stamps above horizon, a trillion, are not for others to lead a clock to: one that claimed MaxStamp would leave everybody else none that is accepted.
// Up there a clock follows others only in steps that a conversation makes, and now and then in one of up to stride, which covers clocks that went on by
// themselves. So to use the clock up takes years.
const (
	horizon     = MaxStamp - 1<<40
	step        = 64
	stride      = 1 << 20
	strideEvery = time.Minute
)

// ReceiveClaim is Receive for a stamp that comes from outside, at a time, and may be made up. One that would use the clock up counts as 0.
func (c *Clock) ReceiveClaim(s Stamp, now time.Time) Stamp {
	if ahead := s - c.Now(); s > horizon && ahead > step && (ahead > stride || !c.mayStride(now)) {
		s = 0
	}
	return c.Receive(s)
}

// mayStride says whether the last stride is long enough ago, and if so, that this is the next.
func (c *Clock) mayStride(now time.Time) bool {
	last := c.strode.Load()
	return now.UnixNano()-last >= int64(strideEvery) && c.strode.CompareAndSwap(last, now.UnixNano())
}

// Witness makes sure that the clock reads at least s, without counting an event: what a process does with what it remembers of its past.
func (c *Clock) Witness(s Stamp) {
	for {
		own := c.now.Load()
		if own >= int64(s) || c.now.CompareAndSwap(own, int64(s)) {
			return
		}
	}
}
