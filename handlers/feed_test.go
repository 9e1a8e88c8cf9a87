package handlers

import (
	"sync"
	"testing"

	"guichet/models/id"
)

// However many streams a session opens at once, no more than the limit are; one that ends makes room for one.
func TestStreamsAreCountedAtOnce(t *testing.T) {
	t.Parallel()
	ids := id.NewGenerator()
	streams, session, user := newOpenStreams(), ids.Next(), ids.Next()
	enter := func(session id.ID) *openStream { return streams.enter(session, user, nil, func() {}) }
	var mu sync.Mutex
	var entered []*openStream
	var group sync.WaitGroup
	for range 10 * mostStreams {
		group.Go(func() {
			if stream := enter(session); stream != nil {
				mu.Lock()
				defer mu.Unlock()
				entered = append(entered, stream)
			}
		})
	}
	group.Wait()
	if len(entered) != mostStreams || enter(ids.Next()) == nil {
		t.Errorf("%d streams of a session are open, want %d; another session has its own", len(entered), mostStreams)
	}
	streams.leave(entered[0])
	entered[0] = enter(session)
	if entered[0] == nil || enter(session) != nil {
		t.Error("one that ended has not made room for one")
	}
	for _, stream := range entered {
		streams.leave(stream)
	}
	if len(streams.bySession) != 1 || len(streams.byUser[user]) != 1 {
		t.Errorf("%d sessions are remembered, and %d streams", len(streams.bySession), len(streams.byUser[user]))
	}
}
