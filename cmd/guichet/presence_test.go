package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// graceOf is a grace period that a shared machine can keep to.
const graceOf = 3 * time.Second

func (h *house) withGrace() (near, far *process) {
	h.Helper()
	setting := "GUICHET_PRESENCE_GRACE=" + graceOf.String()
	near, far = h.two(setting)
	if !h.embedded {
		h.start([]string{"worker"}, setting)
	}
	return near, far
}

// Who is away for longer than the grace period has left, which is told once, whoever looks; who comes back before has not.
func TestGone(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.withGrace()
		ada, bob, eve, dan := near.user(t), near.user(t), far.user(t), far.user(t)
		watching := ada.followRoom("lobby")
		ada.enter("lobby")
		bobs := bob.followRoom("lobby")
		for _, c := range []*client{bob, eve, dan} {
			c.enter("lobby")
		}
		alive, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { // dan has no stream, and calls now and then
			defer close(done)
			for alive.Err() == nil {
				dan.at(near).get("/v1/rooms/lobby/members?limit=1").expect(t, http.StatusOK)
				<-time.After(graceOf / 6)
			}
		}()
		watching.sees(t, "member.left", eve, "gone")
		for range 3 { // bob's connection breaks, and is made again elsewhere
			bobs.close()
			<-time.After(graceOf / 3)
			bobs = bob.at(far).followRoom("lobby")
			<-time.After(graceOf / 2)
			bobs.close()
			<-time.After(graceOf / 3)
			bobs = bob.followRoom("lobby")
			<-time.After(graceOf / 2)
		}
		stop()
		<-done
		present := map[string]bool{}
		for _, m := range ada.members("lobby") {
			present[m.User] = m.Present
		}
		if len(present) != 3 || !present[ada.username] || !present[bob.username] {
			t.Errorf("%v", present)
		}
		for _, c := range []*client{ada, bob, dan} {
			if n := watching.count(t, "member.left", c); n != 0 {
				t.Errorf("%s was told to have left, %d times", c.username, n)
			}
		}
		bobs.close()
		left := map[string]bool{}
		watching.until(func(e feedEntry) bool {
			if e.Event == "member.left" {
				left[decode[comingOrGoing](t, e).User] = true
			}
			return len(left) == 2
		})
		eve.enter("lobby")
		watching.sees(t, "member.entered", eve, "")
		watching.sees(t, "member.left", eve, "gone")
		for c, want := range map[*client]int{bob: 1, dan: 1, eve: 2, ada: 0} {
			if n := watching.count(t, "member.left", c); n != want {
				t.Errorf("%s was told to have left %d times, want %d", c.username, n, want)
			}
		}
		h.audit()
	})
}

// A Redis that has lost everything puts nobody out who is there, and all the same those who are not.
func TestGoneAfterRedisWasWiped(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	near, far := h.withGrace()
	ada, bob := near.user(t), far.user(t)
	watching := ada.followRoom("lobby")
	ada.enter("lobby")
	bob.enter("lobby")
	options, err := redisOptions(h.setting("GUICHET_REDIS_URL"))
	check(t, err)
	client := (&stores{options: options}).newRedis()
	defer client.Close() //nolint:errcheck // only wipes
	for range 4 {
		check(t, client.FlushAll(t.Context()).Err())
		<-time.After(graceOf / 2)
	}
	if got := ada.members("lobby"); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	watching.sees(t, "member.left", bob, "gone")
	eventually(t, "ada to be present", func() error {
		if got := ada.members("lobby"); len(got) != 1 || !got[0].Present {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	h.audit()
}
