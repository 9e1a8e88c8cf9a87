package audit

import (
	"time"

	"guichet/models/database"
	"guichet/models/games"
	"guichet/models/gomoku"
	"guichet/models/id"
)

// gamesAudit is the checks of the tables of games, by themselves: nothing here knows who has submitted what. One reading of the games serves them.
type gamesAudit struct {
	legal, waiting, records *Check

	invited map[invitedAt]id.ID
	scores  map[id.ID]score
}

// invitedAt is where somebody waits.
type invitedAt struct{ room, user id.ID }

// score is what somebody has won and lost.
type score struct{ won, lost, drawn int64 }

// checkGames checks that the tables of games agree with the rules of the board and with each other.
func checkGames(tx database.Tx) ([]*Check, error) {
	a := &gamesAudit{
		legal: &Check{Name: "games_legal"}, waiting: &Check{Name: "one_invitation_each"}, records: &Check{Name: "game_records_equal_games"},
		invited: map[invitedAt]id.ID{}, scores: map[id.ID]score{},
	}
	for row, err := range gameRows(tx) {
		if err != nil {
			return nil, err
		}
		a.checkLegal(&row.Game)
		a.checkWaiting(&row.Game)
		a.count(&row.Game)
	}
	return []*Check{a.legal, a.waiting, a.records}, a.checkRecords(tx)
}

// checkWaiting: nobody waits twice in a room.
func (a *gamesAudit) checkWaiting(g *games.Game) {
	if g.Status != games.Invited {
		return
	}
	a.waiting.Checked++
	at := invitedAt{g.Room, g.Black.ID}
	if other, waits := a.invited[at]; waits {
		a.waiting.find("user %s waits in room %s with games %s and %s", at.user, at.room, other, g.ID)
	}
	a.invited[at] = g.ID
}

// checkLegal: every move of a game is one that the board allows, and they have led to what the game says.
func (a *gamesAudit) checkLegal(g *games.Game) {
	a.legal.Checked++
	if g.MoveSeconds < games.MinMoveSeconds || g.MoveSeconds > games.MaxMoveSeconds || g.Black.ID.IsZero() || g.Black == g.White {
		a.legal.find("game %s is between %q and %q, with %d s a move", g.ID, g.Black.Name, g.White.Name, g.MoveSeconds)
	}
	var agrees bool
	switch g.Status {
	case games.Invited:
		agrees = untouched(g) && g.EndedAt.IsZero()
	case games.Withdrawn:
		agrees = untouched(g) && !g.EndedAt.IsZero()
	case games.Playing, games.Ended:
		board, err := gomoku.Replay(g.Moves)
		if err != nil {
			a.legal.find("game %s: %v", g.ID, err)
			return
		}
		agrees = !g.White.ID.IsZero() && !g.Deadline.IsZero() && (g.EndedAt.IsZero()) == (g.Status == games.Playing) && reasonOf(g, board)
	}
	if !agrees {
		a.legal.find("game %s is %q after %d moves; winner %s, reason %q, deadline %s, ended at %s", g.ID, g.Status, gomoku.Moves(g.Moves), g.Winner, g.Reason,
			g.Deadline.Format(time.RFC3339Nano), g.EndedAt.Format(time.RFC3339Nano))
	}
}

// untouched says whether nobody has accepted a game.
func untouched(g *games.Game) bool {
	return g.White == (games.Player{}) && g.Moves == "" && g.Winner.IsZero() && g.Reason == "" && g.Deadline.IsZero()
}

// reasonOf says whether a game's winner and reason are what the board and the clock gave.
func reasonOf(g *games.Game, board *gomoku.Board) bool {
	next, last := g.Black.ID, g.White.ID
	if board.Turn() == gomoku.White {
		next, last = last, next
	}
	inTime := g.EndedAt.Before(g.Deadline)
	switch g.Reason {
	case games.FiveInARow:
		return board.State() == gomoku.Won && g.Winner == last && inTime
	case games.BoardFull:
		return board.State() == gomoku.Full && g.Winner.IsZero() && inTime
	case games.Timeout:
		return board.State() == gomoku.Open && g.Winner == last && !inTime
	case games.Resignation:
		return board.State() == gomoku.Open && (g.Winner == next || g.Winner == last) && inTime
	default:
		return board.State() == gomoku.Open && g.Winner.IsZero() && g.Status == games.Playing
	}
}

// count adds a game to what its players have won and lost.
func (a *gamesAudit) count(g *games.Game) {
	if g.Status != games.Ended {
		return
	}
	for _, player := range []id.ID{g.Black.ID, g.White.ID} {
		s := a.scores[player]
		switch g.Winner {
		case id.ID{}:
			s.drawn++
		case player:
			s.won++
		default:
			s.lost++
		}
		a.scores[player] = s
	}
}

// checkRecords: what somebody has won and lost is what the games say.
func (a *gamesAudit) checkRecords(tx database.Tx) error {
	for r, err := range gameRecordRows(tx) {
		if err != nil {
			return err
		}
		a.records.Checked++
		if s := (score{r.Won, r.Lost, r.Drawn}); s != a.scores[r.User] {
			a.records.find("user %s has %+v; by the games, %+v", r.User, s, a.scores[r.User])
		}
		delete(a.scores, r.User)
	}
	for _, user := range id.Keys(a.scores) {
		a.records.find("user %s has no record; by the games, %+v", user, a.scores[user])
	}
	return nil
}
