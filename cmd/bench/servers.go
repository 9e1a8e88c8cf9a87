package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"guichet/models/testbed"
)

// realServers are the private MariaDB and Redis of the bench.
type realServers struct {
	mariadb, redis *process // watched; testbed starts and stops them
	redisURL       string
	config         *mysql.Config // of the server, without a database
	db             *sql.DB
	rdb            *redis.Client
	running        []interface{ Close() error }
	redisServer    *testbed.RedisServer // to be killed
}

// startRealServers finds or installs both and starts them with the settings that make what they
// acknowledge durable.
func startRealServers(ctx context.Context) (_ *realServers, err error) {
	if _, err := testbed.FindOrInstall(ctx, os.Stderr); err != nil {
		return nil, err
	}
	mariadb, err := testbed.StartMariaDB(ctx, testbed.Options{})
	if err != nil {
		return nil, err
	}
	rdb, err := testbed.StartRedis(ctx, testbed.Options{})
	if err != nil {
		return nil, errors.Join(err, mariadb.Close())
	}
	s, err := connect(ctx, mariadb.DSN(""), rdb.URL())
	if err != nil {
		return nil, errors.Join(err, mariadb.Close(), rdb.Close())
	}
	s.running, s.redisServer = []interface{ Close() error }{mariadb, rdb}, rdb
	return s, nil
}

func connect(ctx context.Context, dsn, redisURL string) (*realServers, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.DBName = ""
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	redisOptions, err := redis.ParseURL(redisURL)
	if err != nil {
		return nil, err
	}
	s := &realServers{redisURL: redisURL, config: config, db: sql.OpenDB(connector), rdb: redis.NewClient(redisOptions)}
	if err := errors.Join(s.findProcesses(ctx), s.checkDurable(ctx)); err != nil {
		return nil, errors.Join(err, s.db.Close(), s.rdb.Close())
	}
	return s, nil
}

// findProcesses asks the servers themselves for their process ids.
func (s *realServers) findProcesses(ctx context.Context) error {
	var path string
	if err := s.db.QueryRowContext(ctx, "SELECT @@pid_file").Scan(&path); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	s.mariadb = &process{name: "MariaDB", pid: pid}
	word, err := s.redisInfo(ctx, "process_id")
	if err != nil {
		return err
	}
	if pid, err = strconv.Atoi(word); err != nil {
		return err
	}
	s.redis = &process{name: "Redis", pid: pid}
	return nil
}

func (s *realServers) redisInfo(ctx context.Context, key string) (string, error) {
	text, err := s.rdb.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("redis has no %s", key)
}

// checkDurable refuses to measure unless an acknowledged commit and an acknowledged enqueue survive a crash.
func (s *realServers) checkDurable(ctx context.Context) error {
	var flush, doublewrite int
	err := s.db.QueryRowContext(ctx, "SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite").Scan(&flush, &doublewrite)
	if err != nil {
		return err
	}
	aof, err := s.rdb.ConfigGet(ctx, "append*").Result()
	if err != nil {
		return err
	}
	if flush != 1 || doublewrite != 1 || aof["appendonly"] != "yes" || aof["appendfsync"] != "always" {
		return fmt.Errorf("settings are not durable: innodb_flush_log_at_trx_commit=%d innodb_doublewrite=%d appendonly=%s appendfsync=%s",
			flush, doublewrite, aof["appendonly"], aof["appendfsync"])
	}
	return nil
}

// versions of MariaDB and Redis.
func (s *realServers) versions(ctx context.Context) (mariadb, redis string, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&mariadb)
	if err != nil {
		return "", "", err
	}
	redis, err = s.redisInfo(ctx, "redis_version")
	return mariadb, redis, err
}

// count is how many rows a table has.
func (s *realServers) count(ctx context.Context, table string) (rows int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table).Scan(&rows)
	return rows, err
}

func (s *realServers) stop() error {
	errs := []error{s.db.Close(), s.rdb.Close()}
	for _, server := range s.running {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

func (s *realServers) emptyRedis(ctx context.Context) error { return s.rdb.FlushAll(ctx).Err() }

// dsn names a database of the server.
func (s *realServers) dsn(database string) string {
	config := s.config.Clone()
	config.DBName = database
	return config.FormatDSN()
}

// createDatabase makes an empty database, instead of one of that name if there is one, and returns its DSN.
func (s *realServers) createDatabase(ctx context.Context, name string) (string, error) {
	_, err1 := s.db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name)
	_, err2 := s.db.ExecContext(ctx, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	return s.dsn(name), errors.Join(err1, err2)
}

// copyRows replaces the rows of every table of a database by those of the table of that name in
// another. Both have the same tables, made by the same migrations; foreign keys are not checked on
// the way, since the rows are consistent together.
func (s *realServers) copyRows(ctx context.Context, from, to string) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // back to the pool
	columns, err := tableColumns(ctx, conn, from)
	if err != nil {
		return err
	}
	statements := []string{"SET SESSION foreign_key_checks = 0"}
	for table, list := range columns {
		statements = append(statements,
			fmt.Sprintf("DELETE FROM `%s`.`%s`", to, table),
			fmt.Sprintf("INSERT INTO `%s`.`%s` (%s) SELECT %s FROM `%s`.`%s`", to, table, list, list, from, table))
	}
	statements = append(statements, "SET SESSION foreign_key_checks = 1")
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// tableColumns lists the columns of each table that can be written, separated by commas.
func tableColumns(ctx context.Context, conn *sql.Conn, database string) (map[string]string, error) {
	// A column list of a wide table exceeds the default limit of GROUP_CONCAT, which would cut it silently.
	if _, err := conn.ExecContext(ctx, "SET SESSION group_concat_max_len = 1000000"); err != nil {
		return nil, err
	}
	rows, err := conn.QueryContext(ctx, "SELECT c.table_name, GROUP_CONCAT(CONCAT('`', c.column_name, '`') ORDER BY c.ordinal_position) "+
		"FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name) "+
		"WHERE c.table_schema = ? AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER' GROUP BY c.table_name", database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // read to its end below
	columns := map[string]string{}
	for rows.Next() {
		var table, list string
		if err := rows.Scan(&table, &list); err != nil {
			return nil, err
		}
		columns[table] = list
	}
	return columns, rows.Err()
}
