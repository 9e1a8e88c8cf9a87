package chat

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"guichet/models/id"
	"guichet/models/testbed"
)

const grace = 2 * time.Second

// onBothRedises runs a test on miniredis, whose clock is moved, and on Redis, where time passes by itself.
func onBothRedises(t *testing.T, test func(t *testing.T, p *Presence, pass func(time.Duration))) {
	t.Helper()
	t.Parallel()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		server := miniredis.RunT(t)
		now := time.Now()
		server.SetTime(now)
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		t.Cleanup(func() { _ = client.Close() })
		test(t, NewPresence(client, grace), func(d time.Duration) {
			now = now.Add(d)
			server.SetTime(now)
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		options, err := redis.ParseURL(testbed.Redis(t))
		must(t, err)
		client := redis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		test(t, NewPresence(client, grace), func(d time.Duration) { <-time.After(d) })
	})
}

func TestPresence(t *testing.T) {
	onBothRedises(t, func(t *testing.T, p *Presence, pass func(time.Duration)) {
		g := id.NewGenerator()
		ada, bob, eve, room := g.Next(), g.Next(), g.Next(), g.Next()
		members := []Member{{Room: Lobby, User: ada}, {Room: Lobby, User: bob}, {Room: room, User: eve}}
		gone := func(want ...id.ID) {
			t.Helper()
			found, err := p.Gone(t.Context(), members)
			must(t, err)
			var users []id.ID
			for i := range found {
				users = append(users, found[i].User)
			}
			if fmt.Sprint(users) != fmt.Sprint(want) {
				t.Errorf("%v are gone, want %v", users, want)
			}
		}
		seen := func(room id.ID, users ...id.ID) { must(t, p.Seen(t.Context(), map[id.ID][]id.ID{room: users})) }
		// until waits, while Redis is asked all along and the users are seen.
		until := func(d time.Duration, users ...id.ID) {
			for ; d > 0; d -= grace / 4 {
				pass(grace / 4)
				seen(Lobby, users...)
			}
		}
		gone() // Redis has only now begun to know
		until(grace, ada)
		gone()
		until(grace/2, ada)
		gone(bob, eve) // bob and eve were never seen
		seen(room, eve)
		gone(bob)
		until(grace+grace/4+grace/4, ada)
		gone(bob, eve)

		must(t, p.client.FlushAll(t.Context()).Err()) // wiped
		gone()
		until(grace, ada)
		gone()
		until(grace/2, ada)
		gone(bob, eve)
		seen(Lobby, bob)
		seen(room, eve)
		pass(2 * grace) // away
		gone()
		until(grace, ada)
		gone()
		until(grace/2, ada)
		gone(bob, eve)
		members[1].EnteredAt = time.Now().Add(time.Hour)
		gone(eve) // bob has just entered
	})
}

func TestPresent(t *testing.T) {
	onBothRedises(t, func(t *testing.T, p *Presence, pass func(time.Duration)) {
		g := id.NewGenerator()
		ada, bob, eve := g.Next(), g.Next(), g.Next()
		must(t, p.Seen(t.Context(), map[id.ID][]id.ID{Lobby: {bob}}))
		pass(2*p.Beat() + 100*time.Millisecond)
		must(t, p.Seen(t.Context(), map[id.ID][]id.ID{Lobby: {ada}}))
		present, err := p.Present(t.Context(), Lobby, []id.ID{ada, bob, eve})
		must(t, err)
		if fmt.Sprint(present) != "[true false false]" {
			t.Errorf("%v", present)
		}
		if present, err := p.Present(t.Context(), Lobby, nil); err != nil || len(present) != 0 {
			t.Errorf("%v, %v", present, err)
		}
	})
}
