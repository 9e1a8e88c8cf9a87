package identity

import (
	"context"
	"encoding/json"
	"time"

	"guichet/models/database"
	"guichet/models/id"
)

// MaxNotices is how many notices one sign-in delivers.
const MaxNotices = 200

// Notice tells a user what happened. It is delivered with the answer to the next sign-in, once, and can be listed ever after.
type Notice struct {
	ID     id.ID
	UserID id.ID
	Kind   string // at most 32 characters, such as order.filled
	Text   string
	Data   json.RawMessage // the resource that it is about: a JSON object, or nothing
	At     time.Time
}

// AddNotices stores notices in the transaction that has made them true.
func AddNotices(tx database.Tx, notices ...Notice) error { return insertNotices(tx, notices) }

// ListNotices returns a user's notices, delivered or not, the newest first: at most limit, and only those older than before unless that is zero.
// It does not deliver them.
func (i *Identity) ListNotices(ctx context.Context, user, before id.ID, limit int) ([]Notice, error) {
	return listNotices(i.db.Read(ctx), user, before, limit)
}
