package chat

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
)

const (
	// mostRooms bounds how many rooms a process remembers, and idleRoom for how long one that nobody asks about. Their members are bounded by who is signed in.
	mostRooms = 10_000
	idleRoom  = 10 * time.Minute
	// readPatience is how long a room may take to be read.
	readPatience = 5 * time.Second
	// ticketTrust is for how long a ticket is good here that may have been refunded meanwhile.
	ticketTrust = 5 * time.Second
)

// Register is what a process remembers of how people stand with rooms. A room is read when it is first asked about; from then on, entries of the feed keep what is
// remembered right. What another process has decided is known here when the feed has told it: so who is refused by the register had better be asked about in the
// database. It is safe for concurrent use.
//
// A room's roll is read in a snapshot, together with the feed's head. All that entries up to that position tell is in it, and every later entry comes here, as the room
// was registered before the snapshot was taken: those that come while it is read are kept until then.
type Register struct {
	db    *database.DB
	mu    sync.RWMutex
	rooms map[id.ID]*registered
}

// registered is a room in the register.
type registered struct {
	ready chan struct{} // closed when room and err are set
	room  Room
	err   error
	used  atomic.Int64 // when it was last asked about, in seconds since 1970

	mu      sync.RWMutex
	read    bool
	early   []change // that came before the roll was read
	roll    roll
	tickets map[id.ID]time.Time // when somebody was last seen to have a ticket
}

// standingOf is how somebody stands with a room, and which entries have told so. An entry that this process has made itself is taken note of before those ahead of it
// have come: each half has the position of its own last entry.
type standingOf struct {
	member       bool
	memberAt     int64
	restriction  Restriction
	restrictedAt int64
}

// NewRegister returns a register of the rooms in db. It is to be told of all entries: see Heard.
func NewRegister(db *database.DB) *Register { return &Register{db: db, rooms: map[id.ID]*registered{}} }

// Room is a room, or ErrUnknownRoom.
func (r *Register) Room(ctx context.Context, room id.ID) (Room, error) {
	known, err := r.find(ctx, room)
	if err != nil {
		return Room{}, err
	}
	return known.room, nil
}

// Standing is how somebody stands with a room as far as this process remembers, or ErrUnknownRoom.
func (r *Register) Standing(ctx context.Context, room id.ID, who Person, now time.Time) (Standing, error) {
	known, err := r.find(ctx, room)
	if err != nil {
		return Standing{}, err
	}
	known.mu.RLock()
	s, ticket := known.roll.standing(who.ID), known.tickets[who.ID]
	known.mu.RUnlock()
	if age := now.Sub(ticket); known.room.Event.IsZero() || who.Admin || 0 <= age && age < ticketTrust {
		return s, nil
	}
	s.NoTicket, err = lacksTicket(r.db.Read(ctx), &known.room, who)
	if err == nil && !s.NoTicket {
		known.noteTicket(who.ID, now)
	}
	return s, err
}

// AskAgain is Standing as the database has it.
func (r *Register) AskAgain(ctx context.Context, room id.ID, who Person) (Standing, error) {
	known, err := r.find(ctx, room)
	if err != nil {
		return Standing{}, err
	}
	return getStanding(r.db.Read(ctx), &known.room, who)
}

func (r *roll) standing(user id.ID) Standing {
	if s := r.people[user]; s != nil {
		return Standing{Member: s.member, Restriction: s.restriction}
	}
	return Standing{}
}

// noteTicket remembers that somebody has a ticket, and forgets what is not trusted any more when there is more than a little of that.
func (k *registered) noteTicket(user id.ID, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tickets == nil {
		k.tickets = map[id.ID]time.Time{}
	}
	if len(k.tickets) >= 1024 && len(k.tickets)%1024 == 0 {
		for user, seen := range k.tickets {
			if now.Sub(seen) >= ticketTrust {
				delete(k.tickets, user)
			}
		}
	}
	k.tickets[user] = now
}

// find returns a room that was read.
func (r *Register) find(ctx context.Context, room id.ID) (*registered, error) {
	now := time.Now()
	r.mu.RLock()
	known := r.rooms[room]
	r.mu.RUnlock()
	if known == nil {
		var added bool
		if known, added = r.add(room, now); added {
			go r.read(context.WithoutCancel(ctx), room, known)
		}
	}
	select {
	case <-known.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if second := now.Unix(); known.used.Load() != second {
		known.used.Store(second)
	}
	return known, known.err
}

// add registers a room that is yet to be read, unless somebody else has.
func (r *Register) add(room id.ID, now time.Time) (known *registered, added bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.rooms[room]; known != nil {
		return known, false
	}
	r.makeRoom(now)
	known = &registered{ready: make(chan struct{})}
	known.used.Store(now.Unix())
	r.rooms[room] = known
	return known, true
}

// makeRoom forgets the rooms that nobody has asked about for long; of too many, the one that was not for the longest time.
func (r *Register) makeRoom(now time.Time) {
	if len(r.rooms) < mostRooms/10 {
		return
	}
	var oldest id.ID
	least := now.Unix() + 1
	for room, known := range r.rooms {
		used := known.used.Load()
		if used < now.Add(-idleRoom).Unix() {
			delete(r.rooms, room)
		} else if used < least {
			oldest, least = room, used
		}
	}
	if len(r.rooms) >= mostRooms {
		delete(r.rooms, oldest)
	}
}

// read reads a room. If that fails, the next who asks tries again.
func (r *Register) read(ctx context.Context, room id.ID, into *registered) {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	defer close(into.ready)
	var read roll
	into.err = r.db.Snapshot(ctx, func(tx database.Tx) (err error) {
		if into.room, err = GetRoom(tx, room); err != nil {
			return err
		}
		read, err = readRoll(tx, room)
		return err
	})
	if into.err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.rooms[room] == into {
			delete(r.rooms, room)
		}
		return
	}
	into.mu.Lock()
	defer into.mu.Unlock()
	into.read, into.roll = true, read
	for i := range into.early {
		into.roll.apply(&into.early[i])
	}
	into.early = nil
}

// Heard takes note of entries that the feed has told, in their order.
func (r *Register) Heard(entries []feed.Entry) { r.note(entries, true) }

// Decided takes note of entries that this process has committed itself, before the feed tells them.
func (r *Register) Decided(entries []feed.Entry) { r.note(entries, false) }

func (r *Register) note(entries []feed.Entry, heard bool) {
	for i := range entries {
		c, ok := changeOf(&entries[i])
		if !ok {
			continue
		}
		c.heard = heard
		r.mu.RLock()
		known := r.rooms[c.room]
		r.mu.RUnlock()
		if known != nil {
			known.note(&c)
		}
	}
}

func (k *registered) note(c *change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.read {
		k.early = append(k.early, *c)
		return
	}
	k.roll.apply(c)
}

// apply takes note of a change, unless it is older than what is known. Somebody of whom nothing is left to know is forgotten when all up to there was heard, so that
// nothing older can come any more.
func (r *roll) apply(c *change) {
	if c.position <= r.asOf {
		return
	}
	s := r.people[c.user]
	if s == nil {
		s = &standingOf{}
		r.people[c.user] = s
	}
	switch {
	case c.event == feed.MemberRestricted && c.position >= s.restrictedAt:
		s.restriction, s.restrictedAt = c.restriction, c.position
	case c.event != feed.MemberRestricted && c.position >= s.memberAt:
		s.member, s.memberAt = c.event == feed.MemberEntered, c.position
	}
	if c.heard && !s.member && s.restriction == (Restriction{}) && s.memberAt <= c.position && s.restrictedAt <= c.position {
		delete(r.people, c.user)
	}
	if c.heard { // all up to here was heard: what comes later and is older, such as one's own change that was held up, is known
		r.asOf = max(r.asOf, c.position)
	}
}
