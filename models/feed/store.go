package feed

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// Log is the table of entries.
type Log struct {
	db      *database.DB
	journal *operation.Journal
}

// NewLog returns the log kept in db.
func NewLog(db *database.DB) *Log { return &Log{db, operation.NewJournal(db)} }

// Append gives the entries their positions and stores them. It locks the head, which all who add entries share, until the transaction ends:
// call it last, and commit. The entries know their positions when tx has run what it defers.
func Append(tx database.Tx, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var width int64
	for i := range entries {
		width += entries[i].width()
	}
	return tx.Deferred(func(tx database.Tx) error { return appendIn(tx, entries, width) })
}

func appendIn(tx database.Tx, entries []Entry, width int64) error {
	rows := database.Rows{Table: "feed_entries", Columns: []string{"position", "topic", "event", "at_us", "lamport", "operation_id", "data"}}
	numbered := func(rows *sql.Rows) error { return number(entries, width, rows) }
	if tx.Embedded() {
		if err := tx.Query(numbered, "UPDATE feed_head SET position = position + ? WHERE id = 1 RETURNING position", width); err != nil {
			return err
		}
	} else { // the positions are computed where the head is, so that nobody has to ask for it while it is locked
		if _, err := tx.Exec("UPDATE feed_head SET position = LAST_INSERT_ID(position + ?) WHERE id = 1", width); err != nil {
			return err
		}
		rows.First = "LAST_INSERT_ID() - ?"
	}
	left := width
	for i := range entries {
		e := &entries[i]
		left -= e.width()
		position := e.Position
		if rows.First != "" {
			position = left
		}
		var operationID, data any
		if e.Event == OperationFinished {
			operationID = e.OperationID[:] // the journal has the data
		} else {
			data = string(e.Data)
		}
		rows.Add(position, e.Topic, e.Event, e.At.UnixMicro(), int64(e.Lamport), operationID, data)
	}
	if err := rows.Insert(tx); err != nil || tx.Embedded() {
		return err
	}
	return tx.Query(numbered, "SELECT LAST_INSERT_ID()")
}

// number gives the entries the positions up to the head.
func number(entries []Entry, width int64, rows *sql.Rows) error {
	if !rows.Next() {
		return errors.Join(errors.New("feed: there is no head"), rows.Err())
	}
	var position int64
	if err := rows.Scan(&position); err != nil {
		return err
	}
	position -= width
	for i := range entries {
		position += entries[i].width()
		entries[i].Position = position
	}
	return nil
}

func head(tx database.Tx) (position int64, err error) {
	err = tx.Gorm().Raw("SELECT position FROM feed_head WHERE id = 1").Row().Scan(&position)
	return position, err
}

// HeadIn is the position of the newest entry that tx sees.
func HeadIn(tx database.Tx) (int64, error) { return head(tx) }

// Head is the position of the newest entry.
func (l *Log) Head(ctx context.Context) (int64, error) { return head(l.db.Read(ctx)) }

// Start is the position after which every entry is kept: who has seen less has missed some.
func (l *Log) Start(ctx context.Context) (int64, error) {
	tx := l.db.Read(ctx)
	end, err := head(tx) // first: should no entry be kept, those that are added from now on come after it
	if err != nil {
		return 0, err
	}
	var oldest []Entry
	err = tx.Gorm().Raw("SELECT position, event FROM feed_entries ORDER BY position LIMIT 1").Scan(&oldest).Error
	if err != nil || len(oldest) == 0 {
		return end, err
	}
	return oldest[0].Position - oldest[0].width(), nil
}

// Between reads up to limit entries with after < position ≤ until, in order; of the given topics, or of all if there are none.
func (l *Log) Between(ctx context.Context, after, until int64, topics []string, limit int) ([]Entry, error) {
	tx := l.db.Read(ctx)
	query := tx.Gorm().Table("feed_entries").Where("position > ? AND position <= ?", after, until)
	if len(topics) > 0 {
		query = query.Where("topic IN ?", topics)
	}
	var rows []struct {
		Position    int64
		Topic       string
		Event       string
		AtUs        int64
		Lamport     int64
		OperationID id.ID
		Data        *string
	}
	if err := query.Order("position").Limit(limit).Find(&rows).Error; err != nil {
		return nil, err
	}
	entries := make([]Entry, len(rows))
	var operations []id.ID
	for i, r := range rows {
		entries[i] = Entry{Position: r.Position, Topic: r.Topic, Event: r.Event, At: operation.FromMicro(r.AtUs), Lamport: lamport.Stamp(r.Lamport), OperationID: r.OperationID}
		if r.Data != nil {
			entries[i].Data = json.RawMessage(*r.Data)
		} else {
			operations = append(operations, r.OperationID)
		}
	}
	return entries, l.fillOperations(ctx, entries, operations)
}

func (l *Log) fillOperations(ctx context.Context, entries []Entry, ids []id.ID) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := l.journal.GetAll(ctx, ids)
	if err != nil {
		return err
	}
	for i := range entries {
		if e := &entries[i]; e.Data == nil {
			// An operation that was replayed since has a later outcome, which has an entry of its own; this one tells it a little early.
			if o, ok := found[e.OperationID]; ok && o.Outcome != nil {
				e.Data = o.AppendJSON(nil)
			}
		}
	}
	return nil
}

// Trim deletes up to limit entries older than before, oldest first, and says how many.
func (l *Log) Trim(ctx context.Context, before time.Time, limit int) (int64, error) {
	var deleted int64
	err := l.db.Write(ctx, func(tx database.Tx) error {
		var oldest int64
		err := tx.Gorm().Raw("SELECT COALESCE(MIN(position), 0) FROM feed_entries").Row().Scan(&oldest)
		if err != nil || oldest == 0 {
			return err
		}
		deleted, err = tx.Exec("DELETE FROM feed_entries WHERE position >= ? AND position < ? AND at_us < ?", oldest, oldest+int64(limit), before.UnixMicro())
		return err
	})
	return deleted, err
}
