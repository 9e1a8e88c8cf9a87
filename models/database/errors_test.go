package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/gorm"

	"guichet/models/testbed"
)

func TestIsTransient(t *testing.T) {
	t.Parallel()
	fromMySQL := func(number uint16) error { return &mysqldriver.MySQLError{Number: number, Message: "it says"} }
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"none", nil, false},
		{"one of ours", errors.New("a rule was broken"), false},
		{"one that only reads like it", errors.New("Error 1213: Deadlock found when trying to get lock"), false},
		{"no rows", sql.ErrNoRows, false},
		{"a duplicate", gorm.ErrDuplicatedKey, false},
		{"not found", gorm.ErrRecordNotFound, false},
		{"the pool is closed", errors.New("sql: database is closed"), false},

		{"the connection broke", driver.ErrBadConn, true},
		{"the connection is unusable", mysqldriver.ErrInvalidConn, true},
		{"the connection is done", sql.ErrConnDone, true},
		{"the transaction is done", sql.ErrTxDone, true},
		{"the other end is gone", io.EOF, true},
		{"the other end went in the middle", io.ErrUnexpectedEOF, true},
		{"nobody listens", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{"reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{"no such host", &net.DNSError{Err: "no such host", IsNotFound: true}, true},
		{"it took too long", context.DeadlineExceeded, true},
		{"it was given up", context.Canceled, true},

		{"wrapped", fmt.Errorf("accounts: %w", fromMySQL(1213)), true},
		{"joined", errors.Join(nil, fromMySQL(1205), errors.New("and more")), true},
		{"joined with a duplicate, which comes first", errors.Join(fromMySQL(1062), io.EOF), false},

		{"deadlock", fromMySQL(1213), true},
		{"lock wait timeout", fromMySQL(1205), true},
		{"too many connections", fromMySQL(1040), true},
		{"shutting down", fromMySQL(1053), true},
		{"killed", fromMySQL(1927), true},
		{"interrupted", fromMySQL(1317), true},
		{"interrupted for taking too long", fromMySQL(1969), true},
		{"read-only", fromMySQL(1290), true},
		{"dropped for inactivity", fromMySQL(4031), true},
		{"the disk is full", fromMySQL(1021), true},
		{"the disk is full, as InnoDB says it", fromMySQL(1114), true},
		{"no room for locks", fromMySQL(1206), true},
		{"too many transactions", fromMySQL(1637), true},
		{"the cluster is not ready", fromMySQL(1047), true},

		{"duplicate", fromMySQL(1062), false},
		{"syntax", fromMySQL(1064), false},
		{"no such table", fromMySQL(1146), false},
		{"no such column", fromMySQL(1054), false},
		{"too long", fromMySQL(1406), false},
		{"null", fromMySQL(1048), false},
		{"out of range", fromMySQL(1264), false},
		{"denied", fromMySQL(1045), false},
		{"in a read-only transaction", fromMySQL(1792), false},
	} {
		if got := IsTransient(tt.err); got != tt.want {
			t.Errorf("%s: IsTransient(%v) = %t", tt.name, tt.err, got)
		}
	}
}

func TestErrorsOfStatements(t *testing.T) {
	onBothStores(t, func(t *testing.T, db *DB) {
		withTable(t, db)
		for name, statement := range map[string]string{
			"syntax": "SELEC 1", "no such table": "DELETE FROM nowhere", "no such column": "UPDATE words SET nothing = 1", "null": "INSERT INTO words (id, word) VALUES (1, NULL)",
		} {
			err := db.Write(t.Context(), func(tx Tx) error {
				_, err := tx.Exec(statement)
				return err
			})
			if err == nil || IsTransient(err) || IsDuplicate(err) {
				t.Errorf("%s: %v; transient: %t, duplicate: %t", name, err, IsTransient(err), IsDuplicate(err))
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Write(ended, func(Tx) error { return nil }); !IsTransient(err) {
			t.Errorf("in a context that has ended: %v", err)
		}
	})
}

func TestSQLiteBusy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := OpenSQLite(t.Context(), dir)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	impatient, err := openSQLitePool(t.Context(), "file:"+filepath.Join(dir, SQLiteFile)+"?_txlock=immediate&_pragma=busy_timeout(0)")
	must(t, err)
	t.Cleanup(func() { _ = impatient.sql().Close() })
	must(t, db.Write(t.Context(), func(Tx) error {
		err := impatient.gorm.Transaction(func(*gorm.DB) error { return nil })
		if !IsTransient(err) {
			t.Errorf("a second writer gets %v", err)
		}
		return nil
	}))
}

// TestMySQLDeadlock lets two transactions lock two rows in different orders.
func TestMySQLDeadlock(t *testing.T) {
	t.Parallel()
	db := openMySQL(t)
	withTable(t, db)
	must(t, db.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec("INSERT INTO words (id, word) VALUES (1, 'a'), (2, 'b')")
		return err
	}))
	reached, errs := make(chan struct{}), make(chan error)
	for _, rows := range [][2]int{{1, 2}, {2, 1}} {
		go func() {
			errs <- db.Write(t.Context(), func(tx Tx) error {
				_, err := tx.Exec("UPDATE words SET n = 1 WHERE id = ?", rows[0])
				if rows[0] == 1 { // each waits until the other has its first row
					reached <- struct{}{}
				} else {
					<-reached
				}
				if err == nil {
					_, err = tx.Exec("UPDATE words SET n = 1 WHERE id = ?", rows[1])
				}
				return err
			})
		}()
	}
	first, second := <-errs, <-errs
	if (first == nil) == (second == nil) || !IsTransient(errors.Join(first, second)) {
		t.Errorf("the two end with %v and %v", first, second)
	}
}

// TestMySQLGone: whatever happens to the server, the errors say that it may pass, and it does.
func TestMySQLGone(t *testing.T) {
	t.Parallel()
	server := testbed.PrivateMariaDB(t, testbed.Options{})
	must(t, server.CreateDatabase(t.Context(), "guichet"))
	db, err := OpenMySQL(t.Context(), server.DSN("guichet"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	withTable(t, db)
	insert := func(id int) error {
		rows := Rows{Table: "words", Columns: []string{"id", "word"}}
		rows.Add(id, fmt.Sprint(id))
		return db.Write(t.Context(), rows.Insert)
	}
	must(t, insert(1))

	inTransaction := db.Write(t.Context(), func(tx Tx) error {
		_, err := tx.Exec("INSERT INTO words (id, word) VALUES (2, 'two')")
		must(t, err)
		must(t, server.Kill())
		_, err = tx.Exec("INSERT INTO words (id, word) VALUES (3, 'three')")
		return err
	})
	for name, err := range map[string]error{"in a transaction": inTransaction, "after": insert(4), "a read": db.Read(t.Context()).Gorm().Exec("SELECT 1").Error, "a ping": db.Ping(t.Context())} {
		if err == nil || !IsTransient(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, server.Restart(t.Context()))
	for n := 0; ; n++ { // connections that died are found out one by one
		err := insert(5)
		if err == nil {
			break
		}
		if !IsTransient(err) || n > 100 {
			t.Fatalf("after the restart: %v", err)
		}
	}
	if n := count(t, db.Read(t.Context())); n != 2 {
		t.Errorf("%d rows are there", n)
	}

	err = db.Write(t.Context(), func(tx Tx) error {
		var connection int
		must(t, tx.Gorm().Raw("SELECT CONNECTION_ID()").Row().Scan(&connection))
		must(t, db.Read(t.Context()).Gorm().Exec(fmt.Sprint("KILL ", connection)).Error)
		_, err := tx.Exec("INSERT INTO words (id, word) VALUES (6, 'six')")
		return err
	})
	if !IsTransient(err) {
		t.Errorf("in a connection that was killed: %v", err)
	}
}
