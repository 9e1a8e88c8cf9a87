package messages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/beat"
	"guichet/models/chat"
	"guichet/models/feed"
	"guichet/models/id"
)

var _ feed.Ahead = (*Log)(nil)

const (
	// blockFor is how long one look at the log waits for something new, at most and at least; an orderly stop waits for the end of it. Redis would wait for ever for 0 ms.
	blockFor   = time.Second
	blockLeast = 10 * time.Millisecond
	// batchesAtOnce is how many batches one look reads.
	batchesAtOnce = 64
	// rowsAtOnce is how many messages are read from the table at once.
	rowsAtOnce = 1000
)

// wait reads what comes after an offset, in up to count batches, and waits a moment if there is nothing yet.
func (l *Log) wait(ctx context.Context, after int64, count int64) ([]Batch, error) {
	streams, err := l.client.XRead(ctx, &redis.XReadArgs{Streams: []string{logKey, entryID(after)}, Count: count, Block: max(beat.Until(blockFor), blockLeast)}).Result()
	if errors.Is(err, redis.Nil) || err == nil && len(streams) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeAll(streams[0].Messages, nil)
}

// Follow tells the messages after an offset, in order, as they come, until ctx ends. What the table has when it begins, and what the log has let go of since, it
// reads from the table: it may have been edited or deleted.
func (l *Log) Follow(ctx context.Context, after int64, tell func([]feed.Entry)) error {
	if s, err := l.readState(ctx); err == nil && after < s.stored {
		if err := l.tellTable(ctx, after, s.stored, tell); err != nil {
			return err
		}
		after = s.stored
	}
	for ctx.Err() == nil {
		batches, err := l.wait(ctx, after, batchesAtOnce)
		if err != nil {
			return err
		}
		var entries []feed.Entry
		for i := range batches {
			fresh := batches[i].after(after)
			if len(fresh.Messages) == 0 {
				continue
			}
			if fresh.first() > after+1 { // let go of; or the log was made anew, and there is nothing in between
				if len(entries) > 0 {
					tell(entries)
					entries = nil
				}
				if err := l.tellTable(ctx, after, fresh.first()-1, tell); err != nil {
					return err
				}
			}
			for j := range fresh.Messages {
				entries = append(entries, fresh.Messages[j].told())
			}
			after = fresh.last()
		}
		if len(entries) > 0 {
			tell(entries)
		}
	}
	return ctx.Err()
}

func (l *Log) tellTable(ctx context.Context, after, until int64, tell func([]feed.Entry)) error {
	for {
		rows, err := tableBetween(l.db.Read(ctx), after, until, nil, rowsAtOnce)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			tell(entriesOf(rows))
			after = rows[len(rows)-1].Offset
		}
		if len(rows) < rowsAtOnce {
			return nil
		}
	}
}

func entriesOf(said []Message) []feed.Entry {
	entries := make([]feed.Entry, len(said))
	for i := range said {
		entries[i] = said[i].told()
	}
	return entries
}

// Between reads up to limit messages with after < offset ≤ until, in order; of the given topics, or of all if there are none. What the table has is read from there:
// it may have been edited or deleted since.
func (l *Log) Between(ctx context.Context, after, until int64, topics []string, limit int) ([]feed.Entry, error) {
	rooms := chat.RoomsOf(topics)
	if after >= until || len(topics) > 0 && len(rooms) == 0 {
		return nil, nil
	}
	var said []Message
	err := l.consistently(ctx, func() (err error) {
		said, err = l.between(ctx, after, until, rooms, limit)
		return err
	})
	return entriesOf(said), err
}

// errTrimmed says that the log has let go of something between two looks. The table has it by now.
var errTrimmed = errors.New("messages: the log has moved on")

// consistently does what looks at the log and at the table, and does it again if it fell between the two.
func (l *Log) consistently(ctx context.Context, look func() error) error {
	var err error
	for range 5 {
		if err = l.loaded(ctx, look); !errors.Is(err, errTrimmed) {
			return err
		}
	}
	return err
}

func (l *Log) between(ctx context.Context, after, until int64, rooms []id.ID, limit int) ([]Message, error) {
	s, err := l.readState(ctx) // first: what it says is stored is in the table, and goes on being there
	if err != nil {
		return nil, err
	}
	var found []Message
	if after < s.stored {
		found, err = tableBetween(l.db.Read(ctx), after, min(until, s.stored), rooms, limit)
		if err != nil || len(found) == limit {
			return found, err
		}
		after = s.stored
	}
	wanted := make(map[id.ID]bool, len(rooms))
	for _, room := range rooms {
		wanted[room] = true
	}
	for after < min(until, s.offset) {
		batches, err := l.read(ctx, after, batchesAtOnce)
		if err != nil {
			return nil, err
		}
		if len(batches) == 0 || batches[0].first() > after+1 {
			return nil, errTrimmed
		}
		for i := range batches {
			for _, m := range batches[i].after(after).Messages {
				if m.Offset > until || len(found) == limit {
					return found, nil
				}
				if len(rooms) == 0 || wanted[m.Room] {
					found = append(found, m)
				}
			}
			after = batches[i].last()
		}
	}
	return found, nil
}

// Get reads one message of a room, or is ErrUnknown.
func (l *Log) Get(ctx context.Context, room, message id.ID) (Message, error) {
	offset := OffsetOf(message)
	found, err := tableGet(l.db.Read(ctx), offset)
	if err == nil && len(found) == 0 {
		if found, err = l.find(ctx, offset); err == nil && len(found) == 0 { // it may have been stored and let go of in between
			found, err = tableGet(l.db.Read(ctx), offset)
		}
	}
	if err != nil {
		return Message{}, err
	}
	if len(found) == 0 || found[0].Room != room || found[0].ID() != message {
		return Message{}, ErrUnknown
	}
	return found[0], nil
}

// find looks for a message in the log.
func (l *Log) find(ctx context.Context, offset int64) ([]Message, error) {
	batches, err := l.read(ctx, offset-1, 1)
	if err != nil || len(batches) == 0 {
		return nil, err
	}
	rest := batches[0].after(offset - 1).Messages
	if len(rest) == 0 || rest[0].Offset != offset {
		return nil, nil
	}
	return rest[:1], nil
}

// Replayed makes the message that a request with a key made before, whose id is known and whose text is that of the draft.
func (l *Log) Replayed(ctx context.Context, draft *Draft, message id.ID) (Posted, error) {
	made, err := l.Get(ctx, draft.Room, message)
	if err != nil {
		return Posted{}, fmt.Errorf("messages: the message of an Idempotency-Key: %w", err)
	}
	return Posted{Message: draft.message(made.Offset, made.Sequence, made.At, made.Lamport), Replayed: true}, nil
}

// PostedBefore is what was posted before with the draft's key, as Redis knows it. If the key was used for another request, found is true, and the error the refusal.
func (l *Log) PostedBefore(ctx context.Context, draft *Draft) (posted Posted, found bool, err error) {
	today := time.Now().UnixMilli() / day.Milliseconds()
	name := string(append(draft.Key.User[:], draft.Key.Hash[:]...))
	for _, keys := range []string{keysOf(today), keysOf(today - 1)} {
		record, err := l.client.HGet(ctx, keys, name).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		w := &wish{draft: draft}
		if err == nil {
			err = w.known(record)
		}
		if err != nil {
			return posted, false, err
		}
		return w.posted, true, w.err
	}
	return posted, false, nil
}
