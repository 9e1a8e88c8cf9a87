package games

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"guichet/models/chat"
	"guichet/models/gomoku"
	"guichet/models/id"
)

type shownMove struct {
	Row    int `json:"row"`
	Column int `json:"column"`
}

// shown is a game as the contract has it.
type shown struct {
	ID           string      `json:"id"`
	Room         string      `json:"room"`
	Status       string      `json:"status"`
	Inviter      string      `json:"inviter"`
	Black        string      `json:"black"`
	White        *string     `json:"white"`
	Turn         *string     `json:"turn"`
	Moves        []shownMove `json:"moves"`
	Grid         []string    `json:"grid"`
	Winner       *string     `json:"winner"`
	Reason       *string     `json:"reason"`
	MoveSeconds  int         `json:"move_seconds"`
	MoveDeadline *time.Time  `json:"move_deadline"`
	InvitedAt    time.Time   `json:"invited_at"`
	EndedAt      *time.Time  `json:"ended_at"`
}

func show(g *Game) shown {
	s := shown{ID: g.ID.String(), Room: g.Room.String(), Status: string(g.Status), Inviter: g.Black.Name, Black: g.Black.Name, Moves: []shownMove{}, MoveSeconds: g.MoveSeconds, InvitedAt: g.InvitedAt.UTC()}
	if g.Room == chat.Lobby {
		s.Room = "lobby"
	}
	names := map[id.ID]*string{g.Black.ID: &g.Black.Name, g.White.ID: &g.White.Name}
	delete(names, id.ID{})
	s.White, s.Winner = names[g.White.ID], names[g.Winner]
	if g.Status == Playing {
		s.Turn = []*string{&g.Black.Name, &g.White.Name}[len(g.Moves)/2%2]
		deadline := g.Deadline.UTC()
		s.MoveDeadline = &deadline
	}
	if reason := string(g.Reason); reason != "" {
		s.Reason = &reason
	}
	if ended := g.EndedAt.UTC(); !g.EndedAt.IsZero() {
		s.EndedAt = &ended
	}
	grid := bytes.Repeat([]byte("."), gomoku.Cells)
	for n := 0; n < len(g.Moves); n += 2 {
		row, column := int(g.Moves[n]-'a'), int(g.Moves[n+1]-'a')
		s.Moves = append(s.Moves, shownMove{row, column})
		grid[15*row+column] = "BW"[n/2%2]
	}
	for row := range 15 {
		s.Grid = append(s.Grid, string(grid[15*row:15*row+15]))
	}
	return s
}

// The form that is written by hand is what encoding/json makes of it, but for <, > and &, which only that escapes.
func TestGameJSON(t *testing.T) {
	t.Parallel()
	moment := rapid.Custom(func(rt *rapid.T) time.Time { return time.UnixMicro(rapid.Int64Range(1, 1<<55).Draw(rt, "µs")) })
	name := rapid.StringMatching(`[^<>&]*`)
	rapid.Check(t, func(rt *rapid.T) {
		g := Game{ID: ids.Next(), Room: rapid.SampledFrom([]id.ID{chat.Lobby, ids.Next()}).Draw(rt, "room"), Status: rapid.SampledFrom([]Status{Invited, Playing, Ended, Withdrawn}).Draw(rt, "status"),
			Black: Player{ids.Next(), name.Draw(rt, "black")}, MoveSeconds: rapid.IntRange(1, MaxMoveSeconds).Draw(rt, "seconds"), InvitedAt: moment.Draw(rt, "invited")}
		if g.Status == Playing || g.Status == Ended {
			g.White, g.Deadline = Player{ids.Next(), name.Draw(rt, "white")}, moment.Draw(rt, "deadline")
			g.Moves = full()[:2*rapid.IntRange(0, gomoku.Cells).Draw(rt, "moves")]
		}
		if g.Status == Ended {
			g.Reason = rapid.SampledFrom([]Reason{FiveInARow, Resignation, Timeout, BoardFull}).Draw(rt, "reason")
			g.Winner = rapid.SampledFrom([]id.ID{{}, g.Black.ID, g.White.ID}).Draw(rt, "winner")
		}
		if g.Status == Ended || g.Status == Withdrawn {
			g.EndedAt = moment.Draw(rt, "ended")
		}
		want, err := json.Marshal(show(&g))
		if err != nil {
			rt.Fatal(err)
		}
		if got := g.AppendJSON(nil); !bytes.Equal(got, want) {
			rt.Errorf("wrote\n%s, want\n%s", got, want)
		}
	})
}

func TestEndedJSON(t *testing.T) {
	t.Parallel()
	if got := string(AppendEnded([]byte("x"), nil)); got != `x{"ended":[]}` {
		t.Errorf("%s", got)
	}
	one := ids.Next()
	if got := string(AppendEnded(nil, []*Game{{ID: one}})); got != `{"ended":["`+one.String()+`"]}` {
		t.Errorf("%s", got)
	}
}
