package database

import (
	"database/sql"
	"strings"
	"testing"
)

// What is deferred is there for every statement after it, answers its queries, and is stored with the commit or not at all; the connection serves the next
// transaction whatever happened.
func TestTransactionInOneBreath(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		var seen []int
		number := func(rows *sql.Rows) error {
			rows.Next()
			var n int
			defer func() { seen = append(seen, n) }()
			return rows.Scan(&n)
		}
		insert := func(tx Tx, id int) error {
			_, err := tx.Exec("INSERT INTO words (id, word) VALUES (?, ?)", id, strings.Repeat("x", id))
			return err
		}
		deferred := func(tx Tx) error {
			must(t, insert(tx, 1))
			must(t, tx.Query(number, "SELECT COUNT(*) FROM words"))
			must(t, insert(tx, 2))
			return tx.Query(number, "SELECT COUNT(*) + 100 FROM words")
		}
		must(t, db.Write(t.Context(), func(tx Tx) error { return tx.Deferred(deferred) }))
		if len(seen) != 2 || seen[0] != 1 || seen[1] != 102 {
			t.Errorf("the queries saw %v", seen)
		}
		must(t, db.Write(t.Context(), func(tx Tx) error {
			must(t, tx.Deferred(func(tx Tx) error { return insert(tx, 3) }))
			if n := count(t, tx); n != 3 { // through gorm
				t.Errorf("gorm sees %d rows", n)
			}
			must(t, tx.Deferred(func(tx Tx) error { return insert(tx, 4) }))
			n, err := tx.Exec("DELETE FROM words WHERE id > 2")
			if n != 2 {
				t.Errorf("%d rows were deleted, %v", n, err)
			}
			return err
		}))
		for range 3 {
			err := db.Write(t.Context(), func(tx Tx) error {
				must(t, insert(tx, 5))
				return tx.Deferred(func(tx Tx) error {
					if err := insert(tx, 6); err != nil {
						return err
					}
					if err := insert(tx, 1); err != nil { // which is there
						return err
					}
					return insert(tx, 7)
				})
			})
			if !IsDuplicate(err) {
				t.Errorf("a deferred statement that failed gave %v", err)
			}
		}
		if n := count(t, db.Read(t.Context())); n != 2 {
			t.Errorf("%d rows are there", n)
		}
		must(t, db.Write(t.Context(), func(Tx) error { return nil }))
	})
}
