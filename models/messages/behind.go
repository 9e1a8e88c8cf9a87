package messages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"guichet/models/database"
)

const (
	// storeAtOnce is how many messages one transaction writes, and storeBytes about how many bytes: edits wait for it, and the database takes no longer statement.
	storeAtOnce = 2000
	storeBytes  = 2 << 20
)

// Follower has the table follow the log. It belongs to whoever holds the lane.
type Follower struct {
	log  *Log
	base int64
	told int64 // up to where the log knows of it
	at   int64 // up to where the table has followed
}

// NewFollower finds out where the table is, and where the log thinks that it is. The two differ if a process died between storing and telling: then the log is told.
// They differ too if Redis has lost the end of what it had written, and has given the same offsets to other messages since: then that log is given up.
func (l *Log) NewFollower(ctx context.Context, db *database.DB) (*Follower, error) {
	for range 3 {
		stored, err := readStored(db.Writer(ctx), "") // first: a log that goes on from it has at least this
		if err != nil {
			return nil, err
		}
		s, err := l.loadedState(ctx)
		if err != nil {
			return nil, err
		}
		f := &Follower{l, s.base, s.stored, stored}
		if stored <= s.stored {
			return f, nil
		}
		same, err := l.agrees(ctx, db, &s, stored)
		if err != nil {
			return nil, err
		}
		if same {
			_, err := f.tell(ctx)
			return f, err
		}
		slog.ErrorContext(ctx, "the log of messages in Redis does not go on from what the database has; it is made anew", "stored", stored, "log", s.offset)
		if err := resetScript.Run(ctx, l.client, []string{stateKey}, s.base, s.stored).Err(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("messages: the log and the table do not come together")
}

// agrees says whether what the table has beyond what the log knows of is what the log has there.
func (l *Log) agrees(ctx context.Context, db *database.DB, s *state, stored int64) (bool, error) {
	if stored > s.offset || s.base > s.stored {
		return false, nil
	}
	rows, err := tableBetween(db.Writer(ctx), s.stored, stored, nil, mostUnstored)
	if err != nil {
		return false, err
	}
	for after := s.stored; len(rows) > 0; {
		batches, err := l.read(ctx, after, batchesAtOnce)
		if err != nil {
			return false, err
		}
		if len(batches) == 0 {
			return false, nil
		}
		for i := range batches {
			for _, m := range batches[i].after(after).Messages {
				if len(rows) == 0 {
					return true, nil
				}
				if r := &rows[0]; r.Offset != m.Offset || r.Room != m.Room || r.Sequence != m.Sequence || r.UserID != m.UserID || !r.At.Equal(m.At) {
					return false, nil
				}
				rows = rows[1:]
			}
			after = batches[i].last()
		}
	}
	return true, nil
}

// Wait waits a moment for something that the table does not have, and says since when the oldest of it waits. It is ErrMoved if the log is not where it was.
func (f *Follower) Wait(ctx context.Context) (oldest time.Time, found bool, err error) {
	batches, err := f.log.wait(ctx, f.at, 1)
	if err != nil || len(batches) > 0 {
		if err == nil {
			oldest = batches[0].At()
		}
		return oldest, err == nil, err
	}
	s, err := f.log.readState(ctx)
	if errors.Is(err, errNotLoaded) || err == nil && (s.base != f.base || s.stored != f.told) {
		err = ErrMoved
	}
	return oldest, false, err
}

// Next reads as much as one transaction may write of what the table does not have.
func (f *Follower) Next(ctx context.Context) ([]Batch, error) {
	var taken []Batch
	n, bytes := 0, 0
	for after := f.at; n < storeAtOnce && bytes < storeBytes; {
		const few = 16 // some of which may be read again
		batches, err := f.log.read(ctx, after, few)
		if err != nil {
			return nil, err
		}
		for i := range batches {
			b := &batches[i]
			if b.first() <= after {
				return nil, fmt.Errorf("%w: the log has a batch from %d to %d, and the table has all up to %d", ErrMoved, b.first(), b.last(), after)
			}
			if n += len(b.Messages); n > storeAtOnce && len(taken) > 0 {
				return taken, nil
			}
			if bytes += b.bytesOf(); bytes > storeBytes && len(taken) > 0 {
				return taken, nil
			}
			taken = append(taken, *b)
			after = b.last()
		}
		if len(batches) < few {
			break
		}
	}
	return taken, nil
}

// Store writes batches in a transaction. Call Stored when it has been committed.
func (f *Follower) Store(tx database.Tx, batches []Batch) error {
	return storeBatches(tx, f.at, batches)
}

// Stored tells the log, and who waits, that the table has the batches. It returns how many messages the table still lacks.
func (f *Follower) Stored(ctx context.Context, batches []Batch) (left int64, err error) {
	f.at = batches[len(batches)-1].last()
	if f.at <= f.told {
		return 0, nil // the table had been set back
	}
	return f.tell(ctx)
}

func (f *Follower) tell(ctx context.Context) (left int64, err error) {
	left, err = storedScript.Run(ctx, f.log.client, []string{stateKey, logKey}, f.base, f.told, f.at, kept, storedChannel).Int64()
	if err == nil && left < 0 {
		return 0, ErrMoved
	}
	if err == nil {
		f.told = f.at
	}
	return left, err
}

// IsComing says whether a message that the table does not have, although it has not got as far as the offset, is in the log.
func (l *Log) IsComing(ctx context.Context, offset int64) (bool, error) {
	s, err := l.loadedState(ctx)
	return offset > s.stored && offset <= s.offset, err
}
