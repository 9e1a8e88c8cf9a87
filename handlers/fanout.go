package handlers

import (
	"math/bits"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"guichet/models/feed"
)

const (
	// stillHere is a heartbeat: a comment, which is no event.
	stillHere = ": still here\n\n"
	// sweepInterval is how often readers are looked after: whether they are gone, and whether their heartbeat is due.
	sweepInterval = time.Second
	// mostAudiences is how many topics are told of in one round: a reader's are the bits of a word.
	mostAudiences = 64
)

// fanout writes to all readers of this process whose connections were taken over from the HTTP server. It has a few goroutines, each with its share of the
// readers, and nothing else that runs per reader: an entry is written once, what has come since the last write is joined into one text for all who follow
// the same topics, and each of them gets it with one system call, which never waits. Who does not take all of it has a goroutine while that lasts.
type fanout struct {
	shards []*shard
	next   atomic.Uint64
}

func newFanout(s *Server) *fanout {
	f := &fanout{}
	for range runtime.GOMAXPROCS(0) {
		f.shards = append(f.shards, &shard{
			Server: s, trunk: s.Hub.NewTrunk(), socket: newSocket(), readers: map[*reader]struct{}{}, audiences: map[string]*audience{}, texts: map[uint64]*joined{},
		})
	}
	return f
}

// take makes a connection a reader, who goes on where the subscription is.
func (f *fanout) take(l *listener, conn net.Conn, live *feed.Subscription) {
	r := &reader{listener: l, conn: conn, beat: time.Now().Add(heartbeat), shard: f.shards[f.next.Add(1)%uint64(len(f.shards))]}
	if c, ok := conn.(syscall.Conn); ok {
		r.raw, _ = c.SyscallConn() // without it, each write has a goroutine
	}
	r.shard.admit(r, live)
}

// close ends all streams.
func (f *fanout) close() {
	for _, s := range f.shards {
		s.close()
	}
}

// shard is a share of the readers, and the goroutine that writes to them.
type shard struct {
	*Server
	trunk *feed.Trunk
	news  atomic.Bool // looks at lines were offered

	mu        sync.Mutex // held while it writes, which never waits
	closed    bool
	running   bool
	touching  bool      // touch is running
	due       []*reader // whom it has yet to look at
	socket    *socket
	readers   map[*reader]struct{}
	audiences map[string]*audience

	// Of the present round:
	round   uint64
	active  []*audience
	masks   []uint64 // of each entry: the bit of its audience, 0 for none
	told    []*reader
	texts   map[uint64]*joined
	leaving []*reader
}

// audience is the readers of a topic.
type audience struct {
	readers []*reader
	round   uint64
	bit     uint64 // in that round
}

// joined is what the readers of some audiences are told in a round.
type joined struct {
	text     []byte
	before   feed.Place // who is within it is told all of the text
	at       feed.Place
	personal bool // some of it is about readers themselves: the end of an operation or of a session
}

// admit seats a reader.
func (s *shard) admit(r *reader, live *feed.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending, err := s.trunk.Join(live)
	if err != nil || s.closed {
		if err == nil {
			s.trunk.Leave(r.topics)
		}
		r.close()
		return
	}
	s.seat(r)
	if !s.streams.passOn(r.open, func() { s.drop(r) }, func() { s.check(r) }) {
		s.unseat(r)
		return
	}
	if text, ended := r.textOf(pending); len(text) > 0 && !r.send(text, ended) {
		s.unseat(r)
		return
	}
	if r.line != nil {
		s.places.rouse(r.line, s.hear)
		s.hear() // of what was offered before
	}
	if !s.running {
		s.running = true
		go s.run()
	}
}

// hear has the shard look at what its readers are offered of their lines.
func (s *shard) hear() {
	s.news.Store(true)
	s.trunk.Poke()
}

// run writes until there is no reader.
func (s *shard) run() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	var batch []feed.Frames
	for s.manned() {
		select {
		case <-s.trunk.More():
			batch = s.trunk.Take(batch)
			s.distribute(batch)
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

// manned says whether there are readers; if not, the next one starts run again.
func (s *shard) manned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = len(s.readers) > 0
	return s.running
}

// distribute writes entries to their readers, and to those who wait in line how that stands.
func (s *shard) distribute(batch []feed.Frames) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(batch) > 0 {
		n := s.assign(batch)
		s.gather()
		for _, r := range s.told {
			s.serve(r, batch[:n])
		}
		s.dismiss()
		batch = batch[n:]
	}
	if s.news.Swap(false) {
		s.tellPlaces()
		s.dismiss()
	}
}

// assign gives each audience of the batch a bit, and says how many entries can be told in this round.
func (s *shard) assign(batch []feed.Frames) (n int) {
	s.round++
	s.active, s.masks = s.active[:0], s.masks[:0]
	clear(s.texts)
	for _, frames := range batch {
		mask := uint64(0)
		if a := s.audiences[frames.Topic]; a != nil {
			if a.round != s.round {
				if len(s.active) == mostAudiences {
					break
				}
				a.round, a.bit = s.round, 1<<len(s.active)
				s.active = append(s.active, a)
			}
			mask = a.bit
		}
		s.masks = append(s.masks, mask)
	}
	return len(s.masks)
}

// gather lists who is told something in this round, each once, and with the bits of the audiences that they are in.
func (s *shard) gather() {
	s.told = s.told[:0]
	for _, a := range s.active {
		for _, r := range a.readers {
			if r.round != s.round {
				r.round, r.mask = s.round, 0
				s.told = append(s.told, r)
			}
			r.mask |= a.bit
		}
	}
}

// serve writes to a reader what of the batch is for it.
func (s *shard) serve(r *reader, batch []feed.Frames) {
	all := s.texts[r.mask]
	if all == nil {
		all = s.join(batch, r.mask)
		s.texts[r.mask] = all
	}
	text, ended := all.text, false
	if all.personal || !r.at.Within(all.before) {
		text, ended = r.textOf(s.chosen(batch, r.mask))
	} else {
		r.at = all.at
	}
	if len(text) > 0 && !r.send(text, ended) {
		s.leaving = append(s.leaving, r)
	}
}

// join makes one text of what is for the audiences of a mask.
func (s *shard) join(batch []feed.Frames, mask uint64) *joined {
	size, first := 0, true
	all := &joined{}
	for i, frames := range batch {
		if s.masks[i]&mask == 0 {
			continue
		}
		if first {
			all.before, first = frames.Before, false
		}
		all.at = frames.At
		all.personal = all.personal || frames.Event == feed.OperationFinished || frames.Event == feed.SessionEnded
		size += len(frames.Text)
	}
	if all.personal { // each reader of it has its own
		return all
	}
	all.text = make([]byte, 0, size)
	for i, frames := range batch {
		if s.masks[i]&mask != 0 {
			all.text = append(all.text, frames.Text...)
		}
	}
	return all
}

// chosen is what of the batch is for the audiences of a mask.
func (s *shard) chosen(batch []feed.Frames, mask uint64) []feed.Frames {
	chosen := make([]feed.Frames, 0, bits.OnesCount64(mask))
	for i, frames := range batch {
		if s.masks[i]&mask != 0 {
			chosen = append(chosen, frames)
		}
	}
	return chosen
}

// tellPlaces writes to those who wait in line what they were offered of it.
func (s *shard) tellPlaces() {
	for r := range s.readers {
		if r.writesItsLast() {
			continue // nothing comes after that
		}
		select {
		case look := <-r.line.news():
			if text := r.line.tell(look, time.Now()); len(text) > 0 && !r.send(text, false) {
				s.leaving = append(s.leaving, r)
			}
		default:
		}
	}
}

// dismiss takes leave of those who could not be written to, or have been told their last.
func (s *shard) dismiss() {
	for _, r := range s.leaving {
		s.unseat(r)
	}
	clear(s.leaving)
	s.leaving = s.leaving[:0]
}
