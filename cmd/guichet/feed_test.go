package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"testing"
	"time"

	"guichet/models/database"
)

func TestFeed(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace := p.user(t), p.user(t)
		ada.deposit(1000) // before anybody listens
		hers, his := ada.follow("").ready(), grace.follow("?topics=me").ready()
		var all []feedEntry
		for n := range 5 {
			o := ada.transfer(grace, int64(n+1), wait).operation(t, http.StatusOK)
			told := hers.finished(o.ID)
			all = append(all, told...)
			if len(told) != 2 || told[0].Event != "operation.started" || told[0].Data.ID != o.ID || told[0].Data.Status != "running" || told[1].Data.Status != "succeeded" || told[1].ID != told[0].ID+1 {
				t.Fatalf("told of operation %s: %s", o.ID, brief(told))
			}
			checkResource(t, ada, told[1])
		}
		rejected := ada.transfer(grace, 10_000, wait).operation(t, http.StatusOK)
		all = append(all, hers.finished(rejected.ID)...)
		if last := all[len(all)-1]; last.Data.Status != "rejected" {
			t.Errorf("%s", last.Text)
		}
		for i := range all[1:] {
			if all[i+1].ID <= all[i].ID || all[i+1].Data.Lamport < all[i].Data.Lamport {
				t.Errorf("%s is told after %s", all[i+1].Text, all[i].Text)
			}
		}
		own := grace.deposit(1)
		if told := his.finished(own.ID); len(told) != 2 { // nothing of hers
			t.Errorf("grace was told %s", brief(told))
		}
		all = append(all, hers.next(0)...)

		// From wherever a reader was, it gets the rest, once.
		for i := range all {
			for name, again := range map[string]*feedReader{
				"header": ada.after(all[i].ID),
				"query":  ada.follow("?last_event_id=" + strconv.FormatInt(all[i].ID, 10)),
				"both":   ada.follow("?last_event_id=1&topics=me,me", header("Last-Event-ID", strconv.FormatInt(all[i].ID, 10))),
			} {
				var rest []feedEntry
				if i+1 < len(all) {
					rest = again.next(len(all) - i - 1)
				}
				if got, want := texts(rest), texts(all[i+1:]); !reflect.DeepEqual(got, want) {
					t.Errorf("%s, after entry %d: %v\nwant %v", name, i, got, want)
				}
				again.close()
			}
		}
		if told := ada.after(0).finished(rejected.ID); len(told) != len(all)+2 {
			t.Errorf("from the beginning: %s", brief(told))
		}
		if p.stop(); len(hers.end()) != 0 {
			t.Error("something was told at the end")
		}
	})
}

// texts is what entries say, without the times that an end has more exactly than its repetition.
func texts(entries []feedEntry) []string {
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = fmt.Sprintln(e.ID, e.Event, e.Text)
	}
	return all
}

// checkResource wants the entry to show the resource as it is polled.
func checkResource(t *testing.T, c *client, e feedEntry) {
	t.Helper()
	var told, polled map[string]any
	check(t, json.Unmarshal([]byte(e.Text), &told))
	check(t, json.Unmarshal(c.get("/v1/operations/"+e.Data.ID).body, &polled))
	delete(told, "at")
	if !reflect.DeepEqual(told, polled) {
		t.Errorf("told %v, polled %v", told, polled)
	}
}

func TestFeedRefusals(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		ada := h.serve().user(t)
		for _, id := range []string{"x", "-1", "1.5", "9223372036854775808", "0x1", "%20"} {
			if _, a := ada.tryFollow("?last_event_id=" + id); a.status != http.StatusBadRequest {
				t.Errorf("last_event_id=%s: %d %s", id, a.status, a.body)
			}
			decoded, err := url.QueryUnescape(id)
			check(t, err)
			if decoded == " " { // a header's value has no spaces around it
				continue
			}
			if _, a := ada.tryFollow("", header("Last-Event-ID", decoded)); a.status != http.StatusBadRequest {
				t.Errorf("Last-Event-ID: %s: %d %s", id, a.status, a.body)
			}
		}
		for _, topics := range []string{"", "you", "me,you", "me,", ",", "user:x", "ME", "room:1", "me;me"} {
			_, a := ada.tryFollow("?topics=" + url.QueryEscape(topics))
			if a.status != http.StatusUnprocessableEntity {
				t.Errorf("topics=%s: %d %s", topics, a.status, a.body)
			}
		}
		for _, topics := range []string{"me", "me,me", " me , me "} {
			ada.follow("?topics=" + url.QueryEscape(topics)).close()
		}
		ada.follow("", header("Last-Event-ID", "")).close()

		// A session has so many streams at once.
		var open []*feedReader
		eventually(t, "the streams above to end", func() error {
			for {
				f, a := ada.tryFollow("")
				if f == nil {
					if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
						t.Fatalf("%d %s", a.status, a.body)
					}
					break
				}
				open = append(open, f)
			}
			if len(open) < 20 {
				return fmt.Errorf("only %d streams", len(open))
			}
			return nil
		})
		if len(open) != 20 {
			t.Errorf("%d streams at once", len(open))
		}
		open[7].close()
		eventually(t, "room for one", func() error {
			f, a := ada.tryFollow("")
			if f == nil {
				return fmt.Errorf("%d", a.status)
			}
			return nil
		})
	})
}

func (c *client) ticket() string {
	c.Helper()
	var made struct {
		Ticket    string
		ExpiresAt time.Time `json:"expires_at"`
	}
	c.post("/v1/feed/tickets", nil).into(c, http.StatusCreated, &made)
	if life := time.Until(made.ExpiresAt); life < 20*time.Second || life > 30*time.Second {
		c.Errorf("a ticket for %v", life)
	}
	return "?ticket=" + url.QueryEscape(made.Ticket)
}

func TestFeedTickets(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada := p.user(t)
		browser := p.client(t) // which sends no Authorization
		refused := func(query string) {
			t.Helper()
			if _, a := browser.tryFollow(query); a.status != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", query, a.status, a.body)
			}
		}
		ticket := ada.ticket()
		feed := browser.follow(ticket).ready()
		feed.finished(ada.deposit(1).ID)
		refused(ticket) // once
		for _, made := range []string{"", "?ticket=", "?ticket=x", ticket + "x", "?ticket=" + ada.token} {
			refused(made)
		}
		resumed := browser.follow(ada.ticket() + "&last_event_id=0")
		if told := resumed.next(2); told[1].Event != "operation.finished" {
			t.Errorf("%s", brief(told))
		}

		old := ada.ticket()
		err := h.database().Write(t.Context(), func(tx database.Tx) error { // as time does
			_, err := tx.Exec("UPDATE feed_tickets SET expires_at_us = ?", time.Now().UnixMicro())
			return err
		})
		check(t, err)
		refused(old)

		late := ada.ticket()
		ada.do(http.MethodDelete, "/v1/sessions/current", nil).expect(t, http.StatusNoContent)
		refused(late)
		for _, f := range []*feedReader{feed, resumed} { // a ticket's stream belongs to the session, too
			if rest := f.end(); len(rest) == 0 || rest[len(rest)-1].Event != "session.ended" {
				t.Errorf("%s", brief(rest))
			}
		}
	})
}

// The end of a session ends its streams, wherever they are, and says why. Those of the next session go on.
func TestSessionEndedEndsTheStream(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		for _, c := range []struct {
			reason, setting string
			end             func(*client)
		}{
			{"signed_out", "GUICHET_SESSION_IDLE=1h", func(c *client) { c.do(http.MethodDelete, "/v1/sessions/current", nil).expect(t, http.StatusNoContent) }},
			{"taken_over", "GUICHET_SESSION_IDLE=1h", func(c *client) { c.signIn() }},
			{"idle", "GUICHET_SESSION_IDLE=10s", func(*client) {}}, // between two of the calls below a slow machine takes less
		} {
			near, far := h.two(c.setting)
			ada := near.user(t)
			before := *ada
			streams := []*feedReader{ada.follow("").ready(), ada.at(far).follow("").ready()}
			o := ada.deposit(1)
			c.end(ada)
			for i, f := range streams {
				told := f.end()
				if len(told) != 3 || told[1].Data.ID != o.ID || told[2].Event != "session.ended" || told[2].Data.Reason != c.reason || told[2].Data.SessionID == "" {
					t.Errorf("%s, stream %d: %s", c.reason, i, brief(told))
				}
			}
			eventually(t, "the token's end", func() error {
				if a := before.at(far).get("/v1/users/me"); a.status != http.StatusUnauthorized {
					return fmt.Errorf("%d", a.status)
				}
				return nil
			})
			ada.signIn()
			for _, p := range []*process{near, far} {
				next := ada.at(p).after(0) // past the end of the session before
				next.finished(ada.deposit(1).ID)
			}
			if far != near {
				far.stop()
			}
			near.stop()
		}
	})
}

// An orderly stop ends the streams, rather than waiting for them.
func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p := h.serve()
	ada := p.user(t)
	var feeds []*feedReader
	for range 20 {
		feeds = append(feeds, ada.follow("").ready())
	}
	began := time.Now()
	if status := p.stop(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if took := time.Since(began); took > requestPatience {
		t.Errorf("the stop took %v", took)
	}
	for _, f := range feeds {
		f.end()
	}
}
