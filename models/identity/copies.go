package identity

import (
	"sync"
	"sync/atomic"
	"time"

	"guichet/models/id"
)

// maxCopies bounds the sessions that a process keeps copies of; about 20 MB. Beyond it, the sessions that fell out cost a query again.
const maxCopies = 65_536

// sessionCopy is a copy of a session's row.
type sessionCopy struct {
	session  Session // whose ExpiresAt is of no meaning
	readAt   time.Time
	lastSeen atomic.Int64 // microseconds since 1970; later than the row's
	unsaved  atomic.Bool  // whether lastSeen is yet to be written
}

func newSessionCopy(session Session, readAt, lastSeen time.Time) *sessionCopy {
	c := &sessionCopy{session: session, readAt: readAt}
	c.lastSeen.Store(lastSeen.UnixMicro())
	return c
}

// young says whether the copy may still be trusted. One so young was used when it was read, and so is not idle. (Clocks may be set back.)
func (c *sessionCopy) young(now time.Time, refresh time.Duration) bool {
	age := now.Sub(c.readAt)
	return 0 <= age && age < refresh
}

func (c *sessionCopy) use(at time.Time) {
	c.lastSeen.Store(at.UnixMicro())
	c.unsaved.Store(true)
}

func (c *sessionCopy) lastUse() use {
	return use{userID: c.session.UserID, sessionID: c.session.ID, at: time.UnixMicro(c.lastSeen.Load()).UTC()}
}

// copies are the sessions that this process serves, by token, and the uses of others that are yet to be written.
type copies struct {
	limit int

	mu       sync.RWMutex
	byToken  map[hashOf]*sessionCopy
	tokens   map[id.ID]hashOf // by session
	loose    map[id.ID]use    // of sessions without a copy
	forgotID uint64           // counts what was forgotten
}

func newCopies(limit int) *copies {
	return &copies{limit: limit, byToken: map[hashOf]*sessionCopy{}, tokens: map[id.ID]hashOf{}, loose: map[id.ID]use{}}
}

func (c *copies) get(token hashOf) *sessionCopy {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byToken[token]
}

// ofSession is get for who knows the session and not its token.
func (c *copies) ofSession(session id.ID) (hashOf, *sessionCopy) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	token := c.tokens[session]
	return token, c.byToken[token]
}

// has says whether there is a copy of a session.
func (c *copies) has(session id.ID) bool {
	_, kept := c.ofSession(session)
	return kept != nil
}

// lastSeen is when a session was last used in this process, as far as it remembers.
func (c *copies) lastSeen(session id.ID) time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if kept := c.byToken[c.tokens[session]]; kept != nil {
		return kept.lastUse().at
	}
	return c.loose[session].at
}

// forgotten is to be asked before the row is read that put is given: what is forgotten in between is not put back.
func (c *copies) forgotten() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.forgotID
}

// put keeps a copy, unless something was forgotten since: it might have been this one.
func (c *copies) put(token hashOf, kept *sessionCopy, forgotten uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotID != forgotten {
		if kept.unsaved.Load() {
			c.loosen(kept)
		}
		return
	}
	if c.byToken[token] == nil && len(c.byToken) >= c.limit {
		c.evict()
	}
	c.byToken[token] = kept
	c.tokens[kept.session.ID] = token
}

// evict drops any copy: the map's order is random enough.
func (c *copies) evict() {
	for token, kept := range c.byToken {
		if kept.unsaved.Load() {
			c.loosen(kept)
		}
		delete(c.byToken, token)
		delete(c.tokens, kept.session.ID)
		return
	}
}

func (c *copies) loosen(kept *sessionCopy) {
	last := kept.lastUse()
	if c.loose[last.sessionID].at.Before(last.at) {
		c.loose[last.sessionID] = last
	}
}

// forget drops the copy of a session that ended.
func (c *copies) forget(session id.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotID++
	delete(c.loose, session)
	delete(c.byToken, c.tokens[session])
	delete(c.tokens, session)
}

// note remembers uses that are to be written later.
func (c *copies) note(uses ...use) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range uses {
		if c.loose[u.sessionID].at.Before(u.at) {
			c.loose[u.sessionID] = u
		}
	}
}

// takeUses returns what is to be written, and considers it written.
func (c *copies) takeUses() []use {
	c.mu.Lock()
	defer c.mu.Unlock()
	uses := make([]use, 0, len(c.loose))
	for _, u := range c.loose {
		uses = append(uses, u)
	}
	clear(c.loose)
	for _, kept := range c.byToken {
		if kept.unsaved.Swap(false) {
			uses = append(uses, kept.lastUse())
		}
	}
	return uses
}
