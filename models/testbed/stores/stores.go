// Package stores opens the stores that guichet runs on, for tests: migrated, and closed when the test ends. It stands on models/database, whose own
// tests stand on testbed, so it cannot be part of that. Only _test.go files import it.
package stores

import (
	"testing"

	"guichet/models/database"
	"guichet/models/testbed"
)

// Each runs a test on SQLite and on MariaDB, in parallel, each time with a fresh store of its own.
func Each(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, SQLite(t))
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		test(t, MySQL(t, testbed.MySQL(t)))
	})
}

// SQLite opens a fresh store in a directory that is removed when the test ends.
func SQLite(tb testing.TB) *database.DB {
	tb.Helper()
	db, err := database.OpenSQLite(tb.Context(), tb.TempDir())
	return migrated(tb, db, err)
}

// MySQL opens the store that a DSN names.
func MySQL(tb testing.TB, dsn string) *database.DB {
	tb.Helper()
	db, err := database.OpenMySQL(tb.Context(), dsn)
	return migrated(tb, db, err)
}

func migrated(tb testing.TB, db *database.DB, err error) *database.DB {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return db
}
