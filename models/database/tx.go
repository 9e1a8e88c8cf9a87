package database

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
)

// Tx is a handle that statements run through: a transaction, or the plain pool for reads. Only stores look inside.
type Tx struct {
	gorm     *gorm.DB
	dialect  string
	deferred *deferred // nil: statements run at once
}

// deferred is statements that have not been sent yet.
type deferred struct {
	sql  strings.Builder
	args []any
}

// Gorm is the gorm handle. What it runs would overtake what is deferred, so a deferred handle has none, and panics.
func (tx Tx) Gorm() *gorm.DB {
	if tx.deferred != nil {
		panic("database: a query among deferred statements")
	}
	return tx.gorm
}

// Exec runs one statement and returns how many rows it matched. It goes straight to the connection that gorm holds: gorm's own builder reads the
// text of a multi-row statement byte by byte and copies its arguments, at four times the cost.
func (tx Tx) Exec(sql string, args ...any) (int64, error) {
	if d := tx.deferred; d != nil {
		if d.sql.Len() > 0 {
			d.sql.WriteByte(';')
		}
		d.sql.WriteString(sql)
		d.args = append(d.args, args...)
		return 0, nil
	}
	statement := tx.gorm.Statement
	result, err := statement.ConnPool.ExecContext(statement.Context, sql, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Deferred runs fn with a handle whose Exec only collects, and then sends what was collected in one go: each round trip that a transaction saves is
// time that its locks are held, and two processes woken up. Errors come at the end; counts of rows do not come at all. SQLite, to which there is
// no way to go, runs each statement at once.
func (tx Tx) Deferred(fn func(tx Tx) error) error {
	if tx.dialect == "sqlite3" {
		return fn(tx)
	}
	later := tx
	later.deferred = &deferred{}
	if err := fn(later); err != nil || later.deferred.sql.Len() == 0 {
		return err
	}
	_, err := tx.Exec(later.deferred.sql.String(), later.deferred.args...)
	return err
}

// ForUpdate is the suffix that locks the selected rows. SQLite accepts none and needs none: it has one writer.
func (tx Tx) ForUpdate() string {
	if tx.dialect == "sqlite3" {
		return ""
	}
	return " FOR UPDATE"
}

// Placeholders is "( ?,?,…)" with n of them. The space keeps gorm from taking bytes right behind a parenthesis for a list of values.
func Placeholders(n int) string { return "( ?" + strings.Repeat(",?", n-1) + ")" }

// mostVariables is how many values one statement binds. SQLite's driver looks for each among all, so that its cost grows with the square:
// 500 is where parsing more statements would cost as much.
func (tx Tx) mostVariables() int {
	if tx.dialect == "sqlite3" {
		return 500
	}
	return 30_000
}

// Rows collects rows for a multi-row statement.
type Rows struct {
	Table   string
	Columns []string
	args    []any
}

// Add appends a row: a value for each column.
func (r *Rows) Add(values ...any) { r.args = append(r.args, values...) }

// Len is how many rows were added.
func (r *Rows) Len() int { return len(r.args) / len(r.Columns) }

// Insert writes the rows; a duplicate key is an error (see IsDuplicate). No rows, no statement.
func (r *Rows) Insert(tx Tx) error { return r.run(tx, "") }

// Upsert writes the rows; where a row with the same key exists, its columns named in update are set instead.
func (r *Rows) Upsert(tx Tx, key []string, update []string) error {
	var suffix strings.Builder
	if tx.dialect == "sqlite3" {
		fmt.Fprintf(&suffix, " ON CONFLICT(%s) DO UPDATE SET ", strings.Join(key, ","))
	} else {
		suffix.WriteString(" ON DUPLICATE KEY UPDATE ")
	}
	for i, column := range update {
		if i > 0 {
			suffix.WriteByte(',')
		}
		if tx.dialect == "sqlite3" {
			fmt.Fprintf(&suffix, "%s=excluded.%s", column, column)
		} else {
			fmt.Fprintf(&suffix, "%s=VALUES(%s)", column, column)
		}
	}
	return r.run(tx, suffix.String())
}

func (r *Rows) run(tx Tx, suffix string) error {
	width := len(r.Columns)
	for rest := r.args; len(rest) > 0; {
		n := min(len(rest)/width, tx.mostVariables()/width)
		if _, err := tx.Exec(r.statement(n, suffix), rest[:n*width]...); err != nil {
			return err
		}
		rest = rest[n*width:]
	}
	return nil
}

func (r *Rows) statement(rows int, suffix string) string {
	row := Placeholders(len(r.Columns))
	var sql strings.Builder
	sql.Grow(64 + rows*(len(row)+1))
	fmt.Fprintf(&sql, "INSERT INTO %s (%s) VALUES ", r.Table, strings.Join(r.Columns, ","))
	for i := range rows {
		if i > 0 {
			sql.WriteByte(',')
		}
		sql.WriteString(row)
	}
	sql.WriteString(suffix)
	return sql.String()
}
