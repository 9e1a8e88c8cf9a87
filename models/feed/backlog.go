package feed

import (
	"context"
	"slices"
	"strings"
)

// backlogPage is how many entries of the past are read at once, of the table and of the log.
const backlogPage = 500

// Backlog is what a reader missed while away: of the table and of the log, merged by their stamps, so that what came after something is told after it.
type Backlog struct {
	hub    *Hub
	topics []string
	rooms  []string // those of the topics that the log has
	read   Place    // up to where entries were read
	until  Place
	table  []Entry // read and not returned
	log    []Entry
}

// Backlog is what a reader of the topics, who is at a place, has missed up to another, at which a subscription starts.
func (h *Hub) Backlog(topics []string, at, until Place) *Backlog {
	b := &Backlog{hub: h, topics: topics, read: at, until: until}
	if h.ahead == nil {
		b.read.Offset = until.Offset
		return b
	}
	b.rooms = slices.DeleteFunc(slices.Clone(topics), func(topic string) bool { return !strings.HasPrefix(topic, RoomTopic) })
	return b
}

// kept is one of the two that have entries.
type kept interface {
	Head(ctx context.Context) (int64, error)
	Start(ctx context.Context) (int64, error)
}

// Begin returns where the backlog begins, and whether something before that is not to be had any more. Call it before Next.
func (b *Backlog) Begin(ctx context.Context) (at Place, gap bool, err error) {
	var gaps [2]bool
	if b.read.Position, gaps[0], err = begin(ctx, b.hub.log, b.read.Position, b.until.Position); err != nil {
		return at, false, err
	}
	if len(b.rooms) > 0 {
		if b.read.Offset, gaps[1], err = begin(ctx, b.hub.ahead, b.read.Offset, b.until.Offset); err != nil {
			return at, false, err
		}
	}
	return b.read, gaps[0] || gaps[1], nil
}

func begin(ctx context.Context, log kept, at, until int64) (from int64, gap bool, err error) {
	start, err := log.Start(ctx)
	if err != nil {
		return 0, false, err
	}
	head := until
	if at > until { // another process has told the reader more than this one has heard of yet, or the id is made up
		if head, err = log.Head(ctx); err != nil {
			return 0, false, err
		}
	}
	if at > head || at < start {
		return min(max(at, start), until), true, nil
	}
	return at, false, nil
}

// Next returns what comes next, some hundred entries; none at the end.
func (b *Backlog) Next(ctx context.Context) ([]Entry, error) {
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	return b.merge(), nil
}

// End is where the reader is when everything was told.
func (b *Backlog) End() Place { return b.read.Max(b.until) }

// fill reads on wherever nothing is left.
func (b *Backlog) fill(ctx context.Context) (err error) {
	if len(b.table) == 0 && b.moreInTable() {
		if b.table, err = b.hub.log.Between(ctx, b.read.Position, b.until.Position, b.topics, backlogPage); err != nil {
			return err
		}
		b.read.Position = b.until.Position
		if n := len(b.table); n == backlogPage {
			b.read.Position = b.table[n-1].Position
		}
	}
	if len(b.log) == 0 && b.moreInLog() {
		if b.log, err = b.hub.ahead.Between(ctx, b.read.Offset, b.until.Offset, b.rooms, backlogPage); err != nil {
			return err
		}
		b.read.Offset = b.until.Offset
		if n := len(b.log); n == backlogPage {
			b.read.Offset = b.log[n-1].Offset
		}
	}
	return nil
}

func (b *Backlog) moreInTable() bool { return b.read.Position < b.until.Position }

func (b *Backlog) moreInLog() bool { return len(b.rooms) > 0 && b.read.Offset < b.until.Offset }

// merge takes entries in the order of their stamps, until more must be read to tell which comes next.
func (b *Backlog) merge() (merged []Entry) {
	for {
		table, log := len(b.table) > 0, len(b.log) > 0
		switch {
		case table && (log && b.table[0].Lamport <= b.log[0].Lamport || !log && !b.moreInLog()):
			merged = append(merged, b.table[0])
			b.table = b.table[1:]
		case log && (table || !b.moreInTable()):
			merged = append(merged, b.log[0])
			b.log = b.log[1:]
		default:
			return merged
		}
	}
}
