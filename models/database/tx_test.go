package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestRows(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		none := Rows{Table: "no_such_table", Columns: []string{"id"}}
		must(t, db.Write(t.Context(), none.Insert)) // no rows, no statement

		const many = 33_000 // more than one statement binds
		rows := Rows{Table: "words", Columns: []string{"id", "word", "n"}}
		for i := range many {
			rows.Add(i, fmt.Sprint("word ", i), i%7)
		}
		if rows.Len() != many {
			t.Errorf("Len() = %d", rows.Len())
		}
		must(t, db.Write(t.Context(), rows.Insert))
		if n := count(t, db.Read(t.Context())); n != many {
			t.Errorf("%d rows were written", n)
		}

		changed := Rows{Table: "words", Columns: []string{"id", "word", "n"}}
		changed.Add(1, "not looked at", 100)
		changed.Add(many, "new", nil)
		must(t, db.Write(t.Context(), func(tx Tx) error { return changed.Upsert(tx, []string{"id"}, []string{"n"}) }))
		var words []string
		must(t, db.Read(t.Context()).Gorm().Raw("SELECT word FROM words WHERE n = 100 OR n IS NULL ORDER BY id").Scan(&words).Error)
		if strings.Join(words, ",") != "word 1,new" {
			t.Errorf("the upsert made %q", words)
		}
	})
}

// TestUpsertWhere: new rows are written, rows that fulfil the condition are set, and others are left as they are, also if the statement comes again.
func TestUpsertWhere(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		write := func(values ...any) {
			rows := Rows{Table: "words", Columns: []string{"id", "word", "n"}}
			for i := 0; i < len(values); i += 3 {
				rows.Add(values[i], values[i+1], values[i+2])
			}
			must(t, db.Write(t.Context(), func(tx Tx) error { return rows.UpsertWhere(tx, []string{"id"}, []string{"word", "n"}, "words.n < 10") }))
		}
		expect := func(want string) {
			t.Helper()
			var is []string
			must(t, db.Read(t.Context()).Query(func(rows *sql.Rows) error {
				for rows.Next() {
					var id int
					var word string
					var n sql.NullInt64
					if err := rows.Scan(&id, &word, &n); err != nil {
						return err
					}
					is = append(is, fmt.Sprint(id, word, n.Int64))
				}
				return rows.Err()
			}, "SELECT id, word, n FROM words ORDER BY id"))
			if got := strings.Join(is, ","); got != want {
				t.Errorf("there is %s, not %s", got, want)
			}
		}
		write()
		write(1, "open", 1, 2, "closed", 10, 3, "unknown", nil)
		expect("1open1,2closed10,3unknown0")
		for range 2 { // the first of them closes the first row, so that the second finds nothing to set
			write(1, "first", 12, 2, "second", 5, 3, "third", 6, 4, "fourth", 7)
			expect("1first12,2closed10,3unknown0,4fourth7")
		}
		write(4, "again", 8, 1, "late", 1)
		write(4, "and again", 9)
		expect("1first12,2closed10,3unknown0,4and again9")
		const many = 400 // more values than one statement on SQLite binds
		var values []any
		for i := range many {
			values = append(values, i, fmt.Sprint("word ", i), 2)
		}
		write(values...)
		if n := count(t, db.Read(t.Context())); n != many {
			t.Errorf("%d rows are there", n)
		}
		var kept []string
		must(t, db.Read(t.Context()).Gorm().Raw("SELECT word FROM words WHERE word NOT LIKE 'word %' ORDER BY id").Scan(&kept).Error)
		if strings.Join(kept, ",") != "first,closed,unknown" {
			t.Errorf("the upsert kept %q", kept)
		}
	})
}

func TestDuplicate(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		insert := func(id int, word any) error {
			rows := Rows{Table: "words", Columns: []string{"id", "word"}}
			rows.Add(id+100, fmt.Sprint("other ", id)) // goes with the rest
			rows.Add(id, word)
			return db.Write(t.Context(), rows.Insert)
		}
		must(t, insert(1, "one"))
		for name, tt := range map[string]struct {
			err       error
			duplicate bool
		}{
			"the same primary key": {insert(1, "two"), true},
			"the same unique key":  {insert(2, "one"), true},
			"null":                 {insert(3, nil), false},
		} {
			if tt.err == nil || IsDuplicate(tt.err) != tt.duplicate || IsTransient(tt.err) {
				t.Errorf("%s: %v is a duplicate: %t, transient: %t", name, tt.err, IsDuplicate(tt.err), IsTransient(tt.err))
			}
		}
		if n := count(t, db.Read(t.Context())); n != 2 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestExecCounts: "affected" is how many rows matched, changed or not, on both stores.
func TestExecCounts(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		must(t, db.Write(t.Context(), func(tx Tx) error {
			for _, step := range []struct {
				sql  string
				want int64
			}{
				{"INSERT INTO words (id, word, n) VALUES (1, 'a', 5), (2, 'b', 5), (3, 'c', 6)", 3},
				{"UPDATE words SET n = 5 WHERE n = 5", 2},
				{"UPDATE words SET n = 5", 3},
				{"UPDATE words SET n = 5 WHERE id = 9", 0},
				{"DELETE FROM words WHERE id > 1", 2},
				{"DELETE FROM words WHERE id > 1", 0},
			} {
				if n, err := tx.Exec(step.sql); n != step.want || err != nil {
					t.Errorf("%s: %d, %v; want %d", step.sql, n, err, step.want)
				}
			}
			return nil
		}))
	})
}

func TestWriteIsAllOrNothing(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		insert := func(tx Tx) {
			_, err := tx.Exec("INSERT INTO words (id, word) VALUES (1, 'one')")
			must(t, err)
		}
		fault := errors.New("fault")
		if err := db.Write(t.Context(), func(tx Tx) error { insert(tx); return fault }); !errors.Is(err, fault) {
			t.Errorf("an error became %v", err)
		}
		func() {
			defer func() {
				if cause := recover(); cause != "bug" {
					t.Errorf("a panic became %v", cause)
				}
			}()
			_ = db.Write(t.Context(), func(tx Tx) error { insert(tx); panic("bug") })
		}()
		ctx, cancel := context.WithCancel(t.Context())
		if err := db.Write(ctx, func(tx Tx) error { insert(tx); cancel(); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended before the commit gave %v", err)
		}
		if n := count(t, db.Read(t.Context())); n != 0 {
			t.Errorf("%d rows are left of what was rolled back", n)
		}
		must(t, db.Write(t.Context(), func(tx Tx) error { insert(tx); return nil }))
		if n := count(t, db.Read(t.Context())); n != 1 {
			t.Errorf("%d rows are there after a commit", n)
		}
	})
}

// TestSnapshot: a snapshot sees one moment, whatever is committed meanwhile, and holds no writer up.
func TestSnapshot(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		insert := func(id int) {
			rows := Rows{Table: "words", Columns: []string{"id", "word"}}
			rows.Add(id, fmt.Sprint(id))
			must(t, db.Write(t.Context(), rows.Insert))
		}
		insert(1)
		must(t, db.Snapshot(t.Context(), func(tx Tx) error {
			for id := range 3 {
				if n := count(t, tx); n != 1 {
					t.Errorf("the snapshot sees %d rows", n)
				}
				insert(2 + id)
			}
			return nil
		}))
		must(t, db.Snapshot(t.Context(), func(tx Tx) error {
			if n := count(t, tx); n != 4 {
				t.Errorf("the next snapshot sees %d rows", n)
			}
			if _, err := tx.Exec("DELETE FROM words"); err == nil {
				t.Error("a snapshot can write")
			}
			return nil
		}))
		if n := count(t, db.Read(t.Context())); n != 4 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestLane: the lane's connection is one of its own, and closing it leaves the rest.
func TestLane(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		lane, err := db.Lane()
		must(t, err)
		must(t, lane.Write(t.Context(), func(tx Tx) error {
			_, err := tx.Exec("INSERT INTO words (id, word) VALUES (1, 'one')")
			return err
		}))
		if n := count(t, lane.Writer(t.Context())); n != 1 {
			t.Errorf("the lane sees %d rows", n)
		}
		must(t, db.CloseLane(lane))
		must(t, db.CloseLane(nil))
		must(t, db.Ping(t.Context()))
		if n := count(t, db.Read(t.Context())); n != 1 {
			t.Errorf("%d rows are there", n)
		}
	})
}

func TestRowsOfAllKinds(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		must(t, db.Write(t.Context(), func(tx Tx) error {
			_, err := tx.Exec("CREATE TABLE kinds (id BIGINT NOT NULL PRIMARY KEY, text VARCHAR(64) NULL, bytes VARBINARY(64) NULL, yes BOOLEAN NULL)")
			return err
		}))
		type kind struct {
			id    int64
			text  any
			bytes []byte
			yes   any
		}
		kinds := []kind{
			{math.MinInt64, "? '?' ? x'00'", []byte("? ' \\ \x00"), true},
			{math.MaxInt64, "", []byte{}, false},
			{0, "'); DROP TABLE kinds; --", nil, nil},
			{-1, nil, []byte{0xFF}, true},
		}
		rows := Rows{Table: "kinds", Columns: []string{"id", "text", "bytes", "yes"}}
		for _, k := range kinds {
			var given any
			if k.bytes != nil {
				given = k.bytes
			}
			rows.Add(k.id, k.text, given, k.yes)
		}
		must(t, db.Write(t.Context(), rows.Insert))
		for _, want := range kinds {
			var text sql.NullString
			var bytes []byte
			var yes sql.NullBool
			must(t, db.Read(t.Context()).Gorm().Raw("SELECT text, bytes, yes FROM kinds WHERE id = ?", want.id).Row().Scan(&text, &bytes, &yes))
			if wantText, given := want.text.(string); text.Valid != given || text.String != wantText {
				t.Errorf("text of %d is %+v, want %v", want.id, text, want.text)
			}
			if string(bytes) != string(want.bytes) {
				t.Errorf("bytes of %d are %q, want %q", want.id, bytes, want.bytes)
			}
			if wantYes, given := want.yes.(bool); yes.Valid != given || yes.Bool != wantYes {
				t.Errorf("yes of %d is %+v, want %v", want.id, yes, want.yes)
			}
		}
	})
}
