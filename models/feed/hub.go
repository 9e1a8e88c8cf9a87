package feed

import (
	"context"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/beat"
	"guichet/models/id"
	"guichet/models/lamport"
)

const (
	// A publication that comes before its predecessor waits this long for it; then the hole is read from the table.
	holePatience = 5 * time.Millisecond
	// How often the table's head is compared with what was told, in case the last publication was the lost one.
	headInterval = time.Second
	// Entries read from the table in one query.
	catchUpPage = 1000
)

// Hub is the feed of one API process: it puts what it is told into order, reads what it was not told, and hands entries to who waits for them.
type Hub struct {
	self  id.ID
	log   *Log
	clock *lamport.Clock

	offers   chan Publication
	position atomic.Int64
	early    []Entry // ahead of a hole, by position
	ahead    Ahead   // nil for none
	offset   atomic.Int64

	mu            sync.Mutex
	subscriptions map[string]map[collector]int // by topic, and how many readers each stands for
	waiters       map[id.ID][]chan Entry
	running       map[string]runningBatches
	listeners     []Listener
	stats         Stats
}

// collector takes what the hub delivers of some topics.
type collector interface {
	// push is called with the hub's mu held. It says false when the collector takes no more, and has left the hub.
	push(f Frames) bool
}

type runningBatches struct {
	batches map[id.ID]struct{}
	since   time.Time
}

// Listener is told, in order, what the hub learns, before subscribers are. It must not block. The entries of a publication that was lost
// come without the rest of it.
type Listener interface {
	// Published is told of entries in the order of their positions.
	Published(entries []Entry)
	// LaneAdvanced is told as soon as a publication of a lane arrives.
	LaneAdvanced(lane string, batches []id.ID, ended int)
}

// Stats are counts since the start, and present sizes.
type Stats struct {
	Delivered     int64
	CutOff        int64
	CaughtUp      int64 // entries read from the table because a publication was lost
	Subscriptions int   // by topic and reader, without announcements, which all readers have
	Waiters       int
}

// NewHub returns a hub. Run must be running for it to deliver anything.
func NewHub(log *Log, clock *lamport.Clock) *Hub {
	return &Hub{
		self: id.NewGenerator().Next(), log: log, clock: clock, offers: make(chan Publication, 256),
		subscriptions: map[string]map[collector]int{}, waiters: map[id.ID][]chan Entry{}, running: map[string]runningBatches{},
	}
}

// Listen adds a listener; call it before Run.
func (h *Hub) Listen(l Listener) { h.listeners = append(h.listeners, l) }

// Start reads where the table is, and the log: only entries after that are delivered live.
func (h *Hub) Start(ctx context.Context) error {
	position, err := h.log.Head(ctx)
	h.position.Store(position)
	if err != nil || h.ahead == nil {
		return err
	}
	offset, err := h.ahead.Head(ctx)
	h.offset.Store(offset)
	return err
}

// Offer tells the hub of a publication of this process. When the hub is behind, the publication is dropped and read from the table later.
func (h *Hub) Offer(p Publication) {
	select {
	case h.offers <- p:
	default:
	}
}

// Position is how far the hub has delivered of the table.
func (h *Hub) Position() int64 { return h.position.Load() }

// Run delivers until ctx ends. rdb may be nil if no other process publishes.
func (h *Hub) Run(ctx context.Context, rdb redis.UniversalClient) {
	var remote <-chan *redis.Message
	if rdb != nil {
		subscription := rdb.Subscribe(ctx, Channel)
		defer func() { _ = subscription.Close() }()
		remote = subscription.Channel(redis.WithChannelSize(256))
	}
	var told chan []Entry
	if h.ahead != nil {
		told = make(chan []Entry, 16)
		go h.followAhead(ctx, told)
	}
	head := time.NewTimer(beat.Until(headInterval))
	defer head.Stop()
	// The table is read beside: what is told of the log does not wait for a database that is away.
	pages, reading := make(chan page, 1), false
	read := func() {
		if !reading {
			reading = true
			go func(after int64) { pages <- h.readPage(ctx, after) }(h.position.Load())
		}
	}
	var hole <-chan time.Time // set while something waits behind a hole
	for {
		select {
		case <-ctx.Done():
			return
		case entries := <-told:
			h.deliverAhead(entries)
		case p := <-h.offers:
			h.accept(p)
			hole = h.patience(hole)
		case message, open := <-remote:
			if !open {
				return
			}
			if p, err := decodePublication([]byte(message.Payload)); err != nil {
				slog.ErrorContext(ctx, "a publication cannot be read", "error", err)
			} else if p.Origin != h.self {
				h.accept(p)
				hole = h.patience(hole)
			}
		case <-hole:
			hole = nil
			read()
		case <-head.C:
			head.Reset(beat.Until(headInterval))
			read()
		case p := <-pages:
			reading = false
			if h.acceptPage(ctx, p) {
				read()
			}
			if p.err == nil {
				hole = h.patience(hole)
			}
		}
	}
}

// patience with a hole runs from when it is seen: what arrives behind it does not extend it, or a busy feed would wait for the head to be compared.
func (h *Hub) patience(running <-chan time.Time) <-chan time.Time {
	switch {
	case len(h.early) == 0:
		return nil
	case running == nil:
		return time.After(holePatience)
	default:
		return running
	}
}

func (h *Hub) accept(p Publication) {
	if p.Lane != "" {
		h.noteLane(p)
	}
	if len(p.Entries) == 0 {
		return
	}
	switch next := h.position.Load() + 1; {
	case p.Entries[0].Position-p.Entries[0].width() >= next:
		h.early = append(h.early, p.Entries...)
		sort.Slice(h.early, func(i, j int) bool { return h.early[i].Position < h.early[j].Position })
	default:
		h.deliver(p.Entries)
		h.deliverEarly()
	}
}

func (h *Hub) noteLane(p Publication) {
	h.mu.Lock()
	switch {
	case len(p.Running) > 0:
		batches := make(map[id.ID]struct{}, len(p.Running))
		for _, b := range p.Running {
			batches[b] = struct{}{}
		}
		h.running[p.Lane] = runningBatches{batches, time.Now().UTC()}
	case len(p.Batches) > 0 || p.Ended == 0: // else it has done something beside what it executes, which may go on
		delete(h.running, p.Lane)
	}
	h.mu.Unlock()
	if len(p.Running) == 0 {
		for _, l := range h.listeners {
			l.LaneAdvanced(p.Lane, p.Batches, p.Ended)
		}
	}
}

// deliverEarly delivers what follows without a hole.
func (h *Hub) deliverEarly() {
	n := 0
	next := h.position.Load() + 1
	for n < len(h.early) && h.early[n].Position-h.early[n].width() < next {
		next = max(next, h.early[n].Position+1)
		n++
	}
	if n > 0 {
		h.deliver(h.early[:n])
		h.early = append([]Entry(nil), h.early[n:]...)
	}
}

// page is what was read of the table because no publication told it.
type page struct {
	entries []Entry
	until   int64 // the table's head
	err     error
}

func (h *Hub) readPage(ctx context.Context, after int64) (p page) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if p.until, p.err = h.log.Head(ctx); p.err == nil && after < p.until {
		p.entries, p.err = h.log.Between(ctx, after, p.until, nil, catchUpPage)
	}
	return p
}

// acceptPage delivers what of a page was not told meanwhile, and says whether there is more.
func (h *Hub) acceptPage(ctx context.Context, p page) (more bool) {
	if p.err != nil {
		if ctx.Err() == nil {
			slog.WarnContext(ctx, "the feed cannot read its table", "error", p.err)
		}
		return false
	}
	if h.position.Load() >= p.until {
		return false
	}
	h.mu.Lock()
	h.stats.CaughtUp += int64(len(p.entries))
	h.mu.Unlock()
	h.deliver(p.entries)
	if len(p.entries) < catchUpPage && h.position.Load() < p.until {
		h.position.Store(p.until) // what is missing up to there was trimmed: nobody can have it any more
	}
	h.deliverEarly()
	return h.position.Load() < p.until
}

// deliver hands over entries that follow on the position, leaving out those that were delivered already.
func (h *Hub) deliver(entries []Entry) {
	position := h.position.Load()
	fresh := entries[:0:0]
	for i := range entries {
		if entries[i].Position > position {
			position = entries[i].Position
			fresh = append(fresh, entries[i])
			h.clock.Witness(entries[i].Lamport)
		}
	}
	if len(fresh) == 0 {
		return
	}
	for _, l := range h.listeners {
		l.Published(fresh)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range fresh {
		e := &fresh[i]
		h.conclude(e)
		h.position.Store(e.Position)
		h.tell(e, Place{Position: e.Position - e.width(), Offset: h.offset.Load()})
	}
}

// conclude tells who waits for the end of an operation.
func (h *Hub) conclude(e *Entry) {
	if e.Event != OperationFinished {
		return
	}
	for _, waiter := range h.waiters[e.OperationID] {
		waiter <- *e // has room for one
	}
	delete(h.waiters, e.OperationID)
}

// tell hands an entry to the readers of its topic. before is the place from which it is read whole.
func (h *Hub) tell(e *Entry, before Place) {
	readers := h.subscriptions[e.Topic]
	if len(readers) == 0 {
		return
	}
	text, at := e.Frames(nil, before)
	frames := Frames{Entry: e, Text: text, Before: before, At: at}
	for c, n := range readers {
		if c.push(frames) {
			h.stats.Delivered += int64(n)
		} else {
			h.stats.CutOff++
		}
	}
}

// Expect returns a channel that gets the entry of the operation's end, if that is delivered from now on. Call forget when it is not awaited any more.
func (h *Hub) Expect(operation id.ID) (ended <-chan Entry, forget func()) {
	waiter := make(chan Entry, 1)
	h.mu.Lock()
	h.waiters[operation] = append(h.waiters[operation], waiter)
	h.mu.Unlock()
	return waiter, func() { h.forget(operation, waiter) }
}

func (h *Hub) forget(operation id.ID, waiter chan Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiters := h.waiters[operation]
	for i, w := range waiters {
		if w == waiter {
			waiters = append(waiters[:i:i], waiters[i+1:]...)
		}
	}
	if len(waiters) == 0 {
		delete(h.waiters, operation)
	} else {
		h.waiters[operation] = waiters
	}
}

// RunningSince says since when the batch that has the operation is being executed, if the lane told so; the zero time otherwise.
func (h *Hub) RunningSince(lane string, operation id.ID) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.running[lane]
	if _, whole := r.batches[operation.Base()]; whole {
		return r.since
	}
	if _, replayed := r.batches[operation]; replayed {
		return r.since
	}
	return time.Time{}
}

// Stats reads the counts.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	stats := h.stats
	for topic, readers := range h.subscriptions {
		for _, n := range readers {
			if topic != AnnouncementTopic {
				stats.Subscriptions += n
			}
		}
	}
	for _, waiters := range h.waiters {
		stats.Waiters += len(waiters)
	}
	return stats
}
