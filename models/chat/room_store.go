package chat

import (
	"database/sql"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/text"
)

// Room is where people meet.
type Room struct {
	ID       id.ID
	Name     string
	Topic    string // what it is about
	Event    id.ID  // whose ticket holders it admits; zero for a room of everybody
	Symbol   string // that it belongs to; empty for none
	OpenedBy id.ID  // zero for the lobby
	OpenedAt time.Time
	Lamport  lamport.Stamp
}

const selectRoom = "SELECT id, name, topic, event_id, COALESCE(symbol, ''), opened_by, opened_at_us, lamport FROM rooms "

// InsertRoom opens a room, or returns ErrRoomExists.
func InsertRoom(tx database.Tx, r *Room) error {
	rows := database.Rows{Table: "rooms", Columns: []string{"id", "name", "name_key", "topic", "event_id", "symbol", "opened_by", "opened_at_us", "lamport"}}
	var symbol any
	if r.Symbol != "" {
		symbol = r.Symbol
	}
	rows.Add(r.ID, r.Name, text.Fold(r.Name), r.Topic, r.Event, symbol, r.OpenedBy, operation.Micro(r.OpenedAt), int64(r.Lamport))
	err := rows.Insert(tx)
	if database.IsDuplicate(err) {
		return ErrRoomExists
	}
	return err
}

// GetRoom reads one room, or ErrUnknownRoom.
func GetRoom(tx database.Tx, room id.ID) (Room, error) {
	rooms, err := queryRooms(tx, "WHERE id = ?", room)
	if err == nil && len(rooms) == 0 {
		err = ErrUnknownRoom
	}
	if err != nil {
		return Room{}, err
	}
	return rooms[0], nil
}

// Rooms reads the rooms that come after the given one, the oldest first; zero for the first.
func Rooms(tx database.Tx, openedAfter time.Time, after id.ID, limit int) ([]Room, error) {
	if after.IsZero() {
		return queryRooms(tx, "ORDER BY opened_at_us, id LIMIT ?", limit)
	}
	opened := openedAfter.UnixMicro()
	return queryRooms(tx, "WHERE opened_at_us >= ? AND (opened_at_us > ? OR id > ?) ORDER BY opened_at_us, id LIMIT ?", opened, opened, after, limit)
}

func queryRooms(tx database.Tx, where string, args ...any) (rooms []Room, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var r Room
			var opened int64
			if err := rows.Scan(&r.ID, &r.Name, &r.Topic, &r.Event, &r.Symbol, &r.OpenedBy, &opened, &r.Lamport); err != nil {
				return err
			}
			r.OpenedAt = time.UnixMicro(opened).UTC()
			rooms = append(rooms, r)
		}
		return rows.Err()
	}, selectRoom+where, args...)
	return rooms, err
}
