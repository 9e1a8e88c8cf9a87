package database

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
)

func TestMigrate(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		if err := db.CheckMigrated(t.Context()); !errors.Is(err, ErrNotMigrated) {
			t.Errorf("before the migrations: %v", err)
		}
		files, err := migrations.ReadDir("migrations")
		must(t, err)
		for _, want := range []int{len(files), 0} {
			if applied, err := db.Migrate(t.Context()); applied != want || err != nil {
				t.Errorf("applied %d migrations, %v; want %d", applied, err, want)
			}
		}
		must(t, db.CheckMigrated(t.Context()))

		provider, err := db.provider(db.write)
		must(t, err)
		_, err = provider.Down(t.Context())
		must(t, err)
		if err := db.CheckMigrated(t.Context()); !errors.Is(err, ErrNotMigrated) {
			t.Errorf("after one was undone: %v", err)
		}
		_, err = provider.DownTo(t.Context(), 0)
		must(t, err)
		if left := columns(t, db); len(left) != 0 {
			t.Errorf("undoing all leaves %v", left)
		}
		if applied, err := db.Migrate(t.Context()); applied != len(files) || err != nil {
			t.Errorf("once more: applied %d migrations, %v", applied, err)
		}
	})
}

// A migration may take longer than any other statement.
func TestMigrationMayTakeLong(t *testing.T) {
	t.Parallel()
	db := openMySQL(t)
	_, err := db.Migrate(t.Context())
	must(t, err)
	provider, err := db.provider(db.write)
	must(t, err)
	_, err = provider.Down(t.Context())
	must(t, err)
	locked, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- db.Read(t.Context()).Gorm().Connection(func(other *gorm.DB) error {
			err := other.Exec("LOCK TABLES goose_db_version WRITE").Error
			close(locked)
			if err == nil {
				err = other.Exec("SELECT SLEEP(?)", (answerTimeout + time.Second).Seconds()).Error
			}
			return errors.Join(err, other.Exec("UNLOCK TABLES").Error)
		})
	}()
	<-locked
	if applied, err := db.Migrate(t.Context()); applied != 1 || err != nil {
		t.Errorf("applied %d migrations, %v", applied, err)
	}
	must(t, <-done)
}

// TestSchemasAgree: what the migrations make is the same on both stores.
func TestSchemasAgree(t *testing.T) {
	t.Parallel()
	sqlite, mysql := openSQLite(t), openMySQL(t)
	for _, db := range []*DB{sqlite, mysql} {
		_, err := db.Migrate(t.Context())
		must(t, err)
	}
	for what, list := range map[string]func(*testing.T, *DB) []string{"columns": columns, "indexes": indexes} {
		onSQLite, onMySQL := list(t, sqlite), list(t, mysql)
		if len(onSQLite) == 0 || !slices.Equal(onSQLite, onMySQL) {
			t.Errorf("the %s differ:\n%s", what, difference(onSQLite, onMySQL))
		}
	}
}

func difference(onSQLite, onMySQL []string) string {
	var text strings.Builder
	for _, one := range onSQLite {
		if !slices.Contains(onMySQL, one) {
			fmt.Fprintf(&text, "SQLite: %s\n", one)
		}
	}
	for _, one := range onMySQL {
		if !slices.Contains(onSQLite, one) {
			fmt.Fprintf(&text, "MySQL:  %s\n", one)
		}
	}
	return text.String()
}

// columns lists table, column, type, whether it may be null, default, in order of the columns.
func columns(t *testing.T, db *DB) []string {
	t.Helper()
	query := `SELECT table_name, column_name, column_type, is_nullable = 'NO', COALESCE(column_default, 'NULL') FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name <> 'goose_db_version' ORDER BY BINARY table_name, ordinal_position`
	if db.Embedded() {
		query = `SELECT m.name, c.name, c.type, c."notnull", COALESCE(c.dflt_value, 'NULL') FROM sqlite_master m, pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.cid`
	}
	rows, err := db.Read(t.Context()).Gorm().Raw(query).Rows()
	must(t, err)
	defer func() { _ = rows.Close() }()
	var found []string
	for rows.Next() {
		var table, column, kind, preset string
		var notNull bool
		must(t, rows.Scan(&table, &column, &kind, &notNull, &preset))
		found = append(found, fmt.Sprintf("%s.%s %s, not null: %t, default %s", table, column, plainType(kind), notNull, plainDefault(preset)))
	}
	must(t, rows.Err())
	return found
}

var displayWidth = regexp.MustCompile(`^(bigint|int|smallint|tinyint)\(\d+\)$`)

// plainType undoes what the stores make of the types in the migrations.
func plainType(kind string) string {
	kind = strings.ToLower(kind)
	if kind == "boolean" {
		kind = "tinyint"
	}
	return displayWidth.ReplaceAllString(kind, "$1")
}

func plainDefault(preset string) string {
	return cmp.Or(map[string]string{"FALSE": "0", "": "''"}[preset], preset)
}

// indexes lists table, columns and whether they are unique, of each index, primary keys among them.
func indexes(t *testing.T, db *DB) []string {
	t.Helper()
	query := `SELECT table_name, index_name, non_unique = 0, column_name FROM information_schema.statistics
		WHERE table_schema = DATABASE() AND table_name <> 'goose_db_version' ORDER BY table_name, index_name, seq_in_index`
	if db.Embedded() {
		query = `SELECT m.name, i.name, i."unique", c.name FROM sqlite_master m, pragma_index_list(m.name) i, pragma_index_info(i.name) c
			WHERE m.type = 'table' AND m.name <> 'goose_db_version' ORDER BY m.name, i.name, c.seqno`
	}
	rows, err := db.Read(t.Context()).Gorm().Raw(query).Rows()
	must(t, err)
	defer func() { _ = rows.Close() }()
	var found []string
	var last string
	for rows.Next() {
		var table, index, column string
		var unique bool
		must(t, rows.Scan(&table, &index, &unique, &column))
		if key := table + "/" + index; key != last {
			last = key
			found = append(found, fmt.Sprintf("%s, unique: %t:", table, unique))
		}
		found[len(found)-1] += " " + column
	}
	must(t, rows.Err())
	slices.Sort(found)
	return slices.DeleteFunc(found, func(index string) bool { return index == "feed_head, unique: true: id" }) // SQLite needs no index for a key that is an INT
}

// TestTextIsBytes: on both stores text is equal if its bytes are, and anything can be stored.
func TestTextIsBytes(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		_, err := db.Migrate(t.Context())
		must(t, err)
		withTable(t, db)
		words := []string{"word", "Word", "wörd", "wo\u0308rd", "w\u00f8rd", "\U0001F600", "\U0001F601", "a\x00b", "a%", "a_", "'", `\`, `"`, "?", "@x", ":x", "$1", "--", "ß", "ss"}
		rows := Rows{Table: "words", Columns: []string{"id", "word"}}
		for i, word := range words {
			rows.Add(i, word)
		}
		must(t, db.Write(t.Context(), rows.Insert))
		var read []string
		must(t, db.Read(t.Context()).Gorm().Raw("SELECT word FROM words ORDER BY id").Scan(&read).Error)
		if !slices.Equal(read, words) {
			t.Errorf("wrote %q\nread  %q", words, read)
		}
		slices.Sort(words)
		must(t, db.Read(t.Context()).Gorm().Raw("SELECT word FROM words ORDER BY word").Scan(&read).Error)
		if !slices.Equal(read, words) {
			t.Errorf("sorted: %q\nwant    %q", read, words)
		}
	})
}
