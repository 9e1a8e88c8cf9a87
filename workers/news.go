package workers

import (
	"sync"
	"time"
)

// runningNews is how long an envelope may take before the others are told that it is being executed. Nearly none takes that long.
const runningNews = 50 * time.Millisecond

// news tells the others that an envelope is being executed, once that takes long. What a paused lane keeps from running is not running, however long it takes to find
// out.
type news struct {
	tell func(running bool)

	mu    sync.Mutex
	timer *time.Timer // nil while the envelope is not being executed
	// What was told last, if anything:
	told      bool // that it is being executed
	withdrawn bool // that it is not
}

// begin says that the envelope is being executed; it may be said again.
func (n *news) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.timer == nil {
		n.timer = time.AfterFunc(runningNews, n.due)
	}
}

func (n *news) due() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.timer != nil && !n.told {
		n.told, n.withdrawn = true, false
		n.tell(true)
	}
}

// withdraw says that the envelope is not being executed after all. It is told even if this has not told that it was: a former holder of the lane may have, or the envelope
// that this one was a part of.
func (n *news) withdraw() {
	n.end()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.withdrawn {
		n.told, n.withdrawn = false, true
		n.tell(false)
	}
}

// end is the end of the execution, of which others are told otherwise.
func (n *news) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.timer != nil {
		n.timer.Stop()
		n.timer = nil
	}
}
