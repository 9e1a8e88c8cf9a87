package chat

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/problem"
)

func TestMembers(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		room, ada, bob := h.lobby(), h.person("ada"), h.person("bob")
		m, entries, err := h.enter(room, ada)
		must(t, err)
		if !slices.Equal(told(entries), []string{feed.MemberEntered}) || m.Username != "ada" || entries[0].Position == 0 {
			t.Errorf("%+v, %v", m, entries)
		}
		again, entries, err := h.enter(room, ada)
		must(t, err)
		if len(entries) != 0 || !again.EnteredAt.Equal(m.EnteredAt) || again.Lamport != m.Lamport || again.Again <= m.Lamport {
			t.Errorf("again: %+v, %v", again, entries)
		}
		if _, err := h.remove(room, bob, Left); !errors.Is(err, ErrUnknownMember) {
			t.Errorf("who is not in the room leaves: %v", err)
		}
		entries, err = h.remove(room, ada, Kicked)
		if must(t, err); len(entries) != 1 || entries[0].Lamport <= again.Again {
			t.Errorf("%v", entries)
		}
		listed, err := Members(h.db.Read(t.Context()), room.ID, "", 10)
		if must(t, err); len(listed) != 0 {
			t.Errorf("%v", listed)
		}
	})
}

func TestModeration(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		room, ada := h.lobby(), h.person("ada")
		_, _, err := h.enter(room, ada)
		must(t, err)
		until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		for _, c := range []struct {
			change Change
			after  Restriction
			told   []string
		}{
			{mute(until), Restriction{MutedUntil: until}, []string{feed.MemberRestricted}},
			{mute(until), Restriction{MutedUntil: until}, nil},
			{ban(true), Restriction{until, true}, []string{feed.MemberRestricted, feed.MemberLeft}},
			{ban(true), Restriction{until, true}, nil},
			{mute(time.Time{}), Restriction{Banned: true}, []string{feed.MemberRestricted}},
		} {
			after, entries, err := h.moderate(room, ada, c.change)
			if must(t, err); after != c.after || !slices.Equal(told(entries), c.told) {
				t.Errorf("%+v, %v; want %+v, %v", after, told(entries), c.after, c.told)
			}
		}
		var refusal *problem.Problem
		if _, _, err := h.enter(room, ada); !errors.As(err, &refusal) || refusal.Code != problem.Banned {
			t.Errorf("who is banned enters: %v", err)
		}
		_, _, err = h.moderate(room, ada, ban(false))
		must(t, err)
		_, entries, err := h.enter(room, ada)
		if must(t, err); len(entries) != 1 {
			t.Errorf("%v", entries)
		}
	})
}

// Of entering and being banned at once, one comes first: nobody who is banned is in the room.
func TestNobodyEntersBesideABan(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		room := h.lobby()
		for _, name := range names(10) {
			p := h.person(name)
			together(2, func(k int) {
				var err error
				if k == 0 {
					_, _, err = h.enter(room, p)
				} else {
					_, _, err = h.moderate(room, p, ban(true))
				}
				if refusal := new(problem.Problem); err != nil && !errors.As(err, &refusal) {
					t.Error(err)
				}
			})
		}
		listed, err := Members(h.db.Read(t.Context()), room.ID, "", 100)
		if must(t, err); len(listed) != 0 {
			t.Errorf("%d members, who are all banned", len(listed))
		}
	})
}

// Who enters many times at once is told of once; who is found gone by several is, too.
func TestEnteringAndGoneAreToldOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		room, ada, bob := h.lobby(), h.person("ada"), h.person("bob")
		var entered, gone atomic.Int64
		together(8, func(int) {
			_, entries, err := h.enter(room, ada)
			if err != nil {
				t.Error(err)
			}
			entered.Add(int64(len(entries)))
		})
		_, _, err := h.enter(room, bob)
		must(t, err)
		members, err := AllMembers(h.db.Read(t.Context()))
		must(t, err)
		_, _, err = h.enter(room, bob) // says again that he enters, while others have him for gone
		must(t, err)
		together(4, func(int) {
			entries, err := h.write(func(tx database.Tx) ([]feed.Entry, error) { return RemoveGone(tx, &h.clock, members, time.Now()) })
			if err != nil {
				t.Error(err)
			}
			gone.Add(int64(len(entries)))
		})
		left, err := AllMembers(h.db.Read(t.Context()))
		must(t, err)
		if entered.Load() != 1 || gone.Load() != 1 || len(left) != 1 || left[0].User != bob.ID {
			t.Errorf("entered %d times, gone %d times; left are %v", entered.Load(), gone.Load(), left)
		}
	})
}

func TestRooms(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		insert := func(r *Room) error {
			return h.db.Write(t.Context(), func(tx database.Tx) error { return InsertRoom(tx, r) })
		}
		event, opened := h.ids.Next(), time.Now().UTC().Truncate(time.Microsecond)
		tea := Room{ID: h.ids.Next(), Name: "Straße", Topic: "x", Event: event, OpenedBy: h.ids.Next(), OpenedAt: opened, Lamport: 3}
		must(t, insert(&tea))
		market := Room{ID: h.ids.Next(), Name: "Market", Symbol: "TCB", OpenedAt: opened}
		must(t, insert(&market))
		for name, r := range map[string]Room{
			"the lobby's name": {Name: "LOBBY"}, "another case": {Name: "STRASSE"}, "its event": {Name: "a", Event: event}, "its symbol": {Name: "b", Symbol: "TCB"},
		} {
			if r.ID = h.ids.Next(); !errors.Is(insert(&r), ErrRoomExists) {
				t.Errorf("a room with %s can be opened", name)
			}
		}
		if got, err := GetRoom(h.db.Read(t.Context()), tea.ID); err != nil || got != tea {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := GetRoom(h.db.Read(t.Context()), event); !errors.Is(err, ErrUnknownRoom) {
			t.Errorf("a room that there is not: %v", err)
		}
		var listed []string
		for last := (Room{}); ; {
			page, err := Rooms(h.db.Read(t.Context()), last.OpenedAt, last.ID, 1)
			if must(t, err); len(page) == 0 {
				break
			}
			last = page[0]
			listed = append(listed, last.Name)
		}
		if !slices.Equal(listed, []string{"Lobby", "Straße", "Market"}) {
			t.Errorf("%v", listed)
		}
	})
}

// The topic of a room names it, and others name none.
func TestRoomOfTopic(t *testing.T) {
	t.Parallel()
	room := id.NewGenerator().Next()
	for _, want := range []id.ID{Lobby, room} {
		if got, ok := RoomOf(Topic(want)); !ok || got != want {
			t.Errorf("%s: %v, %t", Topic(want), got, ok)
		}
	}
	for _, topic := range []string{"", "lobby", "room:", "room:nowhere", "trades:lobby", "user:" + room.String()} {
		if got, ok := RoomOf(topic); ok {
			t.Errorf("%q: %v", topic, got)
		}
	}
	if got := RoomsOf([]string{"me", Topic(room), "room:nowhere", Topic(Lobby)}); !slices.Equal(got, []id.ID{room, Lobby}) {
		t.Errorf("%v", got)
	}
}
