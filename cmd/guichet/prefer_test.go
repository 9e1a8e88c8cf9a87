package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func prefer(values ...string) option {
	return func(r *http.Request) {
		r.Header.Del("Prefer")
		for _, value := range values {
			r.Header.Add("Prefer", value)
		}
	}
}

func TestPreferWait(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		ada, asked := h.serve().user(t), int64(0)
		path := "/v1/accounts/" + ada.account + "/deposits"
		for _, c := range []struct {
			headers []string
			applied string // empty: answered at once
		}{
			{nil, ""},
			{[]string{"wait=0"}, ""},
			{[]string{"wait=-5"}, ""},
			{[]string{"wait=abc"}, ""},
			{[]string{"wait"}, ""},
			{[]string{"respond-async"}, ""},
			{[]string{"wait=1"}, "wait=1"},
			{[]string{"wait=30"}, "wait=30"},
			{[]string{"wait=31"}, "wait=30"},
			{[]string{"wait=99999999999"}, "wait=30"},
			{[]string{"wait=5, respond-async"}, "wait=5"},
			{[]string{"respond-async, wait=5"}, "wait=5"},
			{[]string{"respond-async", "wait=5"}, "wait=5"},
			{[]string{`foo; bar="wait=3", wait=5`}, "wait=5"},
		} {
			limit, _ := time.ParseDuration(strings.TrimPrefix(c.applied, "wait=") + "s")
			var a answer
			for began := time.Now(); ; { // again, if the machine has taken longer than was to be waited
				sent := time.Now()
				a = ada.post(path, `{"amount":1}`, prefer(c.headers...))
				asked++
				if a.status != http.StatusAccepted || c.applied == "" || time.Since(sent) < limit || time.Since(began) > patience {
					break
				}
			}
			if got := a.header.Get("Preference-Applied"); got != c.applied {
				t.Errorf("Prefer %q: Preference-Applied %q, want %q", c.headers, got, c.applied)
			}
			want, status := "queued", http.StatusAccepted
			if c.applied != "" {
				want, status = "succeeded", http.StatusOK
			}
			o := a.operation(t, status)
			if o.Status != want && c.applied != "" || a.header.Get("Location") != "/v1/operations/"+o.ID {
				t.Errorf("Prefer %q: %v %s", c.headers, a.header, a.body)
			}
			ada.get(a.header.Get("Location")+"?wait=30").operation(t, http.StatusOK)
		}
		if got := ada.balance(); got != asked {
			t.Errorf("the balance is %d, want %d", got, asked)
		}
	})
}

// While nothing is executed, whoever waits is answered when the time that they asked for is over, not before and not much later.
func TestWaitingForAPausedLane(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, admin := p.user(t), p.admin(t)
		admin.pause(true)
		path := "/v1/accounts/" + ada.account + "/deposits"
		timed := func(seconds int, ask func() answer) {
			t.Helper()
			began := time.Now()
			a := ask()
			took := time.Since(began)
			// Twice the time would be a second wait; the margin is for slow machines.
			if limit := time.Duration(seconds) * time.Second; took < limit || took > limit+limit/2+5*time.Second {
				t.Errorf("asked to wait %d s, answered after %v", seconds, took)
			}
			var o outcome
			a.into(t, a.status, &o)
			if o.Status != "queued" || o.Position == nil || a.header.Get("Preference-Applied") != "" {
				t.Errorf("%v %s", a.header, a.body)
			}
		}
		timed(1, func() answer {
			return ada.post(path, `{"amount":1}`, prefer("wait=1"), key("k")).expect(t, http.StatusAccepted)
		})
		timed(1, func() answer {
			return ada.post(path, `{"amount":1}`, prefer("wait=1"), key("k")).expect(t, http.StatusAccepted)
		})
		o := ada.post(path, `{"amount":2}`).operation(t, http.StatusAccepted)
		timed(1, func() answer { return ada.get("/v1/operations/"+o.ID+"?wait=1").expect(t, http.StatusOK) })
		ada.get("/v1/operations/"+o.ID+"?wait=0").expect(t, http.StatusOK)

		// Who waits longer is answered when the lane goes on.
		waiting := make(chan answer, 2)
		go func() { waiting <- ada.get("/v1/operations/" + o.ID + "?wait=30") }()
		go func() { waiting <- ada.post(path, `{"amount":4}`, wait) }()
		eventually(t, "two who wait", func() error {
			return p.metric("guichet_feed_waiters", 2)
		})
		admin.pause(false)
		for range 2 {
			if a := <-waiting; a.operation(t, http.StatusOK).Status != "succeeded" {
				t.Errorf("%s", a.body)
			}
		}
		if got := ada.balance(); got != 7 {
			t.Errorf("the balance is %d, want 7", got)
		}
	})
}

// A wait may be longer than the time that a client has for sending its body.
func TestLongWait(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p := h.serve()
	ada, admin := p.user(t), p.admin(t)
	admin.pause(true)
	path := "/v1/accounts/" + ada.account + "/deposits"
	const seconds = 18
	began := time.Now()
	a := ada.post(path, `{"amount":1}`, prefer("wait="+strconv.Itoa(seconds)))
	if took := time.Since(began); took < seconds*time.Second {
		t.Errorf("asked to wait %d s, answered after %v", seconds, took)
	}
	a.expect(t, http.StatusAccepted)
	admin.pause(false)
	ada.get(a.header.Get("Location")+"?wait=30").operation(t, http.StatusOK)
}

// A process that stops answers those who wait, with what it knows.
func TestWaitingAtAStop(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada := p.user(t)
		p.admin(t).pause(true)
		path := "/v1/accounts/" + ada.account + "/deposits"
		waiting := make(chan answer, 2)
		o := ada.post(path, `{"amount":2}`).operation(t, http.StatusAccepted)
		go func() { waiting <- ada.get("/v1/operations/" + o.ID + "?wait=30") }()
		go func() { waiting <- ada.post(path, `{"amount":4}`, wait) }()
		eventually(t, "two who wait", func() error { return p.metric("guichet_feed_waiters", 2) })
		began := time.Now()
		if status := p.stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		for range 2 {
			var o outcome
			a := <-waiting
			if a.into(t, a.status, &o); o.Status != "queued" {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the stop took %v", took)
		}
		p = h.serve()
		p.admin(t).pause(false)
		ada = ada.at(p)
		eventually(t, "execution", func() error {
			if got := ada.balance(); got != 6 {
				return errorf("the balance is %d", got)
			}
			return nil
		})
		h.audit()
	})
}
