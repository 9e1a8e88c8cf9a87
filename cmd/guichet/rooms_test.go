package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// two are two processes with APIs on the same stores; on the embedded pair, which belongs to one process, the same one.
func (h *house) two(extra ...string) (near, far *process) {
	h.Helper()
	near = h.serve(extra...)
	if h.embedded {
		return near, near
	}
	return near, h.start([]string{"api"}, extra...)
}

// People come and go, and the others learn it once.
func TestRoomsWorkedExample(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.two()
		ada, bob, admin := near.user(t), far.user(t), near.admin(t)
		tea := ada.open(map[string]any{"name": "Tea room", "topic": "Nothing in particular"})
		if tea.Name != "Tea room" || tea.Topic != "Nothing in particular" || tea.Event != nil || tea.Symbol != nil {
			t.Errorf("%+v", tea)
		}
		feed := ada.followRoom(tea.ID)
		first := bob.enter(tea.ID)
		if first.Room != tea.ID || first.User != bob.username || !first.Present {
			t.Errorf("%+v", first)
		}
		if told := feed.sees(t, "member.entered", bob, ""); !told.EnteredAt.Equal(first.EnteredAt) || told.Room != tea.ID {
			t.Errorf("told %+v, want %+v", told, first)
		}
		if again := bob.at(near).enter(tea.ID); !again.EnteredAt.Equal(first.EnteredAt) {
			t.Errorf("%+v", again)
		}
		bob.leave(tea.ID)
		feed.sees(t, "member.left", bob, "left")
		bob.at(near).leave(tea.ID)
		ada.enter(tea.ID)
		feed.sees(t, "member.entered", ada, "")
		if feed.count(t, "member.left", bob) != 1 || feed.count(t, "member.entered", bob) != 1 {
			t.Error("what bob did was told more than once")
		}

		bob.enter(tea.ID)
		feed.sees(t, "member.entered", bob, "")
		if got := ada.members(tea.ID); len(got) != 2 || got[0].User != min(ada.username, bob.username) || !got[0].Present || !got[1].Present {
			t.Errorf("%+v", got)
		}
		if page := allOf[member](ada, "/v1/rooms/"+tea.ID+"/members?limit=1"); len(page) != 2 || page[0].User >= page[1].User {
			t.Errorf("%+v", page)
		}
		admin.kick(tea.ID, bob).expect(t, http.StatusNoContent)
		feed.sees(t, "member.left", bob, "kicked")
		admin.kick(tea.ID, bob).problem(t, http.StatusNotFound, "unknown_member")
		bob.enter(tea.ID)

		listed := allOf[room](ada, "/v1/rooms?limit=1")
		if len(listed) != 2 || listed[0].ID != "lobby" || listed[0].Name != "Lobby" || listed[1] != tea {
			t.Errorf("%+v", listed)
		}
		var read room
		if ada.get("/v1/rooms/"+strings.ToUpper(tea.ID)).into(t, http.StatusOK, &read); read != tea {
			t.Errorf("%+v", read)
		}
		h.audit()
	})
}

// Each way to be refused, with its code.
func TestRoomsRefusals(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, admin := p.user(t), p.admin(t)
		admin.list("TCB")
		event := admin.announce(map[string]any{"sections": []section{{"A", 1, 1, 1}}})
		theirs := admin.open(map[string]any{"name": "The evening", "event": event})
		market := admin.open(map[string]any{"name": "TCB holders", "symbol": "TCB", "topic": ""})
		if theirs.Event == nil || *theirs.Event != event || market.Symbol == nil || *market.Symbol != "TCB" {
			t.Errorf("%+v, %+v", theirs, market)
		}
		ada.open(map[string]any{"name": "Straße"})
		for name, tt := range map[string]struct {
			by     *client
			body   any
			status int
			code   string
		}{
			"the lobby's name":       {ada, map[string]any{"name": "LOBBY"}, 409, "room_exists"},
			"a name in another case": {ada, map[string]any{"name": "STRASSE"}, 409, "room_exists"},
			"an event, by anybody":   {ada, map[string]any{"name": "x", "event": event}, 403, "forbidden"},
			"a symbol, by anybody":   {ada, map[string]any{"name": "x", "symbol": "NONE"}, 403, "forbidden"},
			"an event that has one":  {admin, map[string]any{"name": "x", "event": event}, 409, "room_exists"},
			"a symbol that has one":  {admin, map[string]any{"name": "x", "symbol": "TCB"}, 409, "room_exists"},
			"no such event":          {admin, map[string]any{"name": "x", "event": "0199b2c4-8a10-7000-8000-3f2a9c51d600"}, 404, "unknown_event"},
			"no event at all":        {admin, map[string]any{"name": "x", "event": "x"}, 404, "unknown_event"},
			"no such symbol":         {admin, map[string]any{"name": "x", "symbol": "NONE"}, 404, "unknown_symbol"},
			"both":                   {admin, map[string]any{"name": "x", "symbol": "TCB", "event": event}, 422, "invalid"},
			"no name":                {ada, map[string]any{"topic": "x"}, 422, "invalid"},
			"an empty name":          {ada, map[string]any{"name": ""}, 422, "invalid"},
			"a long name":            {ada, map[string]any{"name": strings.Repeat("a", 81)}, 422, "invalid"},
			"a name of two lines":    {ada, map[string]any{"name": "a\nb"}, 422, "invalid"},
			"a name with a space":    {ada, map[string]any{"name": " a"}, 422, "invalid"},
			"a long topic":           {ada, map[string]any{"name": "x", "topic": strings.Repeat("a", 251)}, 422, "invalid"},
			"a topic of two lines":   {ada, map[string]any{"name": "x", "topic": "a\nb"}, 422, "invalid"},
		} {
			t.Run(name, func(t *testing.T) { tt.by.of(t).post("/v1/rooms", tt.body).problem(t, tt.status, tt.code) })
		}
		ada.open(map[string]any{"name": strings.Repeat("ä", 80), "topic": strings.Repeat("ü", 250)})

		for _, unknown := range []string{"x", "0199b2c4-8a10-7000-8000-3f2a9c51d600", "LOBBY"} {
			path := "/v1/rooms/" + unknown
			ada.get(path).problem(t, 404, "unknown_room")
			ada.get(path+"/members").problem(t, 404, "unknown_room")
			ada.tryEnter(unknown).problem(t, 404, "unknown_room")
			ada.do(http.MethodDelete, path+"/members/me", nil).problem(t, 404, "unknown_room")
			admin.kick(unknown, ada).problem(t, 404, "unknown_room")
			admin.do(http.MethodPatch, path+"/restrictions/"+ada.username, map[string]any{"banned": true}).problem(t, 404, "unknown_room")
		}
		nobody := "/v1/rooms/lobby/members/nobody-has-this-name"
		admin.do(http.MethodDelete, nobody, nil).problem(t, 404, "unknown_member")
		admin.do(http.MethodPatch, "/v1/rooms/lobby/restrictions/nobody-has-this-name", map[string]any{"banned": true}).problem(t, 404, "unknown_user")
		ada.kick("lobby", admin).problem(t, 403, "forbidden")
		adas := "/v1/rooms/lobby/restrictions/" + ada.username
		ada.do(http.MethodPatch, adas, map[string]any{"banned": true}).problem(t, 403, "forbidden")
		for _, change := range []any{map[string]any{}, map[string]any{"banned": nil}, map[string]any{"muted_until": "tomorrow"}, map[string]any{"muted_until": 5}, map[string]any{"kicked": true},
			map[string]any{"muted_until": "9999-12-31T23:59:59-01:00"}} {
			admin.do(http.MethodPatch, adas, change).problem(t, 422, "invalid")
		}
		ada.get("/v1/rooms?cursor=x").problem(t, 400, "malformed")
		ada.get("/v1/rooms/lobby/members?cursor=!").problem(t, 400, "malformed")
		p.client(t).get("/v1/rooms").problem(t, 401, "unauthorized")
		ada.tryEnter(theirs.ID).problem(t, 403, "ticket_required")
		ada.get("/v1/rooms/"+theirs.ID+"/members").problem(t, 403, "ticket_required")
		ada.enter(market.ID)
		h.audit()
	})
}

// The same request with the same key opens one room.
func TestRoomsAreOpenedOnce(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.two()
		ada := near.user(t)
		body := map[string]any{"name": "Tea"}
		answers := make([]answer, 8)
		inParallel(len(answers), func(i int) {
			answers[i] = ada.at([]*process{near, far}[i%2]).post("/v1/rooms", body, key("tea"))
		})
		for _, a := range answers {
			a.expect(t, http.StatusCreated)
			if string(a.body) != string(answers[0].body) {
				t.Errorf("%s, and %s", answers[0].body, a.body)
			}
		}
		ada.post("/v1/rooms", map[string]any{"name": "Coffee"}, key("tea")).problem(t, 422, "idempotency_key_reused")
		ada.post("/v1/rooms", body).problem(t, 409, "room_exists")
	})
}

// Only holders of a ticket enter the room of an event; who has given theirs back may not come again.
func TestRoomsOfEvents(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		b := h.serve().announce(t, section{"A", 1, 4, 100})
		ada, bob := b.guest(1000), b.guest(1000)
		theirs := b.admin.open(map[string]any{"name": "The evening", "event": b.event})
		held := b.reserve(ada, "A-1-1")
		ada.tryEnter(theirs.ID).problem(t, 403, "ticket_required")
		paid := ada.paid(held)
		ada.enter(theirs.ID)
		listening, watching := ada.followRoom(theirs.ID), b.admin.followRoom(theirs.ID)
		if _, a := bob.tryFollow("?topics=room:" + theirs.ID); a.status != http.StatusForbidden {
			t.Errorf("following without a ticket: %d %s", a.status, a.body)
		}
		b.admin.enter(theirs.ID) // without a ticket

		used := b.reserve(bob, "A-1-2")
		used = bob.paid(used)
		b.admin.post("/v1/tickets/"+used.Tickets[0]+"/check-in", nil).expect(t, http.StatusOK)
		bob.enter(theirs.ID)

		ada.leave(theirs.ID)
		ada.refund(paid)
		ada.tryEnter(theirs.ID).problem(t, 403, "ticket_required")
		eventually(t, "the ticket's end", func() error {
			if a := ada.get("/v1/rooms/" + theirs.ID + "/members"); a.status != http.StatusForbidden {
				return fmt.Errorf("%d", a.status)
			}
			return nil
		})
		listening.end()
		if watching.over() {
			t.Error("the stream of an admin, who needs no ticket, has ended too")
		}
		h.audit()
	})
}

// Who is banned is put out, wherever their streams are, and comes in nowhere until the ban is lifted.
func TestBans(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.two()
		admin, ada, bob := near.admin(t), near.user(t), far.user(t)
		watching := ada.followRoom("lobby")
		bob.enter("lobby")
		watching.sees(t, "member.entered", bob, "")
		his := []*feedReader{bob.followRoom("lobby"), bob.at(near).followRoom("lobby")}
		other := bob.follow("?topics=me").ready()
		if r := admin.moderate("lobby", bob, map[string]any{"banned": true}); !r.Banned || r.MutedUntil != nil || r.User != bob.username || r.Room != "lobby" {
			t.Errorf("%+v", r)
		}
		bob.at(near).get("/v1/rooms/lobby/members").problem(t, 403, "banned") // at once, where it was answered
		watching.sees(t, "member.left", bob, "banned")
		for _, f := range his {
			f.end()
		}
		for _, p := range []*process{near, far} {
			bob.at(p).tryEnter("lobby").problem(t, 403, "banned")
			eventually(t, "the ban elsewhere", func() error {
				if a := bob.at(p).get("/v1/rooms/lobby/members"); a.status != http.StatusForbidden {
					return fmt.Errorf("%d", a.status)
				}
				return nil
			})
			if _, a := bob.at(p).tryFollow("?topics=room:lobby"); a.status != http.StatusForbidden {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		other.finished(bob.deposit(1).ID) // goes on
		admin.moderate("lobby", bob, map[string]any{"banned": true})
		h.audit()
		if r := admin.at(far).moderate("lobby", bob, map[string]any{"banned": false}); r.Banned {
			t.Errorf("%+v", r)
		}
		bob.at(near).get("/v1/rooms/lobby/members").expect(t, http.StatusOK)
		bob.at(near).enter("lobby")
		watching.sees(t, "member.entered", bob, "")
		if n := watching.count(t, "member.left", bob); n != 1 {
			t.Errorf("told %d times that bob has left", n)
		}
		h.audit()
	})
}

// A mute lasts until its time, or until it is lifted, and keeps nobody from being there.
func TestMutes(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, _ := h.two()
		admin, ada := near.admin(t), near.user(t)
		feed := ada.followRoom("lobby")
		ada.enter("lobby")
		until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		if r := admin.moderate("lobby", ada, map[string]any{"muted_until": until}); r.Banned || r.MutedUntil == nil || !r.MutedUntil.Equal(until) {
			t.Errorf("%+v", r)
		}
		told := feed.until(func(e feedEntry) bool { return e.Event == "member.restricted" })
		if r := decode[restriction](t, told[len(told)-1]); r.MutedUntil == nil || !r.MutedUntil.Equal(until) || r.User != ada.username {
			t.Errorf("%+v", r)
		}
		ada.enter("lobby")
		if r := admin.moderate("lobby", ada, map[string]any{"banned": false}); r.MutedUntil == nil {
			t.Errorf("%+v", r)
		}
		for _, lifted := range []any{nil, time.Now().Add(-time.Hour)} {
			admin.moderate("lobby", ada, map[string]any{"muted_until": until})
			if r := admin.moderate("lobby", ada, map[string]any{"muted_until": lifted}); r.MutedUntil != nil {
				t.Errorf("%+v", r)
			}
		}
		h.audit()
	})
}

// Hundreds enter a room at once: all are in it, and each is told of once.
func TestACrowdEnters(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near, far := h.two()
		b := &boxOffice{process: near, TB: t}
		watching := b.guest(0).followRoom("lobby")
		people := b.guests(200, 0)
		inParallel(2*len(people), func(i int) {
			people[i/2].at([]*process{near, far}[i%2]).enter("lobby")
		})
		told := map[string]int{}
		watching.until(func(e feedEntry) bool {
			if e.Event == "member.entered" {
				told[decode[comingOrGoing](t, e).User]++
			}
			return len(told) == len(people)
		})
		var names []string
		for _, m := range people[0].members("lobby") {
			names = append(names, m.User)
		}
		if len(names) != len(people) || !slices.IsSorted(names) {
			t.Errorf("%d are in the room: %v", len(names), names)
		}
		for user, n := range told {
			if n != 1 {
				t.Errorf("%s is told of %d times", user, n)
			}
		}
		h.audit()
	})
}
