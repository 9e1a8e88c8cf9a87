package chat

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/problem"
)

func (h *house) standing(r *Register, p Person) Standing {
	h.Helper()
	s, err := r.Standing(h.Context(), Lobby, p, time.Now())
	must(h, err)
	return s
}

// What is decided here holds here at once, whatever the feed has still to tell; what is decided elsewhere holds when it is told.
func TestTheRegisterFollowsTheFeed(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		room, ada := h.lobby(), h.person("ada")
		r := NewRegister(h.db)
		if s := h.standing(r, ada); s != (Standing{}) {
			t.Errorf("%+v", s)
		}
		_, entered, err := h.enter(room, ada)
		must(t, err)
		if s := h.standing(r, ada); s.Member { // another process's, of which nobody has told
			t.Errorf("%+v", s)
		}
		if s, err := r.AskAgain(t.Context(), Lobby, ada); err != nil || !s.Member {
			t.Errorf("%+v, %v", s, err)
		}
		until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		_, muted, err := h.moderate(room, ada, mute(until))
		must(t, err)
		kicked, err := h.remove(room, ada, Kicked)
		must(t, err)
		r.Decided(kicked) // ahead of the others
		r.Heard(entered)
		if s := h.standing(r, ada); s.Member {
			t.Error("an older entry has put the member back")
		}
		r.Heard(muted)
		r.Heard(kicked)
		if s := h.standing(r, ada); s.Member || !s.MutedUntil.Equal(until) {
			t.Errorf("%+v", s)
		}
		_, lifted, err := h.moderate(room, ada, mute(time.Time{}))
		must(t, err)
		r.Heard(lifted)
		if n := len(r.rooms[Lobby].roll.people); n != 0 {
			t.Errorf("%d people are remembered of whom there is nothing to know", n)
		}
		late := NewRegister(h.db) // reads what the entries tell
		if s := h.standing(late, ada); s != (Standing{}) {
			t.Errorf("%+v", s)
		}
		late.Heard(slices.Concat(entered, muted))
		if s := h.standing(late, ada); s != (Standing{}) {
			t.Errorf("entries that were in what was read have changed it: %+v", s)
		}
		if _, err := r.Standing(t.Context(), h.ids.Next(), ada, time.Now()); !errors.Is(err, ErrUnknownRoom) || len(r.rooms) != 1 {
			t.Errorf("a room that there is not: %v", err)
		}
	})
}

// A room that is read while people come and go is remembered as it is in the end.
func TestTheRegisterIsReadBesideEntries(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		room, log := h.lobby(), feed.NewLog(h.db)
		people := []Person{}
		for _, name := range names(5) {
			people = append(people, h.person(name))
		}
		registers := make([]*Register, 5)
		heard := make([]int64, len(registers)) // up to where each was told
		hear := func(n int) {
			head, err := log.Head(t.Context())
			must(t, err)
			entries, err := log.Between(t.Context(), heard[n], head, nil, 1000)
			must(t, err)
			registers[n].Heard(entries)
			heard[n] = head
		}
		together(len(people)+1, func(k int) {
			if k == len(people) {
				for n := range registers { // new processes, that hear what is committed from now on
					var err error
					heard[n], err = log.Head(t.Context())
					must(t, err)
					registers[n] = NewRegister(h.db)
					read := make(chan struct{})
					go func() {
						defer close(read)
						_, err := registers[n].Room(t.Context(), Lobby)
						must(t, err)
					}()
					hear(n)
					<-read
					hear(n)
				}
				return
			}
			for range 10 {
				var err error
				switch rand.IntN(3) {
				case 0:
					_, _, err = h.enter(room, people[k])
				case 1:
					_, err = h.remove(room, people[k], Left)
				default:
					_, _, err = h.moderate(room, people[k], ban(rand.IntN(2) == 0))
				}
				if refusal := (*problem.Problem)(nil); err != nil && !errors.Is(err, ErrUnknownMember) && !errors.As(err, &refusal) {
					t.Error(err)
				}
			}
		})
		for n, r := range registers {
			hear(n)
			for _, p := range people {
				want, err := r.AskAgain(t.Context(), Lobby, p)
				must(t, err)
				if got := h.standing(r, p); got != want {
					t.Errorf("register %d, %s: %+v, want %+v", n, p.Name, got, want)
				}
			}
		}
	})
}

// Entries in any order of arrival, as long as those that are heard come in theirs, lead to what the last ones tell.
func TestTheRollFromEntriesInAnyOrder(t *testing.T) {
	t.Parallel()
	user := id.NewGenerator().Next()
	for range 2000 {
		var changes []change
		var want Standing
		for position := range int64(1 + rand.IntN(8)) {
			c := change{room: Lobby, user: user, position: position + 1, event: []string{feed.MemberEntered, feed.MemberLeft, feed.MemberRestricted}[rand.IntN(3)]}
			if c.event == feed.MemberRestricted {
				c.restriction.Banned = rand.IntN(2) == 0
				want.Restriction = c.restriction
			} else {
				want.Member = c.event == feed.MemberEntered
			}
			changes = append(changes, c)
		}
		r := roll{people: map[id.ID]*standingOf{}}
		for i := range changes {
			if early := i + rand.IntN(len(changes)-i); rand.IntN(2) == 0 { // decided here
				r.apply(&changes[early])
			}
			heard := changes[i]
			heard.heard = true
			r.apply(&heard)
		}
		if got := r.standing(user); got != want {
			t.Fatalf("%+v: %+v, want %+v", changes, got, want)
		}
		if s := r.people[user]; s != nil && want == (Standing{}) {
			t.Fatalf("%+v: nothing is left to know, and it is remembered", changes)
		}
	}
}

func TestIdleRoomsAreForgotten(t *testing.T) {
	t.Parallel()
	r, g, now := NewRegister(nil), id.NewGenerator(), time.Now()
	for n := range mostRooms + 50 {
		if n == 100 {
			now = now.Add(2 * idleRoom)
		}
		if known, added := r.add(g.Next(), now.Add(time.Duration(n)*time.Millisecond)); !added || known == nil {
			t.Fatal("a room that is registered already")
		}
		if n == mostRooms/10+10 && len(r.rooms) > mostRooms/10 {
			t.Errorf("%d rooms: those that nobody asks about are kept", len(r.rooms))
		}
	}
	if len(r.rooms) > mostRooms {
		t.Errorf("%d rooms", len(r.rooms))
	}
}
