package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gofrs/flock"
	"github.com/redis/go-redis/v9"

	"guichet/models/database"
)

// stores are the two stores, real or embedded.
type stores struct {
	db       *database.DB
	redis    redis.UniversalClient
	options  *redis.UniversalOptions
	embedded bool
	closers  []func() error
}

// openStores opens what the settings name. The embedded pair belongs to one process: a second one on the same directory is refused.
func openStores(ctx context.Context, s settings) (*stores, error) {
	opened := &stores{embedded: s.MySQLDSN == ""}
	var err error
	if opened.embedded {
		err = opened.openEmbedded(ctx, s.DataDir)
	} else {
		err = opened.openReal(ctx, s)
	}
	if err != nil {
		return nil, errors.Join(err, opened.close())
	}
	return opened, nil
}

func (s *stores) openReal(ctx context.Context, given settings) error {
	var err error
	if s.options, err = redisOptions(given.RedisURL); err != nil {
		return fmt.Errorf("GUICHET_REDIS_URL: %w", err)
	}
	s.redis = s.newRedis()
	s.closers = append(s.closers, s.redis.Close)
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("no answer from Redis: %w", err)
	}
	return s.openDatabase(database.OpenMySQL(ctx, given.MySQLDSN))
}

func (s *stores) openDatabase(db *database.DB, err error) error {
	if err != nil {
		return err
	}
	s.db = db
	s.closers = append(s.closers, db.Close)
	return nil
}

func (s *stores) openEmbedded(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("locking the data directory: %w", err)
	}
	if !locked {
		return fmt.Errorf("the data directory %s is in use by another guichet; give this one another with --data-dir", dir)
	}
	s.closers = append(s.closers, lock.Unlock)
	if err := s.startMiniredis(); err != nil {
		return err
	}
	s.redis = s.newRedis()
	s.closers = append(s.closers, s.redis.Close)
	return s.openDatabase(database.OpenSQLite(ctx, dir))
}

// startMiniredis starts the queue of the embedded pair. It keeps nothing on disk, and needs not: the journal does.
func (s *stores) startMiniredis() error {
	server := miniredis.NewMiniRedis()
	password := rand.Text() // other users of the machine can reach the port
	server.RequireAuth(password)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return fmt.Errorf("starting the embedded queue: %w", err)
	}
	// Its clock stands still unless it is moved, and keys with a time to live would stay for ever.
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				server.FastForward(time.Second)
			case <-stop:
				return
			}
		}
	}()
	s.closers = append(s.closers, func() error {
		close(stop)
		server.Close()
		return nil
	})
	s.options = &redis.UniversalOptions{Addrs: []string{server.Addr()}, Password: password, ContextTimeoutEnabled: true}
	return nil
}

// redisLog takes what go-redis would write past our log: each failed dial, ten a second while Redis is away, which the lanes and the readiness tell too.
type redisLog struct{}

// Printf is part of go-redis's interface for loggers.
func (redisLog) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, "go-redis says", "message", fmt.Sprintf(format, args...))
}

func (s *stores) newRedis() redis.UniversalClient { return redis.NewUniversalClient(s.options) }

// migrate brings the embedded store up to date; a real one must be, by an operator's decision.
func (s *stores) migrate(ctx context.Context) error {
	if !s.embedded {
		return s.db.CheckMigrated(ctx)
	}
	_, err := s.db.Migrate(ctx)
	return err
}

func (s *stores) close() error {
	var errs []error
	for _, closeOne := range slices.Backward(s.closers) {
		errs = append(errs, closeOne())
	}
	return errors.Join(errs...)
}
