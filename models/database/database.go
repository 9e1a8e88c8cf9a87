// Package database opens the SQL store: MySQL (or what speaks its protocol) or an embedded SQLite file. It owns connections, transactions,
// migrations and the few places where the two dialects differ, so that the stores above it are written once. It knows no table.
package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/glebarez/sqlite"
	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// answerTimeout bounds how long a transaction waits for one answer of the database. An envelope's largest statement takes a hundredth of it. A deadline
// of the context does not do: a commit has none.
const answerTimeout = 10 * time.Second

// poolSize is how many connections a pool of MySQL's has at the most.
const poolSize = 32

// ErrNotMigrated says that the schema is older than the program.
var ErrNotMigrated = errors.New("database: the schema is not up to date; run `guichet migrate`")

// SQLiteFile is the name of the embedded store in its data directory.
const SQLiteFile = "guichet.db"

// DB is an open store. The zero DB is not usable; see OpenMySQL and OpenSQLite.
type DB struct {
	dialect string // goose's names: "mysql" or "sqlite3"
	read    *gorm.DB
	write   *gorm.DB
	// Each opens a pool of one connection; nil where there is only the embedded store's.
	openLane, openMigration func() (*gorm.DB, error)
}

// OpenMySQL opens a pool on a DSN in the form of go-sql-driver (user:password@tcp(host:port)/database). The parameters that guichet relies on are set here.
func OpenMySQL(ctx context.Context, dsn string) (*DB, error) {
	config, err := mysqldriver.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if config.DBName == "" {
		return nil, errors.New("database: the DSN names no database")
	}
	config.InterpolateParams = true // one round trip a statement instead of two
	config.MultiStatements = true   // and one for several: see Tx.Deferred
	config.ClientFoundRows = true   // "affected" counts what matched, as SQLite does
	config.Timeout = 5 * time.Second
	config.Logger = &mysqldriver.NopLogger{} // its errors reach us as values
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	// A process that is frozen, or cut off, keeps its row locks until the server drops its connection. A holder's goes after 2 s, so that a standby need
	// not wait longer; the others', which may have the rows of a lane or of the feed's head, after 5 s instead of the 8 hours that are the default.
	config.Params["wait_timeout"] = "5"
	writing := config.Clone()
	// A connection that is cut off without a word would hang an intake, or a lane with its lease renewed all the while, for minutes.
	writing.ReadTimeout, writing.WriteTimeout = answerTimeout, answerTimeout
	lane := writing.Clone()
	lane.Params["wait_timeout"] = "2"
	migration := config.Clone() // whose statements may take as long as tables are large
	migration.Params["wait_timeout"] = "600"
	read, err := openMySQLPool(ctx, config) // where an audit may ask for what takes its time
	if err != nil {
		return nil, err
	}
	write, err := openMySQLPool(ctx, writing)
	if err != nil {
		return nil, errors.Join(err, read.sql().Close())
	}
	for _, p := range []pool{read, write} {
		p.sql().SetMaxOpenConns(poolSize)
		p.sql().SetMaxIdleConns(poolSize)
		p.sql().SetConnMaxIdleTime(2 * time.Second) // well before the server would
	}
	one := func(config *mysqldriver.Config) func() (*gorm.DB, error) {
		return func() (*gorm.DB, error) {
			p, err := openMySQLPool(ctx, config)
			if err != nil {
				return nil, err
			}
			p.sql().SetMaxOpenConns(1)
			return p.gorm, nil
		}
	}
	return &DB{dialect: "mysql", read: read.gorm, write: write.gorm, openLane: one(lane), openMigration: one(migration)}, nil
}

type pool struct{ gorm *gorm.DB }

func (p pool) sql() *sql.DB { return p.gorm.ConnPool.(*sql.DB) }

func openMySQLPool(ctx context.Context, config *mysqldriver.Config) (pool, error) {
	connector, err := mysqldriver.NewConnector(config)
	if err != nil {
		return pool{}, fmt.Errorf("database: %w", err)
	}
	sqlDB := sql.OpenDB(readCommitted{connector})
	if err := sqlDB.PingContext(ctx); err != nil {
		return pool{}, errors.Join(fmt.Errorf("database: %w", err), sqlDB.Close())
	}
	db, err := gorm.Open(mysql.New(mysql.Config{Conn: sqlDB, SkipInitializeWithVersion: true}), gormConfig())
	if err != nil {
		return pool{}, errors.Join(fmt.Errorf("database: %w", err), sqlDB.Close())
	}
	return pool{db}, nil
}

// readCommitted sets the isolation of each new connection. What is read to be changed is locked, so repeatable reads are of no use,
// and without their gap locks lanes do not deadlock on neighbouring keys. The variable's name differs between MySQL and MariaDB; the statement does not.
type readCommitted struct{ driver.Connector }

func (c readCommitted) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	_, err = conn.(driver.ExecerContext).ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// OpenSQLite opens, and creates if need be, the embedded store in the directory dir. Commits reach the disk before they return.
func OpenSQLite(ctx context.Context, dir string) (*DB, error) {
	// temp_store: what undoes a statement that fails halfway is kept in memory. wal_autocheckpoint: at 32 MB; a page that is changed again and again
	// is then copied into the database once.
	pragmas := "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=cache_size(-16384)&_pragma=temp_store(MEMORY)&_pragma=wal_autocheckpoint(8000)"
	file := "file:" + (&url.URL{Path: filepath.Join(dir, SQLiteFile)}).EscapedPath()
	write, err := openSQLitePool(ctx, file+"?_txlock=immediate&"+pragmas)
	if err != nil {
		return nil, err
	}
	write.sql().SetMaxOpenConns(1) // SQLite has one writer; waiting for it in Go is fair and does not spin
	read, err := openSQLitePool(ctx, file+"?_pragma=query_only(1)&"+pragmas)
	if err != nil {
		return nil, errors.Join(err, write.sql().Close())
	}
	read.sql().SetMaxOpenConns(4)
	read.sql().SetMaxIdleConns(4)
	return &DB{dialect: "sqlite3", read: read.gorm, write: write.gorm}, nil
}

func openSQLitePool(ctx context.Context, dsn string) (pool, error) {
	sqlDB, err := sql.Open(sqlite.DriverName, dsn)
	if err != nil {
		return pool{}, fmt.Errorf("database: %w", err)
	}
	if err := sqlDB.PingContext(ctx); err != nil {
		return pool{}, errors.Join(fmt.Errorf("database: %w", err), sqlDB.Close())
	}
	db, err := gorm.Open(&sqlite.Dialector{Conn: sqlDB}, gormConfig())
	if err != nil {
		return pool{}, errors.Join(fmt.Errorf("database: %w", err), sqlDB.Close())
	}
	return pool{db}, nil
}

func gormConfig() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction: true, // transactions are explicit
		TranslateError:         true,
		DisableAutomaticPing:   true,
		Logger: logger.NewSlogLogger(slog.Default(), logger.Config{
			SlowThreshold:             time.Second,
			LogLevel:                  logger.Warn,
			IgnoreRecordNotFoundError: true,
			ParameterizedQueries:      true, // no user's data in the log
		}),
	}
}

// Lane returns a store whose writes go over one connection of its own, for the holder of one lane. It shares the rest with db. Close it after use.
func (db *DB) Lane() (*DB, error) {
	if db.openLane == nil {
		return db, nil
	}
	write, err := db.openLane()
	if err != nil {
		return nil, err
	}
	return &DB{dialect: db.dialect, read: db.read, write: write}, nil
}

// CloseLane closes what Lane opened.
func (db *DB) CloseLane(lane *DB) error {
	if lane == nil || lane.write == db.write {
		return nil
	}
	return pool{lane.write}.sql().Close()
}

// Close closes the connections.
func (db *DB) Close() error {
	err := pool{db.write}.sql().Close()
	if db.read != db.write {
		err = errors.Join(err, pool{db.read}.sql().Close())
	}
	return err
}

// Embedded says whether the store is the SQLite file, which belongs to this process alone.
func (db *DB) Embedded() bool { return db.dialect == "sqlite3" }

// Ping asks the store for a sign of life, on the connections that write.
func (db *DB) Ping(ctx context.Context) error { return pool{db.write}.sql().PingContext(ctx) }

// KeepAlive has a lane's own connection used, unless it is in use, so that the server does not drop it.
func (db *DB) KeepAlive(ctx context.Context) error {
	if db.Embedded() || (pool{db.write}).sql().Stats().InUse > 0 {
		return nil
	}
	return db.Ping(ctx)
}

// Rest gives up a lane's own connection until it is needed again, unless it is in use.
func (db *DB) Rest() {
	if !db.Embedded() {
		lane := pool{db.write}.sql()
		lane.SetMaxIdleConns(0) // which closes those there are
		lane.SetMaxIdleConns(1)
	}
}

// Pools returns the connection pools by name, for metrics.
func (db *DB) Pools() map[string]*sql.DB {
	pools := map[string]*sql.DB{"write": pool{db.write}.sql()}
	if db.read != db.write {
		pools["read"] = pool{db.read}.sql()
	}
	return pools
}

// Read returns a handle for queries outside a transaction.
func (db *DB) Read(ctx context.Context) Tx {
	return Tx{gorm: db.read.WithContext(ctx), dialect: db.dialect}
}

// Writer returns a handle for single statements over the connections that write: for a lane, its own.
func (db *DB) Writer(ctx context.Context) Tx {
	if db.Embedded() { // the one writer may be busy for long, and reads do not need it
		return db.Read(ctx)
	}
	return Tx{gorm: db.write.WithContext(ctx), dialect: db.dialect}
}

// Write runs fn in a read-committed transaction and commits it if fn returns nil. A panic in fn rolls back and goes on.
func (db *DB) Write(ctx context.Context, fn func(tx Tx) error) error {
	handle := db.write.WithContext(ctx)
	if db.Embedded() {
		return handle.Transaction(func(tx *gorm.DB) error { return fn(Tx{gorm: tx, dialect: db.dialect}) })
	}
	return handle.Connection(func(conn *gorm.DB) error { return transact(ctx, conn, db.dialect, fn) })
}

// Snapshot runs fn in a read-only transaction that sees the store as it was at one moment.
func (db *DB) Snapshot(ctx context.Context, fn func(tx Tx) error) error {
	options := &sql.TxOptions{ReadOnly: !db.Embedded()}
	if !db.Embedded() {
		options.Isolation = sql.LevelRepeatableRead
	}
	return db.read.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return fn(Tx{gorm: tx, dialect: db.dialect}) }, options)
}
