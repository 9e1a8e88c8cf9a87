package identity

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// reservedName is what paths call the caller.
const reservedName = "me"

// InsertUser writes a user who has registered; the caller opens the account in the same transaction. ErrUsernameTaken if the name, or one with
// the same key, is somebody's or reserved; a *UsernameError if it cannot be a name.
func InsertUser(tx database.Tx, user User) error {
	display, key, err := NormalizeUsername(user.Username)
	if err != nil {
		return err
	}
	if key == reservedName || key == AdminUsername && user.Role != RoleAdmin {
		return ErrUsernameTaken
	}
	_, err = tx.Exec("INSERT INTO users (id, username, username_key, password_hash, role, created_at_us, announced_until) SELECT ?,?,?,?,?,?, last FROM announcement_head WHERE id = 1",
		user.ID, display, key, user.PasswordHash, string(user.Role), operation.Micro(user.CreatedAt))
	if database.IsDuplicate(err) {
		return ErrUsernameTaken
	}
	return err
}

// credentials are what a sign-in is judged by.
type credentials struct {
	userID       id.ID
	passwordHash string
	role         Role
	attempts     attempts
}

const selectCredentials = "SELECT id, password_hash, role, wrong_passwords, locked_until_us FROM users WHERE "

// findCredentials returns those of the user with the key, or zero if there is none.
func findCredentials(tx database.Tx, key string) (credentials, error) {
	return scanCredentials(tx, selectCredentials+"username_key = ?", key)
}

// lockCredentials reads those of a user and locks them.
func lockCredentials(tx database.Tx, user id.ID) (credentials, error) {
	return scanCredentials(tx, selectCredentials+"id = ?"+tx.ForUpdate(), user)
}

func scanCredentials(tx database.Tx, query string, args ...any) (credentials, error) {
	var row struct {
		ID             id.ID
		PasswordHash   string
		Role           string
		WrongPasswords int
		LockedUntilUs  int64
	}
	err := tx.Gorm().Raw(query, args...).Scan(&row).Error
	return credentials{userID: row.ID, passwordHash: row.PasswordHash, role: Role(row.Role),
		attempts: attempts{wrong: row.WrongPasswords, lockedUntil: operation.FromMicro(row.LockedUntilUs)}}, err
}

func storeAttempts(tx database.Tx, user id.ID, a attempts) error {
	var lockedUntilUs int64
	if !a.lockedUntil.IsZero() {
		lockedUntilUs = operation.Micro(a.lockedUntil)
	}
	_, err := tx.Exec("UPDATE users SET wrong_passwords = ?, locked_until_us = ? WHERE id = ?", a.wrong, lockedUntilUs, user)
	return err
}

// storePassword sets password and role, and forgets wrong passwords.
func storePassword(tx database.Tx, c credentials) error {
	_, err := tx.Exec("UPDATE users SET password_hash = ?, role = ?, wrong_passwords = 0, locked_until_us = 0 WHERE id = ?", c.passwordHash, string(c.role), c.userID)
	return err
}

// announcedUntil reads up to which announcement it is settled how the user learns of it.
func announcedUntil(tx database.Tx, user id.ID) (sequence int64, err error) {
	err = tx.Gorm().Raw("SELECT announced_until FROM users WHERE id = ?", user).Row().Scan(&sequence)
	return sequence, err
}

// storeAnnouncedUntil settles announcements. What is settled stays so.
func storeAnnouncedUntil(tx database.Tx, user id.ID, sequence int64) error {
	_, err := tx.Exec("UPDATE users SET announced_until = ? WHERE id = ? AND announced_until < ?", sequence, user, sequence)
	return err
}

// lockUser locks the row of a user. It is locked before that of the user's session.
func lockUser(tx database.Tx, user id.ID) error {
	_, err := lockCredentials(tx, user)
	return err
}

// FindUser finds somebody by name, or returns ErrUnknownUsername. Of the user it reads the id, the name and the role.
func FindUser(tx database.Tx, username string) (User, error) {
	_, key, err := NormalizeUsername(username)
	if err != nil {
		return User{}, ErrUnknownUsername
	}
	var row struct {
		ID             id.ID
		Username, Role string
	}
	err = tx.Gorm().Raw("SELECT id, username, role FROM users WHERE username_key = ?", key).Scan(&row).Error
	if err == nil && row.ID.IsZero() {
		err = ErrUnknownUsername
	}
	return User{ID: row.ID, Username: row.Username, Role: Role(row.Role)}, err
}

// sessionRow is a row of sessions without its owner's particulars.
type sessionRow struct {
	userID   id.ID
	id       id.ID
	lastSeen time.Time
}

// lockSession reads a user's session and locks it; false if there is none. The users row, where it is locked too, is locked first.
func lockSession(tx database.Tx, user id.ID) (sessionRow, bool, error) {
	var row struct {
		ID           id.ID
		LastSeenAtUs int64
	}
	err := tx.Gorm().Raw("SELECT id, last_seen_at_us FROM sessions WHERE user_id = ?"+tx.ForUpdate(), user).Scan(&row).Error
	return sessionRow{userID: user, id: row.ID, lastSeen: operation.FromMicro(row.LastSeenAtUs)}, !row.ID.IsZero(), err
}

// putSession writes a session in the place of its user's former one.
func putSession(tx database.Tx, session sessionRow, token hashOf) error {
	rows := database.Rows{Table: "sessions", Columns: []string{"user_id", "id", "token_hash", "created_at_us", "last_seen_at_us"}}
	at := operation.Micro(session.lastSeen)
	rows.Add(session.userID, session.id, token, at, at)
	return rows.Upsert(tx, []string{"user_id"}, []string{"id", "token_hash", "created_at_us", "last_seen_at_us"})
}

// deleteSession says whether the session was there.
func deleteSession(tx database.Tx, user, session id.ID) (bool, error) {
	n, err := tx.Exec("DELETE FROM sessions WHERE user_id = ? AND id = ?", user, session)
	return n > 0, err
}

// idleUsers returns up to limit users whose sessions were not used since, in the order in which to lock them.
func idleUsers(tx database.Tx, since time.Time, limit int) ([]id.ID, error) {
	var users []id.ID
	err := tx.Gorm().Raw("SELECT user_id FROM sessions WHERE last_seen_at_us <= ? ORDER BY user_id LIMIT ?", operation.Micro(since), limit).Scan(&users).Error
	return users, err
}

// An account is the bank's, but every answer about a user names it.
const selectSession = `SELECT s.id, s.user_id, s.last_seen_at_us, u.username, u.role, u.created_at_us,
	COALESCE((SELECT a.number FROM accounts a WHERE a.user_id = u.id ORDER BY a.opened_at_us, a.number LIMIT 1), '') AS account_number
	FROM sessions s JOIN users u ON u.id = s.user_id WHERE `

// findSession reads the session of a token and when it was last used; false if there is none.
func findSession(tx database.Tx, token hashOf) (Session, time.Time, bool, error) {
	return scanSession(tx, selectSession+"s.token_hash = ?", token)
}

// findSessionByID is findSession for one whose ids are known.
func findSessionByID(tx database.Tx, user, session id.ID) (Session, time.Time, bool, error) {
	return scanSession(tx, selectSession+"s.user_id = ? AND s.id = ?", user, session)
}

func scanSession(tx database.Tx, query string, args ...any) (Session, time.Time, bool, error) {
	var row struct {
		ID            id.ID
		UserID        id.ID
		LastSeenAtUs  int64
		Username      string
		Role          string
		CreatedAtUs   int64
		AccountNumber string
	}
	err := tx.Gorm().Raw(query, args...).Scan(&row).Error
	session := Session{ID: row.ID, UserID: row.UserID, Username: row.Username, Role: Role(row.Role),
		AccountNumber: row.AccountNumber, UserCreatedAt: operation.FromMicro(row.CreatedAtUs)}
	return session, operation.FromMicro(row.LastSeenAtUs), !row.ID.IsZero(), err
}

// use is that a session was used.
type use struct {
	userID    id.ID
	sessionID id.ID
	at        time.Time
}

// usesPerStatement keeps the CASE, which is searched for every row, short.
const usesPerStatement = 200

// storeUses writes when sessions were last used, where that is later than what is written, and says how many of the sessions are still there.
func storeUses(tx database.Tx, uses []use) (int64, error) {
	// In key order, as everybody locks sessions.
	slices.SortFunc(uses, func(a, b use) int { return bytes.Compare(a.userID[:], b.userID[:]) })
	var total int64
	for chunk := range slices.Chunk(uses, usesPerStatement) {
		var cases strings.Builder
		var when, users, sessions []any
		for k := range chunk {
			u := &chunk[k]
			at := operation.Micro(u.at)
			cases.WriteString(" WHEN id = ? AND last_seen_at_us < ? THEN ?")
			when = append(when, u.sessionID, at, at)
			users = append(users, u.userID)
			sessions = append(sessions, u.sessionID)
		}
		in := database.Placeholders(len(chunk))
		n, err := tx.Exec("UPDATE sessions SET last_seen_at_us = CASE"+cases.String()+" ELSE last_seen_at_us END WHERE user_id IN "+in+" AND id IN "+in,
			slices.Concat(when, users, sessions)...)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// AreSignedIn says which of the users have a live session.
func AreSignedIn(tx database.Tx, users []id.ID) (map[id.ID]bool, error) {
	signedIn := make(map[id.ID]bool, len(users))
	if len(users) == 0 {
		return signedIn, nil
	}
	args := make([]any, len(users))
	for i := range users {
		args[i] = users[i][:]
	}
	return signedIn, tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var user id.ID
			if err := rows.Scan(&user); err != nil {
				return err
			}
			signedIn[user] = true
		}
		return rows.Err()
	}, "SELECT user_id FROM sessions WHERE user_id IN "+database.Placeholders(len(args)), args...)
}

func insertTicket(tx database.Tx, ticket hashOf, session Session, expiresAt time.Time) error {
	_, err := tx.Exec("INSERT INTO feed_tickets (ticket_hash, user_id, session_id, expires_at_us) VALUES (?,?,?,?)",
		ticket, session.UserID, session.ID, operation.Micro(expiresAt))
	return err
}

// takeTicket removes a ticket and returns whose it was; false if there is none, or somebody else takes it.
func takeTicket(tx database.Tx, ticket hashOf) (user, session id.ID, expiresAt time.Time, found bool, err error) {
	var row struct {
		UserID      id.ID
		SessionID   id.ID
		ExpiresAtUs int64
	}
	err = tx.Gorm().Raw("SELECT user_id, session_id, expires_at_us FROM feed_tickets WHERE ticket_hash = ?"+tx.ForUpdate(), ticket).Scan(&row).Error
	if err != nil || row.UserID.IsZero() {
		return id.ID{}, id.ID{}, time.Time{}, false, err
	}
	n, err := tx.Exec("DELETE FROM feed_tickets WHERE ticket_hash = ?", ticket)
	return row.UserID, row.SessionID, operation.FromMicro(row.ExpiresAtUs), n == 1, err
}

// deleteTickets removes those that expired before the given time.
func deleteTickets(tx database.Tx, before time.Time) error {
	_, err := tx.Exec("DELETE FROM feed_tickets WHERE expires_at_us < ?", operation.Micro(before))
	return err
}

func insertNotices(tx database.Tx, notices []Notice) error {
	rows := database.Rows{Table: "notices", Columns: []string{"id", "user_id", "kind", "text", "data", "at_us"}}
	for k := range notices {
		n := &notices[k]
		data := string(n.Data)
		if data == "" {
			data = "{}"
		}
		rows.Add(n.ID, n.UserID, n.Kind, n.Text, data, operation.Micro(n.At))
	}
	return rows.Insert(tx)
}

const selectNotices = "SELECT id, user_id, kind, text, data, at_us FROM notices WHERE "

// takeNotices marks a user's undelivered notices, the oldest first and at most limit, as delivered, and returns them.
// The user's row is locked, so nobody else delivers them. They are not locked themselves: MariaDB may go through all of a small table for them, and would lock those of others.
func takeNotices(tx database.Tx, user id.ID, at time.Time, limit int) ([]Notice, error) {
	notices, err := scanNotices(tx, selectNotices+"user_id = ? AND delivered_at_us = 0 ORDER BY id LIMIT ?", user, limit)
	if err != nil || len(notices) == 0 {
		return nil, err
	}
	args := []any{operation.Micro(at)}
	for k := range notices {
		args = append(args, notices[k].ID)
	}
	_, err = tx.Exec("UPDATE notices SET delivered_at_us = ? WHERE id IN "+database.Placeholders(len(notices)), args...)
	return notices, err
}

// listNotices reads a user's notices that are older than before, the newest first.
func listNotices(tx database.Tx, user, before id.ID, limit int) ([]Notice, error) {
	if before.IsZero() {
		return scanNotices(tx, selectNotices+"user_id = ? ORDER BY id DESC LIMIT ?", user, limit)
	}
	return scanNotices(tx, selectNotices+"user_id = ? AND id < ? ORDER BY id DESC LIMIT ?", user, before, limit)
}

func scanNotices(tx database.Tx, query string, args ...any) ([]Notice, error) {
	var rows []struct {
		ID     id.ID
		UserID id.ID
		Kind   string
		Text   string
		Data   string
		AtUs   int64
	}
	if err := tx.Gorm().Raw(query, args...).Scan(&rows).Error; err != nil {
		return nil, err
	}
	notices := make([]Notice, len(rows))
	for k, r := range rows {
		notices[k] = Notice{ID: r.ID, UserID: r.UserID, Kind: r.Kind, Text: r.Text, Data: json.RawMessage(r.Data), At: operation.FromMicro(r.AtUs)}
	}
	return notices, nil
}

// countUsers counts the users with the given keys, and all others.
func countUsers(tx database.Tx, keys []string) (named, others int, err error) {
	args := make([]any, len(keys))
	for i := range keys {
		args[i] = keys[i]
	}
	err = tx.Gorm().Raw("SELECT COUNT(*) FROM users WHERE username_key IN "+database.Placeholders(len(args)), args...).Row().Scan(&named)
	if err == nil {
		err = tx.Gorm().Raw("SELECT COUNT(*) FROM users").Row().Scan(&others)
	}
	return named, others - named, err
}
