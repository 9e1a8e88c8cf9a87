package chat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"guichet/models/id"
	"guichet/models/testbed"
)

const grace = 2 * time.Second

// patience is how long a test waits for what is to come.
const patience = 60 * time.Second

// miniRedis returns the presence in a miniredis, whose clock is moved.
func miniRedis(t *testing.T) (p *Presence, pass func(time.Duration)) {
	server := miniredis.RunT(t)
	now := time.Now()
	server.SetTime(now)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ReadTimeout: patience})
	t.Cleanup(func() { _ = client.Close() })
	return NewPresence(client, grace), func(d time.Duration) {
		now = now.Add(d)
		server.SetTime(now)
	}
}

// realRedis returns the presence in a Redis, where time passes by itself: at least as much as is asked for.
func realRedis(t *testing.T) (p *Presence, pass func(time.Duration)) {
	options, err := redis.ParseURL(testbed.Redis(t))
	must(t, err)
	options.ReadTimeout = patience
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return NewPresence(client, grace), func(d time.Duration) { <-time.After(d) }
}

// people are ada and bob, members of the lobby, and eve, of a room.
type people struct {
	*testing.T
	*Presence
	ada, bob, eve, room id.ID
	members             []Member
}

func newPeople(t *testing.T, p *Presence) *people {
	g := id.NewGenerator()
	w := &people{T: t, Presence: p, ada: g.Next(), bob: g.Next(), eve: g.Next(), room: g.Next()}
	w.members = []Member{{Room: Lobby, User: w.ada}, {Room: Lobby, User: w.bob}, {Room: w.room, User: w.eve}}
	return w
}

func (w *people) seen(room id.ID, users ...id.ID) {
	w.Helper()
	must(w, w.Seen(w.Context(), map[id.ID][]id.ID{room: users}))
}

func (w *people) whoIsGone() (users []id.ID) {
	w.Helper()
	found, err := w.Gone(w.Context(), w.members)
	must(w, err)
	for i := range found {
		users = append(users, found[i].User)
	}
	return users
}

func (w *people) gone(want ...id.ID) {
	w.Helper()
	if users := w.whoIsGone(); !slices.Equal(users, want) {
		w.Errorf("%v are gone, want %v", users, want)
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	p, pass := miniRedis(t)
	w := newPeople(t, p)
	// until waits, while Redis is asked all along and the users are seen.
	until := func(d time.Duration, users ...id.ID) {
		for ; d > 0; d -= grace / 4 {
			pass(grace / 4)
			w.seen(Lobby, users...)
		}
	}
	w.gone() // Redis has only now begun to know
	until(grace, w.ada)
	w.gone()
	until(grace/2, w.ada)
	w.gone(w.bob, w.eve) // bob and eve were never seen
	w.seen(w.room, w.eve)
	w.gone(w.bob)
	until(grace+grace/4+grace/4, w.ada)
	w.gone(w.bob, w.eve)

	must(t, p.client.FlushAll(t.Context()).Err()) // wiped
	w.gone()
	until(grace, w.ada)
	w.gone()
	until(grace/2, w.ada)
	w.gone(w.bob, w.eve)
	w.seen(Lobby, w.bob)
	w.seen(w.room, w.eve)
	pass(2 * grace) // away
	w.gone()
	until(grace, w.ada)
	w.gone()
	until(grace/2, w.ada)
	w.gone(w.bob, w.eve)
	w.members[1].EnteredAt = time.Now().Add(time.Hour)
	w.gone(w.eve) // bob has just entered
}

// The same in a Redis, where nobody knows how much time has passed between two calls: ada is seen before Redis is asked each time, so she is never gone, and for the
// others there is a time before which they are not, by the clock of Redis.
func TestPresenceInRedis(t *testing.T) {
	t.Parallel()
	p, pass := realRedis(t)
	w := newPeople(t, p)
	now := func() time.Time {
		t.Helper()
		at, err := p.client.Time(t.Context()).Result()
		must(t, err)
		return at.Truncate(time.Millisecond)
	}
	// becomes waits until just those who are wanted are gone. Before, nobody is, since Redis was asked too late, or those who were before.
	becomes := func(before, want []id.ID, meanwhile ...func()) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; <-time.After(grace / 40) {
			w.seen(Lobby, w.ada)
			for _, do := range meanwhile {
				do()
			}
			switch users := w.whoIsGone(); {
			case slices.Equal(users, want):
				return
			case len(users) > 0 && !slices.Equal(users, before):
				t.Fatalf("%v are gone, want %v, or %v before", users, want, before)
			case time.Now().After(deadline):
				t.Fatalf("%v are gone, want %v", users, want)
			}
		}
	}
	notBefore := func(began time.Time) {
		t.Helper()
		if took := now().Sub(began); took < p.grace+p.Beat() {
			t.Errorf("they are gone after %v", took)
		}
	}
	nobody, bob, both := []id.ID(nil), []id.ID{w.bob}, []id.ID{w.bob, w.eve}

	began := now()
	w.gone()              // Redis has only now begun to know
	becomes(nobody, both) // bob and eve were never seen
	notBefore(began)
	becomes(nobody, bob, func() { w.seen(w.room, w.eve) })
	began = now()
	w.seen(w.room, w.eve)
	becomes(bob, both)
	notBefore(began)

	must(t, p.client.FlushAll(t.Context()).Err()) // wiped
	began = now()
	w.gone()
	becomes(nobody, both)
	notBefore(began)
	w.seen(Lobby, w.bob)
	w.seen(w.room, w.eve)
	pass(2 * grace) // away
	began = now()
	w.gone()
	becomes(nobody, both)
	notBefore(began)
	w.members[1].EnteredAt = time.Now().Add(time.Hour)
	becomes(nobody, []id.ID{w.eve}) // bob has just entered
}

func TestPresent(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (*Presence, func(time.Duration)){"miniredis": miniRedis, "redis": realRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, pass := start(t)
			w := newPeople(t, p)
			w.seen(Lobby, w.bob)
			pass(2*p.Beat() + 100*time.Millisecond)
			for deadline := time.Now().Add(patience); ; {
				began := time.Now()
				w.seen(Lobby, w.ada)
				present, err := p.Present(t.Context(), Lobby, []id.ID{w.ada, w.bob, w.eve})
				must(t, err)
				if fmt.Sprint(present) == "[true false false]" {
					break
				}
				if time.Since(began) < p.Beat() || time.Now().After(deadline) { // else ada may rightly be absent again
					t.Fatalf("%v", present)
				}
			}
			if present, err := p.Present(t.Context(), Lobby, nil); err != nil || len(present) != 0 {
				t.Errorf("%v, %v", present, err)
			}
		})
	}
}
