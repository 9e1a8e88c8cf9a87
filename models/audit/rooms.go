package audit

import (
	"encoding/json"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/id"
)

// checkRooms checks that rooms, those who are in them, and what was announced agree.
func checkRooms(tx database.Tx) ([]*Check, error) {
	var checks []*Check
	for _, check := range []func(database.Tx) (*Check, error){checkBelongings, checkMembers, checkAnnounced} {
		found, err := check(tx)
		if err != nil {
			return nil, err
		}
		checks = append(checks, found)
	}
	return checks, nil
}

// checkBelongings: the event or symbol that a room belongs to is there.
func checkBelongings(tx database.Tx) (*Check, error) {
	c := &Check{Name: "rooms_belong"}
	for r, err := range belongings(tx) {
		if err != nil {
			return nil, err
		}
		c.Checked++
		if !r.event.IsZero() && !r.eventIsThere {
			c.find("room %s is that of event %s, which is missing", chat.RoomText(r.room), r.event)
		}
		if r.symbol != "" && !r.symbolIsThere {
			c.find("room %s is that of symbol %s, which is missing", chat.RoomText(r.room), r.symbol)
		}
	}
	return c, nil
}

// checkMembers: members are users in rooms, under their names, and not banned there.
func checkMembers(tx database.Tx) (*Check, error) {
	c := &Check{Name: "members_may_be_there"}
	for m, err := range memberRows(tx) {
		if err != nil {
			return nil, err
		}
		c.Checked++
		room := chat.RoomText(m.room)
		if !m.roomIsThere {
			c.find("user %s is in room %s, which is missing", m.user, room)
		}
		if m.name.String != m.username {
			c.find("user %s is in room %s as %q; their name is %q", m.user, room, m.username, m.name.String)
		}
		if m.banned {
			c.find("user %s is in room %s, from which they are banned", m.user, room)
		}
	}
	return c, nil
}

// checkAnnounced: announcements have no holes, their times ascend, and a user is given each as a notice at most once, as it was made, and in order.
func checkAnnounced(tx database.Tx) (*Check, error) {
	c := &Check{Name: "announced_once"}
	made := map[id.ID]announcementRow{}
	var last announcementRow
	for a, err := range announcementRows(tx) {
		if err != nil {
			return nil, err
		}
		c.Checked++
		if a.sequence != last.sequence+1 || a.atUs < last.atUs {
			c.find("announcement %d of %d µs follows announcement %d of %d µs", a.sequence, a.atUs, last.sequence, last.atUs)
		}
		last = *a
		made[a.id] = *a
	}
	head, err := announcementHead(tx)
	if err != nil {
		return nil, err
	}
	if head != last.sequence {
		c.find("the last announcement is %d, and is said to be %d", last.sequence, head)
	}
	return c, checkNotices(tx, c, made)
}

func checkNotices(tx database.Tx, c *Check, made map[id.ID]announcementRow) error {
	var user id.ID
	var before int64 // the sequence of the user's notice before
	for n, err := range announcedRows(tx) {
		if err != nil {
			return err
		}
		c.Checked++
		if n.user != user {
			user, before = n.user, 0
		}
		var resource struct{ ID id.ID }
		if err := json.Unmarshal([]byte(n.data), &resource); err != nil {
			c.find("a notice of user %s cannot be read: %v", n.user, err)
			continue
		}
		a, known := made[resource.ID]
		switch {
		case !known || a.text != n.text:
			c.find("user %s was given announcement %s, which was not made so", n.user, resource.ID)
		case a.sequence <= before:
			c.find("user %s was given announcement %d after announcement %d", n.user, a.sequence, before)
		case a.sequence > n.until.Int64:
			c.find("user %s was given announcement %d, and is settled up to %d", n.user, a.sequence, n.until.Int64)
		}
		before = max(before, a.sequence)
	}
	return nil
}
