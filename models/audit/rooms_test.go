package audit

import (
	"slices"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
)

// roomsFind are the names of the checks of rooms that do not hold.
func (h *house) roomsFind() (names []string) {
	h.Helper()
	report, err := Run(h.Context(), h.db)
	must(h, err)
	for _, c := range report.Checks {
		if slices.Contains([]string{"rooms_belong", "members_may_be_there", "announced_once"}, c.Name) && !c.Holds() {
			names = append(names, c.Name)
		}
	}
	return names
}

func (h *house) exec(statement string, args ...any) {
	h.Helper()
	must(h, h.db.Write(h.Context(), func(tx database.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	}))
}

// Each way in which rooms and announcements may not be what they must is found, and what is as it must be is not.
func TestRoomsAreAudited(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		p := h.process(0)
		user, room := p.ids.Next(), chat.Room{ID: p.ids.Next(), Name: "Tea", OpenedAt: time.Now()}
		h.exec("INSERT INTO users (id, username, username_key, password_hash, role, created_at_us) VALUES (?,'ada','ada','','user',0)", user)
		first, second := chat.Announcement{ID: p.ids.Next(), Text: "one", At: time.Now()}, chat.Announcement{ID: p.ids.Next(), Text: "two"}
		must(t, h.db.Write(t.Context(), func(tx database.Tx) error {
			must(t, chat.InsertRoom(tx, &room))
			_, entries, err := chat.Enter(tx, &p.clock, &room, chat.Person{ID: user, Name: "ada"}, time.Now())
			must(t, err)
			for _, a := range []*chat.Announcement{&first, &second} {
				entry, err := chat.Announce(tx, a)
				must(t, err)
				entries = append(entries, entry)
			}
			return feed.Append(tx, entries)
		}))
		notice := func(notice id.ID, a *chat.Announcement) {
			h.exec("INSERT INTO notices (id, user_id, kind, text, data, at_us) VALUES (?,?,'announcement',?,?,0)", notice, user, a.Text, string(a.JSON()))
		}
		h.exec("UPDATE users SET announced_until = 2 WHERE id = ?", user)
		earlier, later := p.ids.Next(), p.ids.Next()
		notice(earlier, &first)
		notice(later, &second)
		if found := h.roomsFind(); len(found) > 0 {
			t.Fatalf("%v do not hold", found)
		}
		for _, wrong := range []struct{ check, do, undo string }{
			{"rooms_belong", "UPDATE rooms SET event_id = id WHERE name = 'Tea'", "UPDATE rooms SET event_id = NULL"},
			{"rooms_belong", "UPDATE rooms SET symbol = 'TCB' WHERE name = 'Tea'", "UPDATE rooms SET symbol = NULL"},
			{"members_may_be_there", "UPDATE room_members SET username = 'grace'", "UPDATE room_members SET username = 'ada'"},
			{"members_may_be_there", "INSERT INTO room_restrictions (room_id, user_id, banned, lamport) SELECT room_id, user_id, TRUE, 0 FROM room_members", "DELETE FROM room_restrictions"},
			{"announced_once", "UPDATE announcement_head SET last = 3", "UPDATE announcement_head SET last = 2"},
			{"announced_once", "UPDATE users SET announced_until = 1", "UPDATE users SET announced_until = 2"},
			{"announced_once", "UPDATE notices SET text = 'x' WHERE text = 'two'", "UPDATE notices SET text = 'two' WHERE text = 'x'"},
			{"announced_once", "UPDATE announcements SET at_us = 0 WHERE sequence = 2", "UPDATE announcements SET at_us = 9000000000000000 WHERE sequence = 2"},
		} {
			h.exec(wrong.do)
			if found := h.roomsFind(); !slices.Equal(found, []string{wrong.check}) {
				t.Errorf("after %s, %v do not hold", wrong.do, found)
			}
			h.exec(wrong.undo)
		}
		notice(p.ids.Next(), &first) // again
		if found := h.roomsFind(); !slices.Equal(found, []string{"announced_once"}) {
			t.Errorf("with a notice twice, %v do not hold", found)
		}
	})
}
