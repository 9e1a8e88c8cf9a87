package database

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"guichet/models/testbed"
)

func TestOpenMySQLRefuses(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{
		"no DSN":         "",
		"not a DSN":      "mysql://user@host/db",
		"no database":    "user:password@tcp(127.0.0.1:1)/",
		"nobody listens": "user:password@tcp(127.0.0.1:1)/guichet",
	} {
		db, err := OpenMySQL(t.Context(), dsn)
		if err == nil {
			_ = db.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if transient := name == "nobody listens"; IsTransient(err) != transient {
			t.Errorf("%s: %v is transient: %t", name, err, !transient)
		}
	}
}

// TestMySQLConnections: each connection has what the stores rely on.
func TestMySQLConnections(t *testing.T) {
	t.Parallel()
	db, err := OpenMySQL(t.Context(), testbed.MySQL(t))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	lane, err := db.Lane()
	must(t, err)
	t.Cleanup(func() { _ = db.CloseLane(lane) })
	variable := func(tx Tx, name string) (value string) {
		var ignored string
		must(t, tx.Gorm().Raw("SHOW SESSION VARIABLES LIKE ?", name).Row().Scan(&ignored, &value))
		return value
	}
	for name, store := range map[string]*DB{"pool": db, "lane": lane} {
		must(t, store.Write(t.Context(), func(tx Tx) error {
			if isolation := variable(tx, "%x_isolation"); isolation != "READ-COMMITTED" {
				t.Errorf("%s: transactions are %s", name, isolation)
			}
			if charset := variable(tx, "character_set_client"); charset != "utf8mb4" {
				t.Errorf("%s: text is sent as %s", name, charset)
			}
			if wait, want := variable(tx, "wait_timeout"), map[string]string{"pool": "5", "lane": "2"}[name]; wait != want {
				t.Errorf("%s: an idle connection is dropped after %s s, want %s", name, wait, want)
			}
			return nil
		}))
	}
	if db.Embedded() || len(db.Pools()) != 2 {
		t.Errorf("embedded: %t, pools: %v", db.Embedded(), db.Pools())
	}
}

// A lane that rests has no connection, and takes one when it is used; one that is in use stays.
func TestLaneRests(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		lane, err := db.Lane()
		must(t, err)
		t.Cleanup(func() { _ = db.CloseLane(lane) })
		open := func(want int) {
			t.Helper()
			if n := (pool{lane.write}).sql().Stats().OpenConnections; !db.Embedded() && n != want {
				t.Errorf("%d connections are open, want %d", n, want)
			}
		}
		must(t, lane.KeepAlive(t.Context()))
		open(1)
		lane.Rest()
		open(0)
		must(t, lane.Write(t.Context(), func(tx Tx) error {
			lane.Rest()
			must(t, lane.KeepAlive(t.Context()))
			open(1)
			_, err := tx.Any("SELECT 1")
			return err
		}))
		lane.Rest()
		open(0)
		must(t, lane.KeepAlive(t.Context()))
		open(1)
	})
}

func TestSQLiteFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), `a b?c#d%41&é"'`)
	must(t, os.Mkdir(dir, 0o700))
	db, err := OpenSQLite(t.Context(), dir)
	must(t, err)
	withTable(t, db)
	pragmas := map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000"} // 2: FULL
	must(t, db.Write(t.Context(), func(tx Tx) error {
		for name, want := range pragmas {
			var got string
			must(t, tx.Gorm().Raw("PRAGMA "+name).Row().Scan(&got))
			if got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		_, err := tx.Exec("INSERT INTO words (id, word) VALUES (1, 'kept')")
		return err
	}))
	if err := db.Read(t.Context()).Gorm().Exec("DELETE FROM words").Error; err == nil || IsTransient(err) {
		t.Errorf("writing outside a transaction gave %v", err)
	}
	if !db.Embedded() || len(db.Pools()) != 2 {
		t.Errorf("embedded: %t, pools: %v", db.Embedded(), db.Pools())
	}
	must(t, db.Close())
	if files, err := filepath.Glob(filepath.Join(strings.NewReplacer("?", "[?]").Replace(dir), "*")); err != nil || len(files) != 1 || filepath.Base(files[0]) != SQLiteFile {
		t.Errorf("the directory has %v, %v", files, err)
	}
	again, err := OpenSQLite(t.Context(), dir)
	must(t, err)
	t.Cleanup(func() { _ = again.Close() })
	if n := count(t, again.Read(t.Context())); n != 1 {
		t.Errorf("%d rows are there when it is opened again", n)
	}
	if _, err := OpenSQLite(t.Context(), filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a store was made in a directory that there is not")
	}
}
