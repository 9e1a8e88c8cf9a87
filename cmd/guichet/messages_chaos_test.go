package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

// soon waits for a time that a seed chooses: the moment itself is what is tested.
func soon(random *rand.Rand, most time.Duration) {
	<-time.After(time.Duration(random.Int64N(int64(most))))
}

// What was acknowledged is there once, wherever all of guichet, and Redis, is killed.
func TestMessagesAllKilled(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		messagesAllKilled(t, newEmbeddedHouse(t))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		messagesAllKilled(t, newPrivateRedisHouse(t))
	})
}

func messagesAllKilled(t *testing.T, h *house) {
	random := rand.New(rand.NewPCG(1, 41))
	p := h.serve()
	k := p.keepTalking(t, h.openRoom("Hall"), 12)
	for range rounds(t, 4) {
		k.after(30)
		soon(random, 150*time.Millisecond)
		p.kill()
		if h.redis != nil {
			if err := h.redis.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := h.redis.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		p = h.serve()
		k.at(p)
	}
	k.after(30)
	acked, all := k.finish(h)
	wantAmong(t, acked, all)
}

// The embedded pair keeps nothing but its database: a message that was answered 201 is in it.
func TestMessagesStoredBeforeAnswered(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p := h.serve()
	room := h.openRoom("Hall")
	ada := p.speaker(t, room)
	for n := range rounds(t, 5) {
		m := ada.said(room, fmt.Sprint(n))
		p.kill()
		p = h.serve()
		ada = ada.at(p)
		if all := ada.allMessages(room, ""); len(all) != n+1 || all[0] != m {
			t.Errorf("%+v; want %+v first", all, m)
		}
	}
}

// The worker is killed again and again: what was acknowledged is stored, once.
func TestMessagesWorkerKilled(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	random := rand.New(rand.NewPCG(2, 41))
	api, w := h.start([]string{"api"}), h.newCrew(2)
	k := api.keepTalking(t, h.openRoom("Hall"), 12)
	for range rounds(t, 5) {
		k.after(30)
		holder := w.awaitHolderOf("chat-messages", -1)
		soon(random, 300*time.Millisecond)
		w.kill(holder)
	}
	k.after(30)
	acked, all := k.finish(h)
	wantAmong(t, acked, all)
	w.tend()
}

// The API is killed again and again: what was acknowledged is stored, once.
func TestMessagesAPIKilled(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	random := rand.New(rand.NewPCG(3, 41))
	api, w := h.start([]string{"api"}), h.newCrew(1)
	k := api.keepTalking(t, h.openRoom("Hall"), 12)
	for range rounds(t, 5) {
		k.after(30)
		soon(random, 200*time.Millisecond)
		api.kill()
		api = h.start([]string{"api"})
		k.at(api)
	}
	k.after(30)
	acked, all := k.finish(h)
	wantAmong(t, acked, all)
	w.tend()
}

// Redis loses all its data while people talk. What was stored stays, what was acknowledged less than a moment before may be gone, and sequences go on without a hole.
func TestMessagesRedisWiped(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(1)
	room := h.openRoom("Hall")
	k := api.keepTalking(t, room, 8)
	var safe []chatMessage // what was stored before
	fresh := 0             // what was said and not stored, and may be gone: it depends on the machine how much that is
	db, key := h.database(), parseID(h, room)
	for range rounds(t, 3) {
		k.after(40)
		before := k.said()
		safe = k.speakers[0].allMessages(room, "?limit=200&after=0")
		h.storedMessages(room, int64(len(safe)))
		stored := number(t, db, "SELECT COUNT(*) FROM messages WHERE room_id = ?", key)
		if err := h.redis.Wipe(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh += k.beyond(before, stored) + len(k.speakers) // who is yet to be answered
		k.after(40)
	}
	acked, all := k.finish(h)
	wantAmong(t, safe, all)
	lost := 0
	for _, m := range acked {
		if m.Sequence > int64(len(all)) || all[m.Sequence-1].ID != m.ID {
			lost++
		}
	}
	t.Logf("%d of %d were lost with Redis, of %d that may be", lost, len(acked), fresh)
	if lost > fresh {
		t.Errorf("%d of %d were lost with Redis, and %d may be", lost, len(acked), fresh)
	}
	w.tend()
}

// What is stored is there after Redis was wiped, whatever was not.
func TestMessagesStoredOutliveRedis(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	p := h.serve()
	room := h.openRoom("Hall")
	ada := p.speaker(t, room)
	var stored []chatMessage
	for n := range 20 {
		stored = append(stored, ada.said(room, fmt.Sprint(n), header("Idempotency-Key", fmt.Sprint(n))))
	}
	h.storedMessages(room, 20)
	admin := p.admin(t)
	admin.do(http.MethodPatch, "/v1/lanes/chat-messages", map[string]any{"paused": true}).expect(t, http.StatusOK)
	lost := ada.said(room, "lost")
	if err := h.redis.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	var fresh chatMessage
	eventually(t, "the log anew", func() error {
		m, ok := ada.trySaying(room, "fresh", header("Idempotency-Key", "fresh"))
		if !ok {
			return fmt.Errorf("it is not said")
		}
		fresh = m
		return nil
	})
	if fresh.Sequence != lost.Sequence || fresh.ID == lost.ID {
		t.Errorf("%+v, and before %+v", fresh, lost)
	}
	ada.get("/v1/rooms/"+room+"/messages/"+lost.ID).problem(t, http.StatusNotFound, "unknown_message")
	ada.edit(lost, "still").problem(t, http.StatusNotFound, "unknown_message")
	admin.do(http.MethodPatch, "/v1/lanes/chat-messages", map[string]any{"paused": false}).expect(t, http.StatusOK)
	h.storedMessages(room, 21)
	wantAmong(t, append(stored, fresh), ada.allMessages(room, "?after=0"))
	for n, m := range stored { // their keys are known still
		a := ada.say(room, fmt.Sprint(n), header("Idempotency-Key", fmt.Sprint(n)))
		var again chatMessage
		a.into(t, http.StatusCreated, &again)
		if again != m || a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%+v; want %+v", again, m)
		}
	}
}

// MariaDB is away: people talk on, and the database has it all when it is back.
func TestMessagesMariaDBAway(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	p := h.serve()
	room := h.openRoom("Hall")
	speakers := []*client{p.speaker(t, room), p.speaker(t, room), p.speaker(t, room)}
	var acked []chatMessage
	for i, c := range speakers { // the process knows them
		acked = append(acked, c.said(room, fmt.Sprint("before ", i)))
	}
	h.storedMessages(room, 3)
	if err := h.mariadb.Kill(); err != nil {
		t.Fatal(err)
	}
	const away = 4 * time.Second
	began := time.Now()
	for n := 0; n < 100 || time.Since(began) < away; n++ {
		var options []option
		if n%5 == 0 {
			options = append(options, header("Idempotency-Key", fmt.Sprint(n)))
		}
		acked = append(acked, speakers[n%3].said(room, fmt.Sprint("number ", n), options...))
		if n >= 100 {
			<-time.After(20 * time.Millisecond)
		}
	}
	if err := h.mariadb.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	acked = append(acked, speakers[0].said(room, "after"))
	h.storedMessages(room, int64(len(acked)))
	wantAmong(t, acked, speakers[0].allMessages(room, "?after=0&limit=200"))
}

// A key that Redis has lost is not taken for a new one while the database, which knows it, is away. What bears no key is said meanwhile.
func TestMessageKeysWhileBothStoresFail(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	p := h.serve()
	room := h.openRoom("Hall")
	ada, once := p.speaker(t, room), header("Idempotency-Key", "once")
	first := ada.said(room, "Hello", once)
	h.storedMessages(room, 1)
	if err := h.redis.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log anew", func() error {
		if _, ok := ada.trySaying(room, "fresh"); !ok {
			return fmt.Errorf("it is not said")
		}
		return nil
	})
	if err := h.mariadb.Kill(); err != nil {
		t.Fatal(err)
	}
	ada.say(room, "Hello", once).problem(t, http.StatusServiceUnavailable, "unavailable")
	ada.said(room, "meanwhile")
	if err := h.mariadb.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the answer again", func() error {
		a := ada.say(room, "Hello", once)
		if a.status == http.StatusServiceUnavailable {
			return fmt.Errorf("%s", a.body)
		}
		var again chatMessage
		if a.into(t, http.StatusCreated, &again); again.ID != first.ID || a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%+v; want %+v", again, first)
		}
		return nil
	})
}
