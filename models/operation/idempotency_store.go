package operation

import (
	"crypto/sha256"
	"strings"
	"time"

	"guichet/models/database"
	"guichet/models/id"
)

// Key is an idempotency key: who used it, and for what. Keys are stored hashed, as clients put all sorts of things into them.
type Key struct {
	User    id.ID // zero: somebody who has not signed in
	Hash    [32]byte
	Request [32]byte // of method, path and body
}

// HashKey is the hash of an Idempotency-Key header.
func HashKey(header string) [32]byte { return sha256.Sum256([]byte(header)) }

// Answer is what was answered to the first request with a key: an operation, or a status and a body.
type Answer struct {
	Request   [32]byte
	Operation id.ID
	Status    int
	Body      []byte
}

// FindAnswers looks keys up. Those not used yet are absent from the map.
func FindAnswers(tx database.Tx, keys []Key) (map[Key]Answer, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var args []any
	for i := range keys {
		args = append(args, keys[i].User[:], keys[i].Hash[:])
	}
	var rows []struct {
		UserID      id.ID
		KeyHash     []byte
		RequestHash []byte
		OperationID id.ID
		Status      int
		Body        []byte
	}
	err := tx.Gorm().Raw("SELECT user_id, key_hash, request_hash, operation_id, status, body FROM idempotency_keys WHERE (user_id = ? AND key_hash = ?)"+
		strings.Repeat(" OR (user_id = ? AND key_hash = ?)", len(keys)-1), args...).Scan(&rows).Error
	answers := make(map[Key]Answer, len(rows))
	for _, r := range rows {
		answers[Key{User: r.UserID, Hash: [32]byte(r.KeyHash)}] = Answer{Request: [32]byte(r.RequestHash), Operation: r.OperationID, Status: r.Status, Body: r.Body}
	}
	return answers, err
}

// Bare is the key without what it was used for: how FindAnswers names it.
func (k Key) Bare() Key { return Key{User: k.User, Hash: k.Hash} }

// KeepAnswers stores answers for keys; a key that is in use already is a duplicate.
func KeepAnswers(tx database.Tx, keys []Key, answers []Answer, at time.Time) error {
	rows := answerRows(keys, answers, at)
	return rows.Insert(tx)
}

func answerRows(keys []Key, answers []Answer, at time.Time) database.Rows {
	rows := database.Rows{Table: "idempotency_keys", Columns: []string{"user_id", "key_hash", "request_hash", "operation_id", "status", "body", "created_at_us"}}
	for i := range keys {
		var operation any
		if !answers[i].Operation.IsZero() {
			operation = answers[i].Operation[:]
		}
		rows.Add(keys[i].User[:], keys[i].Hash[:], keys[i].Request[:], operation, answers[i].Status, answers[i].Body, Micro(at))
	}
	return rows
}

// ForgetAnswers deletes up to limit of those that were stored before the given time, oldest first, and says how many.
func ForgetAnswers(tx database.Tx, before time.Time, limit int) (int64, error) {
	var times []int64 // a deletion with a limit is not for every SQLite
	err := tx.Gorm().Raw("SELECT created_at_us FROM idempotency_keys WHERE created_at_us < ? ORDER BY created_at_us LIMIT ?", Micro(before), limit).Scan(&times).Error
	if err != nil || len(times) == 0 {
		return 0, err
	}
	return tx.Exec("DELETE FROM idempotency_keys WHERE created_at_us <= ?", times[len(times)-1])
}

// KeepAnswersBeside is KeepAnswers for what was decided elsewhere: a key that is in use already keeps the answer that it has.
func KeepAnswersBeside(tx database.Tx, keys []Key, answers []Answer, at time.Time) error {
	rows := answerRows(keys, answers, at)
	return rows.Upsert(tx, []string{"user_id", "key_hash"}, []string{"user_id"})
}
