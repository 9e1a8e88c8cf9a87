package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"guichet/models/database"
)

// lane is a lane as operators see it.
type lane struct {
	Name        string
	Depth       int64
	OldestAgeMs int64 `json:"oldest_age_ms"`
	Rate        float64
	Paused      bool
	Holder      *string
}

func (c *client) lane() lane {
	c.Helper()
	var page struct{ Items []lane }
	c.get("/v1/lanes").into(c, http.StatusOK, &page)
	for _, l := range page.Items {
		if l.Name == "bank" {
			return l
		}
	}
	c.Fatalf("no lane is called bank: %v", page)
	return lane{}
}

func TestLanes(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, admin := p.user(t), p.user(t), p.admin(t)
		eventually(t, "a holder", func() error {
			if l := admin.lane(); l.Holder == nil || l.Paused || l.Depth != 0 || l.OldestAgeMs != 0 {
				return fmt.Errorf("%+v", l)
			}
			return nil
		})
		began := time.Now()
		admin.pause(true)
		admin.pause(true) // as it is already
		var line []outcome
		for n := range 10 {
			c := []*client{ada, grace}[n%2]
			o := c.post("/v1/accounts/"+c.account+"/deposits", map[string]any{"amount": n + 1}).operation(t, http.StatusAccepted)
			if o.Status != "queued" || o.Position == nil || *o.Position != int64(n) {
				t.Errorf("operation %d is accepted as %+v", n, o)
			}
			line = append(line, o)
		}
		place := func(n int) outcome {
			return []*client{ada, grace}[n%2].get("/v1/operations/"+line[n].ID).operation(t, http.StatusOK)
		}
		for n := range line {
			if o := place(n); o.Status != "queued" || o.Position == nil || *o.Position != int64(n) {
				t.Errorf("operation %d has position %v, and is %s", n, o.Position, o.Status)
			}
		}
		eventually(t, "an age", func() error {
			l := admin.lane()
			if l.Depth != 10 || !l.Paused || l.Holder == nil || l.OldestAgeMs > time.Since(began).Milliseconds() {
				t.Fatalf("%+v after %v", l, time.Since(began))
			}
			if l.OldestAgeMs < 50 {
				return fmt.Errorf("%+v", l)
			}
			return nil
		})
		if ada.balance() != 0 {
			t.Error("a paused lane executes")
		}
		admin.pause(false)
		for n := range line {
			o := []*client{ada, grace}[n%2].get("/v1/operations/"+line[n].ID+"?wait=30").operation(t, http.StatusOK)
			if o.Status != "succeeded" || o.Position != nil {
				t.Errorf("operation %d: %+v", n, o)
			}
		}
		eventually(t, "a rate", func() error {
			if l := admin.lane(); l.Rate < 0.1 || l.Rate > 1 || l.Depth != 0 || l.OldestAgeMs != 0 || l.Paused {
				return fmt.Errorf("%+v", l)
			}
			return nil
		})
		admin.do(http.MethodPatch, "/v1/lanes/nowhere", map[string]any{"paused": true}).problem(t, http.StatusNotFound, "not_found")
		admin.do(http.MethodPatch, "/v1/lanes/bank", map[string]any{}).problem(t, http.StatusUnprocessableEntity, "invalid")
		h.audit()
	})
}

// The place in line only ever goes down, to none.
func TestPlaceInLineGoesDown(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, admin := p.user(t), p.admin(t)
		admin.pause(true)
		const ahead = 1500
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				for range ahead / 30 {
					ada.post("/v1/accounts/"+ada.account+"/deposits", `{"amount":1}`).expect(t, http.StatusAccepted)
				}
			})
		}
		all.Wait()
		last := ada.post("/v1/accounts/"+ada.account+"/deposits", `{"amount":1}`).operation(t, http.StatusAccepted)
		look := func() outcome { return ada.get("/v1/operations/"+last.ID).operation(t, http.StatusOK) }
		if o := look(); *o.Position != ahead {
			t.Fatalf("position %d behind %d", *o.Position, ahead)
		}
		admin.pause(false)
		seen := []int64{ahead}
		eventually(t, "the end", func() error {
			o := look()
			if o.Position == nil {
				return nil
			}
			if *o.Position > seen[len(seen)-1] {
				t.Fatalf("the place in line went from %d to %d", seen[len(seen)-1], *o.Position)
			}
			seen = append(seen, *o.Position)
			return fmt.Errorf("at place %d", *o.Position)
		})
		t.Logf("seen: %v", seen)
		if got := ada.balance(); got != ahead+1 {
			t.Errorf("the balance is %d", got)
		}
		h.audit()
	})
}

// While an operation is being executed, it says so.
func TestRunning(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	p, other := h.serve(), h.start([]string{"api"})
	ada := p.user(t)
	ada.deposit(1)
	locked, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { // somebody who holds the account's row
		done <- h.database().Write(context.Background(), func(tx database.Tx) error {
			if _, err := tx.Exec("UPDATE accounts SET held = held WHERE number = ?", ada.account); err != nil {
				return err
			}
			close(locked)
			<-release
			return nil
		})
	}()
	<-locked
	path := "/v1/accounts/" + ada.account + "/deposits"
	first := ada.post(path, `{"amount":1}`).operation(t, http.StatusAccepted)
	for _, c := range []*client{ada, ada.at(other)} {
		eventually(t, "running", func() error {
			var o struct {
				Status    string
				Position  *int64
				StartedAt *time.Time `json:"started_at"`
			}
			c.get("/v1/operations/"+first.ID).into(t, http.StatusOK, &o)
			if o.Status != "running" {
				return fmt.Errorf("%+v", o)
			}
			if o.StartedAt == nil || o.Position == nil || *o.Position != 0 {
				t.Errorf("%+v", o)
			}
			return nil
		})
	}
	second := ada.post(path, `{"amount":1}`).operation(t, http.StatusAccepted)
	var running, queued struct{ Items []outcome }
	ada.get("/v1/operations?status=running").into(t, http.StatusOK, &running)
	ada.get("/v1/operations?status=queued").into(t, http.StatusOK, &queued)
	if len(running.Items) != 1 || running.Items[0].ID != first.ID || len(queued.Items) != 1 || queued.Items[0].ID != second.ID || *queued.Items[0].Position != 1 {
		t.Errorf("running %+v, queued %+v", running, queued)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ada.get("/v1/operations/"+second.ID+"?wait=30").operation(t, http.StatusOK)
	if got := ada.balance(); got != 3 {
		t.Errorf("the balance is %d, want 3", got)
	}
}

func TestFullLane(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const depth = 7
		settings := "GUICHET_LANE_DEPTH=" + strconv.Itoa(depth)
		p := h.serve(settings)
		ada, admin := p.user(t), p.admin(t)
		path := "/v1/accounts/" + ada.account + "/deposits"
		admin.pause(true)
		accepted := map[string]bool{}
		refused := 0
		for n, a := range fifty([]*client{ada}, path, func(int) string { return `{"amount":1}` }, "", func(r *http.Request) { r.Header.Del("Idempotency-Key") }) {
			if a.status == http.StatusAccepted {
				accepted[a.operation(t, http.StatusAccepted).ID] = true
				continue
			}
			if a.problem(t, http.StatusServiceUnavailable, "lane_full"); a.header.Get("Retry-After") == "" || a.header.Get("Retry-After") == "0" {
				t.Errorf("answer %d: Retry-After is %q", n, a.header.Get("Retry-After"))
			}
			refused++
		}
		if len(accepted) != depth || refused != 50-depth {
			t.Errorf("%d accepted, %d refused, and there is room for %d", len(accepted), refused, depth)
		}
		ada.post(path, `{"amount":1}`, key("k")).problem(t, http.StatusServiceUnavailable, "lane_full")
		if l := admin.lane(); l.Depth != depth {
			t.Errorf("%+v", l)
		}

		// Another process, or the same one started again, knows how full it is.
		p.kill()
		p = h.serve(settings)
		ada, admin = ada.at(p), p.admin(t)
		ada.post(path, `{"amount":1}`).problem(t, http.StatusServiceUnavailable, "lane_full")

		admin.pause(false)
		for id := range accepted {
			if o := ada.get("/v1/operations/"+id+"?wait=30").operation(t, http.StatusOK); o.Status != "succeeded" {
				t.Errorf("%+v", o)
			}
		}
		eventually(t, "room again", func() error {
			a := ada.post(path, `{"amount":1}`, key("k"), wait)
			if a.status == http.StatusServiceUnavailable {
				return fmt.Errorf("%s", a.body)
			}
			a.operation(t, http.StatusOK)
			return nil
		})
		if got := ada.balance(); got != depth+1 {
			t.Errorf("the balance is %d, want %d", got, depth+1)
		}
		h.audit()
	})
}
