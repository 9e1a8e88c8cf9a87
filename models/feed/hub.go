package feed

import (
	"context"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

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

	mu            sync.Mutex
	subscriptions map[string]map[*Subscription]struct{}
	waiters       map[id.ID][]chan Entry
	running       map[string]runningBatches
	listeners     []Listener
	stats         Stats
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
	Subscriptions int
	Waiters       int
}

// NewHub returns a hub. Run must be running for it to deliver anything.
func NewHub(log *Log, clock *lamport.Clock) *Hub {
	return &Hub{
		self: id.NewGenerator().Next(), log: log, clock: clock, offers: make(chan Publication, 256),
		subscriptions: map[string]map[*Subscription]struct{}{}, waiters: map[id.ID][]chan Entry{}, running: map[string]runningBatches{},
	}
}

// Listen adds a listener; call it before Run.
func (h *Hub) Listen(l Listener) { h.listeners = append(h.listeners, l) }

// Start reads where the table is: only entries after that are delivered live.
func (h *Hub) Start(ctx context.Context) error {
	position, err := h.log.Head(ctx)
	h.position.Store(position)
	return err
}

// Offer tells the hub of a publication of this process. When the hub is behind, the publication is dropped and read from the table later.
func (h *Hub) Offer(p Publication) {
	select {
	case h.offers <- p:
	default:
	}
}

// Position is how far the hub has delivered.
func (h *Hub) Position() int64 { return h.position.Load() }

// Run delivers until ctx ends. rdb may be nil if no other process publishes.
func (h *Hub) Run(ctx context.Context, rdb redis.UniversalClient) {
	var remote <-chan *redis.Message
	if rdb != nil {
		subscription := rdb.Subscribe(ctx, Channel)
		defer func() { _ = subscription.Close() }()
		remote = subscription.Channel(redis.WithChannelSize(256))
	}
	head := time.NewTicker(headInterval)
	defer head.Stop()
	var hole <-chan time.Time // set while something waits behind a hole
	for {
		select {
		case <-ctx.Done():
			return
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
			h.catchUp(ctx)
		case <-head.C:
			h.catchUp(ctx)
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
	if len(p.Running) > 0 {
		batches := make(map[id.ID]struct{}, len(p.Running))
		for _, b := range p.Running {
			batches[b] = struct{}{}
		}
		h.running[p.Lane] = runningBatches{batches, time.Now().UTC()}
	} else {
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

// catchUp reads from the table what no publication told.
func (h *Hub) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	until, err := h.log.Head(ctx)
	for err == nil && h.position.Load() < until {
		var entries []Entry
		if entries, err = h.log.Between(ctx, h.position.Load(), until, nil, catchUpPage); err != nil {
			break
		}
		h.mu.Lock()
		h.stats.CaughtUp += int64(len(entries))
		h.mu.Unlock()
		h.deliver(entries)
		if len(entries) < catchUpPage && h.position.Load() < until {
			h.position.Store(until) // what is missing up to there was trimmed: nobody can have it any more
		}
		h.deliverEarly()
	}
	if err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "the feed cannot read its table", "error", err)
	}
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
		h.deliverOne(&fresh[i])
	}
	h.position.Store(position)
}

func (h *Hub) deliverOne(e *Entry) {
	if e.Event == OperationFinished {
		for _, waiter := range h.waiters[e.OperationID] {
			waiter <- *e // has room for one
		}
		delete(h.waiters, e.OperationID)
	}
	readers := h.subscriptions[e.Topic]
	if len(readers) == 0 {
		return
	}
	frames := Frames{Entry: e, Text: e.Frames(nil, 0)}
	for s := range readers {
		if s.push(frames) {
			h.stats.Delivered++
		} else {
			h.stats.CutOff++
			h.remove(s)
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
	for _, readers := range h.subscriptions {
		stats.Subscriptions += len(readers)
	}
	for _, waiters := range h.waiters {
		stats.Waiters += len(waiters)
	}
	return stats
}
