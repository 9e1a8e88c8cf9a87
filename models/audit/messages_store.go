package audit

import (
	"iter"

	"guichet/models/database"
	"guichet/models/messages"
	"guichet/models/operation"
)

// messageRows yields all messages, in the order of the log.
func messageRows(tx database.Tx) iter.Seq2[*messages.Message, error] {
	type row struct {
		messages.Message
		atUs, editedUs, deletedUs int64
	}
	rows := query(tx, "SELECT log_offset, room_id, sequence, user_id, text, at_us, edited_at_us, deleted_at_us, lamport FROM messages ORDER BY log_offset", func(r *row) []any {
		return []any{&r.Offset, &r.Room, &r.Sequence, &r.UserID, &r.Text, &r.atUs, &r.editedUs, &r.deletedUs, &r.Lamport}
	})
	return func(yield func(*messages.Message, error) bool) {
		for r, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			r.At, r.EditedAt, r.DeletedAt = operation.FromMicro(r.atUs), operation.FromMicro(r.editedUs), operation.FromMicro(r.deletedUs)
			if !yield(&r.Message, nil) {
				return
			}
		}
	}
}

// messageCommands yields what was asked to be done to messages.
func messageCommands(tx database.Tx) iter.Seq2[*messageCommandRow, error] {
	return query(tx, "SELECT kind, payload FROM operations WHERE lane = '"+messages.Lane+"'", func(r *messageCommandRow) []any { return []any{&r.kind, &r.payload} })
}

type messageCommandRow struct{ kind, payload string }

// messagesStored is how far the table has followed the log.
func messagesStored(tx database.Tx) (stored int64, err error) {
	err = tx.Gorm().Raw("SELECT stored_offset FROM message_log WHERE id = 1").Row().Scan(&stored)
	return stored, err
}
