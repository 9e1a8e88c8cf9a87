package database

import "testing"

// What is deferred is written in order, and what fails in the middle of it undoes the transaction.
func TestDeferred(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		write := func(lastID int) error {
			return db.Write(t.Context(), func(tx Tx) error {
				return tx.Deferred(func(tx Tx) error {
					rows := Rows{Table: "words", Columns: []string{"id", "word"}}
					rows.Add(1, "one; ' ?")
					rows.Add(2, "two")
					if err := rows.Insert(tx); err != nil {
						return err
					}
					if _, err := tx.Exec("UPDATE words SET n = ? WHERE id = ?", 7, 2); err != nil {
						return err
					}
					if _, err := tx.Exec("INSERT INTO words (id, word) VALUES (?,?)", lastID, "three"); err != nil {
						return err
					}
					_, err := tx.Exec("UPDATE words SET n = n + 1 WHERE id = 2")
					return err
				})
			})
		}
		if err := write(1); !IsDuplicate(err) {
			t.Fatalf("a duplicate among what was deferred: %v", err)
		}
		if n := count(t, db.Read(t.Context())); n != 0 {
			t.Fatalf("%d rows are left of a transaction that failed", n)
		}
		must(t, write(3))
		var n int
		must(t, db.Read(t.Context()).Gorm().Raw("SELECT n FROM words WHERE id = 2 AND (SELECT COUNT(*) FROM words) = 3").Row().Scan(&n))
		if n != 8 {
			t.Errorf("n is %d, want 8: the statements ran out of order", n)
		}
		must(t, db.Write(t.Context(), func(tx Tx) error { return tx.Deferred(func(Tx) error { return nil }) }))
	})
}
