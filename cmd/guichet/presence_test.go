package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
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

// away is for how long somebody was not seen, at the most, by the clock of the test. Who was away for much less than the grace period has not left; with more, nothing is
// said of them.
type away struct {
	mu    sync.Mutex
	since time.Time // zero: they are there
	most  time.Duration
}

// seen notes that they were seen by now, and that they are away since a time, or there.
func (a *away) seen(since time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.most = a.longest()
	a.since = since
}

func (a *away) longest() time.Duration {
	if a.since.IsZero() {
		return a.most
	}
	return max(a.most, time.Since(a.since))
}

func (a *away) tooLong() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.longest() > graceOf*2/3
}

// Who is away for longer than the grace period has left, which is told once, whoever looks; who comes back before has not.
func TestGone(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.withGrace()
		for tries := 0; !comeBack(t, near, far); tries++ {
			if tries == 5 {
				t.Fatal("the machine is too slow for anybody to come back within the grace period")
			}
		}
		h.audit()
	})
}

// comeBack returns false, and has said nothing, if the machine was too slow.
func comeBack(t *testing.T, near, far *process) bool {
	t.Helper()
	ada, bob, eve, dan := near.user(t), near.user(t), far.user(t), far.user(t)
	eventually(t, "an empty lobby", func() error {
		if got := ada.members("lobby"); len(got) != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	watching := ada.followRoom("lobby")
	defer watching.close()
	ada.enter("lobby")
	bobs := bob.followRoom("lobby")
	defer func() { bobs.close() }()
	var bobIs, danIs away
	danIs.seen(time.Now())
	for _, c := range []*client{bob, eve, dan} {
		c.enter("lobby")
	}
	alive, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() { // dan has no stream, and calls now and then
		defer close(done)
		for alive.Err() == nil {
			called := time.Now()
			if a, err := dan.at(near).try(http.MethodGet, "/v1/rooms/lobby/members?limit=1", nil); err != nil || a.status != http.StatusOK {
				t.Errorf("dan looks who is there: %d %s, %v", a.status, a.body, err)
				return
			}
			danIs.seen(called)
			<-time.After(graceOf / 6)
		}
	}()
	tooLong := func() bool { return bobIs.tooLong() || danIs.tooLong() }
	first := watching.until(func(e feedEntry) bool { return e.Event == "member.left" })
	if left := decode[comingOrGoing](t, first[len(first)-1]); left.User != eve.username || left.Reason != "gone" || left.UserID == "" {
		if tooLong() {
			return false
		}
		t.Fatalf("told of %+v, want %s", left, eve.username)
	}
	comes := func(at *process) bool { // to a stream, again
		f, a := bob.at(at).tryFollow("?topics=room:lobby")
		if bobIs.seen(time.Time{}); tooLong() {
			return false
		}
		if f == nil {
			t.Fatalf("bob comes back: %d %s", a.status, a.body)
		}
		bobs = f.ready()
		return true
	}
	for range 3 { // bob's connection breaks, and is made again elsewhere
		for _, p := range []*process{far, near} {
			bobIs.seen(time.Now())
			bobs.close()
			<-time.After(graceOf / 3)
			if !comes(p) {
				return false
			}
			<-time.After(graceOf / 2)
		}
	}
	eventually(t, "all but eve to be there", func() error {
		present := map[string]bool{}
		for _, m := range ada.members("lobby") {
			present[m.User] = m.Present
		}
		if !tooLong() && (len(present) != 3 || !present[ada.username] || !present[bob.username]) {
			return fmt.Errorf("%v", present)
		}
		return nil
	})
	told := map[string]int{}
	for _, c := range []*client{ada, bob, dan} {
		if n := watching.count(t, "member.left", c); n != 0 {
			told[c.username] = n
		}
	}
	if tooLong() {
		return false
	}
	if len(told) != 0 {
		t.Errorf("told to have left: %v", told)
	}
	stop()
	<-done
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
	return true
}

// A Redis that has lost everything puts nobody out who is there, and all the same those who are not.
func TestGoneAfterRedisWasWiped(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	near, far := h.withGrace()
	ada, bob := near.user(t), far.user(t)
	watching := ada.followRoom("lobby")
	ada.enter("lobby")
	options, err := redisOptions(h.setting("GUICHET_REDIS_URL"))
	check(t, err)
	client := (&stores{options: options}).newRedis()
	defer client.Close() //nolint:errcheck // only wipes
	for tries := 0; ; tries++ {
		late, last := false, time.Now()
		bob.enter("lobby")
		for range 4 {
			wiping := time.Now()
			check(t, client.FlushAll(t.Context()).Err())
			late, last = late || time.Since(last) > graceOf, wiping
			<-time.After(graceOf / 2)
		}
		got := ada.members("lobby")
		if len(got) == 2 {
			break
		}
		if late = late || time.Since(last) > graceOf; !late || tries == 5 {
			t.Fatalf("%+v; late: %t", got, late)
		}
		watching.sees(t, "member.left", bob, "gone") // rightly, the machine was so slow
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
