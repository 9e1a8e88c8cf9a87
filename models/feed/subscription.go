package feed

import (
	"context"
	"errors"
	"sync"
)

// maxPending bounds what waits for one slow reader, in bytes. It covers about a second of a busy topic.
const maxPending = 256 << 10

var (
	// ErrTooSlow ends a subscription whose reader fell behind. Nothing is lost: the reader resumes from its position.
	ErrTooSlow = errors.New("feed: the reader is too slow")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("feed: the subscription is closed")
)

// Frames are one entry as server-sent events, encoded once for all its readers.
type Frames struct {
	*Entry
	Text []byte
}

// After appends to b what of the entry comes after a position: all of it, but for who has the start of an operation already.
func (f Frames) After(b []byte, position int64) []byte {
	if f.Position-f.width() >= position {
		return append(b, f.Text...)
	}
	return f.Entry.Frames(b, position)
}

// Subscription collects the live entries of some topics for one reader.
type Subscription struct {
	hub    *Hub
	topics []string
	from   int64
	more   chan struct{}

	mu      sync.Mutex
	pending []Frames
	size    int
	err     error
}

// Subscribe starts to collect. The subscription gets every entry after From; what came before is in the log.
func (h *Hub) Subscribe(topics []string) *Subscription {
	s := &Subscription{hub: h, topics: topics, more: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range topics {
		if h.subscriptions[topic] == nil {
			h.subscriptions[topic] = map[*Subscription]struct{}{}
		}
		h.subscriptions[topic][s] = struct{}{}
	}
	s.from = h.position.Load()
	return s
}

// From is the position after which the subscription's entries start.
func (s *Subscription) From() int64 { return s.from }

// push adds frames, or cuts the reader off.
func (s *Subscription) push(f Frames) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, f)
	s.size += len(f.Text)
	if s.size > maxPending {
		s.pending, s.err = nil, ErrTooSlow
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.err == nil
}

// More gets a value when Take may have something to return.
func (s *Subscription) More() <-chan struct{} { return s.more }

// Take returns what is pending, in order, which may be nothing; or why there will be nothing any more.
func (s *Subscription) Take() ([]Frames, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.pending
	s.pending, s.size = nil, 0
	return taken, s.err
}

// Next waits until something is pending and takes it.
func (s *Subscription) Next(ctx context.Context) ([]Frames, error) {
	for {
		if taken, err := s.Take(); len(taken) > 0 || err != nil {
			return taken, err
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	s.hub.remove(s)
	s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
	if s.err == nil {
		s.err = ErrClosed
	}
}

// remove is called with mu held.
func (h *Hub) remove(s *Subscription) {
	for _, topic := range s.topics {
		delete(h.subscriptions[topic], s)
		if len(h.subscriptions[topic]) == 0 {
			delete(h.subscriptions, topic)
		}
	}
}
