package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/id"
)

func TestMessages(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		room := h.openRoom("Hall")
		ada, bob := p.speaker(t, room), p.speaker(t, room)
		first := ada.said(room, "Hello, \"world\"\n\te\u0301 😀")
		if first.Sequence != 1 || first.Room != room || first.User != ada.username || first.Text != "Hello, \"world\"\n\té 😀" || first.EditedAt != nil || first.DeletedAt != nil ||
			time.Since(first.At) > time.Minute {
			t.Errorf("%+v", first)
		}
		second := bob.said(room, "Hello, ada")
		if got := ada.messages(room, ""); !slices.Equal(got.Items, []chatMessage{second, first}) || got.NextCursor != nil {
			t.Errorf("%+v", got)
		}
		var got chatMessage
		bob.get("/v1/rooms/"+room+"/messages/"+first.ID).into(t, http.StatusOK, &got)
		if got != first {
			t.Errorf("%+v; want %+v", got, first)
		}
		lobby := p.speaker(t, "lobby")
		if m := lobby.said("lobby", "elsewhere"); m.Sequence != 1 || m.Room != "lobby" {
			t.Errorf("%+v", m)
		}
		for _, c := range []struct {
			answer answer
			status int
			code   string
		}{
			{lobby.say(room, "from outside"), 409, "not_a_member"},
			{ada.say(id.NewGenerator().Next().String(), "where?"), 404, "unknown_room"},
			{ada.say(room, ""), 422, "invalid"},
			{ada.say(room, " \n"), 422, "invalid"},
			{ada.say(room, "bell\a"), 422, "invalid"},
			{ada.say(room, "two\r\nlines"), 422, "invalid"},
			{ada.say(room, strings.Repeat("x", 4001)), 422, "invalid"},
			{ada.say(room, strings.Repeat("\u0958", 4000)), 422, "invalid"},
			{ada.edit(first, "\u200b"), 422, "invalid"},
			{ada.post("/v1/rooms/"+room+"/messages", map[string]any{"text": "x", "color": "red"}), 422, "invalid"},
			{ada.get("/v1/rooms/" + room + "/messages/" + id.NewGenerator().Next().String()), 404, "unknown_message"},
			{ada.get("/v1/rooms/" + room + "/messages/nonsense"), 404, "unknown_message"},
			{ada.get("/v1/rooms/lobby/messages/" + first.ID), 404, "unknown_message"},
			{p.client(t).say(room, "who?"), 401, "unauthorized"},
		} {
			c.answer.problem(t, c.status, c.code)
		}
		if m := ada.said(room, strings.Repeat("ü", 4000)); m.Sequence != 3 || len(m.Text) != 8000 {
			t.Errorf("message %d has %d bytes", m.Sequence, len(m.Text))
		}
		h.storedMessages(room, 3)
	})
}

// Hundreds of messages at once in two rooms: each room's sequences are 1, 2, 3 and so on, and everybody reads the same.
func TestMessagesCrowd(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const people, each = 60, 8
		p := h.serve()
		rooms := []string{h.openRoom("Hall"), h.openRoom("Foyer")}
		acked := map[string][]chatMessage{}
		var mu sync.Mutex
		speakers := make([]*client, people)
		inParallel(people, func(i int) { speakers[i] = p.speaker(t, rooms[i%2]) })
		inParallel(people, func(i int) {
			for n := range each {
				m := speakers[i].said(rooms[i%2], fmt.Sprintf("%d says %d", i, n))
				mu.Lock()
				acked[m.Room] = append(acked[m.Room], m)
				mu.Unlock()
			}
		})
		for i, room := range rooms {
			all := speakers[i].allMessages(room, "?after=0&limit=37")
			wantAmong(t, acked[room], all)
			back := speakers[i].allMessages(room, "?limit=41")
			slices.Reverse(back)
			if len(all) != people/2*each || !slices.Equal(all, back) {
				t.Errorf("%d forward, %d back", len(all), len(back))
			}
			h.storedMessages(room, int64(len(all)))
			if again := speakers[i].allMessages(room, "?after=0&limit=200"); !slices.Equal(all, again) {
				t.Error("it is not the same once it is stored")
			}
		}
	})
}

func TestMessagesHistory(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		room := h.openRoom("Hall")
		ada := p.speaker(t, room)
		if got := ada.messages(room, ""); len(got.Items) != 0 || got.NextCursor != nil {
			t.Errorf("%+v", got)
		}
		var said []chatMessage
		for n := range 7 {
			said = append(said, ada.said(room, fmt.Sprint(n)))
		}
		for query, want := range map[string]string{
			"": "7654321", "?limit=2": "76+", "?limit=7": "7654321", "?limit=6": "765432+",
			"?before=1": "", "?before=2": "1", "?before=4&limit=2": "32+", "?before=8": "7654321", "?before=9007199254740991": "7654321",
			"?after=0": "1234567", "?after=0&limit=3": "123+", "?after=1": "234567", "?after=6": "7", "?after=7": "", "?after=8": "", "?after=9007199254740991": "",
			"?after=5&limit=2": "67",
		} {
			got, text := ada.messages(room, query), ""
			for _, m := range got.Items {
				text += fmt.Sprint(m.Sequence)
				if m != said[m.Sequence-1] {
					t.Errorf("%+v; want %+v", m, said[m.Sequence-1])
				}
			}
			if got.NextCursor != nil {
				text += "+"
			}
			if text != want {
				t.Errorf("%s: %s; want %s", query, text, want)
			}
		}
		for _, first := range []string{"?limit=1&after=0", "?limit=1"} {
			if all := ada.allMessages(room, first); len(all) != 7 {
				t.Errorf("%s: %+v", first, all)
			}
		}
		path := "/v1/rooms/" + room + "/messages"
		ada.get(path+"?before=3&after=1").problem(t, 422, "invalid")
		for _, query := range []string{"?before=0", "?before=-1", "?after=-1", "?limit=0", "?limit=201", "?before=9007199254740992"} {
			ada.get(path+query).problem(t, 422, "invalid")
		}
		for _, cursor := range []string{"x", "YWZ0ZXIu", "YWZ0ZXIuMA", "YmVmb3JlLi0x", "MTI"} { // after., after.0, before.-1, 12
			ada.get(path+"?cursor="+cursor).problem(t, 400, "malformed")
		}
	})
}

// The same Idempotency-Key from fifty at once: with the same body it is said once, and all are answered the same; with others it is refused. So it stays after a restart.
func TestMessagesFiftyWithOneKey(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		room := h.openRoom("Hall")
		ada := p.speaker(t, room)
		key := header("Idempotency-Key", "one")
		answers := make([]answer, 50)
		inParallel(len(answers), func(i int) { answers[i] = ada.say(room, "once", key) })
		made := 0
		for _, a := range answers {
			a.expect(t, http.StatusCreated)
			if string(a.body) != string(answers[0].body) {
				t.Errorf("%s, and %s", a.body, answers[0].body)
			}
			if a.header.Get("Idempotency-Replayed") == "" {
				made++
			}
		}
		other := header("Idempotency-Key", "other")
		inParallel(len(answers), func(i int) { answers[i] = ada.say(room, fmt.Sprint("text ", i%5), other) })
		taken := map[string]int{}
		for _, a := range answers {
			if a.status == http.StatusUnprocessableEntity {
				a.problem(t, 422, "idempotency_key_reused")
				continue
			}
			taken[string(a.expect(t, http.StatusCreated).body)]++
		}
		if len(ada.allMessages(room, "")) != 2 || made != 1 || len(taken) != 1 {
			t.Errorf("%d made the first; of the second are %v", made, taken)
		}
		for _, n := range taken {
			if n != 10 {
				t.Errorf("%d were told of the second", n)
			}
		}
		h.storedMessages(room, 2)
		first := ada.say(room, "once", key).expect(t, http.StatusCreated)
		ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1}, key).problem(t, 422, "idempotency_key_reused")
		p.stop()
		p = h.serve()
		ada = ada.at(p)
		again := ada.say(room, "once", key).expect(t, http.StatusCreated)
		if string(again.body) != string(first.body) || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s; want %s", again.body, first.body)
		}
		ada.say(room, "twice", key).problem(t, 422, "idempotency_key_reused")
		ada.deposit(1)
		used := header("Idempotency-Key", "deposit")
		ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1}, used).expect(t, http.StatusAccepted)
		ada.say(room, "with the key of a deposit", used).problem(t, 422, "idempotency_key_reused")
		bob := p.speaker(t, room)
		bob.said(room, "once", key) // keys are a user's own
		if all := ada.allMessages(room, "?after=0"); len(all) != 3 {
			t.Errorf("%+v", all)
		}
	})
}

func TestMessagesEditAndDelete(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		room, oldRoom := h.openRoom("Hall"), h.openRoom("Attic")
		ada, bob, admin := p.speaker(t, room), p.speaker(t, room), p.admin(t)
		m := ada.said(room, "Helo")
		var edited chatMessage
		ada.edit(m, "Hello", header("Idempotency-Key", "correct")).into(t, http.StatusOK, &edited) // it may not be stored yet
		if edited.EditedAt == nil || edited.EditedAt.Before(m.At) || edited.Text != "Hello" || edited.Sequence != 1 || edited.ID != m.ID || edited.DeletedAt != nil {
			t.Errorf("%+v", edited)
		}
		again := ada.edit(m, "Hello", header("Idempotency-Key", "correct")).expect(t, http.StatusOK)
		if again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s", again.body)
		}
		var got chatMessage
		bob.get("/v1/rooms/"+room+"/messages/"+m.ID).into(t, http.StatusOK, &got)
		if got.Text != "Hello" || got.EditedAt == nil || !got.EditedAt.Equal(*edited.EditedAt) {
			t.Errorf("%+v", got)
		}
		bob.edit(m, "Mine").problem(t, 403, "not_your_message")
		admin.enter(room)
		admin.edit(m, "Mine").problem(t, 403, "not_your_message")
		bob.takeBack(m).problem(t, 403, "not_your_message")
		var deleted chatMessage
		ada.takeBack(m).into(t, http.StatusOK, &deleted)
		if deleted.DeletedAt == nil || deleted.Text != "" || deleted.ID != m.ID {
			t.Errorf("%+v", deleted)
		}
		first := ada.takeBack(m).expect(t, http.StatusOK)
		if !strings.Contains(string(first.body), deleted.DeletedAt.Format("2006-01-02T15:04:05.")) {
			t.Errorf("%s; and before %+v", first.body, deleted)
		}
		admin.takeBack(m).expect(t, http.StatusOK)
		bob.takeBack(m).problem(t, 403, "not_your_message")
		ada.edit(m, "No").problem(t, 409, "message_deleted")
		spam := bob.said(room, "spam")
		admin.takeBack(spam).expect(t, http.StatusOK)
		bob.edit(spam, "no spam").problem(t, 409, "message_deleted")
		ada.edit(chatMessage{ID: id.NewGenerator().Next().String(), Room: room}, "x").problem(t, 404, "unknown_message")
		ada.takeBack(chatMessage{ID: m.ID, Room: "lobby"}).problem(t, 404, "unknown_message")
		if all := ada.allMessages(room, "?after=0"); len(all) != 2 || all[0].Text != "" || all[1].Text != "" || all[0].DeletedAt == nil || all[1].DeletedAt == nil {
			t.Errorf("%+v", all)
		}
		ada.enter(oldRoom)
		old := h.oldMessage(oldRoom, ada, 15*time.Minute+time.Second)
		ada.edit(old, "x").problem(t, 409, "message_too_old")
		ada.takeBack(old).problem(t, 409, "message_too_old")
		admin.takeBack(old).expect(t, http.StatusOK)
		ada.takeBack(old).expect(t, http.StatusOK)
	})
}

// What was said a moment ago can be corrected and taken back, stored or not.
func TestMessagesChangedAtOnce(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		room := h.openRoom("Hall")
		inParallel(10, func(int) {
			c := p.speaker(t, room)
			for n := range 5 {
				m := c.said(room, fmt.Sprint(n))
				c.edit(m, "corrected").expect(t, http.StatusOK)
				if n%2 == 0 {
					c.takeBack(m).expect(t, http.StatusOK)
				}
			}
		})
		texts := map[string]int{}
		all := p.speaker(t, room).allMessages(room, "?after=0")
		for _, m := range all {
			texts[m.Text]++
		}
		if wantDense(t, all); texts["corrected"] != 20 || texts[""] != 30 {
			t.Errorf("%v", texts)
		}
	})
}

// laneShown is a lane as operators see it.
type laneShown struct {
	Name        string
	Depth       int64
	OldestAgeMs int64 `json:"oldest_age_ms"`
	Rate        float64
	Paused      bool
}

// laneOf reads a lane as the admin sees it.
func (c *client) laneOf(name string) laneShown {
	c.Helper()
	var lanes struct{ Items []laneShown }
	c.get("/v1/lanes").into(c, http.StatusOK, &lanes)
	for _, lane := range lanes.Items {
		if lane.Name == name {
			return lane
		}
	}
	c.Fatalf("there is no lane %s", name)
	return laneShown{}
}

// While the lane is paused nothing is stored, and operators see what waits. Where Redis keeps messages, people talk on; else they are told that it cannot be kept.
func TestMessagesPausedLane(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		room := h.openRoom("Hall")
		ada, admin := p.speaker(t, room), p.admin(t)
		ada.said(room, "first")
		h.storedMessages(room, 1)
		admin.do(http.MethodPatch, "/v1/lanes/chat-messages", map[string]any{"paused": true}).expect(t, http.StatusOK)
		count := int64(6)
		if h.embedded {
			count = 2
			ada.say(room, "not kept", header("Idempotency-Key", "again")).problem(t, 503, "unavailable")
		} else {
			for n := range 5 {
				ada.said(room, fmt.Sprint(n))
			}
		}
		lane := admin.laneOf("chat-messages")
		if lane.Depth != count-1 || lane.OldestAgeMs < 1 || !lane.Paused {
			t.Errorf("%+v", lane)
		}
		if all := ada.allMessages(room, ""); int64(len(all)) != count {
			t.Errorf("%+v", all)
		}
		db := h.database()
		defer db.Close() //nolint:errcheck // only read
		if n := number(t, db, "SELECT COUNT(*) FROM messages"); n != 1 {
			t.Errorf("%d are stored", n)
		}
		admin.do(http.MethodPatch, "/v1/lanes/chat-messages", map[string]any{"paused": false}).expect(t, http.StatusOK)
		h.storedMessages(room, count)
		if h.embedded {
			if m := ada.said(room, "not kept", header("Idempotency-Key", "again")); m.Sequence != 2 {
				t.Errorf("%+v", m)
			}
		}
		eventually(t, "the lane's rate", func() error {
			if lane := admin.laneOf("chat-messages"); lane.Depth != 0 || lane.Rate <= 0 {
				return fmt.Errorf("%+v", lane)
			}
			return nil
		})
	})
}
