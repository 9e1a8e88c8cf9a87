package main

import (
	"errors"

	driver "github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
)

// insertNumbered stores a message with the room's next sequence, again if another has taken that meanwhile. MariaDB returns what was inserted.
func insertNumbered(db *gorm.DB, m *naiveMessage) error {
	for {
		err := db.Raw(`INSERT INTO naive_messages (room, sequence, user_id, text, at)
			SELECT ?, COALESCE(MAX(sequence), 0) + 1, ?, ?, ? FROM naive_messages WHERE room = ? RETURNING id, sequence`, m.Room, m.UserID, m.Text, m.At, m.Room).Scan(m).Error
		if !isConflict(err) {
			return err
		}
	}
}

// isConflict says whether somebody else was faster: a deadlock, a number that is taken, or an id that could not be had because of a deadlock.
func isConflict(err error) bool {
	const duplicate, noID = 1062, 1467
	var refusal *driver.MySQLError
	return isDeadlock(err) || errors.As(err, &refusal) && (refusal.Number == duplicate || refusal.Number == noID)
}
