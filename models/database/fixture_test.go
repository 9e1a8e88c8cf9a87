package database

import (
	"testing"

	"guichet/models/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// onBothStores runs a test on SQLite and on MariaDB; neither is migrated.
func onBothStores(t *testing.T, test func(t *testing.T, db *DB)) {
	t.Helper()
	t.Parallel()
	run := func(name string, open func(t *testing.T) *DB) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
	run("sqlite", openSQLite)
	run("mysql", openMySQL)
}

func openSQLite(t *testing.T) *DB {
	t.Helper()
	db, err := OpenSQLite(t.Context(), t.TempDir())
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func openMySQL(t *testing.T) *DB {
	t.Helper()
	db, err := OpenMySQL(t.Context(), testbed.MySQL(t))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// withTable makes a small table.
func withTable(t *testing.T, db *DB) {
	t.Helper()
	must(t, db.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec("CREATE TABLE words (id BIGINT NOT NULL PRIMARY KEY, word VARCHAR(64) NOT NULL UNIQUE, n BIGINT NULL)")
		return err
	}))
}

func count(t *testing.T, tx Tx) (n int) {
	t.Helper()
	must(t, tx.Gorm().Raw("SELECT COUNT(*) FROM words").Row().Scan(&n))
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
