package feed

import (
	"context"
	"errors"
	"sync"
)

// MaxPending bounds what waits for one slow reader, in bytes. It covers about a second of a busy topic.
const MaxPending = 256 << 10

var (
	// ErrTooSlow ends a subscription whose reader fell behind. Nothing is lost: the reader resumes from its position.
	ErrTooSlow = errors.New("feed: the reader is too slow")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("feed: the subscription is closed")
)

// Frames are one entry as server-sent events, encoded once for all its readers.
type Frames struct {
	*Entry
	Text   []byte
	Before Place // who is within it is told all of the text
	At     Place // where who has been told it is
}

// After appends to b what of the entry comes after a place, and returns where its reader is then. It is all of it but for who has the start of an operation
// already, or was told more by another process than this one has heard of.
func (f Frames) After(b []byte, at Place) ([]byte, Place) {
	if at.Within(f.Before) {
		return append(b, f.Text...), f.At
	}
	return f.Frames(b, at)
}

// Subscription collects the live entries of some topics for one reader.
type Subscription struct {
	hub    *Hub
	topics []string
	from   Place
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
	h.add(s, topics)
	s.from = h.place()
	return s
}

// place is where the hub is. It is called with mu held.
func (h *Hub) place() Place { return Place{Position: h.position.Load(), Offset: h.offset.Load()} }

// add has a collector stand for one more reader of the topics. It is called with mu held.
func (h *Hub) add(c collector, topics []string) {
	for _, topic := range topics {
		if h.subscriptions[topic] == nil {
			h.subscriptions[topic] = map[collector]int{}
		}
		h.subscriptions[topic][c]++
	}
}

// From is the place after which the subscription's entries start.
func (s *Subscription) From() Place { return s.from }

// push adds frames, or cuts the reader off.
func (s *Subscription) push(f Frames) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, f)
	s.size += len(f.Text)
	if s.size > MaxPending {
		s.pending, s.err = nil, ErrTooSlow
		s.hub.remove(s)
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

// remove is called with mu held. It may be called again.
func (h *Hub) remove(s *Subscription) {
	for _, topic := range s.topics {
		delete(h.subscriptions[topic], s)
		if len(h.subscriptions[topic]) == 0 {
			delete(h.subscriptions, topic)
		}
	}
}
