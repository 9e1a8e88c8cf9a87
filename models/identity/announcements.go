package identity

import (
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/id"
)

// kindAnnouncement is the kind of notices that announce.
const kindAnnouncement = "announcement"

// What is announced while a session lives is told on the feed, and what is announced while none does becomes a notice at the next sign-in: each announcement one or the
// other, as the last one is locked when a session begins or ends. users.announced_until is the sequence up to which that is settled. While a session lives it stays what
// it was at the sign-in. The last announcement is locked after all rows of sessions, and before the feed's head.

// settleAnnouncements settles what was announced while a session lived that ends now. One that was idle has ended before. The user's row is locked.
func (i *Identity) settleAnnouncements(tx database.Tx, session sessionRow, now time.Time) error {
	if i.lives(session, now) {
		return announcedAll(tx, session.userID)
	}
	return announcedBefore(tx, session.userID, i.lastUse(session).Add(i.options.IdleTimeout))
}

func announcedAll(tx database.Tx, user id.ID) error {
	last, err := chat.LastAnnouncement(tx)
	if err != nil {
		return err
	}
	return storeAnnouncedUntil(tx, user, last)
}

func announcedBefore(tx database.Tx, user id.ID, ended time.Time) error {
	if _, err := chat.LastAnnouncement(tx); err != nil {
		return err
	}
	last, err := chat.AnnouncedBefore(tx, ended)
	if err != nil {
		return err
	}
	return storeAnnouncedUntil(tx, user, last)
}

// announce makes notices of the announcements that are not settled, the newest if they are more than one sign-in delivers: a session of the user begins. The user's row is
// locked.
func (i *Identity) announce(tx database.Tx, user id.ID) error {
	last, err := chat.LastAnnouncement(tx)
	if err != nil {
		return err
	}
	until, err := announcedUntil(tx, user)
	if err != nil || until >= last {
		return err
	}
	missed, err := chat.AnnouncementsAfter(tx, until, MaxNotices)
	if err != nil {
		return err
	}
	notices := make([]Notice, len(missed))
	for k := range missed {
		a := &missed[k]
		notices[k] = Notice{ID: i.ids.Next(), UserID: user, Kind: kindAnnouncement, Text: a.Text, Data: a.JSON(), At: a.At}
	}
	if err := insertNotices(tx, notices); err != nil {
		return err
	}
	return storeAnnouncedUntil(tx, user, last)
}
