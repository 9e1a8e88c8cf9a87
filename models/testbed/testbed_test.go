package testbed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanMakerVariable) != "" {
		makeOrphans()
	}
	Main(m)
}

// orphanMakerVariable turns the test binary into a program that starts servers and waits to be killed.
const orphanMakerVariable = "TESTBED_MAKE_ORPHANS"

func makeOrphans() {
	mariadb, err1 := StartMariaDB(context.Background(), Options{})
	redis, err2 := StartRedis(context.Background(), Options{})
	if err1 != nil || err2 != nil {
		fmt.Println(err1, err2)
		os.Exit(1)
	}
	for _, s := range []*server{&mariadb.server, &redis.server} {
		fmt.Println(s.process.command.Process.Pid)
		fmt.Println(s.Dir())
	}
	select {}
}

func TestMySQLIsEmptyAndGoneAfterTheTest(t *testing.T) {
	t.Parallel()
	var dsns [2]string
	t.Run("test", func(t *testing.T) {
		for i := range dsns {
			dsns[i] = MySQL(t)
			db := open(t, dsns[i])
			mustExec(t, db, "CREATE TABLE kept (a INT)")
		}
	})
	if dsns[0] == dsns[1] {
		t.Fatalf("two tests got the same database: %s", dsns[0])
	}
	db := open(t, dsns[0])
	if err := db.PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "Unknown database") {
		t.Fatalf("the database is still there: %v", err)
	}
}

func TestMariaDBKeepsWhatItAcknowledgedThroughAKill(t *testing.T) {
	t.Parallel()
	s := PrivateMariaDB(t, Options{})
	must(t, s.CreateDatabase(t.Context(), "books"))
	db := open(t, s.DSN("books"))
	mustExec(t, db, "CREATE TABLE entries (a INT PRIMARY KEY)")
	for i := range 3 {
		mustExec(t, db, "INSERT INTO entries VALUES (?)", i)
		must(t, s.Kill())
		if err := db.PingContext(t.Context()); err == nil {
			t.Fatal("a killed server answers")
		}
		began := time.Now()
		must(t, s.Restart(t.Context()))
		t.Logf("started after a kill in %s", time.Since(began).Round(time.Millisecond))
		var n int
		must(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM entries").Scan(&n))
		if n != i+1 {
			t.Fatalf("%d rows left of %d", n, i+1)
		}
	}
}

func TestMariaDBStopsAndStartsAgain(t *testing.T) {
	t.Parallel()
	s := PrivateMariaDB(t, Options{Relaxed: true})
	db := open(t, s.DSN(""))
	must(t, s.CreateDatabase(t.Context(), "kept"))
	port := s.Port()
	must(t, s.Stop())
	must(t, s.Restart(t.Context()))
	must(t, s.Restart(t.Context())) // of a running server
	if s.Port() != port {
		t.Fatalf("port %d, was %d", s.Port(), port)
	}
	mustExec(t, db, "DROP DATABASE kept")
}

func TestMariaDBPauses(t *testing.T) {
	t.Parallel()
	s := PrivateMariaDB(t, Options{})
	db := open(t, s.DSN(""))
	mustExec(t, db, "DO 1")
	must(t, s.Pause())
	must(t, s.Pause()) // again is no error
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := db.PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a paused server answers: %v", err)
	}
	must(t, s.Resume())
	mustExec(t, db, "DO 1")
	must(t, s.Pause())
	must(t, s.Stop()) // stops a paused one too
}

func TestMariaDBSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options Options
		want    map[string]string
	}{
		"durable": {Options{}, map[string]string{"innodb_flush_log_at_trx_commit": "1", "innodb_doublewrite": "1", "log_bin": "0", "bind_address": "127.0.0.1"}},
		"relaxed": {Options{Relaxed: true}, map[string]string{"innodb_flush_log_at_trx_commit": "0", "innodb_flush_method": "nosync"}},
		"own":     {Options{Args: []string{"--max-connections=77"}}, map[string]string{"max_connections": "77", "character_set_server": "utf8mb4"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, PrivateMariaDB(t, c.options).DSN(""))
			for variable, want := range c.want {
				var got string
				must(t, db.QueryRowContext(t.Context(), "SELECT @@"+variable).Scan(&got))
				if got != want {
					t.Errorf("%s = %s, want %s", variable, got, want)
				}
			}
		})
	}
}

func TestRedisKeepsWhatItAcknowledgedUntilItIsWiped(t *testing.T) {
	t.Parallel()
	s := PrivateRedis(t, Options{})
	client := connect(t, s.URL())
	must(t, client.Set(t.Context(), "a", "1", 0).Err())
	must(t, s.Kill())
	must(t, s.Restart(t.Context()))
	if got := client.Get(t.Context(), "a").Val(); got != "1" {
		t.Fatalf("after a kill: %q", got)
	}
	must(t, s.Stop())
	must(t, s.Restart(t.Context()))
	if got := client.Get(t.Context(), "a").Val(); got != "1" {
		t.Fatalf("after a stop: %q", got)
	}
	must(t, s.Wipe(t.Context()))
	if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Fatalf("after a wipe: %d keys, %v", n, err)
	}
}

func TestRedisPauses(t *testing.T) {
	t.Parallel()
	s := PrivateRedis(t, Options{Relaxed: true})
	client := connect(t, s.URL())
	must(t, s.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := client.Ping(ctx).Err(); err == nil {
		t.Fatal("a paused server answers")
	}
	must(t, s.Resume())
	must(t, client.Ping(t.Context()).Err())
}

func TestRedisIsPrivate(t *testing.T) {
	t.Parallel()
	if a, b := Redis(t), Redis(t); a == b {
		t.Fatalf("both are %s", a)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	s, err := StartRedis(t.Context(), Options{})
	must(t, err)
	must(t, s.Close())
	mustBeGone(t, s.Dir())
	mustBeGone(t, s.Dir()+".lock")
	if err := s.Pause(); err == nil {
		t.Fatal("a closed server was paused")
	}
}

func TestServerThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	options := Options{Args: []string{"--no-such-setting=1"}}
	_, err := StartMariaDB(t.Context(), options)
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Fatalf("MariaDB: %v", err)
	}
	_, err = StartRedis(t.Context(), options)
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Fatalf("Redis: %v", err)
	}
}

func TestPortHasOneOwner(t *testing.T) {
	t.Parallel()
	p, err := reserve()
	must(t, err)
	if other, err := claim(filepath.Dir(p.dir), p.port); other != nil || err != nil {
		t.Fatalf("claimed by two: %v, %v", other, err)
	}
	must(t, os.WriteFile(filepath.Join(p.dir, "file"), nil, 0o600))
	must(t, p.release())
	mustBeGone(t, p.dir)
}

func TestDataTemplateIsMadeOnce(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	programs, err := Find()
	must(t, err)
	dirs := make(chan string)
	for range 3 {
		go func() {
			dir, err := dataTemplate(t.Context(), programs)
			if err != nil {
				dir = err.Error() // differs from a directory, and says why
			}
			dirs <- dir
		}()
	}
	dir := <-dirs
	if a, b := <-dirs, <-dirs; a != dir || b != dir {
		t.Fatalf("%s, %s, %s", dir, a, b)
	}
	if _, err := os.Stat(filepath.Join(dir, "ibdata1")); err != nil {
		t.Fatal(err)
	}
}

func TestFindSaysHowToInstall(t *testing.T) {
	t.Setenv("PATH", "")
	dirs := sbin
	t.Cleanup(func() { sbin = dirs })
	sbin = nil
	_, err := Find()
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "MariaDB and Redis") || !strings.Contains(err.Error(), "apt-get install") {
		t.Fatalf("%v", err)
	}
	if _, err := FindOrInstall(t.Context(), os.Stderr); !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("%v", err)
	}
}

func BenchmarkStartMariaDB(b *testing.B) { benchmarkStart(b, StartMariaDB) }

func BenchmarkStartRedis(b *testing.B) { benchmarkStart(b, StartRedis) }

func benchmarkStart[S interface{ Close() error }](b *testing.B, start func(context.Context, Options) (S, error)) {
	for b.Loop() {
		s, err := start(b.Context(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	must(t, err)
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	t.Cleanup(func() { must(t, client.Close()) })
	return client
}

func mustExec(t *testing.T, db *sql.DB, statement string, arguments ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, arguments...)
	must(t, err)
}

func mustBeGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is still there: %v", path, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
