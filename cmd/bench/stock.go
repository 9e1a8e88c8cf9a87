package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A stock is a set of books with people on them, prepared once: registering a user costs some 50 ms
// of CPU by intention, and 1,024 of them a minute. Each run gets a fresh copy, so that none works on
// tables that another has filled, and an audit has only its own run to go through. Copied sessions
// go with it: their tokens remain good.
type stock struct {
	site   site
	people []person
	begun  bool
}

// A site is where books are kept.
type site interface {
	// prepared makes an empty place and returns the settings by which guichet finds it.
	prepared(ctx context.Context) ([]string, error)
	// existing returns the settings of what prepared has made, with nothing beside it of other books.
	existing(ctx context.Context) ([]string, error)
	// copied replaces the last copy of the prepared books by a new one and returns its settings.
	copied(ctx context.Context) ([]string, error)
}

func (l *lab) stock(ctx context.Context, s shape) (*stock, error) {
	if !s.real {
		if l.embedded == nil {
			l.embedded = &stock{site: embeddedSite{filepath.Join(l.dir, "embedded")}}
		}
		return l.embedded, nil
	}
	if l.realBook == nil {
		servers, err := l.real(ctx)
		if err != nil {
			return nil, err
		}
		program, err := l.guichet(ctx)
		if err != nil {
			return nil, err
		}
		l.realBook = &stock{site: realSite{servers, l.dir, program}}
	}
	return l.realBook, nil
}

// ensure sees to it that at least n people are registered, signed in and funded.
func (s *stock) ensure(ctx context.Context, l *lab, n int) error {
	if len(s.people) >= n {
		return nil
	}
	open := s.site.existing
	if !s.begun {
		open = s.site.prepared
	}
	settings, err := open(ctx)
	if err != nil {
		return err
	}
	s.begun = true
	begin := time.Now()
	h := &house{shape: shape{word: "preparation", roles: []string{"serve"}}, lab: l, settings: settings}
	if err := h.start(ctx); err != nil {
		return errors.Join(err, h.stop())
	}
	newcomers := make([]person, n-len(s.people))
	for i := range newcomers {
		newcomers[i] = newPerson(len(s.people) + i)
	}
	err = h.eachPerson(newcomers, func(p *person) error { return h.register(ctx, p) })
	if err := errors.Join(err, h.stop()); err != nil {
		return err
	}
	s.people = append(s.people, newcomers...)
	progress("  %d people registered in %s", len(newcomers), time.Since(begin).Round(time.Second))
	return nil
}

// embeddedSite keeps books in directories below dir.
type embeddedSite struct{ dir string }

func (s embeddedSite) prepared(ctx context.Context) ([]string, error) {
	if err := os.MkdirAll(filepath.Join(s.dir, "prepared"), 0o700); err != nil {
		return nil, err
	}
	return s.existing(ctx)
}

func (s embeddedSite) existing(context.Context) ([]string, error) {
	return []string{"GUICHET_DATA_DIR=" + filepath.Join(s.dir, "prepared")}, nil
}

func (s embeddedSite) copied(context.Context) ([]string, error) {
	target := filepath.Join(s.dir, "run")
	if err := os.RemoveAll(target); err != nil {
		return nil, err
	}
	err := os.CopyFS(target, os.DirFS(filepath.Join(s.dir, "prepared")))
	return []string{"GUICHET_DATA_DIR=" + target}, err
}

// realSite keeps books in databases of the MariaDB server, and nothing that lasts in Redis.
type realSite struct {
	servers *realServers
	dir     string // for logs
	program string
}

const (
	preparedDatabase = "bench_prepared"
	runDatabase      = "bench_run"
)

func (s realSite) prepared(ctx context.Context) ([]string, error) {
	return s.migrated(ctx, preparedDatabase)
}

// existing empties Redis: the log of messages there is that of the last run, and would be stored in the prepared books.
func (s realSite) existing(ctx context.Context) ([]string, error) {
	return s.settings(preparedDatabase), s.servers.emptyRedis(ctx)
}

func (s realSite) copied(ctx context.Context) ([]string, error) {
	settings, err := s.migrated(ctx, runDatabase)
	if err != nil {
		return nil, err
	}
	return settings, s.servers.copyRows(ctx, preparedDatabase, runDatabase)
}

// migrated makes an empty database with guichet's tables. Redis is emptied too: what it held belongs to
// other books.
func (s realSite) migrated(ctx context.Context, database string) ([]string, error) {
	if _, err := s.servers.createDatabase(ctx, database); err != nil {
		return nil, err
	}
	if err := s.servers.emptyRedis(ctx); err != nil {
		return nil, err
	}
	settings := s.settings(database)
	env := append(cleanEnvironment(), settings...)
	if err := runToEnd(ctx, s.dir, "migrate", s.program, []string{"migrate"}, env); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return settings, nil
}

func (s realSite) settings(database string) []string {
	return []string{
		"GUICHET_MYSQL_DSN=" + s.servers.dsn(database),
		"GUICHET_REDIS_URL=" + s.servers.redisURL,
		// Not used with real servers, and not to be written into the caller's directory either.
		"GUICHET_DATA_DIR=" + filepath.Join(s.dir, "unused"),
	}
}
