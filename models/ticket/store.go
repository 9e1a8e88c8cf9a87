package ticket

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"guichet/models/database"
)

// LoadSigner returns the signer whose key the store has. The first process that asks makes the key; of several that ask at once, all get the same.
func LoadSigner(ctx context.Context, db *database.DB) (*Signer, error) {
	secret, found, err := readKey(db.Read(ctx))
	if err == nil && !found {
		err = db.Write(ctx, func(tx database.Tx) error {
			var made [32]byte
			_, _ = rand.Read(made[:]) // never fails: documented in crypto/rand
			rows := database.Rows{Table: "ticket_key", Columns: []string{"id", "secret"}}
			rows.Add(1, made[:])
			// Where there is a key already, or another process is about to commit one, that is kept.
			if err := rows.Upsert(tx, []string{"id"}, []string{"id"}); err != nil {
				return err
			}
			secret, found, err = readKey(tx)
			return err
		})
	}
	if err == nil && !found {
		err = errors.New("the key is gone")
	}
	if err != nil {
		return nil, fmt.Errorf("ticket: the key of the codes: %w", err)
	}
	return NewSigner(secret), nil
}

func readKey(tx database.Tx) (secret [32]byte, found bool, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var key []byte
			if err := rows.Scan(&key); err != nil {
				return err
			}
			if len(key) != len(secret) {
				return fmt.Errorf("%d bytes", len(key))
			}
			secret, found = [32]byte(key), true
		}
		return rows.Err()
	}, "SELECT secret FROM ticket_key WHERE id = 1")
	return secret, found, err
}
