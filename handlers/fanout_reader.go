package handlers

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"guichet/models/feed"
)

// reader is a stream whose connection the fan-out has. What is not of mu is of its shard's.
type reader struct {
	*listener
	shard *shard
	conn  net.Conn
	raw   syscall.RawConn // nil if the connection cannot be written to without waiting
	seats []seat
	beat  time.Time // when the next heartbeat is due
	due   bool      // it is in the shard's list of those
	round uint64    // in which it was last told something
	mask  uint64    // the audiences of that round that it is in

	mu      sync.Mutex
	backlog [][]byte // what was not written at once
	size    int      // of it, in bytes
	slow    bool     // a goroutine writes the backlog
	last    bool     // the stream ends when that is done
}

// seat is where a reader is in one of its audiences.
type seat struct {
	audience *audience
	index    int
}

// seat puts a reader into the audiences of its topics.
func (s *shard) seat(r *reader) {
	s.readers[r] = struct{}{}
	for _, topic := range r.topics {
		a := s.audiences[topic]
		if a == nil {
			a = &audience{}
			s.audiences[topic] = a
		}
		r.seats = append(r.seats, seat{a, len(a.readers)})
		a.readers = append(a.readers, r)
	}
}

// unseat takes a reader out of its audiences, and closes its connection unless what is left has to be written before. It may be called again.
func (s *shard) unseat(r *reader) {
	for i, topic := range r.topics[:len(r.seats)] {
		at := r.seats[i]
		readers := at.audience.readers
		end := len(readers) - 1
		moved := readers[end]
		readers[at.index], readers[end] = moved, nil
		moved.reseat(at.audience, at.index)
		if at.audience.readers = readers[:end]; end == 0 {
			delete(s.audiences, topic)
		}
	}
	if r.seated() {
		r.seats = nil
		s.trunk.Leave(r.topics)
	}
	if _, known := s.readers[r]; known && !r.writesItsLast() {
		delete(s.readers, r)
		r.close()
	}
}

// reseat notes that a reader has moved within an audience.
func (r *reader) reseat(a *audience, index int) {
	i := slices.IndexFunc(r.seats, func(s seat) bool { return s.audience == a })
	r.seats[i].index = index
}

// drop ends a stream at once.
func (s *shard) drop(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.forget()
	s.unseat(r)
}

// check ends a stream whose reader is gone.
func (s *shard) check(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.readers[r]; known && s.gone(r) {
		r.forget()
		s.unseat(r)
	}
}

func (s *shard) gone(r *reader) bool { return r.raw != nil && s.socket.gone(r.raw) }

// close ends all streams, and those that come.
func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for r := range s.readers {
		r.forget()
		s.unseat(r)
	}
	s.trunk.Poke() // run ends
}

// close is the end of the stream. Whoever is writing to the connection fails.
func (r *reader) close() {
	_ = r.conn.Close() // a failure is the same as success
	r.leave()
}

// send writes to the reader, after what was not written before, and without waiting. It says false when the stream ends with that.
func (r *reader) send(text []byte, last bool) (goesOn bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = r.last || last
	if !r.slow {
		n := 0
		if r.raw != nil {
			var err error
			if n, err = r.shard.socket.write(r.raw, text); err != nil {
				return false
			}
		}
		if n == len(text) {
			return !last
		}
		text = text[n:]
		r.slow = true
		go r.writeBacklog()
	}
	r.backlog = append(r.backlog, text)
	if r.size += len(text); r.size > feed.MaxPending {
		r.backlog, r.last = nil, false
		r.shard.trunk.CutOff()
		return false
	}
	return !last
}

// writeBacklog writes to a reader who does not take everything at once, until nothing is left.
func (r *reader) writeBacklog() {
	for {
		backlog, over := r.takeBacklog()
		if len(backlog) == 0 {
			if over {
				r.shard.drop(r)
			}
			return
		}
		_ = r.conn.SetWriteDeadline(time.Now().Add(writePatience)) // fails on a closed connection only, as the write does
		if _, err := backlog.WriteTo(r.conn); err != nil {
			r.shard.drop(r)
			return
		}
	}
}

// takeBacklog returns what is to be written; or nothing, and then the shard writes again, unless the stream is over.
func (r *reader) takeBacklog() (backlog net.Buffers, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	backlog, r.backlog, r.size = r.backlog, nil, 0
	if len(backlog) == 0 {
		r.slow = false
		_ = r.conn.SetWriteDeadline(time.Time{}) // likewise
	}
	return backlog, r.last
}

// writesItsLast says whether the stream ends by itself, when the backlog is written.
func (r *reader) writesItsLast() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slow && r.last
}

// forget gives up what was not written.
func (r *reader) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.backlog, r.last = nil, false
}

// sweep takes leave of readers who are gone, and sends the heartbeats that are due.
func (s *shard) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.readers {
		switch {
		case s.gone(r):
			r.forget()
			s.leaving = append(s.leaving, r)
		case r.seated() && !now.Before(r.beat):
			r.beat = r.beat.Add(heartbeat)
			if !r.send([]byte(stillHere), false) {
				s.leaving = append(s.leaving, r)
			}
			s.enlist(r)
		}
	}
	s.dismiss()
	if len(s.due) > 0 && !s.touching { // a store that hangs does not gather goroutines
		s.touching = true
		go s.touch()
	}
}

// enlist lists a reader for touch, once.
func (s *shard) enlist(r *reader) {
	if !r.due {
		r.due = true
		s.due = append(s.due, r)
	}
}

// touch looks at readers until none is due.
func (s *shard) touch() {
	for due := s.takeDue(); len(due) > 0; due = s.takeDue() {
		s.keepSignedIn(due)
		s.keepAdmitted(due)
	}
}

// takeDue takes the list of who is due. An empty one is the end of touch.
func (s *shard) takeDue() (due []*reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due, s.due = s.due, nil
	for _, r := range due {
		r.due = false
	}
	s.touching = len(due) > 0
	return due
}

// keepSignedIn counts streams as use of their sessions, and ends those whose sessions have ended.
func (s *shard) keepSignedIn(due []*reader) {
	for _, r := range due {
		if s.isSeated(r) && !r.stillSignedIn(context.Background()) {
			s.turnAway(r)
		}
	}
}

// keepAdmitted ends streams whose rooms do not admit their users any more. When the store is away, the rest is left to the next heartbeat: each would wait for it.
func (s *shard) keepAdmitted(due []*reader) {
	for _, r := range due {
		if !s.isSeated(r) {
			continue
		}
		admitted, err := r.stillAdmitted(context.Background())
		if !admitted {
			s.turnAway(r)
		}
		if err != nil {
			return
		}
	}
}

// isSeated says whether a reader is still there: it may have left since it was listed.
func (s *shard) isSeated(r *reader) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.seated()
}

// turnAway ends a stream at once, unless it is ending already: then its last words, which say why, may have to be written yet.
func (s *shard) turnAway(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.seated() {
		r.forget()
		s.unseat(r)
	}
}

// seated says whether the reader is told of its topics; who is not is only yet to read what was written before.
func (r *reader) seated() bool { return len(r.seats) > 0 }
