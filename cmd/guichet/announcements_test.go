package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

type announcement struct {
	ID, Text, By string
	At           time.Time
}

// tell announces something.
func (c *client) tell(text string) (a announcement) {
	c.Helper()
	c.post("/v1/announcements", map[string]any{"text": text}).into(c, http.StatusCreated, &a)
	return a
}

// signInTold signs in, taking over, and returns the texts of the announcements among the notices.
func (c *client) signInTold() (texts []string) {
	c.Helper()
	var session struct {
		Token   string
		Notices []struct {
			Kind, Text string
			Data       announcement
		}
	}
	c.post("/v1/sessions", map[string]any{"username": c.username, "password": c.password, "take_over": true}).into(c, http.StatusCreated, &session)
	c.token = session.Token
	for _, n := range session.Notices {
		if n.Kind == "announcement" {
			if n.Data.Text != n.Text || n.Data.ID == "" || n.Data.By != "admin" {
				c.Errorf("%+v", n)
			}
			texts = append(texts, n.Text)
		}
	}
	return texts
}

// Who is there is told at once, whatever they follow and wherever; who is not, at the next sign-in; and nobody twice.
func TestAnnouncements(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.two()
		admin := near.admin(t)
		ada, bob, away := near.user(t), far.user(t), near.user(t)
		feeds := []*feedReader{ada.follow("").ready(), bob.followRoom("lobby"), bob.at(near).follow("?topics=me,room:lobby").ready()}
		away.do(http.MethodDelete, "/v1/sessions/current", nil).expect(t, http.StatusNoContent)
		admin.signIn()
		made := admin.tell("The house closes.\n\tIn ten minutes. Cafe\u0301")
		if made.Text != "The house closes.\n\tIn ten minutes. Café" || made.By != "admin" || made.ID == "" || made.At.IsZero() {
			t.Errorf("%+v", made)
		}
		second := admin.tell("two")
		for i, f := range feeds {
			told := ofEvent[announcement](t, f.until(func(e feedEntry) bool {
				return e.Event == "announcement" && decode[announcement](t, e).ID == second.ID
			}), "announcement")
			if len(told) != 2 || told[0] != made {
				t.Errorf("feed %d: %+v", i, told)
			}
		}
		late := far.user(t) // registered after
		if got := late.signInTold(); len(got) != 0 {
			t.Errorf("who has registered since is told %q", got)
		}
		if got := away.at(far).signInTold(); !slices.Equal(got, []string{made.Text, second.Text}) {
			t.Errorf("who was away is told %q", got)
		}
		for name, c := range map[string]*client{"who was told live": ada, "who took over": bob, "who was told at the sign-in": away} {
			if got := c.signInTold(); len(got) != 0 {
				t.Errorf("%s is told %q", name, got)
			}
		}
		if far != near {
			far.stop()
		}
		near.stop()
		near = h.serve("GUICHET_SESSION_IDLE=8s") // between two of the calls below a slow machine takes less
		ada, admin = ada.at(near), admin.at(near)
		ada.signIn()
		idle := ada.follow("").ready()
		if rest := idle.end(); rest[len(rest)-1].Data.Reason != "idle" {
			t.Errorf("%s", brief(rest))
		}
		admin.signIn()
		third := admin.tell("three")
		if got := ada.signInTold(); !slices.Equal(got, []string{third.Text}) {
			t.Errorf("whose session was idle is told %q", got)
		}
		if got := ada.signInTold(); len(got) != 0 {
			t.Errorf("and again %q", got)
		}
		listed := allOf[announcement](ada, "/v1/announcements?limit=1")
		if !slices.Equal(listed, []announcement{third, second, made}) {
			t.Errorf("%+v", listed)
		}
		h.audit()
	})
}

func TestAnnouncementRefusals(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		admin, ada := p.admin(t), p.user(t)
		for text, status := range map[string]int{
			strings.Repeat("ä", 4000): 201, strings.Repeat("🚂", 2000): 201, strings.Repeat("a\u0308", 2000): 201, " a\n": 201,
			" ": 422, "\n": 422, "\u200b": 422,
			"": 422, strings.Repeat("ä", 4001): 422, "a\rb": 422, "\x00": 422, "\u0085": 422,
		} {
			a := admin.post("/v1/announcements", map[string]any{"text": text})
			if a.status != status {
				t.Errorf("%.20q of %d bytes: %d %s", text, len(text), a.status, a.body)
			}
		}
		ada.post("/v1/announcements", map[string]any{"text": "x"}).problem(t, 403, "forbidden")
		admin.post("/v1/announcements", map[string]any{}).problem(t, 422, "invalid")
		ada.get("/v1/announcements?cursor=x").problem(t, 400, "malformed")

		first := admin.post("/v1/announcements", map[string]any{"text": "once"}, key("k")).expect(t, http.StatusCreated)
		again := admin.post("/v1/announcements", map[string]any{"text": "once"}, key("k")).expect(t, http.StatusCreated)
		if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s, and %s", first.body, again.body)
		}
		admin.post("/v1/announcements", map[string]any{"text": "twice"}, key("k")).problem(t, 422, "idempotency_key_reused")
		h.audit()
	})
}

// Admins announce while people sign out and in at two processes: each of them is given each announcement at most once, and whoever was away all the time, all of them.
func TestAnnouncementsBesideACrowd(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.two()
		admin, away := near.admin(t), near.user(t)
		away.do(http.MethodDelete, "/v1/sessions/current", nil).expect(t, http.StatusNoContent)
		people := (&boxOffice{process: far, TB: t}).guests(6, 0)
		given := make([][]string, len(people))
		const most = 20
		inParallel(len(people)+1, func(k int) {
			if k == len(people) {
				for n := range most {
					admin.at([]*process{near, far}[n%2]).tell(fmt.Sprint("number ", n))
				}
				return
			}
			c := people[k].at([]*process{near, far}[k%2])
			for range 8 {
				c.do(http.MethodDelete, "/v1/sessions/current", nil).expect(t, http.StatusNoContent)
				given[k] = append(given[k], c.signInTold()...)
			}
		})
		for k, texts := range given {
			if len(slices.Compact(slices.Sorted(slices.Values(texts)))) != len(texts) {
				t.Errorf("%s was given %q", people[k].username, texts)
			}
		}
		away = away.at(far)
		if got := away.signInTold(); len(got) != most {
			t.Errorf("who was away is given %d: %q", len(got), got)
		}
		var listed struct{ Items []json.RawMessage }
		if away.get("/v1/announcements?limit=200").into(t, http.StatusOK, &listed); len(listed.Items) != most {
			t.Errorf("%d announcements", len(listed.Items))
		}
		h.audit()
	})
}
