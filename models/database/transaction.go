package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"time"

	"gorm.io/gorm"
)

// pending is statements of a transaction that have not been sent yet: its START, and what was deferred. They go with the next statement, or with the COMMIT. Each
// round trip that a transaction saves is time that its locks are held, and two processes woken up.
type pending struct {
	sql        strings.Builder
	args       []any
	answers    []func(*sql.Rows) error // of the queries among them
	collecting int                     // how many Deferred are running, one in the other
	begun      bool                    // the START has been sent
}

func (p *pending) add(statement string, args []any) {
	if p.sql.Len() > 0 {
		p.sql.WriteByte(';')
	}
	p.sql.WriteString(statement)
	p.args = append(p.args, args...)
}

// Deferred runs fn with a handle whose Exec and Query only collect: what they collect is sent with the transaction's next statement, or with its commit. Errors
// and answers come then, counts of rows not at all. SQLite runs each statement at once.
func (tx Tx) Deferred(fn func(tx Tx) error) error {
	if tx.pending == nil {
		return fn(tx)
	}
	tx.pending.collecting++
	defer func() { tx.pending.collecting-- }()
	return fn(tx)
}

// Flush sends what is pending now.
func (tx Tx) Flush() error {
	if tx.pending == nil {
		return nil
	}
	_, err := tx.send()
	return err
}

// send sends what is pending and returns how many rows the last statement matched, unless there are queries among them.
func (tx Tx) send() (int64, error) {
	if tx.pending.sql.Len() == 0 {
		return 0, nil
	}
	sent := *tx.pending
	*tx.pending = pending{collecting: sent.collecting, begun: true}
	if len(sent.answers) > 0 {
		return 0, tx.query(sent.answers, sent.sql.String(), sent.args)
	}
	return tx.exec(sent.sql.String(), sent.args)
}

// transact runs fn in a transaction on one connection of MySQL.
func transact(ctx context.Context, conn *gorm.DB, dialect string, fn func(tx Tx) error) error {
	tx := Tx{gorm: conn.Session(&gorm.Session{NewDB: true}), dialect: dialect, pending: &pending{}}
	tx.pending.add("START TRANSACTION", nil)
	committed := false
	defer func() {
		if !committed {
			tx.rollback(ctx)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if start := len("START TRANSACTION"); tx.pending.begun || tx.pending.sql.Len() > start {
		tx.pending.add("COMMIT", nil)
		if err := tx.Flush(); err != nil {
			return err
		}
	}
	committed = true
	return nil
}

// rollbackPatience is how long a ROLLBACK may take. A connection on which it fails is given up, and the server rolls back.
const rollbackPatience = time.Second

func (tx Tx) rollback(ctx context.Context) {
	if !tx.pending.begun {
		return
	}
	conn := tx.gorm.Statement.ConnPool.(*sql.Conn)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackPatience)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}
