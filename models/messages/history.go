package messages

import (
	"context"
	"slices"
	"strconv"

	"guichet/models/id"
)

// Page is which messages of a room are asked for: up to Limit, those after a sequence, the oldest first; or those before one, the newest first.
type Page struct {
	Room    id.ID
	Forward bool
	From    int64 // the sequence that the page begins behind; if it goes back, 0 is from the newest on
	Limit   int
}

// History reads a page of what was said in a room, up to the newest, which the database may not have yet. Sequences are dense, so that what the database lacks is known.
func (l *Log) History(ctx context.Context, p Page) ([]Message, error) {
	if !p.Forward && p.From > 0 { // most pages are old
		rows, err := tablePage(l.db.Read(ctx), p.Room, false, p.From, p.Limit)
		if err != nil || p.From == 1 || len(rows) > 0 && rows[0].Sequence == p.From-1 {
			return rows, err
		}
	}
	var said []Message
	err := l.consistently(ctx, func() (err error) {
		said, err = l.history(ctx, p)
		return err
	})
	return said, err
}

func (l *Log) history(ctx context.Context, p Page) ([]Message, error) {
	newest, err := l.newest(ctx, p.Room)
	if err != nil {
		return nil, err
	}
	from := p.From
	if !p.Forward && (from == 0 || from > newest) {
		from = newest + 1
	}
	rows, err := tablePage(l.db.Read(ctx), p.Room, p.Forward, from, p.Limit)
	if err != nil {
		return nil, err
	}
	if p.Forward {
		return l.completeForward(ctx, p, rows, newest)
	}
	first := from - int64(p.Limit) // of the page, if there are so many
	if len(rows) > 0 {
		first = max(first, rows[0].Sequence+1)
	}
	tail, err := l.tail(ctx, p.Room, max(first, 1), from-1)
	if err != nil {
		return nil, err
	}
	slices.Reverse(tail)
	tail = append(tail, rows...)
	return tail[:min(len(tail), p.Limit)], nil
}

func (l *Log) completeForward(ctx context.Context, p Page, rows []Message, newest int64) ([]Message, error) {
	last := p.From
	if len(rows) > 0 {
		last = rows[len(rows)-1].Sequence
	}
	missing := min(int64(p.Limit-len(rows)), newest-last)
	if missing <= 0 {
		return rows, nil
	}
	tail, err := l.tail(ctx, p.Room, last+1, last+missing)
	return append(rows, tail...), err
}

// newest is the sequence of a room's newest message; 0 for none.
func (l *Log) newest(ctx context.Context, room id.ID) (int64, error) {
	text, err := l.client.HMGet(ctx, roomsKey, string(room[:])).Result()
	if err != nil || text[0] != nil {
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(text[0].(string), 10, 64)
	}
	_, err = l.readState(ctx) // nothing was said there, or the log is not there
	return 0, err
}

// tail reads the messages of a room with the sequences from first to last, which the database did not have a moment ago, from the log, ascending. They are near its end.
func (l *Log) tail(ctx context.Context, room id.ID, first, last int64) ([]Message, error) {
	if first > last {
		return nil, nil
	}
	var found []Message // descending
	for end := "+"; ; {
		batches, err := decodeAll(l.client.XRevRangeN(ctx, logKey, end, "-", batchesAtOnce).Result())
		if err != nil {
			return nil, err
		}
		for i := range batches {
			for _, m := range slices.Backward(batches[i].Messages) {
				if m.Room == room && m.Sequence <= last && m.Sequence >= first {
					found = append(found, m)
				}
			}
			if len(found) > 0 && found[len(found)-1].Sequence == first {
				slices.Reverse(found)
				return found, nil
			}
		}
		if len(batches) < batchesAtOnce {
			return nil, errTrimmed
		}
		end = entryID(batches[len(batches)-1].first() - 1)
	}
}
