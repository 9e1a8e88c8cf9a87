package handlers

import (
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"guichet/models/chat"
	"guichet/models/id"
)

// Who has a stream is written down at every beat, who has called at the next; and what Redis did not hear is told again.
func TestBeats(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	p := newPresence(chat.NewPresence(client, time.Minute))
	g := id.NewGenerator()
	here, caller, both := g.Next(), g.Next(), g.Next()
	beat := func(want ...id.ID) {
		t.Helper()
		must(t, p.beat(t.Context()))
		seen, _ := server.ZMembers("{chat}:seen:lobby") // without members there is no such key
		server.Del("{chat}:seen:lobby")
		texts := make([]string, len(want))
		for i := range want {
			texts[i] = string(want[i][:])
		}
		slices.Sort(texts)
		if slices.Sort(seen); !slices.Equal(seen, texts) {
			t.Errorf("%x were seen, want %x", seen, texts)
		}
	}
	lobby := []id.ID{chat.Lobby}
	beat()
	p.opened(lobby, here)
	p.opened(lobby, both)
	p.opened(lobby, both)
	p.note(chat.Lobby, both)
	p.note(chat.Lobby, caller)
	beat(here, both, caller)
	beat(here, both)
	p.closed(lobby, both)
	p.closed(lobby, here)
	beat(here, both)
	beat(both)
	p.closed(lobby, both)
	p.note(chat.Lobby, caller)
	server.SetError("ERR away")
	if p.beat(t.Context()) == nil {
		t.Error("Redis is away, and that is no error")
	}
	p.arrive(t.Context(), chat.Lobby, here)
	server.SetError("")
	beat(here, both, caller)
	beat()
	p.arrive(t.Context(), chat.Lobby, here)
	if seen, err := server.ZMembers("{chat}:seen:lobby"); err != nil || len(seen) != 1 {
		t.Errorf("who arrives is not written down at once: %v, %v", seen, err)
	}
	if len(p.open)+len(p.called) != 0 {
		t.Errorf("%v and %v are remembered", p.open, p.called)
	}
}
