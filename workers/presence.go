package workers

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"guichet/models/beat"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
)

const (
	// leastLook is the shortest pause between two looks at who is gone.
	leastLook = 250 * time.Millisecond
	// goneAtOnce is how many members one transaction takes out of rooms.
	goneAtOnce = 200
)

// keepPresence takes members out of rooms who are gone for longer than the grace period, and tells so. Several processes may do it at once.
func (w *Workers) keepPresence(ctx context.Context) {
	presence := chat.NewPresence(w.Redis, w.PresenceGrace)
	for failed := false; pause(ctx, beat.Until(max(w.PresenceGrace/4, leastLook))); {
		err := guarded(func() error { return w.removeGone(ctx, presence) })
		if err != nil && ctx.Err() == nil && !failed { // once: a store that is away is told of by many already
			slog.WarnContext(ctx, "members who are gone are left in their rooms for now", "error", err)
		}
		failed = err != nil
	}
}

func (w *Workers) removeGone(ctx context.Context, presence *chat.Presence) error {
	members, err := chat.AllMembers(w.DB.Read(ctx)) // before it is asked who was seen
	if err != nil {
		return err
	}
	gone, err := presence.Gone(ctx, members)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(gone, goneAtOnce) {
		var entries []feed.Entry
		err := w.DB.Write(ctx, func(tx database.Tx) (err error) {
			if entries, err = chat.RemoveGone(tx, w.Clock, some, time.Now().UTC().Truncate(time.Microsecond)); err != nil {
				return err
			}
			return feed.Append(tx, entries)
		})
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			w.Publisher.Publish(ctx, feed.Publication{Entries: entries})
		}
	}
	return nil
}
