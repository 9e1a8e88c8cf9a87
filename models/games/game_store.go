package games

import (
	"database/sql"
	"errors"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// ErrUnknownGame says that no game has the id.
var ErrUnknownGame = errors.New("games: no such game")

const gameColumns = "id, room_id, status, black_id, black, white_id, white, moves, winner_id, reason, move_seconds, deadline_us, invited_at_us, ended_at_us, lamport"

// Get reads one game, or ErrUnknownGame.
func Get(tx database.Tx, game id.ID) (*Game, error) {
	var found *Game
	err := queryGames(tx, func(g *Game) { found = g }, "WHERE id = ?", game[:])
	if err == nil && found == nil {
		err = ErrUnknownGame
	}
	return found, err
}

// Filter says which games of a room are asked for. Zero fields do not filter.
type Filter struct {
	Room   id.ID
	Status Status
	Before id.ID // games that are older than this one
	Limit  int
}

// List reads games of a room, newest first.
func List(tx database.Tx, f Filter) (games []*Game, err error) {
	where, args := "WHERE room_id = ?", []any{f.Room[:]}
	and := func(condition string, value any) { where, args = where+" AND "+condition, append(args, value) }
	if f.Status != "" {
		and("status = ?", string(f.Status))
	}
	if !f.Before.IsZero() {
		and("id < ?", f.Before[:])
	}
	err = queryGames(tx, func(g *Game) { games = append(games, g) }, where+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
	return games, err
}

func queryGames(tx database.Tx, visit func(*Game), where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var g Game
			var white, reason sql.NullString
			var deadline, invited, ended int64
			if err := rows.Scan(&g.ID, &g.Room, &g.Status, &g.Black.ID, &g.Black.Name, &g.White.ID, &white, &g.Moves, &g.Winner, &reason, &g.MoveSeconds, &deadline, &invited, &ended,
				&g.Lamport); err != nil {
				return err
			}
			g.White.Name, g.Reason = white.String, Reason(reason.String)
			g.Deadline, g.InvitedAt, g.EndedAt = operation.FromMicro(deadline), operation.FromMicro(invited), operation.FromMicro(ended)
			visit(&g)
		}
		return rows.Err()
	}, "SELECT "+gameColumns+" FROM games "+where, args...)
}

// RecordOf reads what a user has won and lost; who has no record has played no game to its end.
func RecordOf(tx database.Tx, user id.ID) (*Record, error) {
	record := &Record{User: user}
	err := queryRecords(tx, func(found *Record) { record = found }, "WHERE user_id = ?", user[:])
	return record, err
}

func queryRecords(tx database.Tx, visit func(*Record), where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var r Record
			if err := rows.Scan(&r.User, &r.Won, &r.Lost, &r.Drawn, &r.Lamport); err != nil {
				return err
			}
			visit(&r)
		}
		return rows.Err()
	}, "SELECT user_id, won, lost, drawn, lamport FROM game_records "+where, args...)
}

// AnyOpen says whether any game is played, or waits for somebody to accept it.
func AnyOpen(tx database.Tx) (bool, error) {
	return tx.Any("SELECT 1 FROM games WHERE status IN ('invited', 'playing') LIMIT 1")
}

// Late reads which games' clocks have run out at a time, the longest first.
func Late(tx database.Tx, at time.Time, limit int) ([]id.ID, error) {
	return queryIDs(tx, "SELECT id FROM games WHERE status = 'playing' AND deadline_us <= ? ORDER BY deadline_us, id LIMIT ?", operation.Micro(at), limit)
}

// Left reads which invitations wait whose inviters have left the room since, the oldest first. An inviter who came back has entered at a later stamp than that of the
// invitation.
func Left(tx database.Tx, limit int) ([]id.ID, error) {
	return queryIDs(tx, `SELECT g.id FROM games g LEFT JOIN room_members m ON m.room_id = g.room_id AND m.user_id = g.black_id
		WHERE g.status = 'invited' AND (m.user_id IS NULL OR m.lamport > g.lamport) ORDER BY g.id LIMIT ?`, limit)
}

func queryIDs(tx database.Tx, query string, args ...any) (ids []id.ID, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var one id.ID
			if err := rows.Scan(&one); err != nil {
				return err
			}
			ids = append(ids, one)
		}
		return rows.Err()
	}, query, args...)
	return ids, err
}
