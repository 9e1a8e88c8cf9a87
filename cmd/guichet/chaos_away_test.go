package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// What tells who waits that their operation has ended, and a lane that there is work, goes through Redis, and may be lost: then it is found out otherwise.
func TestLostPublications(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	options, err := redis.ParseURL(h.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close() //nolint:errcheck // only sent commands
	api, w := h.start([]string{"api"}), h.newCrew(1)
	c := h.newCrowd(api, 31)
	c.after(50, 100)
	c.slowest.Store(0)
	for range rounds(t, 12) {
		c.after(1, 60)
		if err := rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.after(50, 100)
	c.finish()
	slowest := time.Duration(c.slowest.Load())
	t.Logf("the slowest answer came after %v", slowest.Round(time.Millisecond))
	if slowest > 10*time.Second {
		t.Errorf("somebody waited %v for an answer", slowest)
	}
	w.tend()
	c.judge()
}

// While Redis is away, what is accepted is executed from the journal, and who waits is answered.
func TestRedisAway(t *testing.T) {
	for name, inOne := range map[string]bool{"api and worker": false, "all in one": true} {
		for how, away := range map[string]func(*house) error{"killed": (*house).killRedis, "frozen": (*house).freezeRedis} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				h := newPrivateRedisHouse(t)
				var w *crew
				var api *process
				if inOne {
					api, w = h.serve(), h.newCrew(0)
				} else {
					api, w = h.start([]string{"api"}), h.newCrew(1)
				}
				ada := api.user(t)
				ada.deposit(1000)
				c := h.newCrowd(api, 32)
				c.after(20, 100)
				if err := away(h); err != nil {
					t.Fatal(err)
				}
				for i := range 3 {
					t.Logf("away: POST %d applied and answered after %v", i+1, ada.served(time.Now()))
				}
				asked := time.Now()
				ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1}).expect(t, http.StatusAccepted)
				t.Logf("away: 202 after %v", time.Since(asked).Round(time.Millisecond))
				c.after(20, 50)
				if err := h.redis.Resume(); err != nil {
					t.Fatal(err)
				}
				if err := h.redis.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
				back := time.Now()
				t.Logf("back: served after %v", ada.served(back))
				c.after(50, 100)
				t.Logf("back: served after %v", ada.served(time.Now()))
				c.finish()
				w.tend()
				c.judge()
				for _, p := range append(w.workers, api) {
					p.expectStructuredLog()
				}
			})
		}
	}
}

// expectStructuredLog: libraries, too, log through slog.
func (p *process) expectStructuredLog() {
	p.house.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		if !json.Valid([]byte(line)) {
			p.house.Errorf("a line of the log is not JSON: %s", line)
			return
		}
	}
}

func (h *house) killRedis() error   { return h.redis.Kill() }
func (h *house) freezeRedis() error { return h.redis.Pause() }

// While MariaDB is away, nothing is accepted and the answer says when to try again.
func TestMariaDBAway(t *testing.T) {
	for how, away := range map[string]func(*house) error{"killed": (*house).killMariaDB, "frozen": (*house).freezeMariaDB} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := newPrivateHouse(t)
			api, w := h.start([]string{"api"}), h.newCrew(1)
			ada := api.user(t)
			ada.deposit(1000)
			c := h.newCrowd(api, 33)
			c.after(50, 200)
			if err := away(h); err != nil {
				t.Fatal(err)
			}
			asked := time.Now()
			a := ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1})
			a.problem(t, http.StatusServiceUnavailable, "unavailable")
			took := time.Since(asked)
			t.Logf("away: 503 after %v", took.Round(time.Millisecond))
			if a.header.Get("Retry-After") == "" || took > 15*time.Second {
				t.Errorf("answered after %v, with %v", took, a.header)
			}
			if ready := ada.get("/readyz"); ready.status != http.StatusServiceUnavailable {
				t.Errorf("readyz: %d %s", ready.status, ready.body)
			}
			if err := h.mariadb.Resume(); err != nil {
				t.Fatal(err)
			}
			if err := h.mariadb.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			back := time.Now()
			c.after(50, 100)
			t.Logf("back: served after %v", ada.served(back))
			c.finish()
			w.tend()
			c.judge()
		})
	}
}

func (h *house) killMariaDB() error   { return h.mariadb.Kill() }
func (h *house) freezeMariaDB() error { return h.mariadb.Pause() }
