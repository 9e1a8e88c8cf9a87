package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	gosqlite "github.com/glebarez/go-sqlite"
	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
)

// IsDuplicate says whether err is a violation of a primary or unique key.
func IsDuplicate(err error) bool {
	if fromMySQL, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		return fromMySQL.Number == 1062
	}
	if fromSQLite, ok := errors.AsType[*gosqlite.Error](err); ok {
		return fromSQLite.Code() == 1555 || fromSQLite.Code() == 2067 // primary key, unique
	}
	return errors.Is(err, gorm.ErrDuplicatedKey)
}

// IsDeadlock says whether the transaction was given up so that another, which waited for it, could go on.
func IsDeadlock(err error) bool {
	fromMySQL, ok := errors.AsType[*mysqldriver.MySQLError](err)
	return ok && fromMySQL.Number == 1213
}

// IsTransient says whether err is the store's fault and not the statement's: the connection broke, the server is away, starting or full, a lock
// could not be had. The same work may succeed later. What is not known to be transient is not: a bug must not be retried for ever.
func IsTransient(err error) bool {
	if fromMySQL, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		return transientMySQL[fromMySQL.Number]
	}
	if fromSQLite, ok := errors.AsType[*gosqlite.Error](err); ok {
		return transientSQLite[fromSQLite.Code()&0xff]
	}
	var network net.Error
	return errors.As(err, &network) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysqldriver.ErrInvalidConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

var transientMySQL = map[uint16]bool{
	1021: true, 1114: true, // disk full; InnoDB says that the table is
	1040: true,                                     // too many connections
	1047: true,                                     // not ready (Galera)
	1053: true,                                     // server shutdown in progress
	1077: true,                                     // normal shutdown
	1079: true,                                     // shutdown complete
	1129: true,                                     // host is blocked
	1158: true, 1159: true, 1160: true, 1161: true, // network read or write
	1203: true, 1226: true, // too many user connections
	1205: true,             // lock wait timeout
	1206: true, 1637: true, // no room for more locks, or transactions
	1213: true,             // deadlock
	1290: true, 1836: true, // read-only
	1317: true, // query interrupted
	1927: true, // connection was killed (MariaDB)
	1969: true, // execution time exceeded (MariaDB)
	3024: true, // execution time exceeded (MySQL)
	3101: true, // rolled back by the cluster
	4031: true, // disconnected for inactivity (MySQL 8)
}

// By primary result code, https://www.sqlite.org/rescode.html
var transientSQLite = map[int]bool{
	5:  true, // busy
	6:  true, // locked
	9:  true, // interrupted
	10: true, // disk I/O
	13: true, // full
	14: true, // cannot open
	15: true, // locking protocol
}
