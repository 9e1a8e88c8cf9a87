package feed

import (
	"context"
	"log/slog"
	"time"
)

// Ahead is a log of entries that are told before the database has them. Offsets ascend.
type Ahead interface {
	// Head is the offset of the newest entry; 0 if there was none.
	Head(ctx context.Context) (int64, error)
	// Start is the offset after which every entry can still be read.
	Start(ctx context.Context) (int64, error)
	// Follow tells entries in order as they come, until ctx ends. It returns an error when the log is away; the hub calls again from where it was.
	// What it has told is not its own any more.
	Follow(ctx context.Context, after int64, tell func([]Entry)) error
	// Between reads up to limit entries of these topics with after < offset ≤ until, in order.
	Between(ctx context.Context, after, until int64, topics []string, limit int) ([]Entry, error)
}

// followPause is how long the log is left alone after it was away.
const followPause = 250 * time.Millisecond

// FollowAhead has the hub deliver the entries of a log beside those of its table. Call it before Start.
func (h *Hub) FollowAhead(ahead Ahead) { h.ahead = ahead }

// followAhead hands batches of the log to the hub's one goroutine, until ctx ends.
func (h *Hub) followAhead(ctx context.Context, told chan<- []Entry) {
	after := h.offset.Load()
	for ctx.Err() == nil {
		err := h.ahead.Follow(ctx, after, func(entries []Entry) {
			if len(entries) == 0 {
				return
			}
			select {
			case told <- entries:
				after = entries[len(entries)-1].Offset
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil {
			return
		}
		slog.WarnContext(ctx, "the feed cannot follow the log", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
}

// deliverAhead hands over entries of the log, leaving out those that were delivered already.
func (h *Hub) deliverAhead(entries []Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if e.Offset <= h.offset.Load() {
			continue
		}
		h.clock.Witness(e.Lamport)
		before := Place{Position: h.position.Load(), Offset: e.Offset - 1}
		h.offset.Store(e.Offset)
		h.tell(e, before)
	}
}
