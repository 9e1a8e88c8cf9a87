package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
)

// concludeFills ends following when the client's newest fill has been told, and wants to have been told of all, once. It returns how many there were.
func (f *follower) concludeFills(where *client) int {
	f.Helper()
	listed := where.fills("")
	eventually(f, "the rest of the fills", func() error {
		if told := len(f.fillsSoFar()); told < len(listed) {
			return fmt.Errorf("%d of %d", told, len(listed))
		}
		return nil
	})
	f.stop.Store(true)
	f.finished.Wait()
	told := map[string]fill{}
	for _, one := range f.fillsSoFar() {
		if _, again := told[one.ID]; again {
			f.Errorf("told of %s twice", one.ID)
		}
		told[one.ID] = one
	}
	for _, want := range listed {
		got, found := told[want.ID]
		got.OrderComplete = false
		if !found || !got.At.Equal(want.At) {
			f.Errorf("listed %+v, told %+v", want, got)
			continue
		}
		if got.At = want.At; got != want {
			f.Errorf("listed %+v, told %+v", want, got)
		}
	}
	if len(told) != len(listed) {
		f.Errorf("told of %d fills, and there are %d", len(told), len(listed))
	}
	f.Logf("%d fills, connected %d times", len(told), f.resumed)
	return len(told)
}

// Both sides are told of each of their fills once, across connections that break and a guichet that dies.
func TestExchangeFillsOnTheFeed(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB")
		crowd := f.traders(4, 100_000, 1000, "TCB")
		var current atomic.Pointer[process]
		current.Store(f.process)
		followers := make([]*follower, len(crowd))
		for i, c := range crowd {
			followers[i] = c.followAlong(current.Load)
		}
		for range 2 {
			people := make([]*client, len(crowd))
			for i, c := range crowd {
				people[i] = c.at(current.Load())
			}
			stop := h.flow(people, "TCB")
			for range 5 {
				for _, follower := range followers {
					n := len(follower.fillsSoFar())
					eventually(t, "more fills", func() error {
						if got := len(follower.fillsSoFar()); got < n+2 {
							return fmt.Errorf("%d", got)
						}
						return nil
					})
					follower.disconnect()
				}
			}
			stop()
			current.Load().kill()
			current.Store(h.serve())
		}
		for i, follower := range followers {
			if n := follower.concludeFills(crowd[i].at(current.Load())); n < 20 || follower.resumed < 10 {
				t.Errorf("%d fills, connected %d times: this tests nothing", n, follower.resumed)
			}
		}
		h.audit()
	})
}

func (f *feedReader) entriesSoFar() []feedEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.entries)
}

// disconnect breaks the connection, if there is one.
func (f *follower) disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != nil {
		f.reader.close()
	}
}

// session is what signing in brings.
func (c *client) noticesAtSignIn() []notice {
	c.Helper()
	var session struct {
		Token   string
		Notices []notice
	}
	c.post("/v1/sessions", map[string]any{"username": c.username, "password": c.password, "take_over": true}).into(c, http.StatusCreated, &session)
	c.token = session.Token
	return session.Notices
}

func (c *client) signOut() {
	c.Helper()
	c.do(http.MethodDelete, "/v1/sessions/current", nil).expect(c, http.StatusNoContent)
	c.token = ""
}

// An order survives its owner's leaving. What was filled meanwhile is told at the next sign-in, once.
func TestExchangeFillsWhileAway(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB")
		ada, grace := f.trader(10_000, 100, "TCB"), f.trader(10_000, 100, "TCB")
		bid := ada.place(limit("TCB", "buy", 10, 32))
		offer := ada.place(limit("TCB", "sell", 5, 40))
		ada.signOut()
		grace.place(limit("TCB", "sell", 4, 30)).is(t, "filled", 4, 0, 0)
		grace.place(limit("TCB", "sell", 6, 32)).is(t, "filled", 6, 0, 0)
		grace.place(market("TCB", "buy", 2)).is(t, "filled", 2, 0, 0)
		want := []fill{
			{ID: "TCB-1-buy", OrderID: bid.ID, Symbol: "TCB", Side: "buy", Quantity: 4, Price: 32, Liquidity: "maker"},
			{ID: "TCB-2-buy", OrderID: bid.ID, Symbol: "TCB", Side: "buy", Quantity: 6, Price: 32, Liquidity: "maker", OrderComplete: true},
			{ID: "TCB-3-sell", OrderID: offer.ID, Symbol: "TCB", Side: "sell", Quantity: 2, Price: 40, Fee: 8, Liquidity: "maker"},
		}
		notices := ada.noticesAtSignIn()
		for i, one := range notices {
			if one.Kind != "order.filled" || one.Text == "" || one.Data.At.IsZero() || i >= len(want) {
				t.Fatalf("notice %d: %+v", i, one)
			}
			if one.Data.At = want[i].At; one.Data != want[i] {
				t.Errorf("notice %d: %+v\nwant %+v", i, one.Data, want[i])
			}
		}
		if len(notices) != len(want) {
			t.Fatalf("%d notices, want %d", len(notices), len(want))
		}
		if again := ada.noticesAtSignIn(); len(again) != 0 {
			t.Errorf("delivered twice: %+v", again)
		}

		// Who is there is told on the feed, and of nothing at the next sign-in.
		feed := ada.follow("").ready()
		grace.place(market("TCB", "buy", 3)).is(t, "filled", 3, 0, 0)
		feed.until(func(e feedEntry) bool { return e.Event == "order.filled" })
		ada.signOut()
		if again := ada.noticesAtSignIn(); len(again) != 0 {
			t.Errorf("told already: %+v", again)
		}
		if kept := allOf[notice](ada, "/v1/notices?limit=2"); len(kept) != len(want) {
			t.Errorf("%d notices are kept", len(kept))
		}
		if kept := grace.noticesAtSignIn(); len(kept) != 0 {
			t.Errorf("who was there has notices: %+v", kept)
		}
		h.audit()
	})
}

// A session is taken over while its order waits in line, and while another rests: the orders stand, and the new session is told.
func TestExchangeOrderOfASessionTakenOver(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		f := h.openExchange("TCB")
		ada, grace := f.trader(10_000, 0), f.trader(0, 100, "TCB")
		resting := ada.place(limit("TCB", "buy", 10, 32))
		old := *ada
		oldFeed := old.follow("").ready()
		f.admin.pauseLane("exchange-0", true)
		waiting := ada.post("/v1/orders", limit("TCB", "buy", 10, 31)).operation(t, http.StatusAccepted)
		cancelled := ada.post("/v1/orders", limit("TCB", "buy", 10, 33)).operation(t, http.StatusAccepted)
		if n := ada.noticesAtSignIn(); len(n) != 0 {
			t.Errorf("%+v", n)
		}
		if rest := oldFeed.end(); len(rest) == 0 || rest[len(rest)-1].Event != "session.ended" {
			t.Errorf("%s", brief(rest))
		}
		old.post("/v1/orders", limit("TCB", "buy", 10, 32)).problem(t, http.StatusUnauthorized, "unauthorized")
		feed := ada.follow("").ready()
		cancellation := ada.do(http.MethodDelete, "/v1/orders/"+cancelled.ID, nil).operation(t, http.StatusAccepted)
		f.admin.pauseLane("exchange-0", false)
		feed.finished(waiting.ID)
		ada.order(waiting.ID).is(t, "open", 0, 10, 0)
		feed.finished(cancellation.ID)
		ada.order(cancelled.ID).is(t, "cancelled", 0, 0, 10)
		grace.place(limit("TCB", "sell", 20, 31)).is(t, "filled", 20, 0, 0)
		for _, order := range []string{resting.ID, waiting.ID} {
			told := feed.until(func(e feedEntry) bool { return e.Event == "order.filled" })
			if got := decode[fill](t, told[len(told)-1]); got.OrderID != order || !got.OrderComplete {
				t.Errorf("told of %+v", got)
			}
		}
		ada.signOut()
		if n := ada.noticesAtSignIn(); len(n) != 0 {
			t.Errorf("told already: %+v", n)
		}
		h.audit()
	})
}
