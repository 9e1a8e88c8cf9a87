package handlers

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/operation"
)

const (
	// placeInterval is how often streams are told where in line their users' operations are, and for how long one waits before that is told.
	placeInterval = time.Second
	// placePatience is how long a look at the lines may take.
	placePatience = time.Second
	// mostPlaces bounds how many operations one stream is told of at once; those that were submitted first go first.
	mostPlaces = 100
)

// places tells the streams of this process that have the topic `me` where in line the operations are that wait for long, whichever process accepted them.
// It asks the journal once for all of them, and while there is no such stream, it does nothing at all.
type places struct {
	*Server
	asOf atomic.Int64 // of the last look

	mu      sync.Mutex
	readers map[*inLine]bool   // and whether the last look was of interest to them
	stop    context.CancelFunc // ends run, which is under way while there are readers; nil otherwise
}

func newPlaces(s *Server) *places { return &places{Server: s, readers: map[*inLine]bool{}} }

// look is what of a user's operations waited at a moment.
type look struct {
	asOf    int64 // a position of the feed that was reached before: what is told up to there is not in here any more
	waiting []operation.Operation
}

// follow makes a stream of the user one of those that are told, until it leaves.
func (p *places) follow(ctx context.Context, user id.ID) *inLine {
	reader := &inLine{user: user, looks: make(chan look, 1), asOf: &p.asOf}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers[reader] = false
	if p.stop == nil {
		// Others may follow before this one leaves.
		ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
		go p.run(ctx)
	}
	return reader
}

// rouse has hear called when the reader is offered something, as nobody waits for its news. It must not block.
func (p *places) rouse(reader *inLine, hear func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	reader.hear = hear
}

func (p *places) leave(reader *inLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.readers, reader)
	if len(p.readers) == 0 {
		p.stop()
		p.stop = nil
	}
}

// run looks at the lines until it is stopped.
func (p *places) run(ctx context.Context) {
	tick := time.NewTicker(placeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := p.tell(ctx); err != nil && ctx.Err() == nil {
			slog.DebugContext(ctx, "places in line are not told", "error", err)
		}
	}
}

// users are those who follow.
func (p *places) users() (users []id.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for reader := range p.readers {
		users = append(users, reader.user)
	}
	slices.SortFunc(users, id.Compare)
	return slices.Compact(users)
}

// tell looks once, and hands each stream what is its user's.
func (p *places) tell(running context.Context) error {
	ctx, cancel := context.WithTimeout(running, placePatience)
	defer cancel()
	users := p.users() // before the position, so that it is not behind where any of their streams began
	asOf := p.Hub.Position()
	p.asOf.Store(asOf)
	found, err := p.journal.LongWaiting(ctx, users, time.Now().Add(-placeInterval))
	if err != nil {
		return err
	}
	waiting := map[id.ID][]operation.Operation{}
	for i := range found {
		p.noteRead(&found[i])
		waiting[found[i].UserID] = append(waiting[found[i].UserID], found[i])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if running.Err() != nil { // these are other readers
		return nil
	}
	for reader, interested := range p.readers {
		own := waiting[reader.user]
		if len(own) > 0 || interested { // the first look without anything is news, too
			reader.offer(look{asOf, own})
		}
		p.readers[reader] = len(own) > 0
	}
	return nil
}

// inLine is what one stream knows of its user's operations that wait. Its methods but offer are the stream's own, and do nothing if it is nil.
type inLine struct {
	user  id.ID
	looks chan look // has room for one: a later look replaces it
	hear  func()    // nil if somebody waits for looks
	asOf  *atomic.Int64

	told   map[id.ID]int64 // the places that the reader was told
	ended  []endedAt       // what the reader was told the end of, though a look from before may come
	pruned int64           // up to where ended was forgotten: looks as of earlier are of no use
}

type endedAt struct {
	operation id.ID
	position  int64
}

func (l *inLine) offer(news look) {
	select {
	case <-l.looks:
	default:
	}
	l.looks <- news
	if l.hear != nil {
		l.hear()
	}
}

func (l *inLine) news() <-chan look {
	if l == nil {
		return nil
	}
	return l.looks
}

// note is told what the stream writes: whoever was told of an operation's end must not be told after that where it is in line.
func (l *inLine) note(e *feed.Entry) {
	if l == nil || e.Event != feed.OperationFinished {
		return
	}
	if asOf := l.asOf.Load(); asOf > l.pruned {
		l.pruned = asOf
		l.ended = slices.DeleteFunc(l.ended, func(known endedAt) bool { return known.position <= asOf })
	}
	l.ended = append(l.ended, endedAt{e.OperationID, e.Position})
}

// tell returns what to write of a look: the operations whose places have changed since the reader was told.
func (l *inLine) tell(seen look, at time.Time) (text []byte) {
	if seen.asOf < l.pruned { // there has been another since
		return nil
	}
	ended := map[id.ID]bool{}
	for _, known := range l.ended {
		if known.position > seen.asOf {
			ended[known.operation] = true
		}
	}
	told := make(map[id.ID]int64, len(seen.waiting))
	n := 0
	for i := range seen.waiting {
		o := &seen.waiting[i]
		before, known := l.told[o.ID]
		switch {
		case ended[o.ID]:
		case known && before == o.Position:
			told[o.ID] = before
		case n < mostPlaces:
			entry := feed.Entry{Event: feed.OperationQueued, At: at.Truncate(time.Microsecond), Data: o.AppendJSON(nil)}
			text = entry.Passing(text)
			told[o.ID] = o.Position
			n++
		case known:
			told[o.ID] = before
		}
	}
	l.told = told
	return text
}
