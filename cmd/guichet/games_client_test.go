package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

type (
	stoneAt struct{ Row, Column int }
	// game is what tests look at of a game.
	game struct {
		ID, Room, Status, Inviter, Black string
		White, Turn, Winner, Reason      *string
		Moves                            []stoneAt
		Grid                             []string
		MoveSeconds                      int        `json:"move_seconds"`
		MoveDeadline                     *time.Time `json:"move_deadline"`
		InvitedAt                        time.Time  `json:"invited_at"`
		EndedAt                          *time.Time `json:"ended_at"`
	}
	player struct {
		User             string
		Won, Lost, Drawn int64
	}
)

// parlour is a guichet where people play in the lobby.
type parlour struct {
	*process
	testing.TB
}

func (h *house) openParlour(extra ...string) *parlour {
	h.Helper()
	return &parlour{process: h.serve(extra...), TB: h}
}

// guests are new users who have entered the lobby.
func (p *parlour) guests(n int) []*client {
	p.Helper()
	all := make([]*client, n)
	var making sync.WaitGroup
	for i := range all {
		making.Go(func() {
			all[i] = p.user(p.TB)
			all[i].enter("lobby")
		})
	}
	making.Wait()
	if p.Failed() {
		p.FailNow()
	}
	return all
}

// invite invites in the lobby.
func (c *client) invite(moveSeconds int) (g game) {
	c.Helper()
	c.post("/v1/rooms/lobby/games", terms{"move_seconds": moveSeconds}).into(c, http.StatusCreated, &g)
	return g.agrees(c)
}

func (c *client) acceptGame(id string, options ...option) answer {
	c.Helper()
	return c.post("/v1/games/"+id+"/acceptance", nil, options...)
}

func (c *client) accepts(id string) (g game) {
	c.Helper()
	c.acceptGame(id).into(c, http.StatusOK, &g)
	return g.agrees(c)
}

func (c *client) move(id string, row, column any, options ...option) answer {
	c.Helper()
	return c.post("/v1/games/"+id+"/moves", terms{"row": row, "column": column}, options...)
}

func (c *client) moves(id string, row, column int) (g game) {
	c.Helper()
	c.move(id, row, column).into(c, http.StatusOK, &g)
	return g.agrees(c)
}

func (c *client) leaveGame(id string, options ...option) answer {
	c.Helper()
	return c.do(http.MethodDelete, "/v1/games/"+id, nil, options...)
}

func (c *client) game(id string) (g game) {
	c.Helper()
	c.get("/v1/games/"+id).into(c, http.StatusOK, &g)
	return g.agrees(c)
}

func (c *client) player(name string) (p player) {
	c.Helper()
	c.get("/v1/players/"+name).into(c, http.StatusOK, &p)
	return p
}

// is wants a text that may be null.
func is(text *string, want string) bool {
	return text == nil && want == "" || text != nil && *text == want && want != ""
}

// agrees wants all that a game says to agree.
func (g game) agrees(t testing.TB) game {
	t.Helper()
	played, over := g.Status == "playing" || g.Status == "ended", g.Status == "ended" || g.Status == "withdrawn"
	var turn string
	grid := [15][15]byte{}
	for n, m := range g.Moves {
		grid[m.Row][m.Column] = "BW"[n%2]
	}
	var rows []string
	for _, row := range grid {
		rows = append(rows, strings.ReplaceAll(string(row[:]), "\x00", "."))
	}
	if g.Status == "playing" {
		turn = []string{g.Black, *g.White}[len(g.Moves)%2]
	}
	if g.Inviter != g.Black || (g.White != nil) != played || (g.EndedAt != nil) != over || (g.MoveDeadline != nil) != (g.Status == "playing") || (g.Reason != nil) != (g.Status == "ended") ||
		!is(g.Turn, turn) || strings.Join(g.Grid, "\n") != strings.Join(rows, "\n") || g.Moves == nil || g.InvitedAt.IsZero() || g.Winner != nil && *g.Winner != g.Black && *g.Winner != *g.White {
		t.Fatalf("a game does not agree with itself: %+v", g)
	}
	return g
}

// gamesUntilEnd are the entries about a game that a reader was told of, up to its end.
func (f *feedReader) gamesUntilEnd(id string) (told []feedEntry) {
	f.Helper()
	for _, e := range f.until(func(e feedEntry) bool { return e.Event == "game.ended" && e.Data.ID == id }) {
		if strings.HasPrefix(e.Event, "game.") && e.Data.ID == id {
			told = append(told, e)
		}
	}
	return told
}
