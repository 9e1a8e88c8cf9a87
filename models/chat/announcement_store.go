package chat

import (
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// Announcement is what an admin tells everybody.
type Announcement struct {
	Sequence int64
	ID       id.ID
	Text     string
	By       string // the name of the admin
	At       time.Time
	Lamport  lamport.Stamp
}

// JSON is the resource of the contract.
func (a *Announcement) JSON() json.RawMessage {
	data, err := json.Marshal(struct {
		ID   id.ID     `json:"id"`
		Text string    `json:"text"`
		By   string    `json:"by"`
		At   time.Time `json:"at"`
	}{a.ID, a.Text, a.By, a.At})
	if err != nil {
		panic(err) // it is made of texts and a time
	}
	return data
}

// Announce stores an announcement, and returns what to tell of it. It sets Sequence, and At to no earlier than that of the announcement before. Until the transaction ends,
// no session begins or ends.
func Announce(tx database.Tx, a *Announcement) (feed.Entry, error) {
	last, at, err := lastAnnouncement(tx, tx.ForUpdate())
	if err != nil {
		return feed.Entry{}, err
	}
	a.Sequence = last + 1
	if a.At.Before(at) {
		a.At = at
	}
	if _, err := tx.Exec("UPDATE announcement_head SET last = ?, at_us = ? WHERE id = 1", a.Sequence, a.At.UnixMicro()); err != nil {
		return feed.Entry{}, err
	}
	rows := database.Rows{Table: "announcements", Columns: []string{"sequence", "id", "text", "username", "at_us", "lamport"}}
	rows.Add(a.Sequence, a.ID, a.Text, a.By, a.At.UnixMicro(), int64(a.Lamport))
	return feed.Entry{Topic: feed.AnnouncementTopic, Event: feed.Announced, At: a.At, Lamport: a.Lamport, Data: a.JSON()}, rows.Insert(tx)
}

// LastAnnouncement is the sequence of the newest announcement, or 0. Until the transaction ends, there is no newer one.
func LastAnnouncement(tx database.Tx) (int64, error) {
	last, _, err := lastAnnouncement(tx, tx.ForShare())
	return last, err
}

func lastAnnouncement(tx database.Tx, lock string) (last int64, at time.Time, err error) {
	var atUs int64
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			if err := rows.Scan(&last, &atUs); err != nil {
				return err
			}
		}
		return rows.Err()
	}, "SELECT last, at_us FROM announcement_head WHERE id = 1"+lock)
	return last, time.UnixMicro(atUs).UTC(), err
}

// AnnouncedBefore is the sequence of the last announcement that was made before a time, or 0.
func AnnouncedBefore(tx database.Tx, at time.Time) (sequence int64, err error) {
	found, err := queryAnnouncements(tx, "WHERE at_us < ? ORDER BY at_us DESC, sequence DESC LIMIT 1", operation.Micro(at))
	if err == nil && len(found) > 0 {
		sequence = found[0].Sequence
	}
	return sequence, err
}

// AnnouncementsAfter reads the newest announcements that follow a sequence, at most limit, the oldest of them first.
func AnnouncementsAfter(tx database.Tx, sequence int64, limit int) ([]Announcement, error) {
	found, err := queryAnnouncements(tx, "WHERE sequence > ? ORDER BY sequence DESC LIMIT ?", sequence, limit)
	slices.Reverse(found)
	return found, err
}

// Announcements reads the announcements before a sequence, the newest first; 0 for the newest of all.
func Announcements(tx database.Tx, before int64, limit int) ([]Announcement, error) {
	if before == 0 {
		return queryAnnouncements(tx, "ORDER BY sequence DESC LIMIT ?", limit)
	}
	return queryAnnouncements(tx, "WHERE sequence < ? ORDER BY sequence DESC LIMIT ?", before, limit)
}

func queryAnnouncements(tx database.Tx, where string, args ...any) (announcements []Announcement, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var a Announcement
			var at int64
			if err := rows.Scan(&a.Sequence, &a.ID, &a.Text, &a.By, &at, &a.Lamport); err != nil {
				return err
			}
			a.At = operation.FromMicro(at)
			announcements = append(announcements, a)
		}
		return rows.Err()
	}, "SELECT sequence, id, text, username, at_us, lamport FROM announcements "+where, args...)
	return announcements, err
}
