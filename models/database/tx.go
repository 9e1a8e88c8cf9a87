package database

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"
)

// Tx is a handle that statements run through: a transaction, or the plain pool for reads. Only stores look inside.
type Tx struct {
	gorm    *gorm.DB
	dialect string
	pending *pending // nil where statements are never held back: outside of transactions, and on SQLite, to which there is no way to go
}

// Gorm is the gorm handle. What it runs would overtake what is being collected, so while Deferred collects there is none, and it panics.
func (tx Tx) Gorm() *gorm.DB {
	if tx.pending == nil {
		return tx.gorm
	}
	if tx.pending.collecting > 0 {
		panic("database: a query among deferred statements")
	}
	if err := tx.Flush(); err != nil {
		failed := tx.gorm.Session(&gorm.Session{})
		_ = failed.AddError(err)
		return failed
	}
	return tx.gorm
}

// Exec runs one statement and returns how many rows it matched. It goes straight to the connection that gorm holds: gorm's own builder reads the
// text of a multi-row statement byte by byte and copies its arguments, at four times the cost.
func (tx Tx) Exec(statement string, args ...any) (int64, error) {
	if tx.pending == nil {
		return tx.exec(statement, args)
	}
	tx.pending.add(statement, args)
	if tx.pending.collecting > 0 {
		return 0, nil
	}
	return tx.send()
}

func (tx Tx) exec(statement string, args []any) (int64, error) {
	handle := tx.gorm.Statement
	result, err := handle.ConnPool.ExecContext(handle.Context, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected() // of the last statement
}

// Query runs one query and has scan read its rows.
func (tx Tx) Query(scan func(*sql.Rows) error, query string, args ...any) error {
	if tx.pending == nil {
		return tx.query([]func(*sql.Rows) error{scan}, query, args)
	}
	tx.pending.add(query, args)
	tx.pending.answers = append(tx.pending.answers, scan)
	if tx.pending.collecting > 0 {
		return nil
	}
	return tx.Flush()
}

// Any says whether a query finds a row.
func (tx Tx) Any(query string, args ...any) (found bool, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		found = rows.Next()
		return rows.Err()
	}, query, args...)
	return found, err
}

// query runs statements of which as many are queries as there are scans.
func (tx Tx) query(scans []func(*sql.Rows) error, text string, args []any) (err error) {
	handle := tx.gorm.Statement
	rows, err := handle.ConnPool.QueryContext(handle.Context, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for i, scan := range scans {
		if i > 0 && !rows.NextResultSet() {
			break
		}
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Err())
		}
	}
	for rows.NextResultSet() { // what comes after the last query; should it fail, Err says so
	}
	return rows.Err()
}

// Context is the context that the transaction was begun with.
func (tx Tx) Context() context.Context { return tx.gorm.Statement.Context }

// Embedded says whether the store is the SQLite file.
func (tx Tx) Embedded() bool { return tx.dialect == "sqlite3" }

// ForUpdate is the suffix that locks the selected rows. SQLite accepts none and needs none: it has one writer.
func (tx Tx) ForUpdate() string {
	if tx.dialect == "sqlite3" {
		return ""
	}
	return " FOR UPDATE"
}

// ForShare is ForUpdate that keeps only those out who lock for update.
func (tx Tx) ForShare() string {
	if tx.dialect == "sqlite3" {
		return ""
	}
	return " LOCK IN SHARE MODE"
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
	First   string // the expression that a row's first value goes into, with one ?; empty for the value itself
	args    []any
}

// Add appends a row: a value for each column.
func (r *Rows) Add(values ...any) { r.args = append(r.args, values...) }

// Len is how many rows were added.
func (r *Rows) Len() int { return len(r.args) / len(r.Columns) }

// Insert writes the rows; a duplicate key is an error (see IsDuplicate). No rows, no statement.
func (r *Rows) Insert(tx Tx) error { return r.run(tx, "") }

// Upsert writes the rows; where a row with the same key exists, its columns named in update are set instead.
func (r *Rows) Upsert(tx Tx, key, update []string) error {
	if tx.dialect == "sqlite3" {
		return r.run(tx, onConflict(key, update))
	}
	sets := make([]string, len(update))
	for i, column := range update {
		sets[i] = fmt.Sprintf("%s=VALUES(%s)", column, column)
	}
	return r.run(tx, " ON DUPLICATE KEY UPDATE "+strings.Join(sets, ","))
}

// UpsertWhere is Upsert that leaves an existing row as it is unless it fulfils the condition, in which columns are named with their table. A column that the
// condition reads must be the last in update: MySQL sets them one after the other.
func (r *Rows) UpsertWhere(tx Tx, key, update []string, condition string) error {
	if tx.dialect == "sqlite3" {
		return r.run(tx, onConflict(key, update)+" WHERE "+condition)
	}
	sets := make([]string, len(update))
	for i, column := range update {
		sets[i] = fmt.Sprintf("%s=IF(%s,VALUES(%s),%s.%s)", column, condition, column, r.Table, column)
	}
	return r.run(tx, " ON DUPLICATE KEY UPDATE "+strings.Join(sets, ","))
}

func onConflict(key, update []string) string {
	sets := make([]string, len(update))
	for i, column := range update {
		sets[i] = column + "=excluded." + column
	}
	return fmt.Sprintf(" ON CONFLICT(%s) DO UPDATE SET %s", strings.Join(key, ","), strings.Join(sets, ","))
}

func (r *Rows) run(tx Tx, suffix string) error {
	r.omitNull()
	width := len(r.Columns)
	for rest := r.args; len(rest) > 0; {
		n := min(len(rest)/width, tx.mostVariables()/width)
		statement, args := r.statement(n, suffix), rest[:n*width]
		if tx.dialect == "sqlite3" {
			statement, args = literally(statement, args)
		}
		if _, err := tx.Exec(statement, args...); err != nil {
			return err
		}
		rest = rest[n*width:]
	}
	return nil
}

// literally writes numbers and bytes into the statement, in place of their question marks: to SQLite's driver a value in the text costs less than one that is bound
// (see mostVariables).
func literally(statement string, args []any) (string, []any) {
	b := make([]byte, 0, len(statement)+16*len(args))
	var left []any
	for _, arg := range args {
		before, after, _ := strings.Cut(statement, "?")
		b = append(b, before...)
		switch v := arg.(type) {
		case nil:
			b = append(b, "NULL"...)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case int:
			b = strconv.AppendInt(b, int64(v), 10)
		case []byte:
			b = append(b, "x'"...)
			b = hex.AppendEncode(b, v)
			b = append(b, '\'')
		default:
			b = append(b, '?')
			left = append(left, arg)
		}
		statement = after
	}
	return string(append(b, statement...)), left
}

// omitNull leaves out the columns that are NULL in every row, which is what they are anyway: reading statements is a third of what the database does.
func (r *Rows) omitNull() {
	width := len(r.Columns)
	var keep []int
	for column := range width {
		for at := column; at < len(r.args); at += width {
			if r.args[at] != nil {
				keep = append(keep, column)
				break
			}
		}
	}
	if len(keep) == width || len(keep) == 0 {
		return
	}
	columns, args := make([]string, len(keep)), make([]any, 0, len(r.args)/width*len(keep))
	for i, column := range keep {
		columns[i] = r.Columns[column]
	}
	for row := 0; row < len(r.args); row += width {
		for _, column := range keep {
			args = append(args, r.args[row+column])
		}
	}
	r.Columns, r.args = columns, args
}

func (r *Rows) statement(rows int, suffix string) string {
	row := Placeholders(len(r.Columns))
	if r.First != "" {
		row = "(" + r.First + strings.TrimPrefix(row, "( ?")
	}
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
