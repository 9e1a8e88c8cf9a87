package audit

import (
	"database/sql"
	"iter"

	"guichet/models/database"
	"guichet/models/id"
)

// belongsRow is a room with what it belongs to.
type belongsRow struct {
	room, event   id.ID
	symbol        string
	eventIsThere  bool
	symbolIsThere bool
}

// belongings yields the rooms by their ids.
func belongings(tx database.Tx) iter.Seq2[*belongsRow, error] {
	return query(tx, `SELECT r.id, r.event_id, COALESCE(r.symbol, ''), e.id IS NOT NULL, s.symbol IS NOT NULL
		FROM rooms r LEFT JOIN events e ON e.id = r.event_id LEFT JOIN symbols s ON s.symbol = r.symbol ORDER BY r.id`, func(r *belongsRow) []any {
		return []any{&r.room, &r.event, &r.symbol, &r.eventIsThere, &r.symbolIsThere}
	})
}

// memberRow is a member, with what there is of the room and the user.
type memberRow struct {
	room, user  id.ID
	username    string
	roomIsThere bool
	name        sql.NullString // the user's, if there is such a user
	banned      bool
}

// memberRows yields the members room by room.
func memberRows(tx database.Tx) iter.Seq2[*memberRow, error] {
	return query(tx, `SELECT m.room_id, m.user_id, m.username, r.id IS NOT NULL, u.username, COALESCE(x.banned, FALSE)
		FROM room_members m LEFT JOIN rooms r ON r.id = m.room_id LEFT JOIN users u ON u.id = m.user_id
		LEFT JOIN room_restrictions x ON x.room_id = m.room_id AND x.user_id = m.user_id ORDER BY m.room_id, m.user_id`, func(m *memberRow) []any {
		return []any{&m.room, &m.user, &m.username, &m.roomIsThere, &m.name, &m.banned}
	})
}

// announcementRow is an announcement.
type announcementRow struct {
	sequence int64
	id       id.ID
	text     string
	atUs     int64
}

// announcementRows yields the announcements in their order.
func announcementRows(tx database.Tx) iter.Seq2[*announcementRow, error] {
	return query(tx, "SELECT sequence, id, text, at_us FROM announcements ORDER BY sequence", func(a *announcementRow) []any {
		return []any{&a.sequence, &a.id, &a.text, &a.atUs}
	})
}

// announcementHead reads the sequence of the last announcement.
func announcementHead(tx database.Tx) (last int64, err error) {
	err = tx.Gorm().Raw("SELECT last FROM announcement_head WHERE id = 1").Row().Scan(&last)
	return last, err
}

// announcedRow is a notice that announces, with how far its user is settled.
type announcedRow struct {
	user       id.ID
	text, data string
	until      sql.NullInt64
}

// announcedRows yields the notices that announce, user by user.
func announcedRows(tx database.Tx) iter.Seq2[*announcedRow, error] {
	return query(tx, `SELECT n.user_id, n.text, n.data, u.announced_until FROM notices n LEFT JOIN users u ON u.id = n.user_id
		WHERE n.kind = 'announcement' ORDER BY n.user_id, n.id`, func(n *announcedRow) []any {
		return []any{&n.user, &n.text, &n.data, &n.until}
	})
}
