package identity

import (
	"sync"
	"time"
)

const (
	// longestTrust bounds for how long a copy is trusted while the store does not answer. A session cannot be ended meanwhile: that is written to the store,
	// too. But a process that is cut off from a store which serves others does not hear of it.
	longestTrust = 10 * time.Minute
	// askPause is for how long a store that did not answer is not asked about sessions that there are copies of.
	askPause = time.Second
)

// outage remembers that the store did not answer, so that not everybody who can do without it waits for it in vain. The zero outage is none.
type outage struct {
	mu     sync.Mutex
	failed time.Time // when the store last failed to answer; zero if it has answered since
	asking bool      // somebody is finding out whether it is back
}

// mayAsk says whether to ask the store now: while it is away, one at a time, and with pauses. Who may, reports.
func (o *outage) mayAsk(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed.IsZero() {
		return true
	}
	since := now.Sub(o.failed)
	if o.asking || 0 <= since && since < askPause { // clocks may be set back
		return false
	}
	o.asking = true
	return true
}

// report is told how the asking went: whether the store answered, unless who asked has not waited for it.
func (o *outage) report(now time.Time, waited, answered bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asking = false
	switch {
	case !waited:
	case answered:
		o.failed = time.Time{}
	default:
		o.failed = now
	}
}
