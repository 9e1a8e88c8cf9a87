package handlers

import (
	"sync"
	"sync/atomic"
	"testing"

	"guichet/models/id"
)

// However many streams a session opens at once, no more than the limit are; one that ends makes room for one.
func TestStreamsAreCountedAtOnce(t *testing.T) {
	t.Parallel()
	ids := id.NewGenerator()
	counts, session := streamCounts{open: map[id.ID]int{}}, ids.Next()
	var entered atomic.Int64
	var group sync.WaitGroup
	for range 10 * mostStreams {
		group.Go(func() {
			if counts.enter(session) {
				entered.Add(1)
			}
		})
	}
	group.Wait()
	if entered.Load() != mostStreams || !counts.enter(ids.Next()) {
		t.Errorf("%d streams of a session are open, want %d; another session has its own", entered.Load(), mostStreams)
	}
	counts.leave(session)
	if !counts.enter(session) || counts.enter(session) {
		t.Error("one that ended has not made room for one")
	}
	for range mostStreams {
		counts.leave(session)
	}
	if len(counts.open) != 1 {
		t.Errorf("%d sessions are remembered", len(counts.open))
	}
}
