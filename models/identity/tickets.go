package identity

import (
	"context"
	"time"

	"guichet/models/database"
)

// ticketLife is long enough to open a connection with, and too short for a ticket in a log to be of use.
const ticketLife = 30 * time.Second

// CreateFeedTicket returns a ticket that opens the session's feed once, until expiresAt, if the transaction is committed.
func (i *Identity) CreateFeedTicket(tx database.Tx, session Session) (ticket string, expiresAt time.Time, err error) {
	ticket, hash := newSecret(ticketPrefix)
	expiresAt = i.now().Add(ticketLife)
	return ticket, expiresAt, insertTicket(tx, hash, session, expiresAt)
}

// RedeemFeedTicket uses a ticket up and returns the session that it was made in, which counts as a use of the session.
// ErrTicket if the ticket is not good, or the session has ended.
func (i *Identity) RedeemFeedTicket(ctx context.Context, ticket string) (Session, error) {
	hash, ok := hashSecret(ticketPrefix, ticket)
	if !ok {
		return Session{}, ErrTicket
	}
	var session Session
	var lives bool
	now := i.now()
	err := i.db.Write(ctx, func(tx database.Tx) error {
		user, sessionID, expiresAt, found, err := takeTicket(tx, hash)
		if err != nil || !found || !now.Before(expiresAt) {
			return err
		}
		var stored time.Time
		session, stored, found, err = findSessionByID(tx, user, sessionID)
		if err != nil || !found || !i.lives(sessionRow{id: sessionID, lastSeen: stored}, now) {
			return err
		}
		lives = true
		_, err = storeUses(tx, []use{{userID: user, sessionID: sessionID, at: now}})
		return err
	})
	if err != nil {
		return Session{}, err
	}
	if !lives {
		return Session{}, ErrTicket
	}
	return i.expiring(session, now), nil
}

func (i *Identity) deleteOldTickets(ctx context.Context) error {
	return i.db.Write(ctx, func(tx database.Tx) error { return deleteTickets(tx, i.now()) })
}
