package database

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
)

// The files are written in what MySQL and SQLite share.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date and returns how many migrations it applied.
func (db *DB) Migrate(ctx context.Context) (applied int, err error) {
	connection := db.write
	if db.openMigration != nil {
		if connection, err = db.openMigration(); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, pool{connection}.sql().Close()) }()
	}
	if !db.Embedded() {
		// Text is compared by its bytes, as SQLite does. Said of the database, so that each migration need not say it of each table.
		if err := connection.WithContext(ctx).Exec("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").Error; err != nil {
			return 0, fmt.Errorf("database: %w", err)
		}
		db.forgetConnections()
	}
	provider, err := db.provider(connection)
	if err != nil {
		return 0, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return len(results), fmt.Errorf("database: migrating: %w", err)
	}
	return len(results), nil
}

// forgetConnections closes the idle connections: a session goes on making tables as the database was when it began.
func (db *DB) forgetConnections() {
	for _, p := range db.Pools() {
		p.SetMaxIdleConns(0)
		p.SetMaxIdleConns(poolSize)
	}
}

// CheckMigrated returns ErrNotMigrated if migrations are pending.
func (db *DB) CheckMigrated(ctx context.Context) error {
	provider, err := db.provider(db.write)
	if err != nil {
		return err
	}
	pending, err := provider.HasPending(ctx)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if pending {
		return ErrNotMigrated
	}
	return nil
}

func (db *DB) provider(over *gorm.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	dialect := goose.DialectMySQL
	if db.Embedded() {
		dialect = goose.DialectSQLite3
	}
	provider, err := goose.NewProvider(dialect, pool{over}.sql(), files)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return provider, nil
}
