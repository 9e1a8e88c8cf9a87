package main

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A whole game, with people who watch it, one of them from the middle on.
func TestGamesWholeGame(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(3)
		ada, grace, alan := guests[0], guests[1], guests[2]
		feeds := []*feedReader{alan.follow("?topics=room:lobby").ready(), grace.follow("?topics=me,room:lobby").ready()}

		invited := ada.invite(120)
		if invited.Status != "invited" || invited.Room != "lobby" || invited.Inviter != ada.username || invited.MoveSeconds != 120 || len(invited.Moves) != 0 {
			t.Errorf("%+v", invited)
		}
		begun := grace.accepts(invited.ID)
		if begun.Status != "playing" || !is(begun.White, grace.username) || !is(begun.Turn, ada.username) {
			t.Errorf("%+v", begun)
		}
		if left := time.Until(*begun.MoveDeadline); left > 2*time.Minute || left < time.Minute {
			t.Errorf("%v for the first move", left)
		}
		steps := []game{invited, begun}
		for n := range 4 {
			steps = append(steps, ada.moves(invited.ID, 7, 3+n), grace.moves(invited.ID, 8, 3+n))
		}
		late := alan.follow("?topics=room:lobby", header("Last-Event-ID", "0"))
		feeds = append(feeds, late)
		won := ada.moves(invited.ID, 7, 7)
		steps = append(steps, won)
		if won.Status != "ended" || !is(won.Winner, ada.username) || !is(won.Reason, "five_in_a_row") || won.Grid[7] != "...BBBBB......." || won.Grid[8] != "...WWWW........" {
			t.Errorf("%+v", won)
		}
		if read := alan.game(invited.ID); !reflect.DeepEqual(read, won) {
			t.Errorf("read %+v, told %+v", read, won)
		}
		for _, feed := range feeds {
			told := feed.gamesUntilEnd(invited.ID)
			if len(told) != len(steps) {
				t.Fatalf("a reader was told %s", brief(told))
			}
			for n, e := range told {
				want := "game.moved"
				switch n {
				case 0:
					want = "game.invited"
				case 1:
					want = "game.started"
				case len(steps) - 1:
					want = "game.ended"
				}
				if got := decode[game](t, e); e.Event != want || !reflect.DeepEqual(got, steps[n]) {
					t.Errorf("%s %+v, want %s %+v", e.Event, got, want, steps[n])
				}
			}
		}
		for name, want := range map[string]player{
			ada.username: {ada.username, 1, 0, 0}, strings.ToUpper(grace.username): {grace.username, 0, 1, 0}, alan.username: {User: alan.username}, "admin": {User: "admin"},
		} {
			if got := alan.player(name); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		h.audit()
	})
}

// Each refusal has its code, and changes nothing.
func TestGamesRefusals(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(3)
		ada, grace, alan := guests[0], guests[1], guests[2]
		outside := p.user(t)
		const none = "0199b2c4-8a10-7000-8000-3f2a9c51d600"

		ada.get("/v1/rooms/"+none+"/games").problem(t, http.StatusNotFound, "unknown_room")
		ada.post("/v1/rooms/"+none+"/games", terms{}).problem(t, http.StatusNotFound, "unknown_room")
		outside.post("/v1/rooms/lobby/games", terms{}).problem(t, http.StatusConflict, "not_a_member")
		for _, id := range []string{none, "none"} {
			ada.get("/v1/games/"+id).problem(t, http.StatusNotFound, "unknown_game")
			ada.acceptGame(id).problem(t, http.StatusNotFound, "unknown_game")
			ada.move(id, 0, 0).problem(t, http.StatusNotFound, "unknown_game")
			ada.leaveGame(id).problem(t, http.StatusNotFound, "unknown_game")
		}
		for _, name := range []string{"nobody-" + ada.username, "no body", strings.Repeat("x", 255)} {
			ada.get("/v1/players/"+strings.ReplaceAll(name, " ", "%20")).problem(t, http.StatusNotFound, "unknown_user")
		}

		var first game
		ada.post("/v1/rooms/lobby/games", terms{}).into(t, http.StatusCreated, &first)
		if first.MoveSeconds != 300 {
			t.Errorf("%d s a move if nobody says", first.MoveSeconds)
		}
		id := first.ID
		ada.post("/v1/rooms/lobby/games", terms{}).problem(t, http.StatusConflict, "already_waiting")
		ada.acceptGame(id).problem(t, http.StatusConflict, "own_game")
		outside.acceptGame(id).problem(t, http.StatusConflict, "not_a_member")
		ada.move(id, 0, 0).problem(t, http.StatusConflict, "not_playing")
		grace.move(id, 0, 0).problem(t, http.StatusForbidden, "not_a_player")
		grace.leaveGame(id).problem(t, http.StatusForbidden, "not_a_player")

		grace.accepts(id)
		alan.acceptGame(id).problem(t, http.StatusConflict, "game_taken")
		grace.acceptGame(id).problem(t, http.StatusConflict, "game_taken")
		grace.move(id, 0, 0).problem(t, http.StatusConflict, "not_your_turn")
		alan.move(id, 0, 0).problem(t, http.StatusForbidden, "not_a_player")
		ada.moves(id, 0, 14)
		grace.move(id, 0, 14).problem(t, http.StatusConflict, "cell_taken")
		if g := grace.game(id); len(g.Moves) != 1 {
			t.Errorf("%+v", g)
		}
		var over game
		grace.leaveGame(id).into(t, http.StatusOK, &over)
		if !is(over.Reason, "resignation") || !is(over.Winner, ada.username) || over.Status != "ended" {
			t.Errorf("%+v", over)
		}
		ada.move(id, 1, 1).problem(t, http.StatusConflict, "not_playing")
		ada.leaveGame(id).problem(t, http.StatusConflict, "not_playing")
		alan.acceptGame(id).problem(t, http.StatusConflict, "game_taken")

		second := ada.invite(60)
		var withdrawn game
		ada.leaveGame(second.ID).into(t, http.StatusOK, &withdrawn)
		if withdrawn.agrees(t).Status != "withdrawn" {
			t.Errorf("%+v", withdrawn)
		}
		grace.acceptGame(second.ID).problem(t, http.StatusConflict, "not_waiting")
		ada.leaveGame(second.ID).problem(t, http.StatusConflict, "not_playing")
		h.audit()
	})
}

// Moves and invitations at the edges of what the contract allows.
func TestGamesBoundaries(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(2)
		ada, grace := guests[0], guests[1]
		for _, body := range []string{`{"move_seconds":0}`, `{"move_seconds":-1}`, `{"move_seconds":86401}`, `{"move_seconds":1.5}`, `{"move_seconds":"60"}`, `{"move_seconds":null}`, `{"seconds":60}`, `[]`, `null`} {
			ada.post("/v1/rooms/lobby/games", body).problem(t, http.StatusUnprocessableEntity, "invalid")
		}
		ada.post("/v1/rooms/lobby/games", "").problem(t, http.StatusBadRequest, "malformed")
		for _, seconds := range []int{1, 86_400} {
			ada.leaveGame(ada.invite(seconds).ID).expect(t, http.StatusOK)
		}
		id := ada.invite(86_400).ID
		grace.accepts(id)
		for _, bad := range []string{`-1`, `15`, `1.5`, `"1"`, `null`, `true`, `[1]`, `1e2`, `9223372036854775808`, `-9223372036854775809`} {
			for _, body := range []string{`{"row":%s,"column":0}`, `{"row":0,"column":%s}`} {
				ada.post("/v1/games/"+id+"/moves", fmt.Sprintf(body, bad)).problem(t, http.StatusUnprocessableEntity, "invalid")
			}
		}
		for _, body := range []string{`{}`, `{"row":0}`, `{"column":0}`, `{"row":0,"column":0,"stone":"black"}`, `[0,0]`} {
			ada.post("/v1/games/"+id+"/moves", body).problem(t, http.StatusUnprocessableEntity, "invalid")
		}
		ada.post("/v1/games/"+id+"/moves", `{"row":0,`).problem(t, http.StatusBadRequest, "malformed")
		for n, corner := range [][2]int{{0, 0}, {0, 14}, {14, 0}, {14, 14}} {
			[]*client{ada, grace}[n%2].moves(id, corner[0], corner[1])
		}
		if g := ada.game(id); g.Grid[0] != "B.............W" || g.Grid[14] != "B.............W" {
			t.Errorf("%q", g.Grid)
		}
		h.audit()
	})
}

// A request that comes again with its key gets its answer again, whatever has become of the game and of who is in the room.
func TestGamesIdempotency(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(2)
		ada, grace := guests[0], guests[1]
		again := func(ask func(option) answer, name string) answer {
			t.Helper()
			first, second := ask(key(name)), ask(key(name))
			if first.status != second.status || string(first.body) != string(second.body) || first.header.Get("Idempotency-Replayed") != "" || second.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("%s: %d %s\nagain: %d %s", name, first.status, first.body, second.status, second.body)
			}
			return second
		}
		var invited game
		invite := func(o option) answer { return ada.post("/v1/rooms/lobby/games", terms{"move_seconds": 60}, o) }
		again(invite, "invite").into(t, http.StatusCreated, &invited)
		ada.post("/v1/rooms/lobby/games", terms{"move_seconds": 61}, key("invite")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		accept := func(o option) answer { return grace.acceptGame(invited.ID, o) }
		again(accept, "accept").expect(t, http.StatusOK)
		again(func(o option) answer { return grace.move(invited.ID, 0, 0, o) }, "too early").problem(t, http.StatusConflict, "not_your_turn")
		again(func(o option) answer { return ada.move(invited.ID, 7, 7, o) }, "move").expect(t, http.StatusOK)
		again(func(o option) answer { return grace.leaveGame(invited.ID, o) }, "leave").expect(t, http.StatusOK)
		if g := ada.game(invited.ID); len(g.Moves) != 1 || !is(g.Winner, ada.username) {
			t.Errorf("%+v", g)
		}
		ada.leave("lobby")
		grace.leave("lobby")
		invite(key("invite")).expect(t, http.StatusCreated)
		accept(key("accept")).expect(t, http.StatusOK)
		accept(key("another")).problem(t, http.StatusConflict, "not_a_member")
		if got := ada.player(ada.username); got != (player{ada.username, 1, 0, 0}) {
			t.Errorf("%+v", got)
		}
		h.audit()
	})
}

// Two users accept in the same instant; both players move in the same instant.
func TestGamesAtOnce(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(3)
		ada, grace, alan := guests[0], guests[1], guests[2]
		both := func(first, second func() answer) (answers [2]answer) {
			var asking sync.WaitGroup
			start := make(chan struct{})
			for i, ask := range []func() answer{first, second} {
				asking.Go(func() {
					<-start
					answers[i] = ask()
				})
			}
			close(start)
			asking.Wait()
			return answers
		}
		taken := [2]int{}
		for n := range 200 {
			id := ada.invite(600).ID
			answers := both(func() answer { return grace.acceptGame(id) }, func() answer { return alan.acceptGame(id) })
			winner := slices.IndexFunc(answers[:], func(a answer) bool { return a.status == http.StatusOK })
			if winner < 0 {
				t.Fatalf("game %d: %s\n%s", n, answers[0].body, answers[1].body)
			}
			answers[1-winner].problem(t, http.StatusConflict, "game_taken")
			taken[winner]++
			if n%10 > 0 {
				continue
			}
			white := guests[1+winner]
			if g := alan.game(id); !is(g.White, white.username) {
				t.Errorf("%+v", g)
			}
			// Black's move may be decided first: then white's is good, too.
			answers = both(func() answer { return ada.move(id, 7, 7) }, func() answer { return white.move(id, 7, 8) })
			answers[0].expect(t, http.StatusOK)
			if answers[1].status != http.StatusOK {
				answers[1].problem(t, http.StatusConflict, "not_your_turn")
				white.moves(id, 7, 8)
			}
			// And one cell for both: black's it is.
			answers = both(func() answer { return ada.move(id, 0, 0) }, func() answer { return white.move(id, 0, 0) })
			answers[0].expect(t, http.StatusOK)
			if code := problemCode(t, answers[1]); code != "not_your_turn" && code != "cell_taken" {
				t.Errorf("%s", answers[1].body)
			}
			// Black moves twice at once: one of them counts.
			white.moves(id, 1, 0)
			answers = both(func() answer { return ada.move(id, 2, 2) }, func() answer { return ada.move(id, 3, 3) })
			if answers[0].status == answers[1].status || len(ada.game(id).Moves) != 5 {
				t.Errorf("%s\n%s", answers[0].body, answers[1].body)
			}
		}
		t.Logf("accepted first: %v", taken)
		h.audit()
	})
}

func problemCode(t testing.TB, a answer) string {
	t.Helper()
	var problem struct{ Code string }
	a.into(t, http.StatusConflict, &problem)
	return problem.Code
}

// With both players gone the clock ends their games, also across a restart.
func TestGamesClock(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(3)
		ada, grace, alan := guests[0], guests[1], guests[2]
		watching := alan.follow("?topics=room:lobby").ready()
		first := ada.invite(1)
		grace.accepts(first.ID)
		told := watching.gamesUntilEnd(first.ID)
		ended := decode[game](t, told[len(told)-1])
		if !is(ended.Winner, grace.username) || !is(ended.Reason, "timeout") || len(told) != 3 {
			t.Errorf("%s: %+v", brief(told), ended)
		}
		second := ada.invite(1)
		grace.accepts(second.ID)
		p.kill()

		p = h.openParlour()
		ada, grace, alan = ada.at(p.process), grace.at(p.process), alan.at(p.process)
		eventually(t, "the end of the game", func() error {
			if g := alan.game(second.ID); g.Status != "ended" || !is(g.Winner, grace.username) && len(g.Moves) == 0 || !is(g.Reason, "timeout") {
				return fmt.Errorf("%+v", g)
			}
			return nil
		})
		ada.move(second.ID, 0, 0).problem(t, http.StatusConflict, "not_playing")
		if got := alan.player(grace.username); got != (player{grace.username, 2, 0, 0}) {
			t.Errorf("%+v", got)
		}

		// On time, executed or not: a move that comes to its turn too late is refused, and the game is over.
		admin := p.admin(t)
		var third game
		for {
			third = ada.invite(1)
			third = grace.accepts(third.ID)
			admin.pauseLane("chat-games", true)
			if third.MoveDeadline != nil && time.Now().Before(*third.MoveDeadline) {
				break
			}
			admin.pauseLane("chat-games", false) // too late: the game may be over
		}
		moved := make(chan answer)
		go func() { moved <- ada.move(third.ID, 7, 7) }()
		<-time.After(time.Until(*third.MoveDeadline) + 200*time.Millisecond)
		if g := alan.game(third.ID); g.Status != "playing" {
			t.Errorf("%+v", g)
		}
		admin.pauseLane("chat-games", false)
		(<-moved).problem(t, http.StatusConflict, "not_playing")
		if g := alan.game(third.ID); len(g.Moves) != 0 || !is(g.Reason, "timeout") || !is(g.Winner, grace.username) {
			t.Errorf("%+v", g)
		}
		h.audit()
	})
}

// Whoever leaves the room withdraws their invitation, also if they come back at once; a game goes on.
func TestGamesLeavingTheRoom(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(3)
		ada, grace, alan := guests[0], guests[1], guests[2]
		watching := alan.follow("?topics=room:lobby").ready()
		first := ada.invite(60)
		ada.leave("lobby")
		grace.acceptGame(first.ID).problem(t, http.StatusConflict, "not_waiting")
		if told := watching.gamesUntilEnd(first.ID); decode[game](t, told[len(told)-1]).Status != "withdrawn" {
			t.Errorf("%s", brief(told))
		}
		ada.enter("lobby")
		second := ada.invite(60)
		ada.leave("lobby")
		watching.gamesUntilEnd(second.ID) // though nobody asks
		ada.enter("lobby")
		third := ada.invite(60)
		ada.leave("lobby")
		ada.enter("lobby")
		fourth := ada.invite(60)
		if g := alan.game(third.ID); g.Status != "withdrawn" {
			t.Errorf("%+v", g)
		}
		grace.accepts(fourth.ID)
		ada.leave("lobby")
		ada.moves(fourth.ID, 7, 7)
		grace.leave("lobby")
		grace.moves(fourth.ID, 8, 8)
		if g := ada.game(fourth.ID); g.Status != "playing" || len(g.Moves) != 2 {
			t.Errorf("%+v", g)
		}
		h.audit()
	})
}

// Lists go by rooms and states, newest first. A lane that is paused for long is not waited for.
func TestGamesLists(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.openParlour()
		guests := p.guests(4)
		var all []game
		for n, c := range guests {
			g := c.invite(600)
			switch n {
			case 1:
				g = guests[0].accepts(g.ID)
			case 2:
				guests[0].accepts(g.ID)
				c.leaveGame(g.ID).into(t, http.StatusOK, &g)
			case 3:
				c.leaveGame(g.ID).into(t, http.StatusOK, &g)
			}
			all = append(all, g)
		}
		slices.Reverse(all)
		for _, status := range []string{"", "invited", "playing", "ended", "withdrawn"} {
			for _, limit := range []int{1, 3, 200} {
				var got []game
				for cursor := ""; ; {
					var page struct {
						Items      []game
						NextCursor *string `json:"next_cursor"`
					}
					path := fmt.Sprintf("/v1/rooms/lobby/games?limit=%d", limit)
					if status != "" {
						path += "&status=" + status
					}
					guests[0].get(path+cursor).into(t, http.StatusOK, &page)
					got = append(got, page.Items...)
					if page.NextCursor == nil {
						break
					}
					cursor = "&cursor=" + *page.NextCursor
				}
				want := slices.DeleteFunc(slices.Clone(all), func(g game) bool { return status != "" && g.Status != status })
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%q by %d: %+v, want %+v", status, limit, got, want)
				}
			}
		}
		guests[0].get("/v1/rooms/lobby/games?status=lost").problem(t, http.StatusUnprocessableEntity, "invalid")
		guests[0].get("/v1/rooms/lobby/games?cursor=x").problem(t, http.StatusBadRequest, "malformed")

		admin := p.admin(t)
		admin.pauseLane("chat-games", true)
		queued := guests[3].post("/v1/rooms/lobby/games", terms{}, key("later")).operation(t, http.StatusAccepted)
		admin.pauseLane("chat-games", false)
		if o := guests[3].get("/v1/operations/"+queued.ID+"?wait=30").operation(t, http.StatusOK); o.Status != "succeeded" || o.Kind != "game_invitation" || o.Lane != "chat-games" {
			t.Errorf("%+v", o)
		}
		var g game
		guests[3].post("/v1/rooms/lobby/games", terms{}, key("later")).into(t, http.StatusCreated, &g)
		if g.ID != queued.ID {
			t.Errorf("%+v", g)
		}
		h.audit()
	})
}
