package database

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// The files are written in what MySQL and SQLite share.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date and returns how many migrations it applied.
func (db *DB) Migrate(ctx context.Context) (int, error) {
	if !db.Embedded() {
		// Text is compared by its bytes, as SQLite does. Said of the database, so that each migration need not say it of each table.
		if err := db.write.WithContext(ctx).Exec("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").Error; err != nil {
			return 0, fmt.Errorf("database: %w", err)
		}
	}
	provider, err := db.provider()
	if err != nil {
		return 0, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return len(results), fmt.Errorf("database: migrating: %w", err)
	}
	return len(results), nil
}

// CheckMigrated returns ErrNotMigrated if migrations are pending.
func (db *DB) CheckMigrated(ctx context.Context) error {
	provider, err := db.provider()
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

func (db *DB) provider() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	dialect := goose.DialectMySQL
	if db.Embedded() {
		dialect = goose.DialectSQLite3
	}
	provider, err := goose.NewProvider(dialect, pool{db.write}.sql(), files)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return provider, nil
}
