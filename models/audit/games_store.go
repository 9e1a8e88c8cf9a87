package audit

import (
	"database/sql"
	"iter"

	"guichet/models/database"
	"guichet/models/games"
	"guichet/models/operation"
)

type gameRow struct {
	games.Game
	white, reason                sql.NullString
	deadlineUs, invitedUs, endUs int64
}

// gameRows yields all games, by their ids.
func gameRows(tx database.Tx) iter.Seq2[*gameRow, error] {
	rows := query(tx, `SELECT id, room_id, status, black_id, black, white_id, white, moves, winner_id, reason, move_seconds, deadline_us, invited_at_us, ended_at_us, lamport
		FROM games ORDER BY id`, func(g *gameRow) []any {
		return []any{&g.ID, &g.Room, &g.Status, &g.Black.ID, &g.Black.Name, &g.White.ID, &g.white, &g.Moves, &g.Winner, &g.reason, &g.MoveSeconds, &g.deadlineUs, &g.invitedUs, &g.endUs, &g.Lamport}
	})
	return func(yield func(*gameRow, error) bool) {
		for g, err := range rows {
			if err == nil {
				g.White.Name, g.Reason = g.white.String, games.Reason(g.reason.String)
				g.Deadline, g.InvitedAt, g.EndedAt = operation.FromMicro(g.deadlineUs), operation.FromMicro(g.invitedUs), operation.FromMicro(g.endUs)
			}
			if !yield(g, err) {
				return
			}
		}
	}
}

// gameRecordRows yields what users have won and lost, by their ids.
func gameRecordRows(tx database.Tx) iter.Seq2[*games.Record, error] {
	return query(tx, "SELECT user_id, won, lost, drawn, lamport FROM game_records ORDER BY user_id", func(r *games.Record) []any {
		return []any{&r.User, &r.Won, &r.Lost, &r.Drawn, &r.Lamport}
	})
}
