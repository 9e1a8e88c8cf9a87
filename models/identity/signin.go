package identity

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
)

var errPasswordChanged = errors.New("identity: the password was changed meanwhile")

// SignIn starts a session. It returns ErrUnknownUsername, a *WrongPasswordError, a *LockedError, ErrAlreadySignedIn, ErrBusy, or the store's error.
// With takeOver, a session that lives elsewhere ends, for which the feed gets an entry. Unless it is nil, also runs in the same transaction;
// its error undoes the sign-in and is returned.
func (i *Identity) SignIn(ctx context.Context, username, password string, takeOver bool, also func(tx database.Tx, signedIn SignedIn) error) (SignedIn, error) {
	if also == nil {
		also = func(database.Tx, SignedIn) error { return nil }
	}
	token, hash := newSecret(tokenPrefix)
	forgotten := i.copies.forgotten()
	var a admission
	err := i.prove(ctx, username, password, func(tx database.Tx, user credentials, now time.Time) (refusal, err error) {
		a, refusal, err = i.replaceSession(tx, user.userID, takeOver, token, hash, now)
		if refusal != nil || err != nil {
			return refusal, err
		}
		if err := also(tx, a.SignedIn); err != nil {
			return nil, err
		}
		return nil, feed.Append(tx, a.ended)
	})
	if err != nil {
		return SignedIn{}, err
	}
	i.copies.put(hash, newSessionCopy(a.Session, a.at, a.at), forgotten)
	i.publish(ctx, a.ended)
	return a.SignedIn, nil
}

// CheckPassword returns the user's role if the password is right, or refuses as SignIn does, with the same count and lock.
func (i *Identity) CheckPassword(ctx context.Context, username, password string) (role Role, err error) {
	err = i.prove(ctx, username, password, func(_ database.Tx, user credentials, _ time.Time) (refusal, err error) {
		role = user.role
		return nil, nil
	})
	return role, err
}

// prove judges a password, and runs then if it is right, in the same transaction, which has the user locked. What then refuses is committed, too: that
// the password was right counts.
//
// An unknown name costs the same hashing as a known one: what remains of a difference, a short transaction, is lost in its variation.
func (i *Identity) prove(ctx context.Context, username, password string, then func(tx database.Tx, user credentials, now time.Time) (refusal, err error)) error {
	for range 3 {
		known, err := i.findCredentials(ctx, username)
		if err != nil {
			return err
		}
		if i.now().Before(known.attempts.lockedUntil) {
			return &LockedError{Until: known.attempts.lockedUntil}
		}
		// Before the transaction, so that no lock, and not SQLite's only writer, is held for the tens of milliseconds that this takes.
		right, err := i.hasher.verify(ctx, password, known.passwordHash)
		if err != nil {
			return err
		}
		if known.userID.IsZero() {
			return ErrUnknownUsername
		}
		var refusal error
		err = i.db.Write(ctx, func(tx database.Tx) error {
			refusal, err = i.judge(tx, known, right, then)
			return err
		})
		if err == nil {
			return refusal
		}
		if !errors.Is(err, errPasswordChanged) {
			return err
		}
	}
	return ErrBusy
}

// findCredentials returns zero credentials if nobody has that name, also when nobody can have it.
func (i *Identity) findCredentials(ctx context.Context, username string) (credentials, error) {
	_, key, err := NormalizeUsername(username)
	if err != nil {
		return credentials{}, nil //nolint:nilerr // nobody has such a name
	}
	return findCredentials(i.db.Read(ctx), key)
}

func (i *Identity) judge(tx database.Tx, known credentials, right bool, then func(database.Tx, credentials, time.Time) (error, error)) (refusal, err error) {
	stored, err := lockCredentials(tx, known.userID)
	if err != nil {
		return nil, err
	}
	if stored.passwordHash != known.passwordHash {
		return nil, errPasswordChanged
	}
	now := i.now()
	after, refusal := stored.attempts.judge(right, now, i.options.LockFor)
	if after != stored.attempts {
		if err := storeAttempts(tx, stored.userID, after); err != nil {
			return nil, err
		}
	}
	if refusal != nil {
		return refusal, nil
	}
	return then(tx, stored, now)
}

// admission is a new session, and what became of the former one.
type admission struct {
	SignedIn
	at    time.Time
	ended []feed.Entry
}

func (i *Identity) replaceSession(tx database.Tx, user id.ID, takeOver bool, token string, hash hashOf, now time.Time) (a admission, refusal, err error) {
	former, exists, err := lockSession(tx, user)
	if err != nil {
		return a, nil, err
	}
	if exists {
		reason := wasIdle
		if i.lives(former, now) {
			reason = takenOver
		}
		if reason == takenOver && !takeOver {
			return a, ErrAlreadySignedIn, nil
		}
		a.ended = append(a.ended, i.sessionEnded(user, former.id, reason, now))
	}
	row := sessionRow{userID: user, id: i.ids.Next(), lastSeen: now}
	if err := putSession(tx, row, hash); err != nil {
		return a, nil, err
	}
	// After what locks sessions, as everywhere.
	if exists {
		if err := i.settleAnnouncements(tx, former, now); err != nil {
			return a, nil, err
		}
	}
	if err := i.announce(tx, user); err != nil {
		return a, nil, err
	}
	session, _, _, err := findSessionByID(tx, user, row.id)
	if err != nil {
		return a, nil, err
	}
	a.Session, a.Token, a.at = i.expiring(session, now), token, now
	a.Notices, err = takeNotices(tx, user, now, MaxNotices)
	return a, nil, err
}

// lastUse is when a session was last used, as far as this process knows.
func (i *Identity) lastUse(row sessionRow) time.Time {
	return latest(row.lastSeen, i.copies.lastSeen(row.id))
}

// lives judges a row by what this process knows of its use, too.
func (i *Identity) lives(row sessionRow, now time.Time) bool {
	return live(i.lastUse(row), now, i.options.IdleTimeout)
}

// SignOut ends a session. That it has ended already is no error.
func (i *Identity) SignOut(ctx context.Context, session Session) error {
	var ended []feed.Entry
	err := i.db.Write(ctx, func(tx database.Tx) error {
		if err := lockUser(tx, session.UserID); err != nil {
			return err
		}
		deleted, err := deleteSession(tx, session.UserID, session.ID)
		if err != nil || !deleted {
			return err
		}
		if err := announcedAll(tx, session.UserID); err != nil {
			return err
		}
		ended = []feed.Entry{i.sessionEnded(session.UserID, session.ID, signedOut, i.now())}
		return feed.Append(tx, ended)
	})
	if err != nil {
		return err
	}
	i.Forget(session.ID)
	i.publish(ctx, ended)
	return nil
}

// ending is the resource of the entry session.ended.
type ending struct {
	SessionID id.ID  `json:"session_id"`
	Reason    string `json:"reason"`
}

func (i *Identity) sessionEnded(user, session id.ID, reason string, at time.Time) feed.Entry {
	data, _ := json.Marshal(ending{session, reason}) // cannot fail
	return feed.Entry{Topic: feed.UserTopic(user), Event: feed.SessionEnded, At: at, Lamport: i.clock.Tick(), Data: data}
}

// publish forgets the sessions whose end was committed, and tells of it, even if the one who asked for it has gone.
func (i *Identity) publish(ctx context.Context, ended []feed.Entry) {
	if len(ended) == 0 {
		return
	}
	i.Published(ended)
	i.options.Publisher.Publish(context.WithoutCancel(ctx), feed.Publication{Entries: ended})
}

func (i *Identity) expiring(session Session, lastSeen time.Time) Session {
	session.ExpiresAt = lastSeen.Add(i.options.IdleTimeout)
	return session
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
