package messages

import (
	"database/sql"
	"errors"
	"slices"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// ErrMoved says that the log or the table is not where a follower knows it to be: another log was followed, or this one further. Begin anew.
var ErrMoved = errors.New("messages: the table is not where it was")

// lockStored reads how far the table has followed the log, and locks that until the end of the transaction.
func lockStored(tx database.Tx) (int64, error) { return readStored(tx, tx.ForUpdate()) }

func readStored(tx database.Tx, suffix string) (stored int64, err error) {
	err = tx.Gorm().Raw("SELECT stored_offset FROM message_log WHERE id = 1" + suffix).Row().Scan(&stored)
	return stored, err
}

// moveStored notes how far the table has followed; ErrMoved if it was not as far as the caller knows.
func moveStored(tx database.Tx, from, to int64) error {
	n, err := tx.Exec("UPDATE message_log SET stored_offset = ? WHERE id = 1 AND stored_offset = ?", to, from)
	if err == nil && n != 1 {
		err = ErrMoved
	}
	return err
}

// readFoundation reads what a log is made on, but for its base.
func readFoundation(tx database.Tx) (f foundation, err error) {
	newest, err := query(tx, "ORDER BY log_offset DESC LIMIT 1")
	if err != nil {
		return f, err
	}
	for i := range newest {
		f.before, f.stamp = newest[i].Offset, newest[i].Lamport
	}
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var room id.ID
			var sequence sql.NullInt64
			if err := rows.Scan(&room, &sequence); err != nil {
				return err
			}
			if sequence.Valid {
				f.addRoom(room, sequence.Int64)
			}
		}
		return rows.Err()
	}, "SELECT id, (SELECT MAX(sequence) FROM messages WHERE room_id = rooms.id) FROM rooms") // a look into the index for each
	return f, err
}

// storeBatches writes what follows on the offset from, which is as far as the table has followed.
func storeBatches(tx database.Tx, from int64, batches []Batch) error {
	if err := moveStored(tx, from, batches[len(batches)-1].last()); err != nil {
		return err
	}
	rows := database.Rows{Table: "messages", Columns: []string{"log_offset", "room_id", "sequence", "user_id", "username", "text", "at_us", "lamport"}}
	var keys []operation.Key
	var answers []operation.Answer
	for i := range batches {
		b := &batches[i]
		at := b.At().UnixMicro()
		for j := range b.Messages {
			m := &b.Messages[j]
			rows.Add(m.Offset, m.Room[:], m.Sequence, m.UserID[:], m.Username, m.Text, at, int64(m.Lamport))
			if len(b.Keys) > 0 && b.Keys[j].Hash != [32]byte{} {
				keys, answers = append(keys, b.Keys[j]), append(answers, operation.Answer{Request: b.Keys[j].Request, Operation: m.ID()})
			}
		}
	}
	return tx.Deferred(func(tx database.Tx) error {
		if err := rows.Insert(tx); err != nil || len(keys) == 0 {
			return err
		}
		return operation.KeepAnswersBeside(tx, keys, answers, time.Now())
	})
}

const selectMessages = "SELECT log_offset, room_id, sequence, user_id, username, text, at_us, edited_at_us, deleted_at_us, lamport FROM messages "

// query reads messages by what follows FROM messages.
func query(tx database.Tx, rest string, args ...any) (found []Message, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var m Message
			var at, edited, deleted, stamp int64
			if err := rows.Scan(&m.Offset, &m.Room, &m.Sequence, &m.UserID, &m.Username, &m.Text, &at, &edited, &deleted, &stamp); err != nil {
				return err
			}
			m.At, m.EditedAt, m.DeletedAt, m.Lamport = operation.FromMicro(at), operation.FromMicro(edited), operation.FromMicro(deleted), lamport.Stamp(stamp)
			found = append(found, m)
		}
		return rows.Err()
	}, selectMessages+rest, args...)
	return found, err
}

// Lock reads the messages with the offsets, as far as they are in the table, and locks them. And it says how far the table has followed the log.
func Lock(tx database.Tx, offsets []int64) (found []Message, stored int64, err error) {
	if stored, err = readStored(tx, ""); err != nil || len(offsets) == 0 {
		return nil, stored, err
	}
	args := make([]any, len(offsets))
	slices.Sort(offsets)
	for i := range offsets {
		args[i] = offsets[i]
	}
	found, err = query(tx, "WHERE log_offset IN "+database.Placeholders(len(args))+" ORDER BY log_offset"+tx.ForUpdate(), args...)
	return found, stored, err
}

// SaveChanged stores messages that were edited or deleted.
func SaveChanged(tx database.Tx, changed []*Message) error {
	for _, m := range changed {
		_, err := tx.Exec("UPDATE messages SET text = ?, edited_at_us = ?, deleted_at_us = ?, lamport = ? WHERE log_offset = ?",
			m.Text, operation.Micro(m.EditedAt), operation.Micro(m.DeletedAt), int64(m.Lamport), m.Offset)
		if err != nil {
			return err
		}
	}
	return nil
}

// byOffset has the database read along the primary key: the index of rooms would make it read, and sort, all that was ever said in them.
func byOffset(tx database.Tx) string {
	if tx.Embedded() {
		return "INDEXED BY sqlite_autoindex_messages_1 "
	}
	return "FORCE INDEX (PRIMARY) "
}

// tableBetween reads up to limit messages with after < offset ≤ until, in order; of the given rooms, or of all if there are none.
func tableBetween(tx database.Tx, after, until int64, rooms []id.ID, limit int) ([]Message, error) {
	where, args := byOffset(tx)+"WHERE log_offset > ? AND log_offset <= ?", []any{after, until}
	if len(rooms) > 0 {
		where += " AND room_id IN " + database.Placeholders(len(rooms))
		for i := range rooms {
			args = append(args, rooms[i][:])
		}
	}
	return query(tx, where+" ORDER BY log_offset LIMIT ?", append(args, limit)...)
}

// tablePage reads up to limit messages of a room: those after a sequence, or else those before, the nearest first.
func tablePage(tx database.Tx, room id.ID, forward bool, from int64, limit int) ([]Message, error) {
	where := "WHERE room_id = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?"
	if forward {
		where = "WHERE room_id = ? AND sequence > ? ORDER BY sequence LIMIT ?"
	}
	return query(tx, where, room[:], from, limit)
}

func tableGet(tx database.Tx, offset int64) ([]Message, error) {
	return query(tx, "WHERE log_offset = ?", offset)
}
