package identity

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
)

// Authenticate returns the session of a token, and counts as a use of it. ErrUnauthenticated if none lives.
//
// It asks the table only for sessions that it has no copy of, or an old one. So a session that was ended by another process is good here until
// the feed tells of it, and at most Options.refresh longer. While the store does not answer, an old copy does too, for as long as longestTrust and the idle
// timeout allow.
func (i *Identity) Authenticate(ctx context.Context, token string) (Session, error) {
	hash, ok := hashSecret(tokenPrefix, token)
	if !ok {
		return Session{}, ErrUnauthenticated
	}
	now := i.now()
	kept, forgotten := i.copies.get(hash), i.copies.forgotten()
	current, err := i.current(ctx, kept, now, func(tx database.Tx) (Session, time.Time, bool, error) { return findSession(tx, hash) })
	switch {
	case err == nil && current != kept:
		i.copies.put(hash, current, forgotten)
	case kept != nil && errors.Is(err, ErrUnauthenticated):
		i.Forget(kept.session.ID)
	}
	if err != nil {
		return Session{}, err
	}
	return i.expiring(current.session, now), nil
}

// Touch counts as a use of a session whose token was shown before, such as a stream that is open. ErrUnauthenticated if it has ended.
func (i *Identity) Touch(ctx context.Context, session Session) error {
	now := i.now()
	token, kept := i.copies.ofSession(session.ID)
	forgotten := i.copies.forgotten()
	current, err := i.current(ctx, kept, now, func(tx database.Tx) (Session, time.Time, bool, error) {
		return findSessionByID(tx, session.UserID, session.ID)
	})
	switch {
	case err != nil:
		return err
	case kept == nil:
		i.copies.note(current.lastUse())
	case current != kept:
		i.copies.put(token, current, forgotten)
	}
	return nil
}

// findSessionIn reads a session's row and when it was last used; false if there is none.
type findSessionIn func(tx database.Tx) (Session, time.Time, bool, error)

const (
	// readPatience is how long a session may take to be read: the store may be frozen.
	readPatience = 3 * time.Second
	// renewPatience is the same for one that there is a copy of, which does instead.
	renewPatience = time.Second
)

// current returns a copy of a session that is good now, and counts as a use of it: kept, which may be nil, or one that it reads.
func (i *Identity) current(ctx context.Context, kept *sessionCopy, now time.Time, find findSessionIn) (*sessionCopy, error) {
	if kept != nil && kept.young(now, i.options.refresh()) {
		kept.use(now)
		return kept, nil
	}
	patience := readPatience
	stopgap := kept != nil && kept.young(now, longestTrust) && live(kept.lastUse().at, now, i.options.IdleTimeout)
	if stopgap {
		if !i.outage.mayAsk(now) {
			kept.use(now)
			return kept, nil
		}
		patience = renewPatience
	}
	fresh, err := i.readSession(ctx, patience, now, find)
	away := database.IsTransient(err)
	waited := !away || ctx.Err() == nil
	i.outage.report(i.now(), waited, !away)
	if away && waited && stopgap && i.copies.has(kept.session.ID) { // it may have ended while this was waiting
		kept.use(now)
		return kept, nil
	}
	return fresh, err
}

// readSession makes a copy of a session that is used now.
func (i *Identity) readSession(ctx context.Context, patience time.Duration, now time.Time, find findSessionIn) (*sessionCopy, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	session, stored, found, err := find(i.db.Read(ctx))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrUnauthenticated
	}
	fresh := newSessionCopy(session, now, now)
	return fresh, i.recordUse(ctx, fresh, stored, now)
}

// recordUse refuses an idle session. The use is written with others later, except when the table would take the session for idle before that.
func (i *Identity) recordUse(ctx context.Context, fresh *sessionCopy, stored, now time.Time) error {
	if !live(latest(stored, i.copies.lastSeen(fresh.session.ID)), now, i.options.IdleTimeout) {
		return ErrUnauthenticated
	}
	// The copy is good for one refresh, its last use is written one refresh later, and one is left for delays.
	if live(stored, now.Add(3*i.options.refresh()), i.options.IdleTimeout) {
		fresh.unsaved.Store(true)
		return nil
	}
	return i.db.Write(ctx, func(tx database.Tx) error {
		n, err := storeUses(tx, []use{fresh.lastUse()})
		if err == nil && n == 0 {
			return ErrUnauthenticated // ended meanwhile
		}
		return err
	})
}

// Forget drops what this process knows of a session that ended.
func (i *Identity) Forget(session id.ID) { i.copies.forget(session) }

// Published forgets the sessions whose end the feed tells. It makes Identity a feed.Listener.
func (i *Identity) Published(entries []feed.Entry) {
	for k := range entries {
		if entries[k].Event != feed.SessionEnded {
			continue
		}
		var e ending
		if json.Unmarshal(entries[k].Data, &e) == nil {
			i.Forget(e.SessionID)
		}
	}
}

// LaneAdvanced is of no interest here.
func (i *Identity) LaneAdvanced(string, []id.ID, int) {}

// Flush writes when the sessions that this process serves were last used. What could not be written is kept for the next time.
func (i *Identity) Flush(ctx context.Context) error {
	uses := i.copies.takeUses()
	if len(uses) == 0 {
		return nil
	}
	err := i.db.Write(ctx, func(tx database.Tx) error {
		_, err := storeUses(tx, uses)
		return err
	})
	if err != nil {
		i.copies.note(uses...)
	}
	return err
}

// expirePage is how many sessions ExpireSessions ends in one transaction, which holds the feed's head only briefly then.
const expirePage = 500

// ExpireSessions ends the sessions that have been idle too long, so that their feeds are closed, and says how many it ended.
func (i *Identity) ExpireSessions(ctx context.Context) (int, error) {
	if err := i.Flush(ctx); err != nil {
		return 0, err
	}
	total := 0
	for {
		idle, err := idleUsers(i.db.Read(ctx), i.now().Add(-i.options.IdleTimeout), expirePage)
		if err != nil || len(idle) == 0 {
			return total, err
		}
		var ended []feed.Entry
		err = i.db.Write(ctx, func(tx database.Tx) error {
			ended, err = i.endIdle(tx, idle)
			return err
		})
		if err != nil {
			return total, err
		}
		i.publish(ctx, ended)
		total += len(ended)
		if len(ended) == 0 || len(idle) < expirePage {
			return total, nil
		}
	}
}

// endIdle looks again, with locks, at sessions that were idle, and ends those that still are.
func (i *Identity) endIdle(tx database.Tx, users []id.ID) ([]feed.Entry, error) {
	var ended []feed.Entry
	var idle []sessionRow
	for _, user := range users {
		if err := lockUser(tx, user); err != nil {
			return nil, err
		}
		row, exists, err := lockSession(tx, user)
		if err != nil {
			return nil, err
		}
		now := i.now()
		if !exists || i.lives(row, now) {
			continue
		}
		if _, err := deleteSession(tx, user, row.id); err != nil {
			return nil, err
		}
		idle = append(idle, row)
		ended = append(ended, i.sessionEnded(user, row.id, wasIdle, now))
	}
	for _, row := range idle { // when all is locked: who begins a session locks their row before the last announcement, too
		if err := i.settleAnnouncements(tx, row, i.now()); err != nil {
			return nil, err
		}
	}
	return ended, feed.Append(tx, ended)
}

// Run keeps the house until ctx ends: it writes the uses of sessions, ends idle ones, and removes old tickets. What is unwritten in the end is
// written before it returns, so close the store after.
func (i *Identity) Run(ctx context.Context) {
	ticker := time.NewTicker(i.options.refresh())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			i.keepHouse(ctx)
		case <-ctx.Done():
			i.flushLast(ctx)
			return
		}
	}
}

func (i *Identity) flushLast(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := i.Flush(last); err != nil {
		slog.WarnContext(ctx, "the last uses of sessions were not written", "error", err)
	}
}

func (i *Identity) keepHouse(ctx context.Context) {
	if _, err := i.ExpireSessions(ctx); err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "idle sessions were not ended", "error", err)
	}
	if err := i.deleteOldTickets(ctx); err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "old tickets were not removed", "error", err)
	}
}
