package handlers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"guichet/models/chat"
	"guichet/models/id"
)

// defaultGrace is the grace period of a server that is given none.
const defaultGrace = 30 * time.Second

// presencePatience is how long a call waits for Redis to take note that somebody is there.
const presencePatience = 500 * time.Millisecond

// presence is who is in rooms as this process sees it: by streams that follow a room, and by calls about it. It is written down beat by beat.
type presence struct {
	*chat.Presence

	mu     sync.Mutex
	open   map[there]int      // streams
	called map[there]struct{} // since the last beat
}

// there is somebody in a room.
type there struct{ room, user id.ID }

func newPresence(p *chat.Presence) *presence {
	return &presence{Presence: p, open: map[there]int{}, called: map[there]struct{}{}}
}

// opened notes that a stream of somebody follows rooms.
func (p *presence) opened(rooms []id.ID, user id.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, room := range rooms {
		p.open[there{room, user}]++
		p.called[there{room, user}] = struct{}{}
	}
}

// closed notes that the stream is no more. Until then they were there.
func (p *presence) closed(rooms []id.ID, user id.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, room := range rooms {
		at := there{room, user}
		p.called[at] = struct{}{}
		if p.open[at]--; p.open[at] == 0 {
			delete(p.open, at)
		}
	}
}

// note notes a call that is a sign of life.
func (p *presence) note(room, user id.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.called[there{room, user}] = struct{}{}
}

// arrive writes down at once that somebody is in a room: before they are a member, so that nobody takes the member for gone. Should Redis not answer, the next beat
// tells it.
func (p *presence) arrive(ctx context.Context, room, user id.ID) {
	ctx, cancel := context.WithTimeout(ctx, presencePatience)
	defer cancel()
	if err := p.Seen(ctx, map[id.ID][]id.ID{room: {user}}); err != nil {
		p.note(room, user)
	}
}

// beat writes down who is there, and who was since the last beat. What could not be written is kept for the next.
func (p *presence) beat(ctx context.Context) error {
	p.mu.Lock()
	called := p.called
	p.called = make(map[there]struct{}, len(called))
	users := make(map[id.ID][]id.ID)
	for at := range called {
		users[at.room] = append(users[at.room], at.user)
	}
	for at := range p.open {
		if _, noted := called[at]; !noted {
			users[at.room] = append(users[at.room], at.user)
		}
	}
	p.mu.Unlock()
	err := p.Seen(ctx, users)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		for at := range called {
			p.called[at] = struct{}{}
		}
	}
	return err
}

// run beats until ctx ends, and once more then.
func (p *presence) run(ctx context.Context) {
	tick := time.NewTicker(p.Beat())
	defer tick.Stop()
	for failed, ended := false, false; !ended; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}
		beating, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Beat())
		err := p.beat(beating)
		cancel()
		if err != nil && !failed { // once: a store that is away is told of by many already
			slog.WarnContext(ctx, "who is in rooms is not written down; it is tried again", "error", err)
		}
		failed = err != nil
	}
}
