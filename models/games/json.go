package games

import (
	"encoding/json"
	"strconv"
	"time"

	"guichet/models/chat"
	"guichet/models/gomoku"
	"guichet/models/id"
	"guichet/models/operation"
)

// The form of the contract is written by hand, because it is written for every move, by the worker, twice, and passed on as it is.

// AppendJSON appends the game as the contract shows it.
func (g *Game) AppendJSON(b []byte) []byte {
	b = append(append(b, `{"id":"`...), g.ID.String()...)
	b = append(append(b, `","room":"`...), chat.RoomText(g.Room)...)
	b = append(append(append(b, `","status":"`...), g.Status...), '"')
	b = appendName(append(b, `,"inviter":`...), g.Black)
	b = appendName(append(b, `,"black":`...), g.Black)
	b = appendName(append(b, `,"white":`...), g.White)
	b = appendName(append(b, `,"turn":`...), g.Turn())
	b = g.appendMoves(append(b, `,"moves":`...))
	b = g.appendGrid(append(b, `,"grid":`...))
	b = appendName(append(b, `,"winner":`...), g.winner())
	b = append(b, `,"reason":`...)
	if g.Reason == "" {
		b = append(b, "null"...)
	} else {
		b = append(append(append(b, '"'), g.Reason...), '"')
	}
	b = strconv.AppendInt(append(b, `,"move_seconds":`...), int64(g.MoveSeconds), 10)
	var deadline time.Time
	if g.Status == Playing {
		deadline = g.Deadline
	}
	b = appendTime(append(b, `,"move_deadline":`...), deadline)
	b = appendTime(append(b, `,"invited_at":`...), g.InvitedAt)
	b = appendTime(append(b, `,"ended_at":`...), g.EndedAt)
	return append(b, '}')
}

func (g *Game) winner() Player {
	for _, p := range []Player{g.Black, g.White} {
		if p.ID == g.Winner {
			return p
		}
	}
	return Player{}
}

func (g *Game) appendMoves(b []byte) []byte {
	b = append(b, '[')
	for n := range gomoku.Moves(g.Moves) {
		if n > 0 {
			b = append(b, ',')
		}
		m := gomoku.Recorded(g.Moves, n)
		b = strconv.AppendInt(append(b, `{"row":`...), int64(m.Row), 10)
		b = strconv.AppendInt(append(b, `,"column":`...), int64(m.Column), 10)
		b = append(b, '}')
	}
	return append(b, ']')
}

func (g *Game) appendGrid(b []byte) []byte {
	board := g.board()
	b = append(b, '[')
	for row := range gomoku.Size {
		if row > 0 {
			b = append(b, ',')
		}
		b = append(board.AppendRow(append(b, '"'), row), '"')
	}
	return append(b, ']')
}

// AppendEnded appends the result of a timeout or a withdrawal: which games it has ended.
func AppendEnded(b []byte, ended []*Game) []byte {
	games := make([]id.ID, len(ended))
	for i := range ended {
		games[i] = ended[i].ID
	}
	text, err := json.Marshal(map[string][]id.ID{"ended": games})
	if err != nil { // ids always marshal
		panic(err)
	}
	return append(b, text...)
}

// appendName writes the name of a player, null for nobody. Most names need no escaping.
func appendName(b []byte, p Player) []byte {
	if p.ID.IsZero() {
		return append(b, "null"...)
	}
	for i := range len(p.Name) {
		if c := p.Name[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			escaped, err := json.Marshal(p.Name)
			if err != nil { // strings always marshal
				panic(err)
			}
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), p.Name...), '"')
}

// appendTime writes a time to the microsecond, which is what is stored, and the zero time as null.
func appendTime(b []byte, t time.Time) []byte {
	if operation.Micro(t) == 0 {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00")
	return append(b, '"')
}
