package files

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// Sweep removes what the storage has and nobody needs: what dead processes have begun, and the contents from before a time that are no file's. Those of operations
// that are still to be decided stay, and of operations that have failed, which may be replayed. It returns how many contents it removed.
//
// A content is submitted as soon as it is stored, so the time must be long enough ago for all that is stored by then to be in the journal, or never to get there.
func Sweep(ctx context.Context, db *database.DB, storage Storage, before time.Time) (removed int, err error) {
	if err := storage.Clean(ctx); err != nil {
		return 0, err
	}
	old, err := storage.Before(ctx, before)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	// One snapshot: what is decided, or replayed, meanwhile must not slip through between two queries.
	needed := map[id.ID]bool{}
	err = db.Snapshot(ctx, func(tx database.Tx) error {
		return errors.Join(addUndecided(tx, needed), addFiles(tx, old, needed))
	})
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, content := range old {
		if needed[content] {
			continue
		}
		if err := storage.Remove(ctx, content); err != nil {
			errs = append(errs, err)
		} else {
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// addUndecided adds the contents of uploads that wait, or have failed.
func addUndecided(tx database.Tx, needed map[id.ID]bool) error {
	var after id.ID
	for {
		waiting, err := operation.Waiting(tx, Lane, after, placesAtOnce)
		if err != nil {
			return err
		}
		for _, batch := range waiting {
			commands, err := operation.Commands(tx, batch)
			if err != nil {
				return err
			}
			for i := range commands {
				if err := addContent(commands[i].Kind, commands[i].Payload, needed); err != nil {
					return err
				}
			}
			after = batch.ID
		}
		if len(waiting) < placesAtOnce {
			return addFailed(tx, needed)
		}
	}
}

func addFailed(tx database.Tx, needed map[id.ID]bool) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var kind, payload string
			if err := rows.Scan(&kind, &payload); err != nil {
				return err
			}
			if err := addContent(kind, []byte(payload), needed); err != nil {
				return err
			}
		}
		return rows.Err()
	}, "SELECT o.kind, o.payload FROM parked_operations p JOIN operations o ON o.id = p.operation_id WHERE p.parked = TRUE AND o.lane = ?", Lane)
}

// addContent takes any payload that names a content: what the rules make of it is not the question.
func addContent(kind string, payload []byte, needed map[id.ID]bool) error {
	if kind != KindUpload {
		return nil
	}
	var named struct {
		Content id.ID `json:"content"`
	}
	if err := json.Unmarshal(payload, &named); err != nil {
		return fmt.Errorf("files: the payload of an upload: %w", err)
	}
	needed[named.Content] = true
	return nil
}

// addFiles adds those of the contents that are files'.
func addFiles(tx database.Tx, contents []id.ID, needed map[id.ID]bool) error {
	for chunk := range slices.Chunk(contents, placesAtOnce) {
		err := tx.Query(func(rows *sql.Rows) error {
			for rows.Next() {
				var content id.ID
				if err := rows.Scan(&content); err != nil {
					return err
				}
				needed[content] = true
			}
			return rows.Err()
		}, "SELECT content FROM files WHERE content IN "+database.Placeholders(len(chunk)), id.Args(chunk)...)
		if err != nil {
			return err
		}
	}
	return nil
}
