package chat

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// house is a store.
type house struct {
	*testing.T
	db    *database.DB
	ids   *id.Generator
	clock lamport.Clock
}

// onBothStores runs a test on SQLite and on MariaDB.
func onBothStores(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	stores.Each(t, func(t *testing.T, db *database.DB) { test(t, &house{T: t, db: db, ids: id.NewGenerator()}) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// person registers somebody.
func (h *house) person(name string) Person {
	h.Helper()
	p := Person{ID: h.ids.Next(), Name: name}
	must(h, h.db.Write(h.Context(), func(tx database.Tx) error {
		_, err := tx.Exec("INSERT INTO users (id, username, username_key, password_hash, role, created_at_us) VALUES (?,?,?,'','user',0)", p.ID, name, name)
		return err
	}))
	return p
}

// write commits what do decides, and returns its entries with their positions.
func (h *house) write(do func(tx database.Tx) ([]feed.Entry, error)) (entries []feed.Entry, err error) {
	err = h.db.Write(context.Background(), func(tx database.Tx) (err error) {
		if entries, err = do(tx); err != nil {
			return err
		}
		return feed.Append(tx, entries)
	})
	return entries, err
}

func (h *house) enter(room *Room, p Person) (m Member, entries []feed.Entry, err error) {
	entries, err = h.write(func(tx database.Tx) (entries []feed.Entry, err error) {
		m, entries, err = Enter(tx, &h.clock, room, p, time.Now())
		return entries, err
	})
	return m, entries, err
}

func (h *house) remove(room *Room, p Person, reason Reason) ([]feed.Entry, error) {
	return h.write(func(tx database.Tx) ([]feed.Entry, error) {
		return Remove(tx, &h.clock, room.ID, p.ID, reason, time.Now())
	})
}

func (h *house) moderate(room *Room, p Person, c Change) (r Restriction, entries []feed.Entry, err error) {
	entries, err = h.write(func(tx database.Tx) (entries []feed.Entry, err error) {
		r, entries, err = Moderate(tx, &h.clock, room.ID, p, c, time.Now())
		return entries, err
	})
	return r, entries, err
}

// lobby is the room that is there from the start.
func (h *house) lobby() *Room {
	h.Helper()
	room, err := GetRoom(h.db.Read(h.Context()), Lobby)
	must(h, err)
	return &room
}

// told are the names of entries.
func told(entries []feed.Entry) (names []string) {
	for i := range entries {
		names = append(names, entries[i].Event)
	}
	return names
}

// together runs n calls at once.
func together(n int, call func(k int)) {
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() { call(k) })
	}
	all.Wait()
}

func ban(banned bool) Change { return Change{Banned: &banned} }

func mute(until time.Time) Change { return Change{MutedUntil: &until} }

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("user-%03d", i)
	}
	return all
}
